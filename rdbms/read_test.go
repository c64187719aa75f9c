package rdbms_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/rdbmstest"
)

// Case 1. A cluster of one server reads that, and asks it nothing besides.
func TestSingleServer(t *testing.T) {
	bubble(t, nil, func(t *testing.T, fake *rdbmstest.Cluster) {
		cluster := open(t, fake, func(c *rdbms.Config, o *rdbms.Options) {
			c.Servers[0].Weight = -1
			o.StrictStaleness, o.StrictGroup = true, true
		})
		if _, err := fake.Admin("db1").ExecContext(t.Context(), "REPLACE INTO kv (k, v) VALUES ('k', 'v')"); err != nil {
			t.Fatal(err)
		}
		ctx := rdbms.WithScope(t.Context())
		if err := cluster.Positions().Require(ctx, "m1:1-11-999999999", time.Now(), 0, ""); err != nil {
			t.Fatal(err)
		}
		for _, ctx := range []context.Context{t.Context(), ctx, rdbms.WithGroup(ctx, "g"), rdbms.WithMaxStaleness(ctx, 1), rdbms.WithPrimary(ctx)} {
			if got, err := get(ctx, cluster.Replica(), "k"); got != "v" || err != nil {
				t.Errorf("%q, %v", got, err)
			}
		}
		counts := fake.Counts("db1")
		if counts.Reads != 5 || len(counts.Queries) != 1 || counts.Beats+counts.Looks != 0 {
			t.Errorf("it was asked for more: %+v", counts)
		}
		if s := cluster.Served(ctx); !slices.Equal(s.Servers, []string{"db1"}) || s.Lag != isKnown(0) || s.Lagged {
			t.Errorf("%+v", s)
		}
		if lag, err := cluster.MaxLag(ctx); lag != 0 || err != nil {
			t.Error("MaxLag:", lag, err)
		}
	})
}

// Case 61. Before the first look at the servers reads succeed, in class C: flagged, of unknown lag.
func TestReadBeforeFirstProbe(t *testing.T) {
	bubble(t, []string{"db2", "b:db3"}, func(t *testing.T, fake *rdbmstest.Cluster) {
		var told eventLog
		cluster := open(t, fake, func(_ *rdbms.Config, o *rdbms.Options) { told.listen(o) })
		ctx := rdbms.WithScope(t.Context())
		if got := load(ctx, cluster.Replica(), 10, 0); !only(got, "db2") {
			t.Errorf("read %v", got)
		}
		if s := cluster.Served(ctx); !s.Lagged || s.Lag.Known || s.Lag.Why != rdbms.LagNotRead {
			t.Errorf("%+v", s)
		}
		reads := told.takeReads()
		if len(reads) != 10 || reads[0].Path != rdbms.ReadLagged || reads[0].Server != "db2" || reads[0].Lag.Known || reads[0].Cluster != "main" {
			t.Errorf("%+v", reads)
		}
		if _, err := who(rdbms.WithMaxStaleness(ctx, time.Hour), cluster.Replica()); err != nil {
			t.Error("nobody is known to be fresh: the primary should serve:", err)
		}
		if reads := told.takeReads(); len(reads) != 1 || reads[0].Path != rdbms.ReadPrimary || reads[0].Server != "db1" {
			t.Errorf("%+v", reads)
		}
	})
}

// Cases 9, 10. Whose group is down is served by those of no group, and told; with StrictGroup not at all.
func TestGroupDown(t *testing.T) {
	for _, strict := range []bool{false, true} {
		bubble(t, []string{"db2", "db3"}, func(t *testing.T, fake *rdbmstest.Cluster) {
			var told eventLog
			cluster := open(t, fake, func(c *rdbms.Config, o *rdbms.Options) {
				c.Servers[2].Groups = map[string]int{"vslow": 3}
				o.StrictGroup = strict
				told.listen(o)
			})
			run(t, cluster)
			ctx := rdbms.WithGroup(t.Context(), "unknown", "vslow")
			if got := load(ctx, cluster.Replica(), 20, 0); !only(got, "db3") {
				t.Errorf("the group's only server is db3, read %v", got)
			}
			if got := load(rdbms.WithGroup(ctx), cluster.Replica(), 20, 0); !only(got, "db2") {
				t.Errorf("no names undo a group: read %v", got)
			}
			told.takeReads()
			fake.Set("db3", func(k *rdbmstest.Knobs) { k.Down = true })
			time.Sleep(10 * time.Second)
			_, err := who(ctx, cluster.Replica())
			if strict {
				var servers *rdbms.ServersError
				if !errors.Is(err, rdbms.ErrOverloaded) || !errors.As(err, &servers) || servers.Group != "vslow" || servers.Servers["db3"] == nil {
					t.Errorf("strict: %v", err)
				}
				return
			}
			if reads := told.takeReads(); err != nil || len(reads) != 1 || reads[0].Path != rdbms.ReadGroup || reads[0].Group != "vslow" || reads[0].Server != "db2" {
				t.Errorf("%v, %+v", err, reads)
			}
			for _, g := range cluster.Explain(ctx).Groups {
				if g.Name == "vslow" && (g.Class != "" || g.Why == "") {
					t.Errorf("%+v", g)
				}
			}
		})
	}
}

