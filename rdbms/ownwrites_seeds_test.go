package rdbms_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/multidc/multidc/internal/sim"
	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/rdbmstest"
)

// Nobody misses an own write in silence: whatever happens to the servers (lags of 0 to 5 s, replication that stops,
// restarts, rebuilds, planned promotions), a request that requires what an earlier one wrote sees it, or is told that it
// does not: by ErrNotCaughtUp if it wants that, else by Lagged.
func TestOwnWritesSeeds(t *testing.T) {
	t.Parallel()
	var seen, flagged, failed atomic.Int64
	sim.Run(t, []string{"a", "b"}, func(t *testing.T, w *sim.World) {
		world := newWritersWorld(t, w)
		var all sync.WaitGroup
		for i := range 3 {
			all.Go(func() { world.client(i) })
		}
		all.Go(world.chaos)
		all.Wait()
		seen.Add(world.seen.Load())
		flagged.Add(world.flagged.Load())
		failed.Add(world.failed.Load())
	})
	t.Logf("%d reads saw the own write, %d were flagged, %d failed", seen.Load(), flagged.Load(), failed.Load())
	if !t.Failed() && (seen.Load() == 0 || failed.Load() > seen.Load()) {
		t.Error("that proves little")
	}
}

// writersWorld is two DCs, each with a cluster of its own over the same servers.
type writersWorld struct {
	*testing.T

	sim      *sim.World
	fake     *rdbmstest.Cluster
	clusters map[string]*rdbms.Cluster
	names    []string
	circular bool
	ends     time.Time

	seen, flagged, failed atomic.Int64
}

func newWritersWorld(t *testing.T, w *sim.World) *writersWorld {
	t.Helper()
	dice := w.Rand("world")
	servers := []rdbmstest.Server{{Name: "a1"}, {Name: "a2"}, {Name: "b1", DC: "b"}, {Name: "b2", DC: "b"}}
	world := &writersWorld{T: t, sim: w, clusters: map[string]*rdbms.Cluster{}, circular: dice.IntN(2) == 0}
	if world.circular {
		servers[0].From, servers[2].From, servers[3].From = "b1", "a1", "b1"
	}
	world.fake = rdbmstest.New(t, servers...)
	world.fake.Seed(w.Seed())
	for _, s := range servers {
		world.names = append(world.names, s.Name)
		world.fake.Set(s.Name, func(k *rdbmstest.Knobs) {
			k.Lag, k.Latency = time.Duration(dice.Int64N(int64(5*time.Second))), time.Duration(1+dice.Int64N(int64(60*time.Millisecond)))
		})
	}
	w.Skew("b", time.Duration(dice.Int64N(int64(4*time.Second)))-2*time.Second)
	for _, dc := range w.DCs() {
		world.clusters[dc] = open(t, world.fake, func(_ *rdbms.Config, o *rdbms.Options) { o.DC, o.Now, o.Logger = dc, w.Clock(dc), nil })
	}
	var settled sync.WaitGroup
	for _, dc := range w.DCs() {
		settled.Go(func() { run(t, world.clusters[dc]) })
	}
	settled.Wait()
	world.ends = time.Now().Add(20 * time.Second)
	return world
}

// client writes and reads, in one request and the next, here and there.
func (w *writersWorld) client(i int) {
	name := fmt.Sprintf("client %d", i)
	dice := w.sim.Rand(name)
	confirmed := 0
	for n := 1; time.Now().Before(w.ends); n++ {
		w.sim.Pause(name, 2*time.Second)
		here, there := w.clusters[w.sim.DCs()[dice.IntN(2)]], w.clusters[w.sim.DCs()[dice.IntN(2)]]
		first := rdbms.WithScope(w.Context())
		failed := w.write(first, dice, here, name, n)
		if failed == nil {
			confirmed = n
		}
		if dice.IntN(3) == 0 {
			w.sim.Pause(name, 300*time.Millisecond)
		}
		if dice.IntN(2) == 0 && failed == nil {
			ctx, policy := w.policy(first, dice)
			w.read(ctx, dice, here, policy, name, confirmed, "")
		}
		wrote, position, asOf, err := here.Positions().Captured(first)
		if !wrote || position == "" || err != nil { // refused, or nobody could be asked: there is nothing to require
			continue
		}
		if dice.IntN(3) == 0 {
			w.sim.Pause(name, time.Second)
		}
		second := rdbms.WithScope(w.Context())
		_, policy := w.policy(second, dice)
		if err := there.Positions().Require(second, position, asOf, time.Duration(dice.Int64N(int64(2*time.Second))), string(policy)); err != nil {
			w.Errorf("Require: %v", err)
		}
		for range 1 + dice.IntN(3) {
			w.read(second, dice, there, policy, name, confirmed, position)
			w.sim.Pause(name, 100*time.Millisecond)
		}
	}
}

