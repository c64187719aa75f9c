package rdbms

import (
	"context"
	"database/sql/driver"
	"fmt"
	"time"
)

// tx is a transaction of a virtual connection: all its statements run on one borrowed connection.
type tx struct {
	conn     *conn
	lease    *lease
	inner    driver.Tx
	ctx      context.Context //nolint:containedctx // BeginTx's: Commit has none, and belongs to its scope
	readOnly bool
	wrote    bool
	began    time.Time // before BEGIN
	lag      Lag       // of the server, then: what all its reads see
}

// inTx puts the connection into a transaction that has begun.
func (v *conn) inTx(ctx context.Context, l *lease, inner driver.Tx, readOnly bool) *tx {
	v.tx = &tx{conn: v, lease: l, inner: inner, ctx: ctx, readOnly: readOnly, lag: l.lag, began: l.at}
	return v.tx
}

func (t *tx) query(ctx context.Context, s statement) (driver.Rows, error) {
	c := t.conn.cluster
	write := !isRead(s.text)
	if t.onPrimary() {
		if err := c.mayQueryPrimary(ctx, s.text, write); err != nil {
			return nil, err
		}
	}
	if err := t.staleness(ctx); err != nil {
		return nil, err
	}
	c.report(ctx, t.lag, t.began)
	rows, err := t.lease.query(ctx, s)
	if _, err := t.answered(ctx, err); err != nil {
		return nil, err
	}
	if write && !t.readOnly {
		t.write()
	}
	return newRows(ctx, c, t.lease, rows), nil
}

func (t *tx) exec(ctx context.Context, s statement) (driver.Result, error) {
	if (!t.onPrimary() || t.conn.role == roleReplica) && setsSession(s.text) {
		result, err := t.lease.exec(ctx, s)
		_, err = t.answered(ctx, err)
		return result, err
	}
	if err := t.conn.cluster.mayExec(ctx, t.conn.role, s.text); err != nil {
		return nil, err
	}
	result, err := t.lease.exec(ctx, s)
	if _, err := t.answered(ctx, err); err != nil {
		return nil, err
	}
	if changes(s.text, result) && !t.readOnly {
		t.write()
	}
	return result, nil
}

func (t *tx) onPrimary() bool { return t.lease == &t.conn.writing }

// answered: in a read-only transaction the server's refusal to write says nothing of the server.
func (t *tx) answered(ctx context.Context, err error) (fault, error) {
	c := t.conn.cluster
	f := c.judgeError(ctx, t.lease, err, time.Now())
	if f == faultReadOnly && t.readOnly {
		return f, c.readOnlyError("the transaction is read-only", ReadOnlyServer, err)
	}
	return f, c.outward(t.lease, f, err)
}

// staleness keeps an explicit bound on a statement of a transaction, which cannot go elsewhere.
func (t *tx) staleness(ctx context.Context) error {
	call := callOf(ctx)
	if !call.limited || t.onPrimary() && !t.readOnly {
		return nil
	}
	if l := t.lag.aged(time.Since(t.began)); !l.Known || l.Value > call.staleness {
		return fmt.Errorf("%w: cluster %s: the transaction reads what %s had at BEGIN, whose lag is %v by now, not at most %v",
			ErrTooStale, t.conn.cluster.name, t.lease.server.name, l, call.staleness)
	}
	return nil
}

// write remembers that there is something to commit.
func (t *tx) write() {
	if !t.wrote {
		t.wrote = true
		t.pending(+1)
	}
}

func (t *tx) pending(more int) {
	callOf(t.ctx).scope.with(t.conn.cluster, func(state *requestState) { state.pending += more })
}

// end leaves the transaction.
func (t *tx) end() {
	t.conn.tx = nil
	if t.wrote {
		t.pending(-1)
	}
}

// Commit implements driver.Tx. If the connection broke the outcome is unknown, and counts as written.
func (t *tx) Commit() error {
	defer t.end()
	f, err := t.answered(t.ctx, t.inner.Commit())
	if t.wrote && (err == nil || f.unknownOutcome()) {
		t.conn.cluster.wrote(t.ctx, t.lease.server.host)
	}
	return maybeRan(err)
}

// Rollback implements driver.Tx.
func (t *tx) Rollback() error {
	t.end()
	_, err := t.answered(t.ctx, t.inner.Rollback())
	return err
}
