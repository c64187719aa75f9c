package rdbms_test

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/rdbmstest"
)

// What a review found by attacking the package, and what is near to it.

// insert writes by a query.
const insert = "INSERT INTO kv (k, v) VALUES ('k', 'v') RETURNING v"

func insertInto(ctx context.Context, db querying) error {
	var v string
	return db.QueryRowContext(ctx, insert).Scan(&v)
}

// wantLagged wants what was read so far to be flagged, or not.
func (s *stage) wantLagged(ctx context.Context, want bool, what string) {
	s.Helper()
	if served := s.cluster.Served(ctx); served.Lagged != want {
		s.Errorf("%s: %+v", what, served)
	}
}

// weighted lets generic reads go to the primary alone; the replica keeps a group.
func weighted(c *rdbms.Config, _ *rdbms.Options) {
	c.Servers[0].Weight, c.Servers[1].Weight, c.Servers[1].Groups = 1, -1, map[string]int{"reports": 1}
}

// A position, reached or not, says nothing of what came without one.
func TestTouchBesidePosition(t *testing.T) {
	for name, first := range map[string]bool{"position first": true, "touch first": false} {
		t.Run(name, func(t *testing.T) {
			onStage(t, setting{lag: map[string]time.Duration{"db2": 4 * time.Second}}, func(s *stage) {
				position, asOf := s.position("k", "v")
				time.Sleep(8 * time.Second) // db2 has it
				touch := func(ctx context.Context) {
					s.noError(s.cluster.Positions().Require(ctx, "", time.Now(), 0, ""))
				}
				ctx := s.scope()
				if !first {
					touch(ctx)
				}
				s.noError(s.cluster.Positions().Require(ctx, position, asOf, 0, ""))
				if first {
					s.want(ctx, s.cluster.Replica(), "k", "v")
					s.wantLagged(ctx, false, "the position alone")
					touch(ctx)
				}
				s.want(ctx, s.cluster.Replica(), "k", "v")
				s.wantLagged(ctx, true, "a touch of now, and db2 is 4 s behind")
			})
		})
	}
}

// So does the position of a request's first commit of its second one, whose position could not be read. When it can be, it
// counts, and the touch is over.
func TestOwnTouchBesidePosition(t *testing.T) {
	onStage(t, setting{lag: map[string]time.Duration{"db2": 500 * time.Millisecond}}, func(s *stage) {
		ctx := s.scope()
		s.put(ctx, "k", "1")
		s.want(ctx, s.cluster.Replica(), "k", "1")
		s.set("db2", func(k *rdbmstest.Knobs) { k.Lag = 4 * time.Second })
		time.Sleep(6 * time.Second)
		s.put(ctx, "k", "2")
		s.set("db1", func(k *rdbmstest.Knobs) { k.Faults = []rdbmstest.Fault{{Match: askWritten, Times: 1, Errno: 1040}} })
		s.want(ctx, s.cluster.Replica(), "k", "1")
		s.wantLagged(ctx, true, "an own write is missing")
		s.captured(ctx)
		s.set("db2", func(k *rdbmstest.Knobs) { k.Lag = 0 })
		s.want(ctx, s.cluster.Replica(), "k", "2")
	})
}

// While the application says that the cluster takes no writes, the server would take them: also those that are queries.
func TestReadOnlyByClusterQueries(t *testing.T) {
	var reason atomic.Pointer[string]
	onStage(t, reasonable(&reason), func(s *stage) {
		before, err := s.cluster.Primary().BeginTx(s.Context(), nil)
		if err != nil {
			s.Fatal(err)
		}
		text := "moving to b"
		reason.Store(&text)
		writes := s.fake.Counts("db1").Writes
		during, err := s.cluster.Auto().BeginTx(s.Context(), nil)
		if err != nil {
			s.Fatal(err)
		}
		for _, db := range []querying{s.cluster.Primary(), s.cluster.Auto(), before, during} {
			s.wantReadOnly(insertInto(s.scope(), db), rdbms.ReadOnlyCluster, text)
			s.want(s.Context(), db, "k", "")
		}
		s.noError(before.Commit())
		s.noError(during.Commit())
		if n := s.fake.Counts("db1").Writes; n != writes {
			s.Errorf("%d writes reached the server", n-writes)
		}
		if told := heard(s, &s.refused); len(told) != 4 {
			s.Errorf("OnRefused: %+v", told)
		}
	})
}

// A query on Replica that writes, where the primary serves reads: what holds for writes on Primary holds for it.
func TestReplicaQueryWritesOnPrimary(t *testing.T) {
	var reason atomic.Pointer[string]
	begin := reasonable(&reason)
	begin.change = both(begin.change, weighted)
	onStage(t, begin, func(s *stage) {
		text := "moving to b"
		reason.Store(&text)
		s.wantReadOnly(insertInto(s.scope(), s.cluster.Replica()), rdbms.ReadOnlyCluster, text)
		reason.Store(new(string))
		err := insertInto(rdbms.WithPhase(s.scope(), rdbms.PhasePOSTNonWrite), s.cluster.Replica())
		s.wantError(err, rdbms.ErrWriteForbidden, "in POST-nonwrite")
		if n := s.fake.Counts("db1").Writes; n != 0 {
			s.Errorf("%d writes reached the server", n)
		}
		ctx := s.scope()
		s.noError(insertInto(rdbms.WithPhase(ctx, rdbms.PhaseGET), s.cluster.Replica()))
		if told := heard(s, &s.violations); len(told) != 1 {
			s.Errorf("OnViolation: %+v", told)
		}
		s.captured(ctx)
		s.idle()
	})
}

