package heartbeat

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxRows bounds a reading: a table with more rows is no heartbeat table.
const maxRows = 1000

// Reading is what one server's heartbeat table had, and what its clock said, at one moment.
type Reading struct {
	Now  time.Time // the server's clock, UTC, to the microsecond; zero if there is no row
	Rows []Row     // all, at most 1000, in no particular order
}

// Row is a row as it stands in the table, garbage included.
type Row struct {
	ServerID          uint32 // 0 if the column has no number of 32 bits
	TS                string // for ParseTime; "" if NULL
	Shard, Datacenter string // "" if NULL, or if the table does not have the column
}

// Read reads the heartbeat rows of the server that conn leads to; table "" is heartbeat.heartbeat. The server's own
// refusals are kept for errors.As: with go-sql-driver a table that is not there is a *mysql.MySQLError with Number
// 1146, a table that the account may not read one with 1142. A table without rows is no error.
func Read(ctx context.Context, conn *sql.Conn, table string) (Reading, error) {
	name, err := quoted(table)
	if err != nil {
		return Reading{}, fmt.Errorf("heartbeat: %w", err)
	}
	reading, err := read(ctx, conn, name)
	if err != nil {
		return Reading{}, fmt.Errorf("heartbeat: reading %s: %w", name, err)
	}
	return reading, nil
}

// read neither sorts nor filters in the server, for to a server garbage is a time like any other.
func read(ctx context.Context, conn *sql.Conn, name string) (Reading, error) {
	query := "SELECT UTC_TIMESTAMP(6), hb.* FROM " + name + " AS hb LIMIT " + strconv.Itoa(maxRows) //nolint:gosec // name is quoted
	rows, err := conn.QueryContext(ctx, query)
	if err != nil {
		return Reading{}, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return Reading{}, err
	}
	at, err := find(columns)
	if err != nil {
		return Reading{}, err
	}
	var reading Reading
	values, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return Reading{}, err
		}
		if reading.Now, err = ParseTime(text(values[0])); err != nil {
			return Reading{}, fmt.Errorf("the server's clock: %w", err)
		}
		reading.Rows = append(reading.Rows, at.row(values))
	}
	return reading, rows.Err()
}

// places are where the columns stand; 0, the clock's place, says that there is none.
type places struct{ serverID, ts, shard, datacenter int }

func find(columns []string) (places, error) {
	var at places
	for i, column := range columns {
		switch strings.ToLower(column) {
		case "server_id":
			at.serverID = i
		case "ts":
			at.ts = i
		case "shard":
			at.shard = i
		case "datacenter":
			at.datacenter = i
		}
	}
	if at.serverID == 0 || at.ts == 0 {
		return at, errors.New("this is no heartbeat table: it needs the columns ts and server_id")
	}
	return at, nil
}

func (at places) row(values []any) Row {
	get := func(place int) string {
		if place == 0 {
			return ""
		}
		return text(values[place])
	}
	id, err := strconv.ParseUint(get(at.serverID), 10, 32)
	if err != nil {
		id = 0
	}
	return Row{ServerID: uint32(id), TS: get(at.ts), Shard: get(at.shard), Datacenter: get(at.datacenter)}
}

// text undoes what a driver made of a value. With parseTime a column of a date type comes as a time.Time in whatever
// zone the driver was told; its wall clock is what the server sent, and a zero date is no time.
func text(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case []byte:
		return string(v)
	case time.Time:
		if v.IsZero() {
			return ""
		}
		return formatTime(v)
	}
	return fmt.Sprint(value)
}