// Case 11. A request reads a group from one server; another request may read from another.
func TestScopeStaysWithServer(t *testing.T) {
	bubble(t, []string{"db2", "db3", "db4"}, func(t *testing.T, fake *rdbmstest.Cluster) {
		cluster := open(t, fake, func(c *rdbms.Config, _ *rdbms.Options) {
			for i := range c.Servers[1:] {
				c.Servers[1+i].Weight, c.Servers[1+i].Groups = 1, map[string]int{"other": 1}
			}
		})
		run(t, cluster)
		firsts, both := map[string]int{}, 0
		for range 40 {
			ctx := rdbms.WithScope(t.Context())
			got := load(ctx, cluster.Replica(), 300, 0)
			if len(got) != 1 || got[""] > 0 {
				t.Fatalf("one scope read %v", got)
			}
			other := load(rdbms.WithGroup(ctx, "other"), cluster.Replica(), 30, 0)
			if len(other) != 1 {
				t.Fatalf("one scope read %v in a group", other)
			}
			for name := range got {
				firsts[name]++
				if other[name] == 0 {
					both++
				}
			}
			if s := cluster.Served(ctx); len(s.Servers) > 2 || s.Lagged || !s.Lag.Known {
				t.Errorf("%+v", s)
			}
		}
		if len(firsts) != 3 || both == 0 {
			t.Errorf("the scopes read %v, and a group from another server %d times", firsts, both)
		}
	})
}

// The goroutines of one request read from one server too, also when they all begin at once.
func TestScopeIsSharedByGoroutines(t *testing.T) {
	bubble(t, []string{"db2", "db3", "db4"}, func(t *testing.T, fake *rdbmstest.Cluster) {
		for _, name := range []string{"db2", "db3", "db4"} {
			fake.Set(name, func(k *rdbmstest.Knobs) { k.Latency = time.Millisecond })
		}
		cluster := open(t, fake, nil)
		run(t, cluster)
		for range 50 {
			ctx := rdbms.WithScope(t.Context())
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					if _, err := who(ctx, cluster.Replica()); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if s := cluster.Served(ctx); len(s.Servers) != 1 {
				t.Fatalf("one scope read %v", s.Servers)
			}
		}
	})
}

// A request stays with its server when that begins to lag, and says so; a read that demands more is served by another,
// alone.
func TestScopeStaysWhenServerLags(t *testing.T) {
	bubble(t, []string{"db2", "db3"}, func(t *testing.T, fake *rdbmstest.Cluster) {
		lags := telling(map[string]time.Duration{"db2": 0, "db3": 0})
		cluster := open(t, fake, func(_ *rdbms.Config, o *rdbms.Options) { o.Engine = lags })
		run(t, cluster)
		ctx := rdbms.WithScope(t.Context())
		first, err := who(ctx, cluster.Replica())
		if err != nil {
			t.Fatal(err)
		}
		lags.set(first, isKnown(30*time.Second))
		time.Sleep(5 * time.Second)
		narrow := rdbms.WithMaxStaleness(ctx, 5*time.Second)
		if other, err := who(narrow, cluster.Replica()); err != nil || other == first || other == "db1" {
			t.Errorf("a read of at most 5 s went to %q, %v", other, err)
		}
		if cluster.Served(ctx).Lagged {
			t.Error("flagged before anything stale was read")
		}
		if got := load(ctx, cluster.Replica(), 10, 0); !only(got, first) {
			t.Errorf("the scope read %s, and then %v", first, got)
		}
		if s := cluster.Served(ctx); !s.Lagged || s.Lag.Value < 30*time.Second || len(s.Servers) != 2 {
			t.Errorf("%+v", s)
		}
		if fresh := load(t.Context(), cluster.Replica(), 10, 0); fresh[first] > 0 {
			t.Errorf("new requests read %v", fresh)
		}
	})
}

