package heartbeat_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"strings"
)

// standIn is a server for the examples: its lock is free, its clock stands still, every write succeeds.
type standIn struct{}

func (standIn) Connect(context.Context) (driver.Conn, error) { return standIn{}, nil }
func (standIn) Driver() driver.Driver                        { return nil }
func (standIn) Prepare(string) (driver.Stmt, error)          { return nil, errors.ErrUnsupported }
func (standIn) Begin() (driver.Tx, error)                    { return nil, errors.ErrUnsupported }
func (standIn) Close() error                                 { return nil }

func (standIn) ExecContext(context.Context, string, []driver.NamedValue) (driver.Result, error) {
	return driver.RowsAffected(1), nil
}

func (standIn) QueryContext(_ context.Context, query string, _ []driver.NamedValue) (driver.Rows, error) {
	const clock = "2026-05-01 10:00:07.250000"
	switch {
	case strings.Contains(query, "GET_LOCK"):
		return &answer{columns: []string{"lock"}, rows: [][]driver.Value{{int64(1)}}}, nil
	case strings.Contains(query, "@@server_id"):
		return &answer{columns: []string{"clock", "id", "read_only"}, rows: [][]driver.Value{{clock, int64(11), int64(0)}}}, nil
	}
	return &answer{columns: []string{"clock", "ts", "server_id"}, rows: [][]driver.Value{
		{clock, "2026-05-01T10:00:06.000000", int64(11)},
		{clock, nil, int64(21)},
	}}, nil
}

type answer struct {
	columns []string
	rows    [][]driver.Value
}

func (a *answer) Columns() []string { return a.columns }
func (*answer) Close() error        { return nil }

func (a *answer) Next(into []driver.Value) error {
	if len(a.rows) == 0 {
		return io.EOF
	}
	copy(into, a.rows[0])
	a.rows = a.rows[1:]
	return nil
}
