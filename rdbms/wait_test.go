package rdbms_test

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/rdbmstest"
)

// missing is a stage whose replica does not have the position that is returned, and will not.
func (s *stage) missing() (position string, asOf time.Time) {
	s.Helper()
	for _, row := range s.cluster.Explain(s.Context()).Servers {
		if !row.Primary {
			s.set(row.Name, func(k *rdbmstest.Knobs) { k.StopApplying = true })
		}
	}
	return s.position("missing", "yes")
}

// The wait is min(what was asked for, deadline - 50 ms, 10 s), and nothing below 5 ms.
func TestWaitBudget(t *testing.T) {
	const none = 0
	for name, tc := range map[string]struct {
		option, required, under, deadline, want time.Duration
	}{
		"the default":                     {want: time.Second},
		"Options.Wait":                    {option: 200 * time.Millisecond, want: 200 * time.Millisecond},
		"Options.Wait, the most":          {option: 10 * time.Second, want: 10 * time.Second},
		"Options.Wait, none":              {option: -1, want: none},
		"Require's":                       {option: 200 * time.Millisecond, required: 300 * time.Millisecond, want: 300 * time.Millisecond},
		"Require's, too long":             {required: time.Hour, want: 10 * time.Second},
		"Require's, none":                 {required: -1, want: none},
		"Require's, against none":         {option: -1, required: 20 * time.Millisecond, want: 20 * time.Millisecond},
		"the statement's":                 {required: 300 * time.Millisecond, under: 100 * time.Millisecond, want: 100 * time.Millisecond},
		"the statement's, too long":       {required: 300 * time.Millisecond, under: time.Hour, want: 10 * time.Second},
		"the statement's, none":           {required: 300 * time.Millisecond, under: -1, want: none},
		"the deadline's":                  {deadline: 500 * time.Millisecond, want: 450 * time.Millisecond},
		"the deadline's, later":           {deadline: 5 * time.Second, want: time.Second},
		"the deadline's, just enough":     {deadline: 55 * time.Millisecond, want: 5 * time.Millisecond},
		"the deadline's, just not enough": {deadline: 55*time.Millisecond - 1, want: none},
		"the deadline's, over":            {deadline: 10 * time.Millisecond, want: none},
		"shorter than worth it":           {required: 4 * time.Millisecond, want: none},
	} {
		t.Run(name, func(t *testing.T) {
			change := func(_ *rdbms.Config, o *rdbms.Options) { o.Wait = tc.option }
			onStage(t, setting{change: change}, func(s *stage) {
				position, asOf := s.missing()
				ctx := s.require(position, asOf, tc.required, rdbms.OnTimeoutError)
				if tc.under != 0 {
					ctx = rdbms.WithOnTimeout(ctx, "", tc.under)
				}
				if tc.deadline != 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tc.deadline)
					defer cancel()
				}
				var err error
				if d := took(func() { _, err = get(ctx, s.cluster.Replica(), "k") }); d != tc.want {
					s.Errorf("waited %v, want %v", d, tc.want)
				}
				s.wantError(err, rdbms.ErrNotCaughtUp, "not reached")
				waits := heard(s, &s.waits)
				if told := len(waits) == 1 && waits[0].Waited == tc.want && !waits[0].Reached && waits[0].Server == "db2"; told != (tc.want > 0) {
					s.Errorf("OnWaited: %+v", waits)
				}
			})
		})
	}
}