// A request leaves a server that fails, and does not come back to it.
func TestScopeLeavesServerThatFails(t *testing.T) {
	bubble(t, []string{"db2", "db3", "db4"}, func(t *testing.T, fake *rdbmstest.Cluster) {
		var told eventLog
		cluster := open(t, fake, func(_ *rdbms.Config, o *rdbms.Options) { told.listen(o) })
		run(t, cluster)
		ctx := rdbms.WithScope(t.Context())
		first, err := who(ctx, cluster.Replica())
		if err != nil {
			t.Fatal(err)
		}
		fake.Set(first, func(k *rdbmstest.Knobs) { k.Down = true })
		second, err := who(ctx, cluster.Replica())
		if err != nil || second == first {
			t.Fatalf("%q, %v", second, err)
		}
		moved := told.takeReads()
		if len(moved) != 1 || moved[0].Path != rdbms.ReadMoved || moved[0].Server != second || moved[0].Err == nil || !strings.Contains(moved[0].Err.Error(), first) {
			t.Errorf("%+v", moved)
		}
		fake.Set(first, func(k *rdbmstest.Knobs) { k.Down = false })
		time.Sleep(time.Minute)
		if got := load(ctx, cluster.Replica(), 100, 0); !only(got, second) {
			t.Errorf("after %s the scope read %v", second, got)
		}
	})
}

// Case 13, and section 5: the own DC, then the others; with NoRemoteReads rather a server of the own DC that lags.
func TestOwnDCFirst(t *testing.T) {
	for _, local := range []bool{false, true} {
		bubble(t, []string{"db2", "db3", "b:db4"}, func(t *testing.T, fake *rdbmstest.Cluster) {
			lags := telling(map[string]time.Duration{"db2": time.Second, "db3": time.Second, "db4": 0})
			cluster := open(t, fake, func(_ *rdbms.Config, o *rdbms.Options) { o.Engine, o.NoRemoteReads = lags, local })
			run(t, cluster)
			if got := load(t.Context(), cluster.Replica(), 50, 0); !only(got, "db2", "db3") {
				t.Errorf("own lag 1 s, remote 0: read %v", got)
			}
			lags.set("db2", isKnown(time.Minute))
			lags.set("db3", isKnown(2*time.Minute))
			time.Sleep(5 * time.Second)
			ctx := rdbms.WithScope(t.Context())
			want := map[bool]string{false: "db4", true: "db2"}[local] // the less stale of two
			if got := load(ctx, cluster.Replica(), 50, 0); !only(got, want) {
				t.Errorf("own DC lags, NoRemoteReads %v: read %v", local, got)
			}
			if s := cluster.Served(ctx); s.Lagged != local {
				t.Errorf("NoRemoteReads %v: %+v", local, s)
			}
			if class := server(t, cluster, "db4").Class; local != (class == "") {
				t.Errorf("NoRemoteReads %v: Explain calls db4 class %q", local, class)
			}
		})
	}
}

// Case 14, and section 5: the own DC is down, then everything. Nobody dials then, and the primary is not read.
func TestAllBreakersOpen(t *testing.T) {
	bubble(t, []string{"db2", "db3", "b:db4"}, func(t *testing.T, fake *rdbmstest.Cluster) {
		cluster := open(t, fake, nil)
		run(t, cluster)
		for _, name := range []string{"db2", "db3"} {
			fake.Set(name, func(k *rdbmstest.Knobs) { k.Down = true })
		}
		time.Sleep(5 * time.Second)
		if got := load(t.Context(), cluster.Replica(), 50, 0); !only(got, "db4") {
			t.Errorf("the own DC is down: read %v", got)
		}
		fake.Set("db4", func(k *rdbmstest.Knobs) { k.Down = true })
		time.Sleep(30 * time.Second)
		before := []rdbmstest.Counts{fake.Counts("db1"), fake.Counts("db2"), fake.Counts("db3"), fake.Counts("db4")}
		began := time.Now()
		_, err := who(t.Context(), cluster.Replica())
		var servers *rdbms.ServersError
		if !errors.Is(err, rdbms.ErrOverloaded) || errors.Is(err, rdbms.ErrUnavailable) || !errors.As(err, &servers) {
			t.Fatal(err)
		}
		if servers.RetryAfter <= 0 || len(servers.Servers) != 3 || servers.Cluster != "main" {
			t.Errorf("%+v", servers)
		}
		if !time.Now().Equal(began) {
			t.Errorf("that took %v", time.Since(began))
		}
		for i, name := range []string{"db1", "db2", "db3", "db4"} {
			if fake.Counts(name).Connects != before[i].Connects {
				t.Error("dialled", name)
			}
		}
		if _, err := who(rdbms.WithPrimary(t.Context()), cluster.Replica()); err != nil {
			t.Error("who asks for the primary gets it:", err)
		}
	})
}

