package peers

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/bxcodec/dbresolver/v2"
	gormmysql "gorm.io/driver/mysql"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
	gormresolver "gorm.io/plugin/dbresolver"

	"github.com/multidc/multidc/rdbms"
)

// instant is a server that answers every query with the row 1, without a wait or a socket: over it only the libraries cost.
type instant struct{}

func (instant) Connect(context.Context) (driver.Conn, error) { return new(instantConn), nil }
func (instant) Driver() driver.Driver                        { return nil }

type instantConn struct{ rows instantRows }

func (*instantConn) Prepare(string) (driver.Stmt, error)      { return nil, driver.ErrSkip }
func (*instantConn) Begin() (driver.Tx, error)                { return nil, driver.ErrSkip }
func (*instantConn) Close() error                             { return nil }
func (*instantConn) CheckNamedValue(*driver.NamedValue) error { return nil }
func (*instantConn) ResetSession(context.Context) error       { return nil }
func (*instantConn) IsValid() bool                            { return true }
func (*instantConn) Ping(context.Context) error               { return nil }
func (c *instantConn) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	c.rows.read = false
	return &c.rows, nil
}

type instantRows struct{ read bool }

func (*instantRows) Columns() []string { return []string{"1"} }
func (*instantRows) Close() error      { return nil }
func (r *instantRows) Next(dest []driver.Value) error {
	if r.read {
		return io.EOF
	}
	r.read, dest[0] = true, int64(1)
	return nil
}

// calm is the engine of such servers.
type calm struct{}

func (calm) Probe(context.Context, *sql.Conn) (rdbms.Probe, error) {
	return rdbms.Probe{Identity: "calm", Lag: rdbms.Lag{Known: true}}, nil
}
func (calm) Written(context.Context, *sql.Conn) (string, error) { return "1", nil }
func (calm) Applied(context.Context, *sql.Conn) (string, error) { return "1", nil }
func (calm) Reached(have, want string) (bool, error)            { return have >= want, nil }
func (calm) Merge(a, b string) (string, error)                  { return max(a, b), nil }
func (calm) Classify(error) rdbms.Fault                         { return rdbms.FaultStatement }

const benchReplicas = 3

func benchCluster(b *testing.B) *rdbms.Cluster {
	b.Helper()
	config := rdbms.Config{Name: "bench", Primary: "db0"}
	for i := range benchReplicas + 1 {
		config.Servers = append(config.Servers, rdbms.Server{Name: fmt.Sprintf("db%d", i), DC: "a", Connector: instant{}})
	}
	c, err := rdbms.New(config, &rdbms.Options{DC: "a", Engine: calm{}, Poll: time.Hour}) // so the readings do not age meanwhile
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close(context.Background()) })
	if err := c.Refresh(b.Context()); err != nil {
		b.Fatal(err)
	}
	return c
}

// instants are that many pools.
func instants(b *testing.B, n int) (list []*sql.DB) {
	b.Helper()
	for range n {
		db := sql.OpenDB(instant{})
		b.Cleanup(func() { _ = db.Close() })
		list = append(list, db)
	}
	return list
}

func benchGorm(b *testing.B, db *sql.DB) *gorm.DB {
	b.Helper()
	g, err := gorm.Open(instantDialector(db), &gorm.Config{Logger: logger.Discard, DisableAutomaticPing: true})
	if err != nil {
		b.Fatal(err)
	}
	return g
}

func instantDialector(db *sql.DB) gorm.Dialector {
	return gormmysql.New(gormmysql.Config{Conn: db, SkipInitializeWithVersion: true})
}

const benchQuery = "SELECT text FROM page WHERE id = 1"

// BenchmarkRDBMSQuery is what a query costs by way of each library over three replicas, as a multiple of one by an ordinary
// *sql.DB; under gorm, of one by gorm over an ordinary *sql.DB.
func BenchmarkRDBMSQuery(b *testing.B) {
	cluster := benchCluster(b)
	query := func(ctx context.Context, db querier) func() error {
		return func() error {
			var one int
			return db.QueryRowContext(ctx, benchQuery).Scan(&one)
		}
	}
	base := query(b.Context(), instants(b, 1)[0])
	b.Run("multidc Replica", func(b *testing.B) { compare(b, base, query(b.Context(), cluster.Replica())) })
	b.Run("multidc Replica in a scope", func(b *testing.B) {
		compare(b, base, query(rdbms.WithScope(b.Context()), cluster.Replica()))
	})
	b.Run("multidc Auto", func(b *testing.B) { compare(b, base, query(b.Context(), cluster.Auto())) })
	b.Run("bxcodec dbresolver", func(b *testing.B) {
		dbs := instants(b, benchReplicas+1)
		db := dbresolver.New(dbresolver.WithPrimaryDBs(dbs[0]), dbresolver.WithReplicaDBs(dbs[1:]...),
			dbresolver.WithLoadBalancer(dbresolver.RoundRobinLB))
		compare(b, base, query(b.Context(), db))
	})

	byGorm := func(g *gorm.DB) func() error {
		return func() error {
			var one int
			return g.WithContext(b.Context()).Raw(benchQuery).Row().Scan(&one)
		}
	}
	plain := byGorm(benchGorm(b, instants(b, 1)[0]))
	b.Run("gorm over multidc Auto", func(b *testing.B) { compare(b, plain, byGorm(benchGorm(b, cluster.Auto()))) })
	b.Run("gorm with dbresolver", func(b *testing.B) {
		dbs := instants(b, benchReplicas+1)
		g := benchGorm(b, dbs[0])
		var replicas []gorm.Dialector
		for _, db := range dbs[1:] {
			replicas = append(replicas, instantDialector(db))
		}
		if err := g.Use(gormresolver.Register(gormresolver.Config{Replicas: replicas, Policy: gormresolver.RandomPolicy{}})); err != nil {
			b.Fatal(err)
		}
		compare(b, plain, byGorm(g))
	})
}

// BenchmarkRDBMSPick is the others' choice among 16 servers, which knows nothing of the servers, as a multiple of a query
// that costs nothing; ours is in package rdbms, by the same measure.
func BenchmarkRDBMSPick(b *testing.B) {
	dbs := instants(b, 16)
	base := func() error {
		var one int
		return dbs[0].QueryRowContext(b.Context(), benchQuery).Scan(&one)
	}
	b.Run("bxcodec round robin", func(b *testing.B) {
		lb := new(dbresolver.RoundRobinLoadBalancer[*sql.DB])
		compare(b, base, func() error { return found(lb.Resolve(dbs) != nil) })
	})
	b.Run("gorm random", func(b *testing.B) {
		var pools []gorm.ConnPool
		for _, db := range dbs {
			pools = append(pools, db)
		}
		compare(b, base, func() error { return found(gormresolver.RandomPolicy{}.Resolve(pools) != nil) })
	})
}

func found(one bool) error {
	if !one {
		return sql.ErrNoRows
	}
	return nil
}