// Case 82. The primary has what was written there; nobody is asked.
func TestWaitOnPrimary(t *testing.T) {
	change := func(c *rdbms.Config, _ *rdbms.Options) { c.Servers[0].Weight, c.Servers[1].Weight = 100, -1 }
	onStage(t, setting{change: change}, func(s *stage) {
		asOf := time.Now()
		for _, ctx := range []context.Context{
			s.require("m1:1-11-99999999", asOf, 0, "error"),
			rdbms.WithPrimary(s.require("m1:1-11-99999999", asOf, 0, "error")),
			rdbms.WithMaxStaleness(s.require("m1:1-11-99999999", asOf, 0, "error"), 0),
		} {
			for _, replica := range []bool{true, false} {
				db := s.cluster.Primary()
				if replica {
					db = s.cluster.Replica()
				}
				var server string
				var err error
				if d := took(func() { server, err = who(ctx, db) }); d != 0 || server != "db1" || err != nil {
					s.Errorf("%s, %v after %v", server, err, d)
				}
				if s.cluster.Positions().Lagged(ctx) {
					s.Error("the primary is flagged")
				}
			}
		}
		if n := s.appliedOnly("db1") + s.appliedOnly("db2") + s.asked("db1", askWritten); n > 0 {
			s.Errorf("%d questions", n)
		}
	})
}

// Case 83. A domain that the replica does not have is not reached. What then happens is the policy's.
func TestWaitPolicies(t *testing.T) {
	for _, policy := range []rdbms.TimeoutPolicy{rdbms.OnTimeoutPrimary, rdbms.OnTimeoutStale, rdbms.OnTimeoutError} {
		for _, from := range []string{"Options", "Require", "WithOnTimeout"} {
			t.Run(string(policy)+"/"+from, func(t *testing.T) {
				another := rdbms.OnTimeoutStale
				if policy == another {
					another = rdbms.OnTimeoutError
				}
				change := func(_ *rdbms.Config, o *rdbms.Options) {
					if o.OnTimeout = another; from == "Options" {
						o.OnTimeout = policy
					}
				}
				onStage(t, setting{change: change}, func(s *stage) {
					required := map[string]rdbms.TimeoutPolicy{"Require": policy, "WithOnTimeout": another}[from]
					ctx := s.require("m1:77-1-1", time.Now().Add(-time.Minute), 0, required)
					if from == "WithOnTimeout" {
						ctx = rdbms.WithOnTimeout(ctx, policy, 0)
					}
					var server string
					var err error
					if d := took(func() { server, err = who(ctx, s.cluster.Replica()) }); d != time.Second {
						s.Errorf("waited %v", d)
					}
					lagged := s.cluster.Positions().Lagged(ctx)
					reads := heard(s, &s.reads)
					switch policy {
					case rdbms.OnTimeoutPrimary:
						if server != "db1" || err != nil || lagged || len(reads) != 1 || reads[0].Path != rdbms.ReadPrimary {
							s.Errorf("%s, %v, lagged %t, %+v", server, err, lagged, reads)
						}
					case rdbms.OnTimeoutStale:
						if server != "db2" || err != nil || !lagged || len(reads) != 1 || reads[0].Path != rdbms.ReadLagged {
							s.Errorf("%s, %v, lagged %t, %+v", server, err, lagged, reads)
						}
					case rdbms.OnTimeoutError:
						if !errors.Is(err, rdbms.ErrNotCaughtUp) || !strings.Contains(err.Error(), "db2") || s.fake.Counts("db1").Reads > 0 {
							s.Errorf("%v", err)
						}
					}
				})
			})
		}
	}
}

// Policy primary keeps to the budget: what is over it is read as stale, and flagged.
func TestWaitPrimaryBudget(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		position, asOf := s.missing()
		primary := 0
		for range 20 {
			ctx := s.require(position, asOf, -1, rdbms.OnTimeoutPrimary)
			server, err := who(ctx, s.cluster.Replica())
			if err != nil {
				s.Fatal(err)
			}
			if server == "db1" {
				primary++
			}
			if lagged := s.cluster.Positions().Lagged(ctx); lagged != (server == "db2") {
				s.Errorf("%s, lagged %t", server, lagged)
			}
		}
		if primary == 0 || primary > 2 {
			s.Errorf("%d of 20 reads at once went to the primary, which may have 2", primary)
		}
	})
}

