package rdbmstest

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"syscall"

	"github.com/go-sql-driver/mysql"
)

// connector leads to one server. An admin's passes the knobs that hinder, and is not counted.
type connector struct {
	server *server
	admin  bool
}

// Driver is there because database/sql wants it.
func (c *connector) Driver() driver.Driver { return noDriver{} }

type noDriver struct{}

func (noDriver) Open(string) (driver.Conn, error) {
	return nil, errors.New("rdbmstest: a fake server has no DSN: use the Connector of Cluster.Config")
}

// Connect makes a connection, as the knobs let it.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	s := c.server
	k := s.cluster
	k.mu.Lock()
	defer k.mu.Unlock()
	k.advance()
	if !c.admin {
		s.counts.Connects++
		if err := s.mayConnect(ctx); err != nil {
			s.counts.Refused++
			return nil, err
		}
	}
	k.lastID++
	conn := &conn{server: s, admin: c.admin, id: k.lastID, variables: map[string]driver.Value{}}
	s.conns[conn] = true
	s.opened(conn)
	return conn, nil
}

// mayConnect waits and refuses as the knobs say. It gives the lock away while it waits.
func (s *server) mayConnect(ctx context.Context) error {
	hangs := func() bool { return s.knobs.HangConnects }
	if err := s.pause(ctx, s.knobs.ConnectLatency, hangs, nil); err != nil {
		return err
	}
	switch k := s.knobs; {
	case ctx.Err() != nil:
		return ctx.Err()
	case k.Down || k.Refuse:
		address := &net.TCPAddr{IP: net.IPv4(10, 0, 0, byte(s.id)), Port: 3306}
		return &net.OpError{Op: "dial", Net: "tcp", Addr: address, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	case k.ConnectError != nil:
		return k.ConnectError
	case k.MaxConnections > 0 && s.counts.Open >= k.MaxConnections:
		return sqlError(1040, "Too many connections")
	}
	return nil
}

func (s *server) opened(c *conn) {
	if !c.admin {
		s.counts.Open++
		s.counts.MostOpen = max(s.counts.MostOpen, s.counts.Open)
	}
}

// conn is one connection. Its fields but variables and tx are guarded by the cluster's lock.
type conn struct {
	server    *server
	admin     bool
	id        int64
	lost      bool // the server has ended it
	noticed   bool // and the client knows
	variables map[string]driver.Value
	tx        *tx
}

// lose ends the connection from the server's side. The lock is held.
func (c *conn) lose() {
	if c.lost {
		return
	}
	c.lost = true
	delete(c.server.conns, c)
	if !c.admin {
		c.server.counts.Open--
	}
}

// drop ends it from both sides.
func (c *conn) drop() {
	c.lose()
	c.noticed = true
}

func (c *conn) Close() error {
	c.server.cluster.mu.Lock()
	defer c.server.cluster.mu.Unlock()
	c.drop()
	return nil
}

// IsValid is the client's view: it does not know yet that an idle connection was ended.
func (c *conn) IsValid() bool {
	c.server.cluster.mu.Lock()
	defer c.server.cluster.mu.Unlock()
	return !c.noticed
}

// ResetSession looks at the socket, as go-sql-driver does before a connection of the pool is used again.
func (c *conn) ResetSession(context.Context) error {
	c.server.cluster.mu.Lock()
	defer c.server.cluster.mu.Unlock()
	if c.lost {
		c.noticed = true
		return driver.ErrBadConn
	}
	return nil
}

func (c *conn) Ping(ctx context.Context) error {
	return c.run(ctx, "PING", func(s *server) error {
		s.count(c, &s.counts.Pings)
		return nil
	})
}

func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	result, err := c.statement(ctx, query, args)
	if err != nil {
		return nil, err
	}
	return &rows{ctx: ctx, conn: c, columns: result.Columns, values: result.Rows}, nil
}

func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	result, err := c.statement(ctx, query, args)
	if err != nil {
		return nil, err
	}
	return done{result}, nil
}

// done is what an Exec gives back.
type done struct{ result *Result }

func (d done) RowsAffected() (int64, error) { return d.result.Affected, nil }
func (d done) LastInsertId() (int64, error) { return d.result.InsertID, nil }

func (c *conn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	var prepared *stmt
	err := c.run(ctx, query, func(s *server) error {
		s.count(c, &s.counts.Prepares)
		prepared = &stmt{conn: c, query: query, inputs: placeholders(query)}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return prepared, nil
}

// stmt is a prepared statement. It lives in its connection and dies with it.
type stmt struct {
	conn   *conn
	query  string
	inputs int
}

func (*stmt) Close() error    { return nil }
func (s *stmt) NumInput() int { return s.inputs }

func (*stmt) Exec([]driver.Value) (driver.Result, error) { return nil, driver.ErrSkip }
func (*stmt) Query([]driver.Value) (driver.Rows, error)  { return nil, driver.ErrSkip }

func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.conn.ExecContext(ctx, s.query, args)
}

func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.conn.QueryContext(ctx, s.query, args)
}

// rows are the rows of an answer. Who cancels in their midst loses the connection, as with go-sql-driver.
type rows struct {
	ctx     context.Context //nolint:containedctx // rows have no other way to learn that they are cancelled
	conn    *conn
	columns []string
	values  [][]driver.Value
}

func (r *rows) Columns() []string { return r.columns }
func (*rows) Close() error        { return nil }

func (r *rows) Next(into []driver.Value) error {
	if err := r.ctx.Err(); err != nil {
		_ = r.conn.Close()
		return err
	}
	if len(r.values) == 0 {
		return io.EOF
	}
	if r.conn.isLost() {
		return mysql.ErrInvalidConn
	}
	copy(into, slices.Clone(r.values[0]))
	r.values = r.values[1:]
	return nil
}

func (c *conn) isLost() bool {
	c.server.cluster.mu.Lock()
	defer c.server.cluster.mu.Unlock()
	c.noticed = c.noticed || c.lost
	return c.lost
}

func sqlError(number uint16, format string, args ...any) error {
	return &mysql.MySQLError{Number: number, SQLState: sqlState(number), Message: fmt.Sprintf(format, args...)}
}

// sqlState is that of the errors which have one of their own.
func sqlState(number uint16) (state [5]byte) {
	text := map[uint16]string{
		1040: "08004", 1053: "08S01", 1062: "23000", 1064: "42000", 1109: "42S02", 1142: "42000", 1146: "42S02",
		1213: "40001", 1227: "42000", 1792: "25006",
	}[number]
	if text == "" {
		text = "HY000"
	}
	copy(state[:], text)
	return state
}
