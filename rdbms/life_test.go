package rdbms_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/rdbmstest"
)

// New starts no goroutine, and so one whose cluster is never used need not close it.
func TestNewStartsNoGoroutine(t *testing.T) {
	before := goleak.IgnoreCurrent()
	cluster, err := rdbms.New(sound(), &rdbms.Options{DC: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if err := cluster.SetServers(sound()); err != nil {
		t.Error(err)
	}
	_ = cluster.Explain(t.Context()).String()
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
}

// Run returns nil when its context ends, can be started anew then, and a second one at the same time is an error.
func TestRun(t *testing.T) {
	bubble(t, []string{"db2"}, func(t *testing.T, fake *rdbmstest.Cluster) {
		cluster := open(t, fake, nil)
		for range 2 {
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error)
			go func() { ended <- cluster.Run(ctx) }()
			time.Sleep(10 * time.Second)
			if !cluster.Explain(ctx).Monitor {
				t.Error("Explain does not know that Run is under way")
			}
			if err := cluster.Run(ctx); err == nil || errors.Is(err, rdbms.ErrClosed) {
				t.Error("a second Run:", err)
			}
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if cluster.Explain(t.Context()).Monitor {
				t.Error("Run has ended")
			}
			probes := fake.Counts("db2").Beats
			time.Sleep(time.Minute)
			if fake.Counts("db2").Beats != probes {
				t.Error("the monitor goes on without Run")
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := cluster.Run(ctx); err != nil {
			t.Error("a context that has ended:", err)
		}
	})
}

// Run ends within a moment although all servers hang.
func TestRunEndsWhenServersHang(t *testing.T) {
	bubble(t, []string{"db2", "db3"}, func(t *testing.T, fake *rdbmstest.Cluster) {
		for name, hang := range map[string]func(*rdbmstest.Knobs){
			"db1": func(k *rdbmstest.Knobs) { k.Hang = true }, "db2": func(k *rdbmstest.Knobs) { k.HangConnects = true },
			"db3": func(k *rdbmstest.Knobs) { k.Hang, k.ConnectLatency = true, 300*time.Millisecond },
		} {
			fake.Set(name, hang)
		}
		cluster := open(t, fake, nil)
		for _, after := range []time.Duration{0, 100 * time.Millisecond, 400 * time.Millisecond, 10 * time.Second} {
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error)
			go func() { ended <- cluster.Run(ctx) }()
			time.Sleep(after)
			began := time.Now()
			cancel()
			if err := <-ended; err != nil || time.Since(began) > 0 {
				t.Errorf("%v, %v after its context", err, time.Since(began))
			}
		}
	})
}

// Events may use the cluster.
func TestEventsMayUseTheCluster(t *testing.T) {
	bubble(t, []string{"db2"}, func(t *testing.T, fake *rdbmstest.Cluster) {
		var cluster atomic.Pointer[rdbms.Cluster]
		var called atomic.Int32
		use := func() {
			called.Add(1)
			if c := cluster.Load(); c != nil {
				_ = c.Explain(t.Context()).String()
				_, _ = c.ReadOnly()
				_, _ = c.MaxLag(t.Context())
				_ = c.Positions().WriterDC()
			}
		}
		cluster.Store(open(t, fake, func(_ *rdbms.Config, o *rdbms.Options) {
			o.Events.OnServer = func(context.Context, rdbms.ServerInfo) { use() }
			o.Events.OnWarning = func(context.Context, rdbms.WarningInfo) { use() }
			o.Events.OnRead = func(context.Context, rdbms.ReadInfo) { use() }
			o.Events.OnReadOnly = func(context.Context, rdbms.ReadOnlyInfo) { use() }
		}))
		run(t, cluster.Load())
		fake.Set("db1", func(k *rdbmstest.Knobs) { k.ReadOnly, k.Beats = true, false })
		fake.Set("db2", func(k *rdbmstest.Knobs) { k.Down = true })
		load(t.Context(), cluster.Load().Replica(), 100, 100*time.Millisecond)
		if called.Load() < 4 {
			t.Errorf("called %d times", called.Load())
		}
	})
}

// Close ends Run, waits and reads under way, and closes all connections; those that are in use when they come back.
func TestCloseWhileInUse(t *testing.T) {
	bubble(t, []string{"db2"}, func(t *testing.T, fake *rdbmstest.Cluster) {
		cluster := open(t, fake, func(_ *rdbms.Config, o *rdbms.Options) { o.Wait = 10 * time.Second })
		ended := make(chan error, 1)
		go func() { ended <- cluster.Run(context.Background()) }()
		time.Sleep(5 * time.Second)
		load(t.Context(), cluster.Primary(), 5, 0)

		fake.Set("db2", func(k *rdbmstest.Knobs) { k.StopApplying = true })
		var waits sync.WaitGroup
		waiting := func(what string, f func(ctx context.Context) error) {
			ctx := rdbms.WithScope(t.Context())
			if err := put(ctx, cluster.Primary(), "k", what); err != nil {
				t.Fatal(err)
			}
			waits.Go(func() {
				began := time.Now()
				if err := f(ctx); !errors.Is(err, rdbms.ErrClosed) && (err == nil || !strings.Contains(err.Error(), "closed")) {
					t.Errorf("%s: %v", what, err)
				}
				if time.Since(began) != 2*time.Second {
					t.Errorf("%s ended after %v", what, time.Since(began))
				}
			})
		}
		for _, policy := range []rdbms.TimeoutPolicy{rdbms.OnTimeoutPrimary, rdbms.OnTimeoutStale, rdbms.OnTimeoutError} {
			waiting("a read, "+string(policy), func(ctx context.Context) error {
				_, err := get(rdbms.WithOnTimeout(ctx, policy, 0), cluster.Replica(), "k")
				return err
			})
		}
		waiting("WaitForReplication", func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			return cluster.WaitForReplication(ctx)
		})
		tx, err := cluster.Primary().BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if err := cluster.Close(t.Context()); err != nil {
			t.Error(err)
		}
		waits.Wait()
		if err := <-ended; err != nil {
			t.Error("Run:", err)
		}
		if n := fake.Counts("db2").Open; n != 0 {
			t.Errorf("%d connections to db2 are open", n)
		}
		if n := fake.Counts("db1").Open; n != 1 {
			t.Errorf("%d connections to db1 are open, want the transaction's", n)
		}
		if err := tx.Commit(); err != nil {
			t.Error("what was under way may finish:", err)
		}
		if n := fake.Counts("db1").Open; n != 0 {
			t.Errorf("%d connections to db1 are open", n)
		}
	})
}

// After Close everything says so, and Close again is no error.
func TestAfterClose(t *testing.T) {
	bubble(t, []string{"db2"}, func(t *testing.T, fake *rdbmstest.Cluster) {
		cluster := open(t, fake, nil)
		never := open(t, fake, nil) // whose databases nobody asked for before
		used := rdbms.WithScope(t.Context())
		if err := put(used, cluster.Primary(), "k", "v"); err != nil {
			t.Fatal(err)
		}
		conn, err := cluster.Replica().Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []*rdbms.Cluster{cluster, never, cluster} {
			if err := c.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		dials := fake.Counts("db1").Connects + fake.Counts("db2").Connects
		for what, err := range map[string]error{
			"Run":                cluster.Run(t.Context()),
			"Refresh":            cluster.Refresh(t.Context()),
			"SetServers":         cluster.SetServers(fake.Config()),
			"WaitForReplication": cluster.WaitForReplication(used),
			"a connection":       conn.PingContext(t.Context()),
		} {
			if !errors.Is(err, rdbms.ErrClosed) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		for what, c := range map[string]*rdbms.Cluster{"used": cluster, "never used": never} {
			for role, db := range map[string]*sql.DB{"Primary": c.Primary(), "Replica": c.Replica(), "Auto": c.Auto()} {
				_, read := who(t.Context(), db)
				_, begin := db.BeginTx(t.Context(), nil)
				for verb, err := range map[string]error{"query": read, "exec": put(t.Context(), db, "k", "v"), "begin": begin, "ping": db.PingContext(t.Context())} {
					if err == nil || !strings.Contains(err.Error(), "closed") { // database/sql's own error has no name
						t.Errorf("%s, %s, %s: %v", what, role, verb, err)
					}
				}
			}
			_ = c.Explain(t.Context()).String()
		}
		if fake.Counts("db1").Connects+fake.Counts("db2").Connects != dials {
			t.Error("dialled after Close")
		}
	})
}

// Close does not wait longer than its context, and what it ends ends nevertheless.
func TestCloseInAHurry(t *testing.T) {
	bubble(t, []string{"db2"}, func(t *testing.T, fake *rdbmstest.Cluster) {
		slow := make(chan struct{})
		cluster := open(t, fake, func(_ *rdbms.Config, o *rdbms.Options) {
			o.Events.OnServer = func(context.Context, rdbms.ServerInfo) { <-slow }
		})
		ended := make(chan error, 1)
		go func() { ended <- cluster.Run(context.Background()) }()
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		if err := cluster.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		close(slow)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// Close and everything else at the same time, for the race detector.
func TestCloseRaces(t *testing.T) {
	for range 20 {
		bubble(t, []string{"db2", "b:db3"}, func(t *testing.T, fake *rdbmstest.Cluster) {
			cluster := open(t, fake, nil)
			var all sync.WaitGroup
			for _, f := range []func(){
				func() { _ = cluster.Run(t.Context()) },
				func() { _ = cluster.Refresh(t.Context()) },
				func() { _ = cluster.SetServers(fake.Config()) },
				func() { _ = put(t.Context(), cluster.Primary(), "k", "v") },
				func() { _, _ = who(t.Context(), cluster.Replica()) },
				func() { _, _ = who(rdbms.WithScope(t.Context()), cluster.Auto()) },
				func() { _ = cluster.Explain(t.Context()) },
				func() { _ = cluster.Close(t.Context()) },
				func() { _ = cluster.Close(t.Context()) },
			} {
				all.Go(f)
			}
			all.Wait()
			for _, name := range []string{"db1", "db2", "db3"} {
				if n := fake.Counts(name).Open; n != 0 {
					t.Errorf("%d connections to %s are open", n, name)
				}
			}
		})
	}
}

// A server that was taken out: what runs there may finish, and its connections are closed then; a drained one likewise gets
// nothing new.
func TestTakenOutAndDrained(t *testing.T) {
	for _, drained := range []bool{false, true} {
		bubble(t, []string{"db2", "db3"}, func(t *testing.T, fake *rdbmstest.Cluster) {
			cluster := open(t, fake, func(c *rdbms.Config, _ *rdbms.Options) { c.Servers[1].Weight = -1 })
			run(t, cluster)
			conn, err := cluster.Replica().Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var name string
			read := func() error { return conn.QueryRowContext(t.Context(), "SELECT @@hostname").Scan(&name) }
			if err := read(); err != nil || name != "db3" {
				t.Fatal(name, err)
			}
			config := fake.Config()
			config.Servers[2].Drained = drained
			if !drained {
				config.Servers = config.Servers[:2]
			}
			if err := cluster.SetServers(config); err != nil {
				t.Fatal(err)
			}
			if got := load(t.Context(), cluster.Replica(), 20, 0); !only(got, "db2") {
				t.Errorf("drained %v: read %v", drained, got)
			}
			if err := read(); err != nil || name != "db3" {
				t.Errorf("drained %v: what runs may finish: %s, %v", drained, name, err)
			}
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Minute)
			if n := fake.Counts("db3").Open; !drained && n != 0 {
				t.Errorf("%d connections are open", n)
			}
			if drained && server(t, cluster, "db3").Health != rdbms.HealthDrained {
				t.Errorf("%+v", server(t, cluster, "db3"))
			}
		})
	}
}

// Another address under the same name is another server: nothing that was known of the old one counts.
func TestSameNameAnotherAddress(t *testing.T) {
	bubble(t, []string{"db2", "db3"}, func(t *testing.T, fake *rdbmstest.Cluster) {
		other := rdbmstest.New(t, rdbmstest.Server{Name: "db1"}, rdbmstest.Server{Name: "new"})
		cluster := open(t, fake, nil)
		if err := cluster.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		config := fake.Config()
		config.Servers[1].Connector = other.Config().Servers[1].Connector
		if err := cluster.SetServers(config); err != nil {
			t.Fatal(err)
		}
		if s := server(t, cluster, "db2"); s.Age != 0 || s.Lag.Why != rdbms.LagNotRead || s.Position != "" {
			t.Errorf("%+v", s)
		}
		if got := load(t.Context(), cluster.Replica(), 20, 0); !only(got, "db3") {
			t.Errorf("nothing is known of it, and yet: %v", got)
		}
		if s := server(t, cluster, "db3"); s.Health != rdbms.HealthFresh {
			t.Errorf("who stayed keeps its state: %+v", s)
		}
		run(t, cluster)
		if other.Counts("new").Beats == 0 {
			t.Error("it is not watched")
		}
	})
}
