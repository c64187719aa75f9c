package rdbmstest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"maps"
	"slices"

	"github.com/go-sql-driver/mysql"
)

const (
	beginText         = "START TRANSACTION"
	beginReadOnlyText = "START TRANSACTION READ ONLY"
	commit            = "COMMIT"
	rollback          = "ROLLBACK"
)

// tx is an open transaction. What it reads is as it was at its beginning, but for its own writes, which come into the
// server's log at once, by COMMIT. (A real server takes the snapshot at the first read. Here it is never later, so that
// a test notices who waits for a replica inside of a transaction.)
type tx struct {
	conn     *conn
	readOnly bool
	snapshot map[string]string // nil = reads see what was committed
	writes   []write
	touched  bool // by a write that Handle answered
}

// BeginTx starts a transaction: REPEATABLE READ, unless READ COMMITTED or READ UNCOMMITTED is asked for.
func (c *conn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	text := beginText
	if options.ReadOnly {
		text = beginReadOnlyText
	}
	begun := &tx{conn: c, readOnly: options.ReadOnly}
	level := sql.IsolationLevel(options.Isolation)
	err := c.run(ctx, text, func(s *server) error {
		s.count(c, &s.counts.Begins)
		if level != sql.LevelReadCommitted && level != sql.LevelReadUncommitted {
			begun.snapshot, s.shared = s.kv, true
		}
		c.tx = begun
		return nil
	})
	if err != nil {
		return nil, err
	}
	return begun, nil
}

// Begin is there because database/sql wants it.
func (c *conn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

func (t *tx) Commit() error {
	return t.end(commit, func(s *server) error {
		s.count(t.conn, &s.counts.Commits)
		if len(t.writes) == 0 && !t.touched {
			return nil
		}
		if err := s.mayWrite(t.conn); err != nil { // read_only came on meanwhile
			return err
		}
		s.write(&event{writes: t.writes})
		return nil
	})
}

func (t *tx) Rollback() error {
	return t.end(rollback, func(s *server) error {
		s.count(t.conn, &s.counts.Rollbacks)
		return nil
	})
}

func (t *tx) end(text string, do func(*server) error) error {
	c := t.conn
	if c.isLost() {
		return mysql.ErrInvalidConn
	}
	return c.run(context.Background(), text, func(s *server) error {
		c.tx = nil
		return do(s)
	})
}

// mayWrite is the answer to the account of an application, which read_only stops.
func (s *server) mayWrite(c *conn) error {
	switch {
	case s.knobs.ReadOnly && !c.admin:
		return sqlError(1290, "The %s server is running with the --read-only option so it cannot execute this statement", s.flavour())
	case c.tx != nil && c.tx.readOnly:
		return sqlError(1792, "Cannot execute statement in a READ ONLY transaction")
	}
	return nil
}

func (s *server) flavour() string {
	if s.knobs.MySQL {
		return "MySQL"
	}
	return "MariaDB"
}

// get reads a key as c sees it; locking reads see what was committed last.
func (s *server) get(c *conn, key string, locking bool) (string, bool) {
	all := s.kv
	if c.tx != nil {
		for i := len(c.tx.writes) - 1; i >= 0; i-- {
			if w := c.tx.writes[i]; w.key == key {
				return w.value, !w.gone
			}
		}
		if c.tx.snapshot != nil && !locking {
			all = c.tx.snapshot
		}
	}
	value, there := all[key]
	return value, there
}

// keys are all that c may see, sorted.
func (s *server) keys(c *conn) []string {
	keys := slices.Collect(maps.Keys(s.kv))
	if c.tx != nil {
		keys = slices.AppendSeq(keys, maps.Keys(c.tx.snapshot))
		for _, w := range c.tx.writes {
			keys = append(keys, w.key)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// put writes, at once or with c's transaction.
func (s *server) put(c *conn, w write) {
	if c.tx != nil {
		c.tx.writes = append(c.tx.writes, w)
		return
	}
	s.write(&event{writes: []write{w}})
}

// touch is a write to data that Handle holds.
func (s *server) touch(c *conn) {
	if c.tx != nil {
		c.tx.touched = true
		return
	}
	s.write(&event{})
}
