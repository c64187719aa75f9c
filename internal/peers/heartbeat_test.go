package peers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/multidc/multidc/internal/testservers"
	"github.com/multidc/multidc/rdbms/heartbeat"
)

func readBeats(t *testing.T, db *sql.DB, table string) (heartbeat.Reading, error) {
	t.Helper()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return heartbeat.Read(t.Context(), conn, table)
}

// pt-heartbeat's own rows, of both origins, are read on all four servers, whatever the driver does with times.
func TestHeartbeatReadsWhatPtHeartbeatWrites(t *testing.T) {
	ring := testservers.MariaDB(t, testservers.MariaDBOptions{Heartbeat: true})
	for _, server := range everywhere {
		for _, parseTime := range []bool{false, true} {
			db := connect(t, ring.Var(server), func(c *mysql.Config) {
				c.ParseTime, c.Loc = parseTime, time.FixedZone("far", 5*3600)
			})
			before := time.Now()
			reading, err := readBeats(t, db, "")
			if err != nil {
				t.Fatalf("%s: %v", server, err)
			}
			if reading.Now.Before(before.Add(-time.Second)) || reading.Now.After(time.Now().Add(time.Second)) {
				t.Errorf("%s says it is %v, here it was %v", server, reading.Now, before)
			}
			origins := map[string]uint32{}
			for _, row := range reading.Rows {
				origins[row.Shard+"."+row.Datacenter] = row.ServerID
				beat, err := heartbeat.ParseTime(row.TS)
				if age := reading.Now.Sub(beat); err != nil || age < -time.Second || age > 30*time.Second {
					t.Errorf("%s: the row of %d has %q (age %v), %v", server, row.ServerID, row.TS, age, err)
				}
			}
			if len(reading.Rows) != 2 || origins["s1.a"] != 11 || origins["s1.b"] != 21 {
				t.Errorf("%s has the rows %+v", server, reading.Rows)
			}
		}
	}
}

