package rdbms

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"io"
	"runtime"
	"slices"
	"testing"
	"time"
)

// instant is a server that answers every query with the row 1, without a wait, a copy or a socket: what is measured over
// it is the cost of what stands before a server.
type instant struct{}

func (instant) Connect(context.Context) (driver.Conn, error) { return new(instantConn), nil }
func (instant) Driver() driver.Driver                        { return nil }

// instantConn can what the connections of go-sql-driver/mysql can, as far as reads are concerned.
type instantConn struct{ rows instantRows }

func (c *instantConn) Prepare(string) (driver.Stmt, error)      { return nil, driver.ErrSkip }
func (c *instantConn) Begin() (driver.Tx, error)                { return nil, driver.ErrSkip }
func (c *instantConn) Close() error                             { return nil }
func (c *instantConn) CheckNamedValue(*driver.NamedValue) error { return nil }
func (c *instantConn) ResetSession(context.Context) error       { return nil }
func (c *instantConn) IsValid() bool                            { return true }
func (c *instantConn) Ping(context.Context) error               { return nil }
func (c *instantConn) QueryContext(_ context.Context, _ string, _ []driver.NamedValue) (driver.Rows, error) {
	c.rows.read = false
	return &c.rows, nil
}

type instantRows struct{ read bool }

func (r *instantRows) Columns() []string { return instantColumns }
func (r *instantRows) Close() error      { return nil }
func (r *instantRows) Next(dest []driver.Value) error {
	if r.read {
		return io.EOF
	}
	r.read, dest[0] = true, int64(1)
	return nil
}

var instantColumns = []string{"1"}

// calm is an Engine of servers that are all well and up to date.
type calm struct{}

func (calm) Probe(context.Context, *sql.Conn) (Probe, error) {
	return Probe{Identity: "calm", Lag: known(0)}, nil
}
func (calm) Written(context.Context, *sql.Conn) (string, error) { return "1", nil }
func (calm) Applied(context.Context, *sql.Conn) (string, error) { return "1", nil }
func (calm) Reached(have, want string) (bool, error)            { return have >= want, nil }
func (calm) Merge(a, b string) (string, error)                  { return max(a, b), nil }
func (calm) Classify(error) Fault                               { return FaultStatement }