func both(one, other func(*rdbms.Config, *rdbms.Options)) func(*rdbms.Config, *rdbms.Options) {
	return func(c *rdbms.Config, o *rdbms.Options) {
		one(c, o)
		other(c, o)
	}
}

// A connection that is held cannot read elsewhere what was required since; so it is flagged.
func TestHeldTouch(t *testing.T) {
	onStage(t, setting{lag: map[string]time.Duration{"db2": 4 * time.Second}}, func(s *stage) {
		ctx, conn := s.scope(), s.conn(s.cluster.Replica())
		s.want(ctx, conn, "k", "")
		s.wantLagged(ctx, false, "nothing is required")
		s.noError(s.cluster.Positions().Require(ctx, "", time.Now(), 0, ""))
		s.want(ctx, conn, "k", "")
		s.wantLagged(ctx, true, "a touch of now, and db2 is 4 s behind")
	})
}

// A wait may take longer than the bound of the read that it is for.
func TestHeldBoundAfterWait(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		ctx, conn := s.scope(), s.conn(s.cluster.Replica())
		s.want(ctx, conn, "k", "")
		s.set("db2", func(k *rdbmstest.Knobs) { k.StopApplying = true })
		position, asOf := s.position("k", "new")
		s.noError(s.cluster.Positions().Require(ctx, position, asOf, 5*time.Second, string(rdbms.OnTimeoutStale)))
		_, err := getFrom(rdbms.WithMaxStaleness(ctx, 3*time.Second), conn, "k")
		s.wantError(err, rdbms.ErrTooStale, "5 s after the replica stopped, at most 3 s old")
	})
}

// A server that was the primary when the connection was borrowed is it no more, also once it is out of the configuration.
func TestHeldRemovedPrimary(t *testing.T) {
	onStage(t, setting{change: weighted}, func(s *stage) {
		conn, bounded := s.conn(s.cluster.Replica()), rdbms.WithMaxStaleness(s.Context(), time.Second)
		s.want(bounded, conn, "k", "")
		s.fake.Promote("db2")
		time.Sleep(2 * time.Second)
		s.set("db1", func(k *rdbmstest.Knobs) { k.StopApplying = true })
		config := s.fake.Config()
		config.Servers, config.Primary = config.Servers[1:], "db2"
		s.noError(s.cluster.SetServers(config))
		s.put(s.Context(), "k", "new")
		time.Sleep(time.Minute)
		_, err := getFrom(bounded, conn, "k")
		s.wantError(err, rdbms.ErrTooStale, "a minute later")
	})
}

// Callers who give up say nothing of the server, and neither does the connection that each of them cost.
func TestCallersTimeoutsLeaveBreaker(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		for range 15 {
			tx, err := s.cluster.Replica().BeginTx(s.Context(), nil)
			if err != nil {
				s.Fatalf("BEGIN: %v", err)
			}
			s.slow("db2", 300*time.Millisecond)
			short, cancel := context.WithTimeout(s.Context(), 10*time.Millisecond)
			_, err = getFrom(short, tx, "k")
			cancel()
			s.wantError(err, context.DeadlineExceeded, "the statement")
			s.slow("db2", 0)
			for range 2 {
				if _, err := getFrom(s.Context(), tx, "k"); err == nil || errors.Is(err, sql.ErrNoRows) {
					s.Error("its connection is gone, and it is answered")
				}
			}
			_ = tx.Rollback() // fails, too
			if row := s.row("db2"); row.Health != rdbms.HealthFresh {
				s.Fatalf("db2 is %s", row.Health)
			}
			time.Sleep(10 * time.Millisecond)
		}
		s.idle()
	})
}

// A read may wait for a connection longer than its bound. What is known of the server goes on being news meanwhile.
func TestBoundBelowPoolWait(t *testing.T) {
	change := func(c *rdbms.Config, o *rdbms.Options) { c.Servers[1].MaxOpen, o.StrictStaleness = 1, true }
	onStage(t, setting{change: change}, func(s *stage) {
		var over atomic.Bool
		var busy sync.WaitGroup
		for range 2 { // whose turn it is is up to chance, and each one lasts longer than the bound
			busy.Go(func() {
				for !over.Load() {
					tx, err := s.cluster.Replica().BeginTx(s.Context(), nil)
					if err != nil {
						s.Error(err)
						return
					}
					time.Sleep(4 * time.Second)
					s.noError(tx.Rollback())
				}
			})
		}
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(rdbms.WithMaxStaleness(s.Context(), 3*time.Second), 10*time.Minute)
		defer cancel()
		_, err := who(ctx, s.cluster.Replica())
		s.noError(err)
		over.Store(true)
		busy.Wait()
	})
}