// There is one wait for each scope, cluster and position: what comes after follows its outcome.
func TestWaitOnce(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		position, asOf := s.missing()
		ctx := s.require(position, asOf, 300*time.Millisecond, rdbms.OnTimeoutStale)
		read := func(ctx context.Context) time.Duration {
			return took(func() {
				if server, err := who(ctx, s.cluster.Replica()); server != "db2" || err != nil {
					s.Errorf("%s, %v", server, err)
				}
			})
		}
		if d := read(ctx); d != 300*time.Millisecond {
			s.Errorf("the first waited %v", d)
		}
		for range 3 {
			if d := read(ctx); d != 0 {
				s.Errorf("another one waited %v", d)
			}
		}
		_, err := who(rdbms.WithOnTimeout(ctx, rdbms.OnTimeoutError, time.Second), s.cluster.Replica())
		s.wantError(err, rdbms.ErrNotCaughtUp, "the outcome with another policy")
		if d := read(s.require(position, asOf, 300*time.Millisecond, "stale")); d != 300*time.Millisecond {
			s.Errorf("another scope waited %v", d)
		}
		s.put(ctx, "k", "new")
		if d := read(ctx); d != 300*time.Millisecond {
			s.Errorf("for another position it waited %v", d)
		}
		if d := read(ctx); d != 0 {
			s.Errorf("and then %v", d)
		}
		if n := len(heard(s, &s.waits)); n != 3 {
			s.Errorf("%d waits", n)
		}
	})
}

// What timed out may still come: then there is nothing to follow.
func TestWaitedThenReached(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		position, asOf := s.missing()
		ctx := s.require(position, asOf, -1, rdbms.OnTimeoutError)
		_, err := get(ctx, s.cluster.Replica(), "missing")
		s.wantError(err, rdbms.ErrNotCaughtUp, "not there yet")
		s.set("db2", func(k *rdbmstest.Knobs) { k.StopApplying = false })
		time.Sleep(2 * time.Second)
		s.want(ctx, s.cluster.Replica(), "missing", "yes")
	})
}

// The order is wait, then BEGIN: a snapshot that is older than the wait would not have what was waited for.
func TestWaitBeforeBegin(t *testing.T) {
	onStage(t, setting{lag: map[string]time.Duration{"db2": 400 * time.Millisecond}}, func(s *stage) {
		for i, db := range []*sql.DB{s.cluster.Replica(), s.cluster.Auto()} {
			value := strconv.Itoa(i)
			position, asOf := s.position("k", value)
			ctx := s.require(position, asOf, 0, rdbms.OnTimeoutError)
			tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
			if err != nil {
				s.Fatal(err)
			}
			s.want(ctx, tx, "k", value)
			if err := tx.Rollback(); err != nil {
				s.Error(err)
			}
			if n := s.fake.Counts("db2").Begins; n != i+1 {
				s.Errorf("%d times BEGIN", n)
			}
		}
	})
}

// While it waits a read holds no connection, and none is in a transaction.
func TestWaitHoldsNothing(t *testing.T) {
	change := func(c *rdbms.Config, _ *rdbms.Options) { c.Servers[1].MaxOpen = 2 }
	onStage(t, setting{change: change}, func(s *stage) {
		position, asOf := s.missing()
		var readers sync.WaitGroup
		for range 20 {
			readers.Go(func() {
				_, err := s.cluster.Replica().BeginTx(s.require(position, asOf, time.Second, rdbms.OnTimeoutError), nil)
				s.wantError(err, rdbms.ErrNotCaughtUp, "BeginTx")
			})
		}
		time.Sleep(500 * time.Millisecond)
		if server, err := who(s.Context(), s.cluster.Replica()); server != "db2" || err != nil {
			s.Errorf("who waits for nothing: %s, %v", server, err)
		}
		readers.Wait()
		if n := s.fake.Counts("db2").Begins; n != 0 {
			s.Errorf("%d times BEGIN", n)
		}
		s.idle()
	})
}

