package rdbms

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"time"
)

// lease is a connection of one server, borrowed from its pool for as long as database/sql has the virtual connection in
// use.
type lease struct {
	server     *server // as of the snapshot that it was picked from
	conn       *sql.Conn
	generation uint64
	broken     bool
	prepared   []*stmt // which have something on conn

	// What a read through it may be told: as of when it was borrowed.
	lag Lag
	at  time.Time
}

// held reports whether a statement ran on it already: its session must not change under the caller.
func (l *lease) held() bool { return l.conn != nil }

// borrow takes a connection of a server. It waits for the server's pool as long as ctx allows.
func (l *lease) borrow(ctx context.Context, s *server) error {
	generation := s.generation.Load()
	conn, err := s.pool.conn(ctx)
	if err != nil {
		return err
	}
	s.inFlight.Add(1)
	l.server, l.conn, l.generation, l.broken = s, conn, generation, false
	return nil
}

// release gives the connection back to its server's pool, unless it must not serve again.
func (l *lease) release() {
	if l.conn == nil {
		return
	}
	for len(l.prepared) > 0 {
		l.prepared[0].drop()
	}
	if l.broken || l.generation != l.server.generation.Load() {
		_ = l.conn.Raw(func(any) error { return driver.ErrBadConn }) // database/sql closes it
	}
	_ = l.conn.Close() // it was closed, or goes back: neither can be helped here
	l.server.inFlight.Add(-1)
	l.server, l.conn = nil, nil
}

// statement is a text with its arguments, prepared by the caller if prepared is not nil.
type statement struct {
	text     string
	args     []driver.NamedValue
	prepared *stmt
}

func (l *lease) query(ctx context.Context, s statement) (*sql.Rows, error) {
	if s.prepared == nil {
		return l.conn.QueryContext(ctx, s.text, values(s.args)...)
	}
	inner, err := l.prepare(ctx, s.prepared) //nolint:sqlclosecheck // release closes it
	if err != nil {
		return nil, err
	}
	return inner.QueryContext(ctx, values(s.args)...)
}

func (l *lease) exec(ctx context.Context, s statement) (sql.Result, error) {
	if s.prepared == nil {
		return l.conn.ExecContext(ctx, s.text, values(s.args)...)
	}
	inner, err := l.prepare(ctx, s.prepared) //nolint:sqlclosecheck // release closes it
	if err != nil {
		return nil, err
	}
	return inner.ExecContext(ctx, values(s.args)...)
}

// prepare prepares a statement on the connection, unless it is there already.
func (l *lease) prepare(ctx context.Context, s *stmt) (*sql.Stmt, error) {
	if s.inner != nil && s.on == l {
		return s.inner, nil
	}
	s.drop()
	inner, err := l.conn.PrepareContext(ctx, s.query)
	if err != nil {
		return nil, err
	}
	s.inner, s.on = inner, l
	l.prepared = append(l.prepared, s)
	return inner, nil
}

// begin begins a transaction. It goes around (*sql.Conn).BeginTx, whose own watch over the context would race with that of
// the caller's *sql.Tx.
func (l *lease) begin(ctx context.Context, opts driver.TxOptions) (tx driver.Tx, err error) {
	err = l.conn.Raw(func(dc any) error {
		b, ok := dc.(driver.ConnBeginTx)
		if !ok {
			return fmt.Errorf("%w: the driver's connections, %T, have no BeginTx", ErrUnsupported, dc)
		}
		tx, err = b.BeginTx(ctx, opts)
		return err
	})
	return tx, err
}

// finish ends a transaction by its Commit or Rollback.
func (l *lease) finish(end func() error) error {
	return l.conn.Raw(func(any) error { return end() })
}

// values are arguments as database/sql takes them.
func values(args []driver.NamedValue) []any {
	if len(args) == 0 {
		return nil
	}
	list := make([]any, len(args))
	for i, a := range args {
		if list[i] = a.Value; a.Name != "" {
			list[i] = sql.Named(a.Name, a.Value)
		}
	}
	return list
}