// benchCluster has so many servers in this DC, the first of them the primary, each just probed.
func benchCluster(tb testing.TB, servers int) *Cluster {
	tb.Helper()
	config := Config{Name: "bench"}
	for i := range servers {
		config.Servers = append(config.Servers, Server{Name: fmt.Sprintf("db%d", i+1), DC: "a", Connector: instant{}})
	}
	config.Primary = "db1"
	c, err := New(config, &Options{DC: "a", Engine: calm{}, Poll: time.Hour}) // so the readings do not age meanwhile
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	if err := c.Refresh(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return c
}

const (
	benchServers = 17 // 16 replicas and the primary
	benchQuery   = "SELECT text FROM page WHERE id = 1"
	// benchLong is 200 bytes, which Auto reads to their end.
	benchLong = "SELECT page_id, page_title, page_namespace, page_touched, page_len FROM page JOIN revision ON page_latest = rev_id " +
		"WHERE page_namespace IN (0, 4) AND page_title = 'Main Page' ORDER BY page_id LIMIT 10"
)

// pickOnce does what a read does before it borrows a connection. The lease is part of a virtual connection.
func pickOnce(ctx context.Context, c *Cluster) error {
	r := c.read(ctx, &noLease)
	_, err := r.choose(time.Now())
	return err
}

var noLease lease

// forget takes the pins off a scope, so that its next read is like its first.
func forget(ctx context.Context) {
	s := &callOf(ctx).scope.first
	s.pinned, s.pins[0] = 0, pin{}
}

// Case 27. A pick allocates nothing: the first of a request, the next ones, one without a scope, one with a bound.
func TestPickAllocatesNothing(t *testing.T) {
	c := benchCluster(t, benchServers)
	scoped := WithScope(t.Context())
	for name, pick := range map[string]func() error{
		"first in a scope": func() error { forget(scoped); return pickOnce(scoped, c) },
		"next in a scope":  func() error { return pickOnce(scoped, c) },
		"without a scope":  func() error { return pickOnce(t.Context(), c) },
	} {
		if n := testing.AllocsPerRun(1000, func() {
			if err := pick(); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	bounded := WithMaxStaleness(scoped, time.Hour)
	if n := testing.AllocsPerRun(1000, func() { _ = pickOnce(bounded, c) }); n != 0 {
		t.Errorf("with a bound: %v allocations", n)
	}
}

// compare runs base and do by turns, so that what else the machine is at meets both alike, and reports how long do takes as
// a multiple of base, of the fastest tenth of the turns, and how many allocations more it makes.
func compare(b *testing.B, base, do func() error) {
	b.Helper()
	const turn = 100
	var took [2][]time.Duration
	for b.Loop() {
		for i, one := range [...]func() error{base, do} {
			began := time.Now()
			for range turn {
				if err := one(); err != nil {
					b.Fatal(err)
				}
			}
			took[i] = append(took[i], time.Since(began)/turn)
		}
	}
	allocs := func(do func() error) float64 { return testing.AllocsPerRun(turn, func() { _ = do() }) }
	for i := range took {
		slices.Sort(took[i])
	}
	low := len(took[0]) / 10
	b.ReportMetric(0, "ns/op") // of both, which says nothing
	b.ReportMetric(float64(took[1][low].Nanoseconds()), "ns")
	b.ReportMetric(float64(took[1][low])/float64(took[0][low]), "ratio")
	b.ReportMetric(allocs(do)-allocs(base), "more-allocs")
}

func queryOne(ctx context.Context, db *sql.DB, query string) error {
	var one int
	return db.QueryRowContext(ctx, query).Scan(&one)
}

// directly is one query of an ordinary *sql.DB, what everything here is measured against.
func directly(b *testing.B) func() error {
	b.Helper()
	db := sql.OpenDB(instant{})
	b.Cleanup(func() { _ = db.Close() })
	return func() error { return queryOne(b.Context(), db, benchQuery) }
}

// BenchmarkPick is a pick among 16 replicas.
func BenchmarkPick(b *testing.B) {
	c, base := benchCluster(b, benchServers), directly(b)
	scoped := WithScope(b.Context())
	b.Run("first in a scope", func(b *testing.B) {
		compare(b, base, func() error { forget(scoped); return pickOnce(scoped, c) })
	})
	b.Run("next in a scope", func(b *testing.B) { compare(b, base, func() error { return pickOnce(scoped, c) }) })
	b.Run("without a scope", func(b *testing.B) { compare(b, base, func() error { return pickOnce(b.Context(), c) }) })
}

// BenchmarkQuery is a statement by way of each value.
func BenchmarkQuery(b *testing.B) {
	c, base := benchCluster(b, benchServers), directly(b)
	scoped := WithScope(b.Context())
	by := func(ctx context.Context, db *sql.DB, query string) func() error {
		return func() error { return queryOne(ctx, db, query) }
	}
	b.Run("Replica", func(b *testing.B) { compare(b, base, by(b.Context(), c.Replica(), benchQuery)) })
	b.Run("Replica in a scope", func(b *testing.B) { compare(b, base, by(scoped, c.Replica(), benchQuery)) })
	b.Run("Primary", func(b *testing.B) { compare(b, base, by(b.Context(), c.Primary(), benchQuery)) })
	b.Run("Auto against Replica", func(b *testing.B) {
		compare(b, by(b.Context(), c.Replica(), benchLong), by(b.Context(), c.Auto(), benchLong))
	})
}

// BenchmarkPickParallel: requests do not wait for each other. The speedup is the picks a second of 8 goroutines over those of
// one; it needs as many cores to mean something.
func BenchmarkPickParallel(b *testing.B) {
	c := benchCluster(b, benchServers)
	var one float64
	b.Run("1 goroutine", func(b *testing.B) {
		for b.Loop() {
			if err := pickOnce(b.Context(), c); err != nil {
				b.Fatal(err)
			}
		}
		one = float64(b.Elapsed()) / float64(b.N)
	})
	b.Run("8 goroutines", func(b *testing.B) {
		b.SetParallelism(max(1, 8/runtime.GOMAXPROCS(0)))
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := pickOnce(b.Context(), c); err != nil {
					b.Error(err)
				}
			}
		})
		b.ReportMetric(one/(float64(b.Elapsed())/float64(b.N)), "speedup")
	})
}
