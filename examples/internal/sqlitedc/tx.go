package sqlitedc

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
)

// tx collects what it has done, and logs it when it commits.
type tx struct {
	conn     *conn
	raw      driver.Tx
	readOnly bool
	done     []statement
	dead     error  // SQLite has rolled the transaction back by itself
	leave    func() // lets the next one write
}

// exec runs one call's statements, all or none: if it fails, what it did so far is undone, so that the log
// of a transaction that goes on holds exactly what was done.
func (t *tx) exec(ctx context.Context, query string, args []driver.NamedValue) (result driver.Result, err error) {
	c := t.conn
	if err := c.usable(); err != nil {
		return nil, err
	}
	if words := strings.Fields(query); len(words) > 0 && strings.EqualFold(strings.Trim(words[0], ";"), "VACUUM") {
		return nil, refuse("VACUUM", "it rewrites the file, which the log does not carry")
	}
	encoded, err := encodeArgs(args)
	if err != nil {
		return nil, fmt.Errorf("sqlitedc: %w", err)
	}
	kept := context.WithoutCancel(ctx) // a step of the bookkeeping is never half done
	if err := c.own(kept, "SAVEPOINT multidc_statement"); err != nil {
		return nil, err
	}
	err = c.as(modeExec, func() error {
		result, err = c.rawConn.ExecContext(ctx, query, args)
		return err
	})
	if err != nil {
		return nil, t.undo(kept, err)
	}
	if err := c.own(kept, "RELEASE multidc_statement"); err != nil {
		return nil, t.undo(kept, err)
	}
	if result == nil { // nothing but blanks and comments
		result = driver.RowsAffected(0)
	}
	if c.wrote {
		t.done = append(t.done, statement{text: query, args: encoded})
	}
	return result, nil
}

// undo takes back a failed statement. It cannot if SQLite has ended the whole transaction, as it does for
// ON CONFLICT ROLLBACK and for some interrupted statements: then nothing more may run in it, nor be committed.
func (t *tx) undo(ctx context.Context, cause error) error {
	err := t.conn.own(ctx, "ROLLBACK TO multidc_statement")
	if err == nil {
		err = t.conn.own(ctx, "RELEASE multidc_statement")
	}
	if err != nil {
		t.dead = fmt.Errorf("sqlitedc: the transaction was rolled back by an earlier statement: %w", cause)
	}
	return cause
}

// Commit implements driver.Tx: the statements and their log rows become durable together, or not at all.
func (t *tx) Commit() error {
	defer t.leave()
	c := t.conn
	c.tx = nil
	if t.dead != nil {
		_ = t.raw.Rollback() // nothing is open any more, which is an error of its own
		return t.dead
	}
	if err := appendLog(context.Background(), c, t.done); err != nil {
		return errors.Join(err, t.raw.Rollback())
	}
	c.connector.cluster.step("logged")
	done, err := c.path.cross()
	defer done()
	if err != nil {
		return errors.Join(err, t.raw.Rollback())
	}
	if len(t.done) > 0 {
		settled, err := c.connector.cluster.roles.committing(c.connector.to)
		defer settled()
		if err != nil {
			return errors.Join(err, t.raw.Rollback())
		}
	}
	if err := t.raw.Commit(); err != nil { // which has rolled back
		return err
	}
	c.connector.cluster.step("committed")
	if len(t.done) > 0 {
		c.connector.cluster.wake()
	}
	return nil
}

// Rollback implements driver.Tx.
func (t *tx) Rollback() error {
	defer t.leave()
	t.conn.tx = nil
	if err := t.raw.Rollback(); err != nil && t.dead == nil { // what is dead is rolled back already
		return err
	}
	return nil
}

// own runs a statement of this package.
func (c *conn) own(ctx context.Context, query string, args ...driver.Value) error {
	_, err := c.rawConn.ExecContext(ctx, query, named(args))
	return err
}
