package rdbms_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/rdbmstest"
)

// Section 7: with all replicas dead for a minute no read comes to the primary.
func TestDeadReplicasSparePrimary(t *testing.T) {
	bubble(t, []string{"db2", "db3", "b:db4"}, func(t *testing.T, fake *rdbmstest.Cluster) {
		cluster := open(t, fake, nil)
		run(t, cluster)
		load(t.Context(), cluster.Replica(), 1000, 10*time.Millisecond)
		for _, name := range []string{"db2", "db3", "db4"} {
			fake.Set(name, func(k *rdbmstest.Knobs) { k.Down = true })
		}
		before := fake.Counts("db1").Queries["SELECT @@hostname"]
		ctx := rdbms.WithOnTimeout(t.Context(), rdbms.OnTimeoutPrimary, 0)
		if got := load(ctx, cluster.Replica(), 6000, 10*time.Millisecond); !only(got, "") {
			t.Errorf("read %v", got)
		}
		if n := fake.Counts("db1").Queries["SELECT @@hostname"] - before; n != 0 {
			t.Errorf("%d reads at the primary", n)
		}
	})
}

// Section 7, 3.2.9: with all replicas behind a required position, or too stale for what is asked, the primary gets 5 % of
// the reads, or one a second; the others are served stale and flagged, or fail.
func TestPrimaryBudget(t *testing.T) {
	for _, perSecond := range []int{2, 100} {
		for what, ask := range map[string]func(*testing.T, *rdbms.Cluster) context.Context{
			"position": func(t *testing.T, c *rdbms.Cluster) context.Context {
				ctx := rdbms.WithScope(t.Context())
				if err := c.Positions().Require(ctx, "m1:1-11-999999999", time.Now(), 10*time.Millisecond, "primary"); err != nil {
					t.Error(err)
				}
				return ctx
			},
			"staleness": func(t *testing.T, _ *rdbms.Cluster) context.Context {
				return rdbms.WithMaxStaleness(rdbms.WithScope(t.Context()), time.Millisecond)
			},
		} {
			bubble(t, []string{"db2", "db3"}, func(t *testing.T, fake *rdbmstest.Cluster) {
				cluster := open(t, fake, nil)
				run(t, cluster)
				const length = 30 // seconds
				primary, flagged, stale := 0, 0, 0
				var reads sync.WaitGroup
				var mu sync.Mutex
				for range length * perSecond {
					reads.Go(func() {
						ctx := ask(t, cluster)
						name, err := who(ctx, cluster.Replica())
						mu.Lock()
						defer mu.Unlock()
						switch {
						case name == "db1":
							primary++
						case err == nil && cluster.Served(ctx).Lagged:
							flagged++
						case errors.Is(err, rdbms.ErrTooStale):
							stale++
						default:
							t.Errorf("%s: %q, %v, without a flag", what, name, err)
						}
					})
					time.Sleep(time.Second / time.Duration(perSecond))
				}
				reads.Wait()
				rate := max(1, 0.05*float64(perSecond))
				if most := rate*length + 2*rate; float64(primary) > most || float64(primary) < most/2 {
					t.Errorf("%s, %d a second: %d reads at the primary, want at most %v", what, perSecond, primary, most)
				}
				if (what == "position") != (flagged > 0) || (what == "staleness") != (stale > 0) {
					t.Errorf("%s: %d flagged, %d refused", what, flagged, stale)
				}
			})
		}
	}
}

// PrimaryShare: negative is none, 1 is all.
func TestPrimaryShare(t *testing.T) {
	for share, want := range map[float64]string{-1: "", 1: "db1"} {
		bubble(t, []string{"db2"}, func(t *testing.T, fake *rdbmstest.Cluster) {
			cluster := open(t, fake, func(_ *rdbms.Config, o *rdbms.Options) { o.PrimaryShare = share })
			ctx := rdbms.WithMaxStaleness(t.Context(), time.Second)
			for range 12 { // the first reads teach it the rate
				load(ctx, cluster.Replica(), 20, 50*time.Millisecond)
			}
			got := load(ctx, cluster.Replica(), 200, 50*time.Millisecond)
			if !only(got, want) {
				t.Errorf("share %v: read %v", share, got)
			}
		})
	}
}

// Section 7: after three failures a killed server gets no reads until it has answered a probe; 5 s later its full share.
func TestKilledServer(t *testing.T) {
	bubble(t, []string{"db2", "db3", "db4"}, func(t *testing.T, fake *rdbmstest.Cluster) {
		var told eventLog
		cluster := open(t, fake, func(_ *rdbms.Config, o *rdbms.Options) { told.listen(o) })
		run(t, cluster)
		read := func(length time.Duration) map[string]int {
			return load(t.Context(), cluster.Replica(), int(length/(5*time.Millisecond)), 5*time.Millisecond)
		}
		read(5 * time.Second)
		fake.Set("db2", func(k *rdbmstest.Knobs) { k.Down = true })
		told.takeReads()
		if got := read(2 * time.Second); got[""] > 0 || got["db2"] > 0 {
			t.Errorf("killed: %v", got)
		}
		if moved := told.takeReads(); len(moved) > 3 {
			t.Errorf("%d reads tried it, want 3 at most", len(moved))
		}
		got := read(20 * time.Second)
		if moved := told.takeReads(); len(moved) > 0 || got[""] > 0 {
			t.Errorf("its breaker is open, and yet %d reads tried it: %v", len(moved), got)
		}
		fake.Set("db2", func(k *rdbmstest.Knobs) { k.Down = false })
		for began := time.Now(); server(t, cluster, "db2").Health != rdbms.HealthFresh; time.Sleep(5 * time.Millisecond) {
			if name, err := who(t.Context(), cluster.Replica()); err != nil || name == "db2" {
				t.Fatalf("it has not answered a probe yet: %q, %v", name, err)
			}
			if time.Since(began) > 40*time.Second {
				t.Fatal("it does not come back")
			}
		}
		if got := read(time.Second); got["db2"] == 0 || got["db2"] > 30 {
			t.Errorf("in its first second it got %v", got)
		}
		read(4 * time.Second)
		if got := read(10 * time.Second); got["db2"] < 566 || got["db2"] > 766 {
			t.Errorf("5 s after it came back it got %v", got)
		}
		if moved := told.takeReads(); len(moved) > 0 {
			t.Errorf("%+v", moved)
		}
	})
}