// Section 5: every replica is tried, none answers: ErrUnavailable, with every cause. The primary is not.
func TestAllFail(t *testing.T) {
	bubble(t, []string{"db2", "db3", "b:db4"}, func(t *testing.T, fake *rdbmstest.Cluster) {
		cluster := open(t, fake, nil)
		for _, name := range []string{"db2", "db3", "db4"} {
			fake.Set(name, func(k *rdbmstest.Knobs) { k.Refuse = true })
		}
		_, err := who(t.Context(), cluster.Replica())
		var servers *rdbms.ServersError
		var dial *net.OpError
		if !errors.Is(err, rdbms.ErrUnavailable) || errors.Is(err, rdbms.ErrOverloaded) || !errors.As(err, &servers) || !errors.As(err, &dial) {
			t.Fatal(err)
		}
		for _, name := range []string{"db2", "db3", "db4"} {
			if servers.Servers[name] == nil || !strings.Contains(err.Error(), name) || fake.Counts(name).Connects != 1 {
				t.Errorf("%s: %v, dialled %d times", name, err, fake.Counts(name).Connects)
			}
		}
		if fake.Counts("db1").Connects != 0 {
			t.Error("the primary was dialled")
		}
	})
}

// Case 15. Only who is known to be fresh enough is read; if nobody is, the primary, or with StrictStaleness nobody.
func TestMaxStaleness(t *testing.T) {
	for _, strict := range []bool{false, true} {
		bubble(t, []string{"db2", "db3"}, func(t *testing.T, fake *rdbmstest.Cluster) {
			lags := telling(map[string]time.Duration{"db2": 300 * time.Millisecond, "db3": 900 * time.Millisecond})
			var told eventLog
			cluster := open(t, fake, func(_ *rdbms.Config, o *rdbms.Options) {
				o.Engine, o.StrictStaleness = lags, strict
				told.listen(o)
			})
			ctx := rdbms.WithMaxStaleness(t.Context(), 500*time.Millisecond)
			if err := cluster.Refresh(ctx); err != nil {
				t.Fatal(err)
			}
			if got := load(ctx, cluster.Replica(), 50, 0); !only(got, "db2") {
				t.Errorf("read %v", got)
			}
			wider := rdbms.WithMaxStaleness(ctx, time.Hour)
			if got := load(wider, cluster.Replica(), 50, 0); !only(got, "db2") {
				t.Errorf("the narrowest wins: read %v", got)
			}
			time.Sleep(201 * time.Millisecond) // what is known gets older
			scoped := rdbms.WithScope(ctx)
			name, err := who(scoped, cluster.Replica())
			if strict {
				if !errors.Is(err, rdbms.ErrTooStale) {
					t.Error(err)
				}
				return
			}
			if reads := told.takeReads(); err != nil || name != "db1" || len(reads) != 1 || reads[0].Path != rdbms.ReadPrimary {
				t.Errorf("%q, %v, %+v", name, err, reads)
			}
			if s := cluster.Served(scoped); s.Lagged || s.Lag != isKnown(0) {
				t.Errorf("%+v", s)
			}
			zero := rdbms.WithMaxStaleness(t.Context(), 0)
			if name, err := who(zero, cluster.Replica()); name != "db1" || err != nil {
				t.Errorf("0 asks for the primary: %q, %v", name, err)
			}
		})
	}
}

// Case 19. Who cannot be connected to is passed over, and counted once each time: after three it is left alone.
func TestConnectFails(t *testing.T) {
	bubble(t, []string{"db2", "db3"}, func(t *testing.T, fake *rdbmstest.Cluster) {
		fake.Set("db2", func(k *rdbmstest.Knobs) { k.Refuse = true })
		cluster := open(t, fake, nil)
		if got := load(t.Context(), cluster.Replica(), 100, 0); !only(got, "db3") {
			t.Errorf("read %v", got)
		}
		if n := fake.Counts("db2").Connects; n != 3 {
			t.Errorf("dialled %d times, want 3: then its breaker is open", n)
		}
		if h := server(t, cluster, "db2").Health; h != rdbms.HealthDown {
			t.Error(h)
		}
	})
}

