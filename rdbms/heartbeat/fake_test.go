package heartbeat

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a server that knows the statements of this package, its lock and one heartbeat table. It serves in a bubble.
type fake struct {
	mu         sync.Mutex
	id         uint32
	readOnly   string
	step       time.Duration // how far its clock has been set back
	database   bool
	table      bool
	rows       map[uint32]string
	holder     *fakeConn // of the lock
	conns      []*fakeConn
	statements []statement
	down       bool
	// before is asked before each statement; its error is the answer. It may hang until ctx ends.
	before func(ctx context.Context, s statement) error
	// reading is what Read is answered.
	columns []string
	reading [][]driver.Value
}

// statement is one that the server was sent, by its when-th connection.
type statement struct {
	at   time.Time
	conn int
	text string
}

var errRefused = errors.New("the server refuses")

func newFake(t *testing.T) (*fake, *sql.DB) {
	t.Helper()
	f := &fake{id: 11, readOnly: "0", database: true, table: true, rows: map[uint32]string{}}
	db := sql.OpenDB(f)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return f, db
}

func (f *fake) Driver() driver.Driver { return nil }

func (f *fake) Connect(context.Context) (driver.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return nil, errors.New("connection refused")
	}
	c := &fakeConn{fake: f, number: len(f.conns)}
	f.conns = append(f.conns, c)
	return c, nil
}

// change does something to the server between two statements.
func (f *fake) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

// sent returns the statements that contain a text.
func (f *fake) sent(text string) (out []statement) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.statements {
		if strings.Contains(s.text, text) {
			out = append(out, s)
		}
	}
	return out
}

// open counts the connections that are not closed.
func (f *fake) open() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		if !c.gone {
			n++
		}
	}
	return n
}

func (f *fake) now() string {
	return time.Now().UTC().Add(-f.step).Format("2006-01-02 15:04:05.000000")
}

type fakeConn struct {
	fake   *fake
	number int
	gone   bool
}

func (*fakeConn) Prepare(string) (driver.Stmt, error) {
	return nil, errors.New("the fake prepares nothing")
}

func (*fakeConn) Begin() (driver.Tx, error) {
	return nil, errors.New("the fake has no transactions")
}

func (c *fakeConn) Close() error {
	c.fake.change(func() { c.kill() })
	return nil
}

func (c *fakeConn) kill() {
	c.gone = true
	if c.fake.holder == c {
		c.fake.holder = nil
	}
}

// run logs a statement and asks before.
func (c *fakeConn) run(ctx context.Context, text string) error {
	f := c.fake
	s := statement{at: time.Now(), conn: c.number, text: text}
	f.mu.Lock()
	if c.gone {
		f.mu.Unlock()
		return driver.ErrBadConn
	}
	f.statements = append(f.statements, s)
	before := f.before
	f.mu.Unlock()
	if before == nil {
		return nil
	}
	err := before(ctx, s)
	if ctx.Err() != nil { // as the real driver does it: a cancelled statement costs the connection
		f.change(c.kill)
	}
	return err
}

func (c *fakeConn) QueryContext(ctx context.Context, query string, _ []driver.NamedValue) (driver.Rows, error) {
	if err := c.run(ctx, query); err != nil {
		return nil, err
	}
	f := c.fake
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case strings.HasPrefix(query, "SELECT GET_LOCK("):
		if f.holder == nil {
			f.holder = c
		}
		return &fakeRows{[]string{"lock"}, [][]driver.Value{{map[bool]int64{true: 1}[f.holder == c]}}}, nil
	case query == "SELECT UTC_TIMESTAMP(6), @@server_id, @@read_only":
		return &fakeRows{make([]string, 3), [][]driver.Value{{[]byte(f.now()), int64(f.id), []byte(f.readOnly)}}}, nil
	case query == "SELECT UTC_TIMESTAMP(6), hb.* FROM `heartbeat`.`heartbeat` AS hb LIMIT 1000":
		return &fakeRows{f.columns, f.reading}, nil
	}
	return nil, fmt.Errorf("the fake does not know the query %s", query)
}

var (
	updateSQL = regexp.MustCompile("^UPDATE `heartbeat`.`heartbeat` SET ts = '(\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{6})' WHERE server_id = (\\d+)$")
	insertSQL = regexp.MustCompile("^INSERT INTO `heartbeat`.`heartbeat` \\(ts, server_id\\) VALUES \\('(\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{6})', (\\d+)\\)$")
)

func (c *fakeConn) ExecContext(ctx context.Context, query string, _ []driver.NamedValue) (driver.Result, error) {
	if err := c.run(ctx, query); err != nil {
		return nil, err
	}
	f := c.fake
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case strings.HasPrefix(query, "SET autocommit = 1, wait_timeout = "):
	case strings.HasPrefix(query, "CREATE DATABASE IF NOT EXISTS `heartbeat`"):
		f.database = true
	case strings.HasPrefix(query, "CREATE TABLE IF NOT EXISTS `heartbeat`.`heartbeat` ("):
		if !f.database {
			return nil, errors.New("unknown database")
		}
		f.table = true
	case !f.table:
		return nil, errors.New("no such table")
	case query == "SELECT 1 FROM `heartbeat`.`heartbeat` LIMIT 0":
	default:
		return f.write(query)
	}
	return driver.RowsAffected(0), nil
}

func (f *fake) write(query string) (driver.Result, error) {
	if m := updateSQL.FindStringSubmatch(query); m != nil {
		id := number(m[2])
		was, there := f.rows[id]
		if !there || was == m[1] { // the same again affects no row
			return driver.RowsAffected(0), nil
		}
		f.rows[id] = m[1]
		return driver.RowsAffected(1), nil
	}
	if m := insertSQL.FindStringSubmatch(query); m != nil {
		id := number(m[2])
		if _, there := f.rows[id]; there {
			return nil, errors.New("duplicate entry")
		}
		f.rows[id] = m[1]
		return driver.RowsAffected(1), nil
	}
	return nil, fmt.Errorf("the fake does not know the statement %s", query)
}

func number(text string) uint32 {
	n, _ := strconv.ParseUint(text, 10, 32) // the pattern lets digits through only
	return uint32(n)
}

type fakeRows struct {
	columns []string
	values  [][]driver.Value
}

func (r *fakeRows) Columns() []string { return r.columns }
func (*fakeRows) Close() error        { return nil }

func (r *fakeRows) Next(into []driver.Value) error {
	if len(r.values) == 0 {
		return io.EOF
	}
	copy(into, r.values[0])
	r.values = r.values[1:]
	return nil
}
