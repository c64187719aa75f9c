package rdbms_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/multidc/multidc/internal/freshness"
	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/rdbmstest"
)

// facts are what one piece of work reports.
func (s *stage) facts(ctx context.Context, work func(context.Context)) (freshness.Facts, bool) {
	var recorder freshness.Recorder
	work(freshness.With(ctx, &recorder))
	return recorder.Facts()
}

// wantLag: the bound is never less than the lag, and not more than a beat, a poll and a bit above it.
func (s *stage) wantLag(f freshness.Facts, lag time.Duration, what string) {
	s.Helper()
	if f.Unknown || f.Lag < lag || f.Lag > lag+2300*time.Millisecond {
		s.Errorf("%s: %+v, want a lag of %v or a little more", what, f, lag)
	}
}

// Case Xh. A read reports how far behind its server is, and since when that holds, to all recorders.
func TestFactsOfRead(t *testing.T) {
	onStage(t, setting{lag: map[string]time.Duration{"db2": 2 * time.Second}}, func(s *stage) {
		s.set("db2", func(k *rdbmstest.Knobs) { k.Latency = 50 * time.Millisecond })
		if _, err := who(s.Context(), s.cluster.Replica()); err != nil { // a connection is there
			s.Fatal(err)
		}
		var outer freshness.Recorder
		scope := rdbms.WithScope(freshness.With(s.Context(), &outer))
		if !freshness.Recording(scope) {
			s.Fatal("a scope has no recorder")
		}
		began := time.Now()
		inner, read := s.facts(scope, func(ctx context.Context) { s.want(ctx, s.cluster.Replica(), "k", "") })
		s.wantLag(inner, 2*time.Second, "a replica 2 s behind")
		if !read || !inner.Since.Equal(began) || inner.Pending || !inner.WroteAt.IsZero() {
			s.Errorf("%+v, %t", inner, read)
		}
		all, _ := outer.Facts()
		request, _ := freshness.Recorded(scope)
		if all != inner || request != inner {
			s.Errorf("the inner recorder has %+v, the request's %+v, the outer %+v", inner, request, all)
		}
		second, _ := s.facts(scope, func(ctx context.Context) { s.want(rdbms.WithPrimary(ctx), s.cluster.Replica(), "k", "") })
		if second.Lag != 0 || second.Unknown || second.Since.IsZero() {
			s.Errorf("of the primary: %+v", second)
		}
	})
}

// The lag ages from poll to poll.
func TestFactsAge(t *testing.T) {
	change := func(_ *rdbms.Config, o *rdbms.Options) { o.Poll = 5 * time.Second }
	onStage(t, setting{change: change}, func(s *stage) {
		var before freshness.Facts
		grown := false
		for range 8 {
			f, _ := s.facts(s.Context(), func(ctx context.Context) { s.want(ctx, s.cluster.Replica(), "k", "") })
			grown = grown || f.Lag-before.Lag == 500*time.Millisecond
			before = f
			time.Sleep(500 * time.Millisecond)
		}
		if !grown {
			s.Error("the lag stands still between two polls")
		}
	})
}

func TestFactsUnknownLag(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		s.set("db2", func(k *rdbmstest.Knobs) { k.BeatErrno = 1146 })
		time.Sleep(3 * time.Second)
		f, read := s.facts(s.scope(), func(ctx context.Context) { s.want(ctx, s.cluster.Replica(), "k", "") })
		if !read || !f.Unknown {
			s.Errorf("%+v, %t", f, read)
		}
		if f, _ := s.facts(s.scope(), func(ctx context.Context) { s.want(ctx, s.cluster.Primary(), "k", "") }); f.Unknown || f.Lag != 0 {
			s.Errorf("of the primary: %+v", f)
		}
	})
}

// Case Xh. What a transaction reads is as old as its BEGIN, however late it reads it.
func TestFactsOfTransaction(t *testing.T) {
	for name, handle := range map[string]func(*rdbms.Cluster) *sql.DB{"Replica": (*rdbms.Cluster).Replica, "Primary": (*rdbms.Cluster).Primary} {
		t.Run(name, func(t *testing.T) {
			onStage(t, setting{lag: map[string]time.Duration{"db2": 2 * time.Second}}, func(s *stage) {
				for _, server := range []string{"db1", "db2"} {
					s.set(server, func(k *rdbmstest.Knobs) { k.Latency = 50 * time.Millisecond })
				}
				if _, err := who(s.Context(), handle(s.cluster)); err != nil { // a connection is there
					s.Fatal(err)
				}
				ctx := s.scope()
				began := time.Now()
				tx, err := handle(s.cluster).BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
				if err != nil {
					s.Fatal(err)
				}
				first, read := s.facts(ctx, func(ctx context.Context) { s.want(ctx, tx, "k", "") })
				time.Sleep(5 * time.Second)
				late, _ := s.facts(ctx, func(ctx context.Context) { s.want(ctx, tx, "k", "") })
				if !read || first != late || late.Since.After(began) || began.Sub(late.Since) > time.Millisecond {
					s.Errorf("BEGIN at %v; first %+v, 5 s later %+v", began, first, late)
				}
				lag := 2 * time.Second
				if name == "Primary" {
					if lag = 0; late.Lag != 0 {
						s.Errorf("%+v", late)
					}
				}
				s.wantLag(late, lag, name)
				if err := tx.Commit(); err != nil {
					s.Error(err)
				}
			})
		})
	}
}