// Case 59. A server that is full is one that fails.
func TestTooManyConnections(t *testing.T) {
	bubble(t, []string{"db2", "db3"}, func(t *testing.T, fake *rdbmstest.Cluster) {
		fake.Set("db2", func(k *rdbmstest.Knobs) {
			k.ConnectError = &mysql.MySQLError{Number: 1040, Message: "Too many connections"}
		})
		cluster := open(t, fake, nil)
		if got := load(t.Context(), cluster.Replica(), 100, 0); !only(got, "db3") || fake.Counts("db2").Connects != 3 {
			t.Errorf("read %v, dialled %d times", got, fake.Counts("db2").Connects)
		}
	})
}

// Cases 21, 54. What is the statement's own fault comes back as it is, once, and the server counts as well.
func TestStatementErrors(t *testing.T) {
	for _, number := range []uint16{1213, 1020, 1205, 1064} {
		bubble(t, []string{"db2", "db3"}, func(t *testing.T, fake *rdbmstest.Cluster) {
			cluster := open(t, fake, nil)
			for _, name := range []string{"db2", "db3"} {
				fake.Set(name, func(k *rdbmstest.Knobs) { k.Faults = []rdbmstest.Fault{{Match: "kv", Errno: number}} })
			}
			for range 60 {
				_, err := get(t.Context(), cluster.Replica(), "k")
				var e *mysql.MySQLError
				if !errors.As(err, &e) || e.Number != number {
					t.Fatal(err)
				}
			}
			sent := 0
			for _, name := range []string{"db2", "db3"} {
				for _, n := range fake.Counts(name).Queries {
					sent += n
				}
				if h := server(t, cluster, name).Health; h != rdbms.HealthDegraded { // its lag is unknown
					t.Error(name, h)
				}
			}
			if sent != 60 {
				t.Errorf("60 statements were sent %d times", sent)
			}
		})
	}
}

// Case 22, and section 5. A caller who gives up gets his own error, at once, and the servers are not blamed: while connecting, and
// when the statement is sent, which is not sent to another.
func TestCallerGivesUp(t *testing.T) {
	for what, hang := range map[string]func(*rdbmstest.Knobs){
		"connecting": func(k *rdbmstest.Knobs) { k.HangConnects = true },
		"sent":       func(k *rdbmstest.Knobs) { k.Hang = true },
	} {
		bubble(t, []string{"db2", "db3"}, func(t *testing.T, fake *rdbmstest.Cluster) {
			cluster := open(t, fake, nil)
			fake.Set("db2", hang)
			fake.Set("db3", hang)
			for range 20 {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(100*time.Millisecond, cancel)
				began := time.Now()
				if _, err := who(ctx, cluster.Replica()); !errors.Is(err, context.Canceled) || time.Since(began) != 100*time.Millisecond {
					t.Errorf("%s: %v after %v", what, err, time.Since(began))
				}
				ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
				if _, err := who(ctx, cluster.Replica()); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s: %v", what, err)
				}
				cancel()
			}
			for _, name := range []string{"db2", "db3"} {
				if h := server(t, cluster, name).Health; h != rdbms.HealthDegraded {
					t.Errorf("%s: %s is %s", what, name, h)
				}
			}
			if a, b := fake.Counts("db2"), fake.Counts("db3"); a.Connects+b.Connects != 40 {
				t.Errorf("%s: 40 reads dialled %d times", what, a.Connects+b.Connects)
			}
		})
	}
}

