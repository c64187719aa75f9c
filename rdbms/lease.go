package rdbms

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"
)

// lease is a connection of one server, borrowed from its pool for as long as database/sql has the virtual connection in
// use.
type lease struct {
	server     *server     // as of the snapshot that it was picked from
	conn       *sql.Conn   // what holds the place in the server's pool
	driver     driver.Conn // the connection itself, which nobody else uses until release
	generation uint64
	broken     bool
	prepared   []*stmt         // which have something on conn
	grab       func(any) error // keep, made once

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
	if l.grab == nil {
		l.grab = l.keep
	}
	if err := conn.Raw(l.grab); err != nil {
		return errors.Join(err, conn.Close())
	}
	s.inFlight.Add(1)
	l.server, l.conn, l.generation, l.broken = s, conn, generation, false
	return nil
}

// keep is given the driver's connection by database/sql.
func (l *lease) keep(dc any) error {
	c, ok := dc.(driver.Conn)
	if !ok {
		return fmt.Errorf("%w: %T is no connection of a driver", ErrUnsupported, dc)
	}
	l.driver = c
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
	l.server, l.conn, l.driver = nil, nil, nil
}

// begin begins a transaction.
func (l *lease) begin(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	b, ok := l.driver.(driver.ConnBeginTx)
	if !ok {
		return nil, fmt.Errorf("%w: the driver's connections, %T, have no BeginTx", ErrUnsupported, l.driver)
	}
	return b.BeginTx(ctx, opts)
}
