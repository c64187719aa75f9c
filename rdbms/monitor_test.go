package rdbms_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/rdbmstest"
)

// Section 7: of 20 servers one hangs; the others are looked at every second ± 20 %, those of another DC every five.
func TestHangingServerDelaysNobody(t *testing.T) {
	var names []string
	for i := 2; i <= 15; i++ {
		names = append(names, fmt.Sprintf("db%d", i))
	}
	for i := 16; i <= 20; i++ {
		names = append(names, fmt.Sprintf("b:db%d", i))
	}
	for what, hang := range map[string]func(*rdbmstest.Knobs){
		"statements": func(k *rdbmstest.Knobs) { k.Hang = true },
		"connects":   func(k *rdbmstest.Knobs) { k.HangConnects = true },
	} {
		bubble(t, names, func(t *testing.T, fake *rdbmstest.Cluster) {
			engine := telling(nil)
			fake.Set("db7", hang)
			cluster := open(t, fake, func(_ *rdbms.Config, o *rdbms.Options) { o.Engine = engine })
			run(t, cluster)
			time.Sleep(45 * time.Second)
			for i := 1; i <= 20; i++ {
				name, poll := fmt.Sprintf("db%d", i), time.Second
				if i >= 16 {
					poll = 5 * time.Second
				}
				probes := engine.probed(name)
				if i == 7 {
					continue
				}
				if least := int(time.Minute*10/poll/12) - 1; len(probes) < least {
					t.Errorf("%s hang: %s was probed %d times in a minute", what, name, len(probes))
				}
				for j := range probes[1:] {
					if gap := probes[j+1].Sub(probes[j]); gap < poll*8/10 || gap > poll*12/10 {
						t.Errorf("%s hang: %s was not probed for %v", what, name, gap)
					}
				}
			}
			if h := server(t, cluster, "db7").Health; h != rdbms.HealthDown && h != rdbms.HealthProbing {
				t.Errorf("%s hang: db7 is %s", what, h)
			}
			// An overrunning probe is abandoned, and its connection with it.
			if n := fake.Counts("db7").Running; n > 1 {
				t.Errorf("%d probes are under way", n)
			}
		})
	}
}

