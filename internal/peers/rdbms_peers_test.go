package peers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bxcodec/dbresolver/v2"
	gormmysql "gorm.io/driver/mysql"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
	gormresolver "gorm.io/plugin/dbresolver"

	"github.com/multidc/multidc/rdbms"
)

// peer is a library that spreads reads over two replicas, set up as its README says, with the driver's defaults and a
// timeout for connecting of 5 s. request begins what belongs together, and fresh asks for reads that are at most bound old,
// where the library knows such a thing.
type peer struct {
	name    string
	request func(context.Context) context.Context
	fresh   func(context.Context) context.Context
	read    func(ctx context.Context, query string, into ...any) error
	write   func(ctx context.Context, query string, args ...any) error
}

// What a dead, a hanging and a lagging replica do to the callers: the same outage at the same time for all three. The table
// goes to the log, as Markdown. What is ours must be without a fault; the others' is only counted.
func TestRingPeers(t *testing.T) {
	r := newRing(t, ptHeartbeat)
	config := r.config(a1, a2, b1)
	config.Servers[2].DC = "a" // the others know no DCs
	config.Servers[2].DSN = strings.Replace(r.dsn(a1), r.Var("MARIADB_A"), r.Var("MARIADB_B"), 1)
	w := watch(t, config, rdbms.Options{MaxLag: maxLag, Wait: 10 * time.Second})
	w.calibrated(t, a2, b1)
	var dsns []string
	for _, s := range config.Servers {
		dsns = append(dsns, s.DSN)
	}
	c := &comparison{ring: r, clock: new(ledger), peers: []peer{ours(w), bxcodec(t, dsns), gormResolver(t, dsns)}}
	primary := connect(t, r.dsn(a1))
	if err := c.clock.bump(t.Context(), primary); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{a2, b1} {
		await(t, r.admin[s], "SELECT COUNT(*) FROM wiki.kv WHERE k = 'clock'", is("1"))
	}
	l := newLoad(t)
	l.every(5*time.Millisecond, func(ctx context.Context) {
		if err := c.clock.bump(ctx, primary); err != nil && ctx.Err() == nil {
			l.fail("writing: %v", err)
		}
	})

	c.all(func(p peer) outcome { return c.reads(t.Context(), p, 100, enough) }) // connections are there
	c.own(t)
	c.killed(t, w)
	c.hanging(t, w)
	c.lagging(t, w)
	t.Log("\n" + c.table())
}

func ours(w *watched) peer {
	return peer{
		"multidc", rdbms.WithScope, func(ctx context.Context) context.Context { return rdbms.WithMaxStaleness(ctx, bound) },
		func(ctx context.Context, query string, into ...any) error {
			return w.Replica().QueryRowContext(ctx, query).Scan(into...)
		},
		func(ctx context.Context, query string, args ...any) error {
			_, err := w.Primary().ExecContext(ctx, query, args...)
			return err
		},
	}
}

func sameContext(ctx context.Context) context.Context { return ctx }

func bxcodec(t *testing.T, dsns []string) peer {
	t.Helper()
	var dbs []*sql.DB
	for _, dsn := range dsns {
		db, err := sql.Open("mysql", dsn)
		if err != nil {
			t.Fatal(err)
		}
		dbs = append(dbs, db)
	}
	db := dbresolver.New(dbresolver.WithPrimaryDBs(dbs[0]), dbresolver.WithReplicaDBs(dbs[1:]...),
		dbresolver.WithLoadBalancer(dbresolver.RoundRobinLB))
	t.Cleanup(func() { _ = db.Close() })
	return peer{
		"bxcodec/dbresolver, round robin", sameContext, sameContext,
		func(ctx context.Context, query string, into ...any) error {
			return db.QueryRowContext(ctx, query).Scan(into...)
		},
		func(ctx context.Context, query string, args ...any) error {
			_, err := db.ExecContext(ctx, query, args...)
			return err
		},
	}
}

func gormResolver(t *testing.T, dsns []string) peer {
	t.Helper()
	g, err := gorm.Open(gormmysql.Open(dsns[0]), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		t.Fatal(err)
	}
	resolver := gormresolver.Register(gormresolver.Config{
		Replicas: []gorm.Dialector{gormmysql.Open(dsns[1]), gormmysql.Open(dsns[2])}, Policy: gormresolver.RandomPolicy{},
	})
	if err := g.Use(resolver); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		closeAll := func(pool gorm.ConnPool) error {
			db, ok := pool.(*sql.DB)
			if !ok {
				return fmt.Errorf("a pool is a %T", pool)
			}
			return db.Close()
		}
		if err := errors.Join(resolver.Call(closeAll), closeAll(g.ConnPool)); err != nil {
			t.Error(err)
		}
	})
	return peer{
		"gorm/dbresolver, random", sameContext, sameContext,
		func(ctx context.Context, query string, into ...any) error {
			return g.WithContext(ctx).Raw(query).Row().Scan(into...)
		},
		func(ctx context.Context, query string, args ...any) error {
			return g.WithContext(ctx).Exec(query, args...).Error
		},
	}
}

// enough is a deadline that only what hangs exceeds.
const enough = 10 * time.Second

// comparison is the peers over one ring, and what was found.
type comparison struct {
	*ring

	clock *ledger
	peers []peer
	rows  []row
}

// outcome is what a number of reads gave.
type outcome struct {
	reads, failed, old int
	lastFailed         int // counted from 1
	by                 map[string]int
	took               time.Duration
	err                error // of the last that failed
}

