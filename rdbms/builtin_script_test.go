package rdbms

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/go-sql-driver/mysql"
)

// builtinScript is a server for the tests of the built-in engine. It answers a SELECT of expressions that it knows by
// their values, everything else by exact text.
type builtinScript struct {
	mu      sync.Mutex
	values  map[string]driver.Value
	answers map[string]scriptedAnswer
	fails   error // the answer to everything
	asked   []string
}

type scriptedAnswer struct {
	columns []string
	rows    [][]driver.Value
	err     error
}

func scriptedError(number uint16) error { return &mysql.MySQLError{Number: number, Message: "no"} }

const scriptedBeats = "SELECT UTC_TIMESTAMP(6), hb.* FROM `heartbeat`.`heartbeat` AS hb LIMIT 1000"

var scriptedBeat = scriptedAnswer{columns: []string{"clock", "ts", "server_id"}, rows: [][]driver.Value{
	{"2026-05-01 10:00:07.250000", "2026-05-01T10:00:07.000000", int64(11)},
}}

func newScript(values map[string]driver.Value) *builtinScript {
	return &builtinScript{values: maps.Clone(values), answers: map[string]scriptedAnswer{scriptedBeats: scriptedBeat}}
}

// scriptedMariaDB is a replica of server 11, whose domain is 1.
func scriptedMariaDB() *builtinScript {
	return newScript(map[string]driver.Value{
		"@@version": []byte("10.11.6-MariaDB-log"), "UTC_TIMESTAMP(6)": []byte("2026-05-01 10:00:07.250000"),
		mariadbUptime: []byte("7"), "@@hostname": []byte("db2"), "@@server_id": int64(12),
		"@@read_only": int64(1), "@@gtid_domain_id": int64(1), "@@log_bin": int64(1),
		"@@gtid_binlog_pos": []byte("1-11-400"), "@@gtid_slave_pos": []byte("1-11-430"), "@@gtid_current_pos": []byte("1-11-430,2-12-9"),
	})
}

const uuidOne, uuidTwo = "3e11fa47-71ca-11e1-9e33-c80aa9429562", "4e11fa47-71ca-11e1-9e33-c80aa9429562"

// scriptedMySQL is a replica, whose own uuid is uuidTwo.
func scriptedMySQL() *builtinScript {
	return newScript(map[string]driver.Value{
		"@@version": []byte("8.0.36"), "UTC_TIMESTAMP(6)": []byte("2026-05-01 10:00:07.250000"),
		mysqlUptime: []byte("7"), "@@hostname": []byte("db2"), "@@server_id": int64(12),
		"@@read_only": int64(1), "@@super_read_only": int64(1),
		"@@server_uuid": []byte(strings.ToUpper(uuidTwo)), "@@gtid_mode": []byte("ON"),
		"@@gtid_executed": []byte(strings.ToUpper(uuidOne) + ":1-5:7-9,\n" + uuidTwo + ":1"),
	})
}

// conn opens a connection that is closed with the test.
func (s *builtinScript) conn(t *testing.T) *sql.Conn {
	t.Helper()
	db := sql.OpenDB(s)
	t.Cleanup(func() { _ = db.Close() })
	c, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func (s *builtinScript) set(expression string, value driver.Value) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values[expression] = value
}

// statements returns what the server was asked since it was last called.
func (s *builtinScript) statements() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

func (s *builtinScript) answer(query string) scriptedAnswer {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, query)
	if s.fails != nil {
		return scriptedAnswer{err: s.fails}
	}
	if a, there := s.answers[query]; there {
		return a
	}
	list, isSelect := strings.CutPrefix(query, "SELECT ")
	if !isSelect {
		return scriptedAnswer{err: scriptedError(errSyntax)}
	}
	var row []driver.Value
	expressions := strings.Split(list, ", ")
	for _, expression := range expressions {
		value, known := s.values[expression]
		if !known {
			return scriptedAnswer{err: scriptedError(errUnknownVariable)}
		}
		row = append(row, value)
	}
	return scriptedAnswer{columns: expressions, rows: [][]driver.Value{row}}
}

func (s *builtinScript) Connect(context.Context) (driver.Conn, error) { return scriptConn{s}, nil }
func (*builtinScript) Driver() driver.Driver                          { return nil }

type scriptConn struct{ script *builtinScript }

func (scriptConn) Prepare(string) (driver.Stmt, error) { return nil, errors.ErrUnsupported }
func (scriptConn) Begin() (driver.Tx, error)           { return nil, errors.ErrUnsupported }
func (scriptConn) Close() error                        { return nil }

func (c scriptConn) QueryContext(_ context.Context, query string, _ []driver.NamedValue) (driver.Rows, error) {
	a := c.script.answer(query)
	if a.err != nil {
		return nil, a.err
	}
	return &scriptRows{a}, nil
}

type scriptRows struct{ rest scriptedAnswer }

func (r *scriptRows) Columns() []string { return r.rest.columns }
func (*scriptRows) Close() error        { return nil }

func (r *scriptRows) Next(into []driver.Value) error {
	if len(r.rest.rows) == 0 {
		return io.EOF
	}
	copy(into, r.rest.rows[0])
	r.rest.rows = r.rest.rows[1:]
	return nil
}