// Case 23. A read whose connection is lost is moved once, a write never; and no error makes database/sql try again.
func TestConnectionLost(t *testing.T) {
	for what, lose := range map[string]rdbmstest.Loss{"unsent": rdbmstest.LoseUnsent, "unrun": rdbmstest.LoseUnrun, "unanswered": rdbmstest.LoseAnswer} {
		bubble(t, []string{"db2", "db3", "db4"}, func(t *testing.T, fake *rdbmstest.Cluster) {
			cluster := open(t, fake, nil)
			once := func(name string, match string) {
				fake.Set(name, func(k *rdbmstest.Knobs) { k.Faults = []rdbmstest.Fault{{Match: match, Lose: lose, Times: 1}} })
			}
			sent := func(part string) (n int) {
				for _, name := range []string{"db1", "db2", "db3", "db4"} {
					for query, times := range fake.Counts(name).Queries {
						if strings.Contains(query, part) {
							n += times
						}
					}
				}
				return n
			}
			const hostname = "SELECT @@hostname"
			once("db2", hostname)
			once("db3", hostname)
			once("db4", hostname)
			if _, err := who(t.Context(), cluster.Replica()); err == nil || errors.Is(err, driver.ErrBadConn) || sent(hostname) != 2 {
				t.Errorf("%s: two servers lost it: %v, sent %d times", what, err, sent(hostname))
			}
			if _, err := who(t.Context(), cluster.Replica()); err != nil || sent(hostname) < 3 || sent(hostname) > 4 {
				t.Errorf("%s: %v, sent %d times", what, err, sent(hostname))
			}
			once("db1", "REPLACE")
			if err := put(t.Context(), cluster.Primary(), "k", "v"); err == nil || errors.Is(err, driver.ErrBadConn) || sent("REPLACE") != 1 {
				t.Errorf("%s: a write: %v, sent %d times", what, err, sent("REPLACE"))
			}
		})
	}
}

// Case 26. Servers come and go under load: no read fails, and one that begins after a server was removed does not use it.
func TestSetServersUnderLoad(t *testing.T) {
	bubble(t, []string{"db2", "db3", "db4"}, func(t *testing.T, fake *rdbmstest.Cluster) {
		for _, name := range []string{"db2", "db3", "db4"} {
			fake.Set(name, func(k *rdbmstest.Knobs) { k.Latency = 700 * time.Microsecond })
		}
		cluster := open(t, fake, nil)
		run(t, cluster)
		all := fake.Config()
		without := fake.Config()
		without.Servers = without.Servers[:3]
		var swaps atomic.Int64 // odd: db4 is gone
		var readers sync.WaitGroup
		stop := make(chan struct{})
		for range 8 {
			readers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					before := swaps.Load()
					name, err := who(t.Context(), cluster.Replica())
					if err != nil {
						t.Error(err)
						return
					}
					if before%2 == 1 && swaps.Load() == before && name == "db4" {
						t.Error("a read that began when db4 was gone went there")
					}
				}
			})
		}
		for range 100 {
			for _, config := range []rdbms.Config{without, all} {
				if err := cluster.SetServers(config); err != nil {
					t.Error(err)
				}
				swaps.Add(1)
				time.Sleep(3 * time.Millisecond)
			}
		}
		close(stop)
		readers.Wait()
		if used := fake.Counts("db4").Queries["SELECT @@hostname"]; used == 0 {
			t.Error("db4 was not used at all")
		}
	})
}

// Case 29. Primary and replica change their parts: writes follow at once, and what is known of the servers stays, with
// their connections.
func TestPrimaryMoves(t *testing.T) {
	bubble(t, []string{"db2", "db3"}, func(t *testing.T, fake *rdbmstest.Cluster) {
		cluster := open(t, fake, nil)
		run(t, cluster)
		if err := put(t.Context(), cluster.Primary(), "k", "1"); err != nil {
			t.Fatal(err)
		}
		load(t.Context(), cluster.Replica(), 20, 0)
		before := fake.Counts("db1").Connects + fake.Counts("db2").Connects + fake.Counts("db3").Connects
		looks := fake.Counts("db2").Looks
		fake.Promote("db2")
		if err := cluster.SetServers(fake.Config()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
		if fake.Counts("db2").Looks == looks {
			t.Error("the new origin was not read at once")
		}
		if err := put(t.Context(), cluster.Primary(), "k", "2"); err != nil || fake.Counts("db2").Writes != 1 {
			t.Errorf("the write did not follow: %v", err)
		}
		for _, name := range []string{"db1", "db3"} {
			if s := server(t, cluster, name); s.Age == 0 && s.Lag.Why == rdbms.LagNotRead || s.Position == "" || s.Primary {
				t.Errorf("%s is forgotten: %+v", name, s)
			}
		}
		time.Sleep(15 * time.Second)
		if got := load(t.Context(), cluster.Replica(), 60, 0); !only(got, "db1", "db3") {
			t.Errorf("the old primary is a replica now: read %v", got)
		}
		after := fake.Counts("db1").Connects + fake.Counts("db2").Connects + fake.Counts("db3").Connects
		if after > before+2 { // a pool of db2's own for writes has some, db1 may need one
			t.Errorf("%d new connections", after-before)
		}
	})
}
