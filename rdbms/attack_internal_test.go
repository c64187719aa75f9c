package rdbms

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"testing"
	"time"
)

// Reads that have waited come with the time before their wait, between others: no second fills the budget twice.
func TestBudgetOfOlderTimes(t *testing.T) {
	start := time.Now()
	b, taken := &budget{begun: start, share: 0.05}, 0
	for at := 2 * time.Second; at < 12*time.Second; at += 10 * time.Millisecond {
		for _, waited := range []time.Duration{0, time.Second} {
			if b.take(start.Add(at - waited)) {
				taken++
			}
		}
	}
	if taken < 10 || taken > 12 {
		t.Errorf("%d reads went to the primary in 10 s, at one a second", taken)
	}
}

// driver.ErrBadConn is never shown, or database/sql runs the statement again by itself: also if the caller has given up.
func TestBadConnectionGivenUp(t *testing.T) {
	ctx, giveUp := context.WithCancel(t.Context())
	giveUp()
	l := &lease{server: &server{host: newHost("db1", "a", link{})}}
	f, err := new(Cluster).answered(ctx, l, driver.ErrBadConn)
	if f != faultCaller || !errors.Is(err, ErrUnavailable) || errors.Is(err, driver.ErrBadConn) {
		t.Errorf("fault %d, %v", f, err)
	}
}

// preparing is a server that prepares everything.
type preparing struct{ instant }

func (preparing) Connect(context.Context) (driver.Conn, error) { return new(preparingConn), nil }

type preparingConn struct{ instantConn }

func (*preparingConn) Prepare(string) (driver.Stmt, error) { return preparedNothing{}, nil }

type preparedNothing struct{}

func (preparedNothing) Close() error  { return nil }
func (preparedNothing) NumInput() int { return -1 }
func (preparedNothing) Exec([]driver.Value) (driver.Result, error) {
	return driver.RowsAffected(0), nil
}
func (preparedNothing) Query([]driver.Value) (driver.Rows, error) { return new(instantRows), nil }

// A held connection remembers the statements that are prepared on it, and not those that were.
func TestPreparedDoNotPileUp(t *testing.T) {
	db := sql.OpenDB(preparing{})
	defer db.Close()
	inner, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	l := &lease{conn: inner}
	if err := inner.Raw(l.keep); err != nil {
		t.Fatal(err)
	}
	kept := &stmt{query: "SELECT 0"}
	for i := range 100 {
		closed := &stmt{query: fmt.Sprint("SELECT ", i)}
		for _, s := range []*stmt{kept, closed, closed} {
			if _, _, err := l.prepare(t.Context(), statement{text: s.query, prepared: s}); err != nil {
				t.Fatal(err)
			}
		}
		if err := closed.Close(); err != nil {
			t.Error(err)
		}
	}
	if len(l.prepared) != 1 || l.prepared[0] != kept {
		t.Errorf("%d statements are remembered", len(l.prepared))
	}
	if err := kept.Close(); err != nil || len(l.prepared) != 0 {
		t.Errorf("%v, %d statements are left", err, len(l.prepared))
	}
}
