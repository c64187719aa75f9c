package heartbeat_test

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/multidc/multidc/rdbms/heartbeat"
)

// The time in a row, whoever wrote it.
func ExampleParseTime() {
	for _, ts := range []string{"2026-05-01T10:00:07.001130", "2026-05-01 10:00:07", "0000-00-00 00:00:00"} {
		fmt.Println(heartbeat.ParseTime(ts))
	}
	// Output:
	// 2026-05-01 10:00:07.00113 +0000 UTC <nil>
	// 2026-05-01 10:00:07 +0000 UTC <nil>
	// 0001-01-01 00:00:00 +0000 UTC heartbeat: "0000-00-00 00:00:00" is no time: expected YYYY-MM-DDTHH:MM:SS and up to 6 decimals
}

// Two primaries beat; a read there cares for both.
func ExampleSource() {
	source := heartbeat.Source{Interval: 500 * time.Millisecond, Origins: []heartbeat.Origin{{Datacenter: "a"}, {Datacenter: "b"}}}
	fmt.Println(source.Validate())
	source.Table = "heartbeat"
	fmt.Println(source.Validate())
	// Output:
	// <nil>
	// heartbeat: Source.Table: "heartbeat" is no table: write database.table, of letters, digits, _ and $
}

// How old each row is on one server. The server here is a small stand-in for a real one.
func ExampleRead() {
	db := sql.OpenDB(standIn{})
	defer db.Close()
	ctx := context.Background()
	conn, err := db.Conn(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	reading, err := heartbeat.Read(ctx, conn, "")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, row := range reading.Rows {
		if beat, err := heartbeat.ParseTime(row.TS); err != nil {
			fmt.Println(row.ServerID, "has no time")
		} else {
			fmt.Println(row.ServerID, "is", reading.Now.Sub(beat), "old")
		}
	}
	// Output:
	// 11 is 1.25s old
	// 21 has no time
}

// A writer beats as long as its context lives.
func ExampleWriter() {
	db := sql.OpenDB(standIn{})
	defer db.Close()
	writer, err := heartbeat.NewWriter(db, &heartbeat.WriterOptions{Interval: 10 * time.Millisecond})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	fmt.Println(writer.Run(ctx))
	// Output:
	// heartbeat: writer stopped: context deadline exceeded
}