// Case 86. A thousand waiters cost one connection, and all awake within 25 ms after the server has it.
func TestWaitersShareOneConnection(t *testing.T) {
	const many, lag = 1000, 500 * time.Millisecond
	change := func(_ *rdbms.Config, o *rdbms.Options) { o.MaxWaiters = many }
	onStage(t, setting{change: change}, func(s *stage) {
		open := s.fake.Counts("db2").Open
		s.set("db2", func(k *rdbmstest.Knobs) { k.Lag = lag })
		position, asOf := s.position("k", "v")
		applied := time.Now().Add(lag)
		var readers sync.WaitGroup
		for range many {
			readers.Go(func() {
				s.want(s.require(position, asOf, 0, rdbms.OnTimeoutError), s.cluster.Replica(), "k", "v")
				if late := time.Since(applied); late < 0 || late > 25*time.Millisecond {
					s.Errorf("awake %v after it was applied", late)
				}
			})
		}
		for time.Now().Before(applied.Add(-time.Millisecond)) {
			time.Sleep(10 * time.Millisecond)
			if n := s.fake.Counts("db2").Open - open; n > 1 {
				s.Fatalf("%d connections more", n)
			}
		}
		// 1, 2, 4, 8, 16 ms, and then every 20 ms.
		if n := s.appliedOnly("db2"); n < 20 || n > 30 {
			s.Errorf("%d questions", n)
		}
		readers.Wait()
		s.idle()
		asked := s.appliedOnly("db2")
		time.Sleep(time.Second)
		if n := s.appliedOnly("db2"); n != asked {
			s.Errorf("%d questions more, though nobody waits", n-asked)
		}
	})
}

// Case 87. One waiter more than MaxWaiters does not wait.
func TestMaxWaiters(t *testing.T) {
	for name, option := range map[string]int{"the default": 0, "by Options": 10} {
		t.Run(name, func(t *testing.T) {
			most := map[int]int{0: 256, 10: 10}[option]
			change := func(_ *rdbms.Config, o *rdbms.Options) { o.MaxWaiters = option }
			onStage(t, setting{change: change}, func(s *stage) {
				position, asOf := s.missing()
				var readers sync.WaitGroup
				for range most {
					readers.Go(func() {
						_, err := get(s.require(position, asOf, 0, rdbms.OnTimeoutError), s.cluster.Replica(), "k")
						s.wantError(err, rdbms.ErrNotCaughtUp, "one of those who wait")
					})
				}
				synctest.Wait()
				began := time.Now()
				if d := took(func() {
					_, err := get(s.require(position, asOf, 0, rdbms.OnTimeoutError), s.cluster.Replica(), "k")
					s.wantError(err, rdbms.ErrNotCaughtUp, "one more")
				}); d != 0 {
					s.Errorf("one more waited %v", d)
				}
				ctx := s.require(position, asOf, 0, rdbms.OnTimeoutStale)
				s.want(ctx, s.cluster.Replica(), "missing", "")
				if !s.cluster.Positions().Lagged(ctx) {
					s.Error("not flagged")
				}
				readers.Wait()
				if d := time.Since(began); d != time.Second {
					s.Errorf("the others waited %v", d)
				}
				if d := took(func() { _, _ = get(s.require(position, asOf, 0, "error"), s.cluster.Replica(), "k") }); d != time.Second {
					s.Errorf("when they are gone one waits %v", d)
				}
			})
		})
	}
}

// Who gives up waiting gets its own error, and decides nothing for the rest of the request.
func TestWaitGivenUp(t *testing.T) {
	onStage(t, setting{lag: map[string]time.Duration{"db2": 500 * time.Millisecond}}, func(s *stage) {
		position, asOf := s.position("k", "v")
		ctx := s.require(position, asOf, 0, rdbms.OnTimeoutError)
		gone, cancel := context.WithCancel(ctx)
		time.AfterFunc(100*time.Millisecond, cancel)
		var err error
		if d := took(func() { _, err = get(gone, s.cluster.Replica(), "k") }); d != 100*time.Millisecond {
			s.Errorf("it took %v", d)
		}
		s.wantError(err, context.Canceled, "cancelled while waiting")
		s.want(ctx, s.cluster.Replica(), "k", "v")
		if h := s.row("db2").Health; h != rdbms.HealthFresh {
			s.Errorf("db2 is %s", h)
		}
		s.idle()
	})
}

