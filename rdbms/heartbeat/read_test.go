package heartbeat

import (
	"context"
	"database/sql/driver"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func readOnce(t *testing.T, columns []string, rows ...[]driver.Value) (Reading, error) {
	t.Helper()
	f, db := newFake(t)
	f.columns, f.reading = columns, rows
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	reading, err := Read(t.Context(), conn, "")
	if n := len(f.sent("")); n != 1 {
		t.Errorf("reading took %d statements", n)
	}
	return reading, err
}

var now = time.Date(2026, 5, 1, 10, 0, 7, 123456000, time.UTC)

func TestReadKeepsGarbage(t *testing.T) {
	clock := []byte("2026-05-01 10:00:07.123456")
	got, err := readOnce(t, []string{"UTC_TIMESTAMP(6)", "file", "Server_ID", "TS", "shard", "position", "datacenter"},
		[]driver.Value{clock, []byte("binlog.1"), int64(11), []byte("2026-05-01T10:00:07.001130"), []byte("s1"), int64(77), []byte("a")},
		[]driver.Value{clock, nil, []byte("21"), nil, nil, nil, nil},
		[]driver.Value{clock, nil, uint64(4294967295), []byte(""), []byte(""), nil, "b"},
		[]driver.Value{clock, nil, int64(4294967296), []byte("0000-00-00 00:00:00"), nil, nil, nil},
		[]driver.Value{clock, nil, int64(-1), time.Time{}, nil, nil, nil},
		[]driver.Value{clock, nil, nil, time.Date(2026, 5, 1, 10, 0, 0, 5000, time.FixedZone("", 7200)), nil, nil, nil},
		[]driver.Value{clock, nil, []byte("eleven"), []byte("soon"), nil, nil, nil},
	)
	want := Reading{Now: now, Rows: []Row{
		{ServerID: 11, TS: "2026-05-01T10:00:07.001130", Shard: "s1", Datacenter: "a"},
		{ServerID: 21},
		{ServerID: 4294967295, Datacenter: "b"},
		{TS: "0000-00-00 00:00:00"},
		{},
		{TS: "2026-05-01T10:00:00.000005"}, // parseTime: its wall clock, whatever zone the driver thinks of
		{TS: "soon"},
	}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v, %v\nwant %+v", got, err, want)
	}
}

func TestReadWithoutTheOptionalColumns(t *testing.T) {
	// With parseTime the clock itself is a time.Time, of a zone that the driver was told.
	local := time.Date(2026, 5, 1, 10, 0, 7, 123456000, time.FixedZone("", 7200))
	got, err := readOnce(t, []string{"UTC_TIMESTAMP(6)", "ts", "server_id"}, []driver.Value{local, "x", int64(7)})
	if want := (Reading{Now: now, Rows: []Row{{ServerID: 7, TS: "x"}}}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v, %v, want %+v", got, err, want)
	}
	got, err = readOnce(t, []string{"UTC_TIMESTAMP(6)", "ts", "server_id"})
	if err != nil || !reflect.DeepEqual(got, Reading{}) {
		t.Errorf("an empty table reads as %+v, %v", got, err)
	}
}

func TestReadRefuses(t *testing.T) {
	for _, columns := range [][]string{{"UTC_TIMESTAMP(6)", "ts"}, {"UTC_TIMESTAMP(6)", "server_id"}, {"UTC_TIMESTAMP(6)", "id", "time"}} {
		if _, err := readOnce(t, columns); err == nil || !strings.Contains(err.Error(), "columns ts and server_id") {
			t.Errorf("the columns %q give %v", columns, err)
		}
	}
	if got, err := readOnce(t, []string{"", "ts", "server_id"}, []driver.Value{nil, "x", int64(7)}); err == nil || len(got.Rows) != 0 {
		t.Errorf("a server without a clock gives %+v, %v", got, err)
	}
	f, db := newFake(t)
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := Read(t.Context(), conn, "heartbeat; DROP TABLE x"); err == nil || len(f.sent("")) != 0 {
		t.Errorf("a bad table gives %v, and %d statements", err, len(f.sent("")))
	}
	f.before = func(context.Context, statement) error { return errRefused }
	if _, err := Read(t.Context(), conn, ""); !errors.Is(err, errRefused) || !strings.HasPrefix(err.Error(), "heartbeat: reading `heartbeat`.`heartbeat`: ") {
		t.Errorf("a refusal gives %v", err)
	}
}