// all lets the peers do something at the same time.
func (c *comparison) all(do func(peer) outcome) []outcome {
	found := make([]outcome, len(c.peers))
	var together sync.WaitGroup
	for i, p := range c.peers {
		together.Go(func() { found[i] = do(p) })
	}
	together.Wait()
	return found
}

// add writes a line of the table.
func (c *comparison) add(what string, found []outcome, show func(outcome) string) {
	r := row{what: what}
	for _, o := range found {
		r.of = append(r.of, show(o))
	}
	c.rows = append(c.rows, r)
}

// reads reads the clock again and again, each time as a request of its own.
func (c *comparison) reads(ctx context.Context, p peer, n int, within time.Duration) outcome {
	o := outcome{by: map[string]int{}}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range n {
		within, cancel := context.WithTimeout(p.request(ctx), within)
		var id string
		var v int64
		began := time.Now()
		err := p.read(within, clockQuery, &id, &v)
		cancel()
		if o.reads++; err != nil {
			o.failed++
			o.lastFailed, o.err = o.reads, err
		} else {
			o.by[nameOf(id)]++
			if c.clock.age(v, began) > bound {
				o.old++
			}
		}
		<-tick.C
	}
	return o
}

func failed(o outcome) string { return fmt.Sprintf("%d of %d", o.failed, o.reads) }
func old(o outcome) string    { return fmt.Sprintf("%d of %d", o.old, o.reads) }

func lastFailed(o outcome) string {
	if o.failed == 0 {
		return "none"
	}
	return fmt.Sprintf("no. %d of %d", o.lastFailed, o.reads)
}

// own: what a request has written it reads back at once.
func (c *comparison) own(t *testing.T) {
	t.Helper()
	const n = 100
	found := c.all(func(p peer) outcome {
		o := outcome{reads: n}
		for i := range n {
			ctx, k, v := p.request(t.Context()), "own "+p.name[:4], 0
			if err := p.write(ctx, "REPLACE INTO kv VALUES (?, ?)", k, i+1); err != nil {
				t.Errorf("%s: %v", p.name, err)
			}
			switch err := p.read(ctx, "SELECT v FROM kv WHERE k = '"+k+"'", &v); {
			case err != nil && !errors.Is(err, sql.ErrNoRows):
				o.failed, o.err = o.failed+1, err
			case v != i+1:
				o.old++
			}
		}
		return o
	})
	c.add("healthy: own write read back at once, not seen", found, old)
	if o := found[0]; o.old > 0 || o.failed > 0 {
		t.Errorf("ours misses %d own writes, %d reads failed: %v", o.old, o.failed, o.err)
	}
}

func (c *comparison) killed(t *testing.T, w *watched) {
	t.Helper()
	c.process(a2).Stop()
	found := c.all(func(p peer) outcome { return c.reads(t.Context(), p, 400, enough) })
	const what = "one of two replicas killed: "
	c.add(what+"reads failed", found, failed)
	c.add(what+"the last that failed", found, lastFailed)
	c.add(what+"reads that the primary got", found, func(o outcome) string { return fmt.Sprintf("%d of %d", o.by[a1], o.reads) })
	if o := found[0]; o.failed > 0 || o.by[a1] > 0 {
		t.Errorf("of ours %d failed, %d went to the primary: %v", o.failed, o.by[a1], o.err)
	}
	w.are(t, rdbms.HealthDown, a2)
	c.process(a2).Start()
	began := time.Now()
	back := c.all(func(p peer) outcome {
		o := outcome{by: map[string]int{}}
		for o.by[a2] == 0 && o.reads < 10_000 {
			once := c.reads(t.Context(), p, 1, enough)
			o.by[a2] += once.by[a2]
			o.reads++
		}
		o.took = time.Since(began)
		return o
	})
	c.add("started again: the first read that it answers", back, func(o outcome) string {
		return fmt.Sprintf("no. %d, after %v", o.reads, o.took.Round(10*time.Millisecond))
	})
	w.calibrated(t, a2)
}

func (c *comparison) hanging(t *testing.T, w *watched) {
	t.Helper()
	c.process(a2).Pause()
	found := c.all(func(p peer) outcome { return c.reads(t.Context(), p, 120, 50*time.Millisecond) })
	c.process(a2).Resume()
	c.add("one of two replicas hangs, reads have 50 ms: failed", found, failed)
	c.add("one of two replicas hangs: the last that failed", found, lastFailed)
	w.calibrated(t, a2)
}

func (c *comparison) lagging(t *testing.T, w *watched) {
	t.Helper()
	exec(t, c.admin[a2], "STOP SLAVE SQL_THREAD")
	found := c.all(func(p peer) outcome { return c.reads(p.fresh(t.Context()), p, 500, enough) })
	exec(t, c.admin[a2], "START SLAVE SQL_THREAD")
	c.add(fmt.Sprintf("one of two replicas stops applying: reads more than %v old", bound), found, old)
	c.add("one of two replicas stops applying: reads failed", found, failed)
	if o := found[0]; o.old > 0 || o.failed > 0 && !isTooStale(o.err) { // told so, it is no fault
		t.Errorf("of ours %d were too old, %d failed: %v", o.old, o.failed, o.err)
	}
	w.calibrated(t, a2)
}

func (c *comparison) table() string {
	var names []string
	for _, p := range c.peers {
		names = append(names, p.name)
	}
	return markdown(names, c.rows)
}