// Close ends the waits, and awaits who asks for them.
func TestWaitEndsWithClose(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		position, asOf := s.missing()
		var readers sync.WaitGroup
		for range 3 {
			readers.Go(func() {
				if d := took(func() {
					_, err := get(s.require(position, asOf, 10*time.Second, rdbms.OnTimeoutError), s.cluster.Replica(), "k")
					if err == nil {
						s.Error("a closed cluster has answered")
					}
				}); d != 200*time.Millisecond {
					s.Errorf("ended after %v", d)
				}
			})
		}
		time.Sleep(200 * time.Millisecond)
		if err := s.cluster.Close(s.Context()); err != nil {
			s.Error(err)
		}
		readers.Wait()
		_, err := get(s.Context(), s.cluster.Replica(), "k")
		if err == nil {
			s.Error("a closed cluster has answered")
		}
	})
}

// Case 90. A replica that becomes the primary during the wait has what it was waited for.
func TestPromotedWhileWaitedFor(t *testing.T) {
	onStage(t, setting{servers: twoDCs, lag: map[string]time.Duration{"db2": 5 * time.Second, "db3": 20 * time.Second}}, func(s *stage) {
		position, asOf := s.position("k", "v")
		done := make(chan time.Duration)
		go func() {
			ctx := s.require(position, asOf, 4*time.Second, rdbms.OnTimeoutError)
			done <- took(func() { s.want(ctx, s.cluster.Replica(), "k", "v") })
		}()
		time.Sleep(300 * time.Millisecond)
		s.fake.Promote("db2")
		if d := <-done; d < 300*time.Millisecond || d > 325*time.Millisecond {
			s.Errorf("it waited %v", d)
		}
	})
}

// Case 91. With its SQL thread stopped a replica costs exactly the timeout, and stays well but for its lag.
func TestWaitSQLThreadStopped(t *testing.T) {
	onStage(t, setting{servers: triple, change: func(c *rdbms.Config, _ *rdbms.Options) { c.Servers[2].Weight = -1 }}, func(s *stage) {
		position, asOf := s.missing()
		open := s.fake.Counts("db2").Connects
		for range 5 {
			ctx := s.require(position, asOf, 300*time.Millisecond, rdbms.OnTimeoutError)
			if d := took(func() {
				_, err := get(ctx, s.cluster.Replica(), "k")
				s.wantError(err, rdbms.ErrNotCaughtUp, "not reached")
			}); d != 300*time.Millisecond {
				s.Errorf("waited %v", d)
			}
		}
		if row := s.row("db2"); row.Health != rdbms.HealthFresh || row.Error != "" {
			s.Errorf("%+v", row)
		}
		time.Sleep(15 * time.Second)
		if row := s.row("db2"); row.Health != rdbms.HealthDegraded || row.Error != "" || s.fake.Counts("db2").Refused > 0 {
			s.Errorf("%+v", row)
		}
		if n := s.fake.Counts("db2").Connects - open; n > 5 {
			s.Errorf("%d new connections", n)
		}
	})
}

// Who falls to the primary after a wait falls to the one of now.
func TestPrimaryMovedWhileWaiting(t *testing.T) {
	change := func(c *rdbms.Config, _ *rdbms.Options) { c.Servers[2].Weight = -1 }
	onStage(t, setting{servers: triple, change: change}, func(s *stage) {
		s.set("db2", func(k *rdbmstest.Knobs) { k.StopApplying = true })
		position, asOf := s.position("k", "v")
		time.AfterFunc(300*time.Millisecond, func() {
			s.fake.Promote("db3")
			config := s.fake.Config()
			config.Servers[0].Weight = -1
			s.noError(s.cluster.SetServers(config))
		})
		ctx := s.require(position, asOf, 0, rdbms.OnTimeoutPrimary)
		if server, err := who(ctx, s.cluster.Replica()); server != "db3" || err != nil {
			s.Errorf("%s, %v", server, err)
		}
	})
}