// Cases 6, 7. MaxLag 6 s, by readings that a test takes one by one.
func TestHysteresisByReadings(t *testing.T) {
	const limit, over = 6 * time.Second, 6001 * time.Millisecond
	for _, c := range []struct {
		what     string
		readings []time.Duration
		in       bool
	}{
		{"at the limit", []time.Duration{limit, limit, limit}, true},
		{"over it once", []time.Duration{0, over}, true},
		{"over it now and then", []time.Duration{0, over, limit, over, 0, over}, true},
		{"over it twice", []time.Duration{0, over, over}, false},
		{"over twice the limit", []time.Duration{0, 12100 * time.Millisecond}, false},
		{"7 s twice, then 5 s", []time.Duration{0, 7 * time.Second, 7 * time.Second, 5 * time.Second, 5 * time.Second}, false},
		{"then 4.8 s once", []time.Duration{0, 7 * time.Second, 7 * time.Second, 4800 * time.Millisecond}, false},
		{"then 4.8 s twice", []time.Duration{0, 7 * time.Second, 7 * time.Second, 4800 * time.Millisecond, 4800 * time.Millisecond}, true},
		{"the first ever", []time.Duration{over}, false},
	} {
		bubble(t, []string{"db2", "db3"}, func(t *testing.T, fake *rdbmstest.Cluster) {
			engine := telling(map[string]time.Duration{"db3": 0})
			cluster := open(t, fake, func(_ *rdbms.Config, o *rdbms.Options) { o.Engine = engine })
			for _, lag := range c.readings {
				engine.set("db2", isKnown(lag))
				if err := cluster.Refresh(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(100 * time.Millisecond)
			}
			got := load(t.Context(), cluster.Replica(), 50, 0)
			if in := got["db2"] > 0; in != c.in || got["db3"] == 0 {
				t.Errorf("%s: read %v", c.what, got)
			}
			engine.set("db2", rdbms.Lag{Why: rdbms.LagStopped})
			if err := cluster.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := load(t.Context(), cluster.Replica(), 50, 0); got["db2"] > 0 {
				t.Errorf("%s: unknown is out at once, and yet: %v", c.what, got)
			}
			engine.set("db2", isKnown(5*time.Second))
			if err := cluster.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := load(t.Context(), cluster.Replica(), 50, 0); got["db2"] == 0 {
				t.Errorf("%s: the first known reading after an unknown one is in, and yet: %v", c.what, got)
			}
		})
	}
}

// Case 53. Nobody looks at the servers any more: the lag of the last reading ages, and after a minute it is unknown. Reads go on.
// What the application's clock does has no say.
func TestStateAges(t *testing.T) {
	bubble(t, []string{"db2"}, func(t *testing.T, fake *rdbmstest.Cluster) {
		engine := telling(map[string]time.Duration{"db2": time.Second})
		back := time.Duration(0)
		cluster := open(t, fake, func(_ *rdbms.Config, o *rdbms.Options) {
			o.Engine, o.Now = engine, func() time.Time { return time.Now().Add(-back) }
		})
		if err := cluster.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		back = time.Hour
		for _, c := range []struct {
			after time.Duration
			lag   rdbms.Lag
			class string
		}{
			{0, isKnown(time.Second), "A"},
			{3 * time.Second, isKnown(4 * time.Second), "A"},
			{4 * time.Second, isKnown(5 * time.Second), "A"},
			{5001 * time.Millisecond, isKnown(6001 * time.Millisecond), "C"},
			{60 * time.Second, isKnown(61 * time.Second), "C"},
			{61 * time.Second, rdbms.Lag{Why: rdbms.LagUnreachable}, "C"},
		} {
			time.Sleep(time.Until(began.Add(c.after)))
			s := server(t, cluster, "db2")
			if s.Lag != c.lag || s.Class != c.class || s.Age != c.after {
				t.Errorf("after %v: lag %v, class %s, age %v; want %v, %s", c.after, s.Lag, s.Class, s.Age, c.lag, c.class)
			}
			ctx := rdbms.WithScope(t.Context())
			if name, err := who(ctx, cluster.Replica()); name != "db2" || err != nil || cluster.Served(ctx).Lagged != (c.class == "C") {
				t.Errorf("after %v: %q, %v, %+v", c.after, name, err, cluster.Served(ctx))
			}
		}
	})
}

// Case 51. Three failures open the breaker; then it lets a probe through after 1, 2, 4 … 30 s ± 20 %.
func TestProbesOfDeadServer(t *testing.T) {
	bubble(t, []string{"db2", "db3"}, func(t *testing.T, fake *rdbmstest.Cluster) {
		var told eventLog
		cluster := open(t, fake, func(_ *rdbms.Config, o *rdbms.Options) { told.listen(o) })
		run(t, cluster)
		fake.Set("db2", func(k *rdbmstest.Knobs) { k.Down = true })
		var dials []time.Time
		for before := fake.Counts("db2").Connects; len(dials) < 10; time.Sleep(5 * time.Millisecond) {
			if now := fake.Counts("db2").Connects; now > before {
				dials, before = append(dials, time.Now()), now
			}
		}
		for i, want := range []float64{1, 1, 1, 2, 4, 8, 16, 30, 30} {
			if gap := dials[i+1].Sub(dials[i]).Seconds(); gap < want*0.8-0.02 || gap > want*1.2+0.02 {
				t.Errorf("gap %d is %.2f s, want %v ± 20 %%", i, gap, want)
			}
		}
		s := server(t, cluster, "db2")
		if s.Health != rdbms.HealthDown || s.HalfOpenIn <= 0 || s.HalfOpenIn > 36*time.Second || s.Error == "" || s.Class != "" || s.Weight != 0 {
			t.Errorf("%+v", s)
		}
		fake.Set("db2", func(k *rdbmstest.Knobs) { k.Down = false })
		time.Sleep(36 * time.Second)
		if s := server(t, cluster, "db2"); s.Health != rdbms.HealthFresh || s.Error != "" || s.Weight < 0.1 {
			t.Errorf("%+v", s)
		}
		h := told.health("db2")
		if i := slices.Index(h, rdbms.HealthDown); i < 0 || h[len(h)-1] != rdbms.HealthFresh || !slices.Contains(h[:i], rdbms.HealthFresh) {
			t.Errorf("OnServer told %v", h)
		}
	})
}

// Case 54. Half of many attempts fail, never three in a row: the breaker opens. With deadlocks in place of the failures
// it does not.
func TestBreakerCountsFailuresOfServer(t *testing.T) {
	for number, opens := range map[uint16]bool{1053: true, 1040: true, 1213: false, 1062: false} {
		bubble(t, []string{"db2"}, func(t *testing.T, fake *rdbmstest.Cluster) {
			n := 0
			fake.Handle(func(_ context.Context, _, query string, _ []driver.NamedValue) (*rdbmstest.Result, error) {
				if query != "SELECT a FROM b" {
					return nil, nil //nolint:nilnil // not handled
				}
				if n++; n%2 == 1 {
					return nil, &mysql.MySQLError{Number: number}
				}
				return &rdbmstest.Result{Columns: []string{"a"}}, nil
			})
			cluster := open(t, fake, nil)
			failed := 0
			for range 60 {
				if err := queryAll(t.Context(), cluster.Replica(), "SELECT a FROM b"); err != nil {
					failed++
				}
			}
			if down := server(t, cluster, "db2").Health == rdbms.HealthDown; down != opens || failed < 30 {
				t.Errorf("error %d: down %v after %d failures", number, down, failed)
			}
		})
	}
}

// Case Xj. One probe that times out moves nobody.
func TestOneSlowProbe(t *testing.T) {
	bubble(t, []string{"db2", "db3"}, func(t *testing.T, fake *rdbmstest.Cluster) {
		cluster := open(t, fake, nil)
		run(t, cluster)
		fake.Set("db2", func(k *rdbmstest.Knobs) {
			k.Faults = []rdbmstest.Fault{{Match: "heartbeat", Err: context.DeadlineExceeded, Times: 1}}
		})
		failed := false
		for range 400 {
			s := server(t, cluster, "db2")
			if s.Class != "A" || s.Health != rdbms.HealthFresh {
				t.Fatalf("%+v", s)
			}
			failed = failed || s.Error != ""
			time.Sleep(10 * time.Millisecond)
		}
		if !failed {
			t.Error("no probe failed")
		}
	})
}

// Case 47. The callers have all connections and are in transactions: the monitor has its own.
func TestMonitorHasItsOwnConnection(t *testing.T) {
	bubble(t, []string{"db2"}, func(t *testing.T, fake *rdbmstest.Cluster) {
		cluster := open(t, fake, func(c *rdbms.Config, _ *rdbms.Options) { c.Servers[1].MaxOpen = 1 })
		run(t, cluster)
		tx, err := cluster.Replica().BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		before := fake.Counts("db2")
		time.Sleep(10 * time.Second)
		if s := server(t, cluster, "db2"); s.Age > 2*time.Second || s.InFlight != 1 || s.Open != 1 || s.MaxOpen != 1 {
			t.Errorf("%+v", s)
		}
		if after := fake.Counts("db2"); after.Beats-before.Beats < 8 || after.Begins != before.Begins || after.Open != 2 {
			t.Errorf("%+v", after)
		}
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
	})
}

// Case 46. A replica that commits nothing any more is a second further behind each second, between the polls too.
func TestStoppedReplicaFallsBehindSteadily(t *testing.T) {
	bubble(t, []string{"db2"}, func(t *testing.T, fake *rdbmstest.Cluster) {
		cluster := open(t, fake, nil)
		run(t, cluster)
		time.Sleep(time.Minute) // what is known of the origin's clock hardly changes any more
		fake.Set("db2", func(k *rdbmstest.Knobs) { k.StopApplying = true })
		time.Sleep(3 * time.Second)
		first, began := server(t, cluster, "db2").Lag, time.Now()
		for range 150 {
			time.Sleep(100 * time.Millisecond)
			got := server(t, cluster, "db2").Lag
			if off := got.Value - first.Value - time.Since(began); !got.Known || off.Abs() > 300*time.Millisecond {
				t.Fatalf("%v after %v it is %v", first, time.Since(began), got)
			}
		}
	})
}

// Case 43. The heartbeat's writer dies, replication goes on: a warning, and the replicas stay where they are; explicit
// staleness is not met any more when its time is over.
func TestHeartbeatWriterDies(t *testing.T) {
	bubble(t, []string{"db2", "b:db3"}, func(t *testing.T, fake *rdbmstest.Cluster) {
		var told eventLog
		cluster := open(t, fake, func(_ *rdbms.Config, o *rdbms.Options) {
			o.StrictStaleness = true
			told.listen(o)
		})
		run(t, cluster)
		told.forget()
		fake.Set("db1", func(k *rdbmstest.Knobs) { k.Beats = false })
		died := time.Now()
		for range 600 {
			time.Sleep(500 * time.Millisecond)
			if s := server(t, cluster, "db2"); s.Class != "A" {
				t.Fatalf("after %v: %+v", time.Since(died), s)
			}
			_, err := who(rdbms.WithMaxStaleness(t.Context(), 4*time.Second), cluster.Replica())
			if since := time.Since(died); since > 4*time.Second && !errors.Is(err, rdbms.ErrTooStale) {
				t.Fatalf("at most 4 s of staleness %v after the last beat: %v", since, err)
			}
		}
		warned := told.warned(rdbms.WarnSourceStale, "db1")
		if len(warned) == 0 || warned[0].Sub(died) > 8*time.Second {
			t.Fatalf("warned at %v, it died at %v", warned, died)
		}
		if len(warned) < 5 || len(warned) > 6 {
			t.Errorf("in 5 minutes %d warnings", len(warned))
		}
		for i := range warned[1:] {
			if gap := warned[i+1].Sub(warned[i]); gap < time.Minute {
				t.Errorf("two warnings within %v", gap)
			}
		}
		for _, s := range told.health("db2") {
			t.Error("db2 became", s)
		}
	})
}

// Case Xl. The writer dies at an origin that is looked at every 5 s only, while MaxLag is 6 s: it is looked at once more
// before a replica goes out, so none does.
func TestOriginIsReadAgainBeforeReplicaGoesOut(t *testing.T) {
	for i := range 20 {
		bubble(t, nil, func(t *testing.T, _ *rdbmstest.Cluster) {
			fake := rdbmstest.New(t, rdbmstest.Server{Name: "db1", DC: "b"}, rdbmstest.Server{Name: "db2"}, rdbmstest.Server{Name: "db3"})
			fake.Seed(uint64(i))
			var told eventLog
			cluster := open(t, fake, func(_ *rdbms.Config, o *rdbms.Options) { told.listen(o) })
			run(t, cluster)
			told.forget()
			time.Sleep(time.Duration(i) * 250 * time.Millisecond)
			fake.Set("db1", func(k *rdbmstest.Knobs) { k.Beats = false })
			for range 300 {
				if got := load(t.Context(), cluster.Replica(), 1, 100*time.Millisecond); got["db2"]+got["db3"] != 1 {
					t.Errorf("read %v", got)
				}
			}
			for _, name := range []string{"db2", "db3"} {
				if h := told.health(name); len(h) > 0 {
					t.Errorf("%d: %s became %v", i, name, h)
				}
			}
			if reads := told.takeReads(); len(reads) > 0 {
				t.Errorf("%d: %+v", i, reads)
			}
		})
	}
}

// Case 45. The origin's clock is 50 s ahead: a lag of 10 s is 10 s, and the skew is shown.
func TestOriginClockAhead(t *testing.T) {
	bubble(t, []string{"db2"}, func(t *testing.T, fake *rdbmstest.Cluster) {
		var told eventLog
		fake.Set("db1", func(k *rdbmstest.Knobs) { k.Skew = 50 * time.Second })
		fake.Set("db2", func(k *rdbmstest.Knobs) { k.Lag = 10 * time.Second })
		cluster := open(t, fake, func(_ *rdbms.Config, o *rdbms.Options) {
			o.MaxLag = 30 * time.Second
			told.listen(o)
		})
		run(t, cluster)
		for range 50 {
			s := server(t, cluster, "db2")
			// It is an upper bound: a beat is up to 1 s old, and so is the offset of the clocks off; a poll is 1.2 s old at most.
			if !s.Lag.Known || s.Lag.Value < 10*time.Second || s.Lag.Value > 13200*time.Millisecond {
				t.Fatalf("lag %v", s.Lag)
			}
			if off := s.Skew - 50*time.Second; off.Abs() > time.Second {
				t.Fatalf("skew %v", s.Skew)
			}
			time.Sleep(300 * time.Millisecond)
		}
		if len(told.warned(rdbms.WarnSkew, "db2")) == 0 {
			t.Error("no warning")
		}
	})
}

// Section 5: no right to the heartbeat, no table: class C, flagged; the monitor goes on, and all is well when that is.
func TestHeartbeatCannotBeRead(t *testing.T) {
	for number, why := range map[uint16]rdbms.LagReason{1146: rdbms.LagNoTable, 1142: rdbms.LagNoRight} {
		bubble(t, []string{"db2", "db3"}, func(t *testing.T, fake *rdbmstest.Cluster) {
			for _, name := range []string{"db2", "db3"} {
				fake.Set(name, func(k *rdbmstest.Knobs) { k.BeatErrno = number })
			}
			cluster := open(t, fake, nil)
			run(t, cluster)
			ctx := rdbms.WithScope(t.Context())
			got := load(ctx, cluster.Replica(), 10, 0)
			served := cluster.Served(ctx)
			if got["db2"]+got["db3"] != 10 || !served.Lagged || served.Lag.Known || served.Lag.Why != why {
				t.Errorf("error %d: %v, %+v", number, got, served)
			}
			s := server(t, cluster, "db2")
			if s.Health != rdbms.HealthDegraded || s.Class != "C" || s.Age > 2*time.Second {
				t.Errorf("%+v", s)
			}
			for _, name := range []string{"db2", "db3"} {
				fake.Set(name, func(k *rdbmstest.Knobs) { k.BeatErrno = 0 })
			}
			time.Sleep(3 * time.Second)
			if s := server(t, cluster, "db2"); s.Health != rdbms.HealthFresh || s.Class != "A" {
				t.Errorf("%+v", s)
			}
		})
	}
}

// Case 61. Refresh with all servers dead ends within 2 s and names them; with one alive it is no error. A caller who does
// not wait for it blames no server.
func TestRefresh(t *testing.T) {
	bubble(t, []string{"db2", "b:db3"}, func(t *testing.T, fake *rdbmstest.Cluster) {
		cluster := open(t, fake, nil)
		all := func(change func(*rdbmstest.Knobs)) {
			for _, name := range []string{"db1", "db2", "db3"} {
				fake.Set(name, change)
			}
		}
		all(func(k *rdbmstest.Knobs) { k.HangConnects = true })
		for range 5 {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			if err := cluster.Refresh(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			cancel()
			ctx, cancel = context.WithCancel(t.Context())
			time.AfterFunc(10*time.Millisecond, cancel)
			if err := cluster.Refresh(ctx); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
		if h := server(t, cluster, "db2").Health; h != rdbms.HealthDegraded {
			t.Errorf("whose caller was impatient is %s", h)
		}
		for what, change := range map[string]func(*rdbmstest.Knobs){
			"hangs":      func(k *rdbmstest.Knobs) { *k = rdbmstest.Knobs{HangConnects: true} },
			"stalls":     func(k *rdbmstest.Knobs) { *k = rdbmstest.Knobs{Hang: true, ConnectLatency: 900 * time.Millisecond} },
			"is refused": func(k *rdbmstest.Knobs) { *k = rdbmstest.Knobs{Refuse: true} },
		} {
			all(change)
			began := time.Now()
			err := cluster.Refresh(t.Context())
			var servers *rdbms.ServersError
			if !errors.Is(err, rdbms.ErrUnavailable) || !errors.As(err, &servers) || len(servers.Servers) != 3 || time.Since(began) > 2*time.Second {
				t.Errorf("%s: %v after %v", what, err, time.Since(began))
			}
			var dial *net.OpError
			if what == "is refused" && !errors.As(err, &dial) {
				t.Errorf("the causes are lost: %v", err)
			}
		}
		fake.Set("db3", func(k *rdbmstest.Knobs) { *k = rdbmstest.Knobs{} })
		if err := cluster.Refresh(t.Context()); err != nil {
			t.Error("one answers:", err)
		}
	})
}

// After one round of looks everything is known that there is to know, whoever answered first.
func TestOneRefreshIsEnough(t *testing.T) {
	for i := range 20 {
		bubble(t, []string{"db2", "db3", "b:db4"}, func(t *testing.T, fake *rdbmstest.Cluster) {
			fake.Set("db1", func(k *rdbmstest.Knobs) { k.Latency = time.Duration(i%3) * time.Millisecond })
			fake.Set("db3", func(k *rdbmstest.Knobs) { k.Lag = time.Minute })
			cluster := open(t, fake, nil)
			if err := cluster.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			for name, want := range map[string]rdbms.Health{"db2": rdbms.HealthFresh, "db3": rdbms.HealthDegraded, "db4": rdbms.HealthFresh} {
				if s := server(t, cluster, name); s.Health != want || !s.Lag.Known {
					t.Errorf("%d: %+v", i, s)
				}
			}
		})
	}
}

// MaxLag is that of the worst replica which serves reads without a group, as of now; one that is unknown is named.
func TestMaxLag(t *testing.T) {
	bubble(t, []string{"db2", "db3", "db4"}, func(t *testing.T, fake *rdbmstest.Cluster) {
		engine := telling(map[string]time.Duration{"db2": time.Second, "db3": 3 * time.Second, "db4": time.Hour})
		cluster := open(t, fake, func(c *rdbms.Config, o *rdbms.Options) {
			o.Engine, c.Servers[3].Groups = engine, map[string]int{"dump": 1}
		})
		if _, err := cluster.MaxLag(t.Context()); !errors.Is(err, rdbms.ErrLagUnknown) || !strings.Contains(err.Error(), "db2") {
			t.Error(err)
		}
		if err := cluster.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if lag, err := cluster.MaxLag(t.Context()); lag != 3*time.Second || err != nil {
			t.Error(lag, err)
		}
		time.Sleep(500 * time.Millisecond)
		if lag, err := cluster.MaxLag(t.Context()); lag != 3500*time.Millisecond || err != nil {
			t.Error("it ages:", lag, err)
		}
		engine.set("db3", rdbms.Lag{Why: rdbms.LagStopped})
		if err := cluster.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if lag, err := cluster.MaxLag(t.Context()); lag != 0 || !errors.Is(err, rdbms.ErrLagUnknown) ||
			!strings.Contains(err.Error(), "db3") || !strings.Contains(err.Error(), string(rdbms.LagStopped)) {
			t.Error(lag, err)
		}
	})
}

// OnServer tells of changes, once each: health, why the lag is unknown, a restart.
func TestOnServer(t *testing.T) {
	bubble(t, []string{"db2"}, func(t *testing.T, fake *rdbmstest.Cluster) {
		var told eventLog
		engine := telling(map[string]time.Duration{"db2": 0})
		cluster := open(t, fake, func(_ *rdbms.Config, o *rdbms.Options) {
			o.Engine = engine
			told.listen(o)
		})
		run(t, cluster)
		for _, lag := range []rdbms.Lag{isKnown(time.Minute), isKnown(2 * time.Minute), {Why: rdbms.LagStopped}, {Why: rdbms.LagNoRight}, isKnown(0), isKnown(time.Second)} {
			engine.set("db2", lag)
			time.Sleep(5 * time.Second)
		}
		engine.mu.Lock()
		engine.identity["db2"] = "restarted"
		engine.mu.Unlock()
		time.Sleep(5 * time.Second)
		var got []string
		told.mu.Lock()
		for _, s := range told.servers {
			if s.Name == "db2" {
				got = append(got, fmt.Sprint(s.Health, " ", s.Lag.Known, " ", s.Lag.Why))
			}
		}
		told.mu.Unlock()
		want := []string{"fresh true ", "degraded true ", "degraded false replication stopped", "degraded false no right", "fresh true ", "fresh true "}
		if !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
	})
}

// Case 34. A server without a heartbeat says so, once a minute, and reads go on.
func TestNoHeartbeatIsWarnedOf(t *testing.T) {
	for errno, why := range map[uint16]rdbms.LagReason{1146: rdbms.LagNoTable, 1142: rdbms.LagNoRight} {
		bubble(t, []string{"db2"}, func(t *testing.T, fake *rdbmstest.Cluster) {
			fake.Set("db2", func(k *rdbmstest.Knobs) { k.BeatErrno = errno })
			var log eventLog
			cluster := open(t, fake, func(_ *rdbms.Config, o *rdbms.Options) { log.listen(o) })
			run(t, cluster)
			time.Sleep(3 * time.Minute)
			if l := server(t, cluster, "db2").Lag; l.Known || l.Why != why {
				t.Errorf("%d: lag %v", errno, l)
			}
			when := log.warned(rdbms.WarnNoHeartbeat, "db2")
			if len(when) < 3 || len(when) > 4 {
				t.Errorf("%d: warned %d times in three minutes", errno, len(when))
			}
			for i := 1; i < len(when); i++ {
				if when[i].Sub(when[i-1]) < time.Minute {
					t.Errorf("%d: warned again after %v", errno, when[i].Sub(when[i-1]))
				}
			}
			if name, err := who(t.Context(), cluster.Replica()); err != nil || name != "db2" {
				t.Errorf("%d: read from %q, %v", errno, name, err)
			}
		})
	}
}