func (w *writersWorld) write(ctx context.Context, dice *rand.Rand, c *rdbms.Cluster, key string, n int) error {
	if dice.IntN(2) == 0 {
		return put(ctx, c.Primary(), key, strconv.Itoa(n))
	}
	tx, err := c.Auto().BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := put2(ctx, tx, key, strconv.Itoa(n)); err != nil {
		_ = tx.Rollback()
		return err
	}
	return tx.Commit()
}

func put2(ctx context.Context, tx *sql.Tx, key, value string) error {
	_, err := tx.ExecContext(ctx, "REPLACE INTO kv (k, v) VALUES (?, ?)", key, value)
	return err
}

func (*writersWorld) policy(ctx context.Context, dice *rand.Rand) (context.Context, rdbms.TimeoutPolicy) {
	policy := []rdbms.TimeoutPolicy{rdbms.OnTimeoutPrimary, rdbms.OnTimeoutStale, rdbms.OnTimeoutError}[dice.IntN(3)]
	return rdbms.WithOnTimeout(ctx, policy, 0), policy
}

// read reads in one of the ways that there are, and checks what came. Without required the request itself wrote: if the
// position could not be read, there is none to fail for.
func (w *writersWorld) read(ctx context.Context, dice *rand.Rand, c *rdbms.Cluster, policy rdbms.TimeoutPolicy, key string, confirmed int, required string) {
	text, err := readSomehow(ctx, dice.IntN(4), c, key)
	value, _ := strconv.Atoi(text)
	lagged := c.Positions().Lagged(ctx)
	switch {
	case err != nil && !errors.Is(err, sql.ErrNoRows):
		w.failed.Add(1)
	case value >= confirmed:
		w.seen.Add(1)
	case policy == rdbms.OnTimeoutError && required != "":
		w.Errorf("at %v %s reads %d after it wrote %d, requiring %q, from %v, with policy error", time.Now().UTC().Format("05.000"), key, value, confirmed, required, c.Served(ctx))
	case lagged:
		w.flagged.Add(1)
	default:
		w.Errorf("at %v %s reads %d after it wrote %d, requiring %q, from %v, unflagged", time.Now().UTC().Format("05.000"), key, value, confirmed, required, c.Served(ctx))
	}
}

func readSomehow(ctx context.Context, way int, c *rdbms.Cluster, key string) (string, error) {
	switch way {
	case 0:
		return get(ctx, c.Replica(), key)
	case 1:
		return get(ctx, c.Auto(), key)
	case 2:
		tx, err := c.Replica().BeginTx(ctx, nil)
		if err != nil {
			return "", err
		}
		defer func() { _ = tx.Rollback() }()
		return getFrom(ctx, tx, key)
	}
	conn, err := c.Replica().Conn(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return getFrom(ctx, conn, key)
}

func getFrom(ctx context.Context, db querying, key string) (value string, err error) {
	err = db.QueryRowContext(ctx, "SELECT v FROM kv WHERE k = ?", key).Scan(&value)
	return value, err
}

// chaos turns knobs.
func (w *writersWorld) chaos() {
	dice := w.sim.Rand("chaos")
	for time.Now().Before(w.ends) {
		w.sim.Pause("chaos", 2*time.Second)
		server := w.names[dice.IntN(len(w.names))]
		switch dice.IntN(6) {
		case 0, 1:
			w.fake.Set(server, func(k *rdbmstest.Knobs) { k.Lag = time.Duration(dice.Int64N(int64(5 * time.Second))) })
		case 2:
			w.fake.Set(server, func(k *rdbmstest.Knobs) { k.StopApplying = !k.StopApplying })
		case 3:
			w.fake.Restart(server)
		case 4:
			w.rebuild(server, time.Duration(dice.Int64N(int64(3*time.Second))))
		case 5:
			w.promote(server)
		}
	}
}

// rebuild returns when the server has its copy. Whom others follow is not rebuilt: they would lose what it skips.
func (w *writersWorld) rebuild(server string, lag time.Duration) {
	if w.fake.Config().Primary == server || w.circular && (server == "a1" || server == "b1") {
		return
	}
	for _, name := range w.names { // its source has all
		w.fake.Set(name, func(k *rdbmstest.Knobs) { k.StopApplying = false })
	}
	w.fake.Set(server, func(k *rdbmstest.Knobs) { k.Lag = lag })
	w.fake.Rebuild(server)
	time.Sleep(lag + time.Second)
}

// promote moves the primary as planned: nothing is lost, and all who use it are told.
func (w *writersWorld) promote(server string) {
	if w.circular && server != "a1" && server != "b1" {
		return
	}
	for _, name := range w.names {
		w.fake.Set(name, func(k *rdbmstest.Knobs) { k.StopApplying = false })
	}
	w.fake.Promote(server)
	for dc, c := range w.clusters {
		if err := c.SetServers(w.fake.Config()); err != nil {
			w.Errorf("%s: %v", dc, err)
		}
	}
}