// Case 51. Without a monitor one read tries a server whose breaker is due, and the others wait for its outcome elsewhere.
func TestHalfOpenWithoutMonitor(t *testing.T) {
	bubble(t, []string{"db2"}, func(t *testing.T, fake *rdbmstest.Cluster) {
		fake.Set("db2", func(k *rdbmstest.Knobs) { k.Refuse, k.ConnectLatency = true, 20*time.Millisecond })
		cluster := open(t, fake, nil)
		load(t.Context(), cluster.Replica(), 3, 0)
		for wait, want := range []int{3, 3, 4} { // not yet, not yet, and once when it is due
			var all sync.WaitGroup
			for range 10 {
				all.Go(func() {
					if _, err := who(t.Context(), cluster.Replica()); err == nil {
						t.Error("somebody answered")
					}
				})
			}
			all.Wait()
			if n := fake.Counts("db2").Connects; n != want {
				t.Errorf("%d: dialled %d times, want %d", wait, n, want)
			}
			time.Sleep(600 * time.Millisecond)
		}
		fake.Set("db2", func(k *rdbmstest.Knobs) { k.Refuse = false })
		time.Sleep(3 * time.Second)
		if got := load(t.Context(), cluster.Replica(), 10, 0); !only(got, "db2") {
			t.Errorf("it is back: %v", got)
		}
	})
}

// Case Xb. Who fails fast attracts nothing.
func TestFailingFastAttractsNothing(t *testing.T) {
	for _, watched := range []bool{false, true} {
		bubble(t, []string{"db2", "db3"}, func(t *testing.T, fake *rdbmstest.Cluster) {
			var told eventLog
			fake.Set("db2", func(k *rdbmstest.Knobs) { k.Refuse = true })
			fake.Set("db3", func(k *rdbmstest.Knobs) { k.Latency, k.ConnectLatency = 5*time.Millisecond, 5*time.Millisecond })
			cluster := open(t, fake, func(_ *rdbms.Config, o *rdbms.Options) { told.listen(o) })
			if watched {
				run(t, cluster)
			}
			got := load(t.Context(), cluster.Replica(), 3000, 10*time.Millisecond)
			tries := 0
			for _, r := range told.takeReads() {
				if r.Path == rdbms.ReadMoved {
					tries++
				}
			}
			if !only(got, "db3") || tries >= 30 {
				t.Errorf("watched %v: db2 was tried by %d of 3000 reads; they got %v", watched, tries, got)
			}
		})
	}
}

// Case 25. Of servers that take 1 and 50 ms the fast one gets the reads, and the slow one is tried again every 10 s; 5 %
// of difference is none; who has much under way gets less.
func TestLatency(t *testing.T) {
	bubble(t, []string{"db2", "db3"}, func(t *testing.T, fake *rdbmstest.Cluster) {
		latency := func(name string, d time.Duration) { fake.Set(name, func(k *rdbmstest.Knobs) { k.Latency = d }) }
		latency("db2", time.Millisecond)
		latency("db3", 50*time.Millisecond)
		cluster := open(t, fake, nil)
		run(t, cluster)
		load(t.Context(), cluster.Replica(), 100, 0)
		fast, last, gap := 0, time.Now(), time.Duration(0)
		began, n := time.Now(), 0
		for ; time.Since(began) < 30*time.Second; n++ {
			name, err := who(t.Context(), cluster.Replica())
			if err != nil {
				t.Fatal(err)
			}
			if name == "db2" {
				fast++
			} else {
				gap, last = max(gap, time.Since(last)), time.Now()
			}
			time.Sleep(4 * time.Millisecond)
		}
		if gap = max(gap, time.Since(last)); fast*10 < n*9 || gap > 10*time.Second+100*time.Millisecond {
			t.Errorf("%d of %d to the fast one, up to %v without a try of the slow one", fast, n, gap)
		}

		latency("db2", time.Millisecond)
		latency("db3", 1050*time.Microsecond)
		time.Sleep(15 * time.Second)
		if got := load(t.Context(), cluster.Replica(), 2000, time.Millisecond); got["db2"] < 900 || got["db2"] > 1100 {
			t.Errorf("1.00 and 1.05 ms: %v", got)
		}

		latency("db3", time.Minute)
		var slow sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		for i := range 300 { // those that are drawn for db3 hang there
			slow.Go(func() { _, _ = who(rdbms.WithScope(ctx), cluster.Replica()) })
			if i%10 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		if busy := server(t, cluster, "db3").InFlight; busy < 3 {
			t.Fatal(fmt.Sprint("under way on db3: ", busy))
		}
		if got := load(t.Context(), cluster.Replica(), 200, time.Millisecond); !only(got, "db2") {
			t.Errorf("db3 is busy: %v", got)
		}
		cancel()
		slow.Wait()
	})
}