func TestHeartbeatKeepsGarbage(t *testing.T) {
	ring := testservers.MariaDB(t, testservers.MariaDBOptions{})
	a := connect(t, ring.Var("MARIADB_A"), func(c *mysql.Config) { c.ParseTime = true })
	exec(t, a, "CREATE DATABASE heartbeat", "CREATE TABLE heartbeat.heartbeat (ts varchar(30), server_id bigint)",
		"INSERT INTO heartbeat.heartbeat VALUES (NULL, 1), ('', 2), ('0000-00-00 00:00:00', 3), ('soon', 4), ('2038-01-19T03:14:08', 5), "+
			"('2026-05-01 10:00:07.5', 6), ('2026-05-01T10:00:07', -1), (NULL, NULL)")
	reading, err := readBeats(t, a, "")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, row := range reading.Rows {
		_, err := heartbeat.ParseTime(row.TS)
		got = append(got, fmt.Sprintf("%d %q %t", row.ServerID, row.TS, err == nil))
	}
	slices.Sort(got)
	want := []string{
		`0 "" false`, `0 "2026-05-01T10:00:07" true`, `1 "" false`, `2 "" false`, `3 "0000-00-00 00:00:00" false`,
		`4 "soon" false`, `5 "2038-01-19T03:14:08" true`, `6 "2026-05-01 10:00:07.5" true`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("read\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	// Of the types that ts should not have: a zero date with and without parseTime.
	exec(t, a, "CREATE TABLE heartbeat.dates (server_id int, ts datetime(3))")
	writeZeroDate(t, a)
	for _, parseTime := range []bool{false, true} {
		reading, err := readBeats(t, connect(t, ring.Var("MARIADB_A"), func(c *mysql.Config) { c.ParseTime = parseTime }), "heartbeat.dates")
		if err != nil || len(reading.Rows) != 2 {
			t.Fatalf("read %+v, %v", reading, err)
		}
		for _, row := range reading.Rows {
			beat, err := heartbeat.ParseTime(row.TS)
			if good := row.ServerID == 2; good != (err == nil) || good && !beat.Equal(time.Date(2026, 5, 1, 10, 0, 7, 250e6, time.UTC)) {
				t.Errorf("parseTime %t: row %+v is %v, %v", parseTime, row, beat, err)
			}
		}
	}
}

func writeZeroDate(t *testing.T, db *sql.DB) {
	t.Helper()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, s := range []string{"SET SESSION sql_mode = ''", "INSERT INTO heartbeat.dates VALUES (1, '0000-00-00 00:00:00'), (2, '2026-05-01 10:00:07.25')"} {
		if _, err := conn.ExecContext(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
}

// The caller can tell a missing table from a missing right.
func TestHeartbeatRefusals(t *testing.T) {
	ring := testservers.MariaDB(t, testservers.MariaDBOptions{})
	a, admin := connect(t, ring.Var("MARIADB_A")), connect(t, ring.Var("MARIADB_A_ADMIN"))
	const noTable, noRight = 1146, 1142
	if _, err := readBeats(t, a, ""); refusal(err) != noTable {
		t.Errorf("without the database: %v, want error %d", err, noTable)
	}
	exec(t, a, "CREATE DATABASE heartbeat")
	if _, err := readBeats(t, a, ""); refusal(err) != noTable {
		t.Errorf("without the table: %v, want error %d", err, noTable)
	}
	exec(t, a, "CREATE TABLE heartbeat.heartbeat (ts varchar(26) NOT NULL, server_id int unsigned NOT NULL PRIMARY KEY)")
	if reading, err := readBeats(t, a, ""); err != nil || len(reading.Rows) != 0 || !reading.Now.IsZero() {
		t.Errorf("without a row: %+v, %v", reading, err)
	}
	exec(t, admin, "CREATE USER poor IDENTIFIED BY 'poor'", "GRANT SELECT ON mysql.plugin TO poor")
	poor := connect(t, ring.Var("MARIADB_A"), func(c *mysql.Config) { c.User, c.Passwd = "poor", "poor" })
	if _, err := readBeats(t, poor, ""); refusal(err) != noRight {
		t.Errorf("without the right: %v, want error %d", err, noRight)
	}
}

var errStop = errors.New("enough")

// startWriter runs a writer until the returned function is called, or the test ends.
func startWriter(t *testing.T, db *sql.DB, options heartbeat.WriterOptions) (stop func()) {
	t.Helper()
	options.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	writer, err := heartbeat.NewWriter(db, &options)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- writer.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel(errStop)
		if err := <-ended; !errors.Is(err, errStop) {
			t.Errorf("Run ended with %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

const (
	every   = 100 * time.Millisecond
	holder  = "SELECT IS_USED_LOCK('multidc-hb.6f4daf177a0a1391')"
	lastOf  = "SELECT MAX(ts) FROM heartbeat.heartbeat WHERE server_id = "
	writers = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'app' AND ID != CONNECTION_ID()"
)

// moves returns when the row of a server has been written anew.
func moves(t *testing.T, db *sql.DB, id string) {
	t.Helper()
	last := await(t, db, lastOf+id, not(""))
	await(t, db, lastOf+id, func(ts string) bool { return ts > last })
}

// A writer needs nothing but its rights: it makes database, table and row; they come to all servers.
func TestHeartbeatWriter(t *testing.T) {
	ring := testservers.MariaDB(t, testservers.MariaDBOptions{BinlogFormat: "STATEMENT"})
	a := connect(t, ring.Var("MARIADB_A"))
	stop := startWriter(t, connect(t, ring.Var("MARIADB_A"), func(c *mysql.Config) {
		c.Params = map[string]string{"autocommit": "0"} // a DSN made for something else
	}), heartbeat.WriterOptions{Interval: every})
	for _, server := range everywhere {
		db := connect(t, ring.Var(server))
		moves(t, db, "11")
		reading, err := readBeats(t, db, "")
		if err != nil || len(reading.Rows) != 1 {
			t.Fatalf("%s: %+v, %v", server, reading, err)
		}
		if _, err := heartbeat.ParseTime(reading.Rows[0].TS); err != nil || len(reading.Rows[0].TS) != 26 {
			t.Errorf("%s: %v", server, err)
		}
	}
	stop()
	await(t, a, holder, is(""))
	// Each server has what the origin wrote, to the microsecond: literals, though statements are replicated.
	last := value(t, a, lastOf+"11")
	for _, server := range everywhere {
		await(t, connect(t, ring.Var(server)), lastOf+"11", is(last))
	}
}

// Case Xf, first half: one of two holds the lock; cut off, it loses it to the other, and does not get it back.
func TestHeartbeatWriterTakesOver(t *testing.T) {
	ring := testservers.MariaDB(t, testservers.MariaDBOptions{})
	a, admin := connect(t, ring.Var("MARIADB_A")), connect(t, ring.Var("MARIADB_A_ADMIN"))
	far := connect(t, ring.Var("MARIADB_A_VIA_B"))
	startWriter(t, far, heartbeat.WriterOptions{Interval: every})
	first := await(t, a, holder, not(""))
	startWriter(t, connect(t, ring.Var("MARIADB_A")), heartbeat.WriterOptions{Interval: every})
	await(t, admin, writers, is("3")) // both writers, and a
	moves(t, a, "11")
	if now := value(t, a, holder); now != first {
		t.Fatalf("connection %s has taken the lock from %s, which beats", now, first)
	}

	ring.Link("mariadb-a-via-b").Cut()
	second := await(t, a, holder, func(id string) bool { return id != "" && id != first })
	moves(t, a, "11")
	ring.Link("mariadb-a-via-b").Heal()
	await(t, admin, writers, is("3"))
	moves(t, a, "11")
	if now := value(t, a, holder); now != second {
		t.Errorf("connection %s has taken the lock from %s, which beats", now, second)
	}
	if n := value(t, a, "SELECT COUNT(*) FROM heartbeat.heartbeat"); n != "1" {
		t.Errorf("%s rows", n)
	}

	// A connection that is killed costs a moment: one of the two goes on.
	exec(t, admin, "KILL CONNECTION "+second)
	await(t, a, holder, func(id string) bool { return id != "" && id != second })
	moves(t, a, "11")

	// So does a server that dies.
	ring.Server("mariadb-a").Stop()
	ring.Server("mariadb-a").Start()
	again := connect(t, ring.Var("MARIADB_A"))
	await(t, again, holder, not(""))
	moves(t, again, "11")
}

// A writer that vanishes without a word, here behind a link that swallows everything, is given up by the server.
func TestHeartbeatWriterVanishes(t *testing.T) {
	ring := testservers.MariaDB(t, testservers.MariaDBOptions{})
	a := connect(t, ring.Var("MARIADB_A"))
	startWriter(t, connect(t, ring.Var("MARIADB_A_VIA_B")), heartbeat.WriterOptions{Interval: every})
	first := await(t, a, holder, not(""))
	startWriter(t, connect(t, ring.Var("MARIADB_A")), heartbeat.WriterOptions{Interval: every})
	ring.Link("mariadb-a-via-b").BlackHole()
	await(t, a, holder, func(id string) bool { return id != "" && id != first })
	moves(t, a, "11")
}

// Case Xf, second half: read_only on, no write, by the application's account and by one that could.
func TestHeartbeatWriterRespectsReadOnly(t *testing.T) {
	ring := testservers.MariaDB(t, testservers.MariaDBOptions{})
	admin := connect(t, ring.Var("MARIADB_A_ADMIN"))
	for _, account := range []string{"MARIADB_A", "MARIADB_A_ADMIN"} {
		stop := startWriter(t, connect(t, ring.Var(account)), heartbeat.WriterOptions{Interval: every})
		moves(t, admin, "11")

		exec(t, admin, "SET GLOBAL read_only = 1")
		looked(t, admin) // the beat under way has ended
		last, position := value(t, admin, lastOf+"11"), value(t, admin, "SELECT @@gtid_binlog_pos")
		looked(t, admin)
		if now := value(t, admin, lastOf+"11"); now != last || value(t, admin, "SELECT @@gtid_binlog_pos") != position {
			t.Errorf("%s: on a read-only server a beat was written at %s, after %s", account, now, last)
		}
		if value(t, admin, holder) == "" {
			t.Errorf("%s: the lock is free: the writer has lost its connection", account)
		}
		exec(t, admin, "SET GLOBAL read_only = 0")
		moves(t, admin, "11")
		stop()
	}

	// b's primary is read-only; who may and says so beats there, in a row of its own.
	b := connect(t, ring.Var("MARIADB_B"))
	await(t, b, "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'heartbeat'", is("1"))
	startWriter(t, connect(t, ring.Var("MARIADB_B_ADMIN")), heartbeat.WriterOptions{Interval: every, WriteWhenReadOnly: true})
	moves(t, b, "21")
	await(t, connect(t, ring.Var("MARIADB_A_REPLICA")), lastOf+"21", not(""))
}

// looked returns when the writer has asked the server several times more whether it may write.
func looked(t *testing.T, admin *sql.DB) {
	t.Helper()
	const questions = "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'COM_SELECT'"
	own := 0
	var begun int
	await(t, admin, questions, func(n string) bool {
		var now int
		if _, err := fmt.Sscan(n, &now); err != nil {
			return false
		}
		if own++; own == 1 {
			begun = now
		}
		return now-begun-own >= 5 // all others are the writer's
	})
}

// pt-heartbeat and a Writer may meet on one server: same row, nobody stumbles.
func TestHeartbeatWriterBesidePtHeartbeat(t *testing.T) {
	ring := testservers.MariaDB(t, testservers.MariaDBOptions{Heartbeat: true})
	a := connect(t, ring.Var("MARIADB_A"))
	startWriter(t, connect(t, ring.Var("MARIADB_A")), heartbeat.WriterOptions{Interval: every})
	await(t, a, holder, not(""))
	moves(t, a, "11")
	ring.Server("heartbeat-a").Stop()
	moves(t, a, "11")
	moves(t, connect(t, ring.Var("MARIADB_B_REPLICA")), "11")
	reading, err := readBeats(t, a, "")
	if err != nil || len(reading.Rows) != 2 {
		t.Fatalf("%+v, %v", reading, err)
	}
	for _, row := range reading.Rows {
		if row.ServerID == 11 && (row.Shard != "s1" || row.Datacenter != "a") {
			t.Errorf("the writer has changed other columns: %+v", row)
		}
	}
}