// Case Xh. What is not committed is pending for all reads of the request, until it is or is taken back.
func TestFactsPending(t *testing.T) {
	for name, commit := range map[string]bool{"commit": true, "rollback": false} {
		t.Run(name, func(t *testing.T) {
			onStage(t, setting{}, func(s *stage) {
				ctx := s.scope()
				tx, err := s.cluster.Primary().BeginTx(ctx, nil)
				if err != nil {
					s.Fatal(err)
				}
				look := func(db querying) freshness.Facts {
					f, _ := s.facts(ctx, func(ctx context.Context) { _, _ = get(ctx, s.cluster.Replica(), "x"); s.look(ctx, db) })
					return f
				}
				if f := look(tx); f.Pending {
					s.Errorf("before anything was written: %+v", f)
				}
				if _, err := tx.ExecContext(ctx, "REPLACE INTO kv VALUES ('k', 'v')"); err != nil {
					s.Fatal(err)
				}
				for db, what := range map[querying]string{tx: "in the transaction", s.cluster.Primary(): "beside it", s.cluster.Replica(): "on a replica"} {
					if f := look(db); !f.Pending || !f.WroteAt.IsZero() {
						s.Errorf("%s: %+v", what, f)
					}
				}
				if f, _ := s.facts(s.scope(), func(ctx context.Context) { s.look(ctx, s.cluster.Primary()) }); f.Pending {
					s.Errorf("another request: %+v", f)
				}
				time.Sleep(time.Second)
				end, want := tx.Rollback, time.Time{}
				if commit {
					end, want = tx.Commit, time.Now()
				}
				if err := end(); err != nil {
					s.Error(err)
				}
				if f := look(s.cluster.Replica()); f.Pending || !f.WroteAt.Equal(want) {
					s.Errorf("after the end: %+v, want WroteAt %v", f, want)
				}
			})
		})
	}
}

func (s *stage) look(ctx context.Context, db querying) {
	s.Helper()
	var n int
	if err := db.QueryRowContext(ctx, "SELECT 1").Scan(&n); err != nil || n != 1 {
		s.Errorf("SELECT 1: %d, %v", n, err)
	}
}

// A commit is told at once, and is no read. What the client wrote in an earlier request counts too.
func TestFactsWroteAt(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		ctx := s.scope()
		f, read := s.facts(ctx, func(ctx context.Context) { s.put(ctx, "k", "v") })
		if read || !f.WroteAt.Equal(time.Now()) {
			s.Errorf("%+v, %t", f, read)
		}
		wrote := time.Now()
		time.Sleep(5 * time.Second)
		if f, _ := s.facts(ctx, func(ctx context.Context) { s.look(ctx, s.cluster.Replica()) }); f.WroteAt.Before(wrote) {
			s.Errorf("later in the request: %+v", f)
		}
		asOf := time.Now().Add(-3 * time.Second)
		next := s.require("", asOf, 0, "")
		if f, _ := s.facts(next, func(ctx context.Context) { s.look(ctx, s.cluster.Replica()) }); !f.WroteAt.Equal(asOf) {
			s.Errorf("in the next request: %+v, want WroteAt %v", f, asOf)
		}
		if f, _ := s.facts(next, func(ctx context.Context) { s.look(ctx, s.cluster.Primary()) }); !f.WroteAt.Equal(asOf) {
			s.Errorf("in the next request, on the primary: %+v", f)
		}
	})
}

// Since is not before a wait: what is read has what was waited for.
func TestFactsAfterWait(t *testing.T) {
	onStage(t, setting{lag: map[string]time.Duration{"db2": 500 * time.Millisecond}}, func(s *stage) {
		position, asOf := s.position("k", "v")
		began := time.Now()
		f, _ := s.facts(s.require(position, asOf, 0, ""), func(ctx context.Context) { s.want(ctx, s.cluster.Replica(), "k", "v") })
		if f.Since.Sub(began) < 400*time.Millisecond || f.Since.After(time.Now()) {
			s.Errorf("%+v; the wait began at %v", f, began)
		}
	})
}

// What is being committed is pending, and then written: there is no moment between the two.
func TestFactsWhileCommitting(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		ctx := s.scope()
		tx, err := s.cluster.Primary().BeginTx(ctx, nil)
		if err != nil {
			s.Fatal(err)
		}
		if _, err := tx.ExecContext(ctx, "REPLACE INTO kv VALUES ('k', 'v')"); err != nil {
			s.Fatal(err)
		}
		s.set("db1", func(k *rdbmstest.Knobs) { k.Latency = 100 * time.Millisecond })
		done := make(chan error)
		go func() { done <- tx.Commit() }()
		time.Sleep(50 * time.Millisecond)
		if f, _ := s.facts(ctx, func(ctx context.Context) { s.look(ctx, s.cluster.Replica()) }); !f.Pending {
			s.Errorf("%+v", f)
		}
		if err := <-done; err != nil {
			s.Error(err)
		}
		if f, _ := s.facts(ctx, func(ctx context.Context) { s.look(ctx, s.cluster.Replica()) }); f.Pending || f.WroteAt.IsZero() {
			s.Errorf("%+v", f)
		}
	})
}
