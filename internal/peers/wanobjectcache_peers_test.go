package peers

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/multidc/multidc/internal/testservers"
	"github.com/multidc/multidc/wanobjectcache"
)

// What wanobjectcache does beside two caches for one process: the same jobs for all. The table goes to the log, as
// Markdown. What is ours must load once, and keep nothing stale; the others' is only counted.
func TestWANObjectCachePeers(t *testing.T) {
	servers := testservers.Memcached(t) // of its own: a herd takes most of the connections that a server allows
	c := &cacheComparison{makers: []maker{
		onStores("multidc, Memory", func(*testing.T) (a, b wanobjectcache.Store) {
			return wanobjectcache.NewMemory(nil), wanobjectcache.NewMemory(nil)
		}),
		onStores("multidc, memcached", func(t *testing.T) (a, b wanobjectcache.Store) {
			return pooled(t, servers.Vars("MEMCACHED_A")), pooled(t, servers.Vars("MEMCACHED_B"))
		}),
		sturdy(t), otters(t),
	}}
	c.hits(t)
	c.herds(t)
	c.batches(t)
	c.races(t)
	c.elsewhere(t)
	var names []string
	for _, m := range c.makers {
		names = append(names, m.name)
	}
	t.Log("\n" + markdown(names, c.rows))
}

// cacheComparison is the libraries, ours first, and what was found.
type cacheComparison struct {
	makers []maker
	rows   []row
}

const oursAmong = 2 // the first two

// add writes a line of the table.
func (c *cacheComparison) add(what string, found []int, of string) {
	r := row{what: what}
	for _, n := range found {
		r.of = append(r.of, strconv.Itoa(n)+of)
	}
	c.rows = append(c.rows, r)
}

// must checks what ours has found.
func (c *cacheComparison) must(t *testing.T, what string, found []int, want int) {
	t.Helper()
	for i, n := range found[:oursAmong] {
		if n != want {
			t.Errorf("%s: %s: %d, want %d", c.makers[i].name, what, n, want)
		}
	}
}

// hits: the time and allocations of a hit of 1 KiB, by turns.
func (c *cacheComparison) hits(t *testing.T) {
	t.Helper()
	var jobs []func() error
	for _, m := range c.makers {
		db := &counting{value: make([]byte, 1<<10)}
		a, _ := m.make(t, db.database())
		get := a.getter("hit")
		job := func() error { return get(t.Context()) }
		if err := job(); err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, job)
	}
	how, left := turns{calls: 100}, 200
	took := how.fastest(t, func() bool { left--; return left >= 0 }, jobs...)
	r := row{what: "hit of 1 KiB" + withRace()}
	for i, job := range jobs {
		count, _ := how.allocated(t, job)
		r.of = append(r.of, fmt.Sprintf("%d ns, %v allocs", took[i].Nanoseconds(), count))
	}
	c.rows = append(c.rows, r)
}

// withRace says so of times that are not to be published.
func withRace() string {
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		return " (under the race detector, which slows it)"
	}
	return ""
}

// counting is a database without replicas, which counts the calls of loaders, and may be slow.
type counting struct {
	value []byte
	slow  time.Duration
	calls atomic.Int32
}

func (c *counting) database() database {
	wait := func(ctx context.Context) error {
		wanobjectcache.Report(ctx, wanobjectcache.Facts{})
		c.calls.Add(1)
		return pause(ctx, c.slow)
	}
	return database{
		one: func(ctx context.Context, _ string) ([]byte, error) { return c.value, wait(ctx) },
		many: func(ctx context.Context, ids []string) (map[string][]byte, error) {
			values := map[string][]byte{}
			for _, id := range ids {
				values[id] = c.value
			}
			return values, wait(ctx)
		},
	}
}

func pause(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return nil
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// herds: how often one key is loaded that 1,000 goroutines ask for.
func (c *cacheComparison) herds(t *testing.T) {
	t.Helper()
	var calls []int
	for _, m := range c.makers {
		db := &counting{value: []byte("value"), slow: 50 * time.Millisecond}
		a, _ := m.make(t, db.database())
		together(t, 1000, func(int) error {
			_, err := a.get(t.Context(), "herd")
			return err
		})
		calls = append(calls, int(db.calls.Load()))
	}
	c.add("1,000 goroutines ask for a cold key: loader calls", calls, "")
	c.must(t, "loader calls of a herd", calls, 1)
}

// together calls f by n goroutines, which begin at the same time.
func together(t *testing.T, n int, f func(i int) error) {
	t.Helper()
	var begun, all sync.WaitGroup
	begun.Add(n)
	for i := range n {
		all.Go(func() {
			begun.Done()
			begun.Wait()
			if err := f(i); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// batches: how many loader calls 100 cold ids are, for one who asks for them all, and for ten at the same time.
func (c *cacheComparison) batches(t *testing.T) {
	t.Helper()
	for _, n := range []int{1, 10} {
		ids := names(fmt.Sprintf("batch for %d", n), 100)
		var calls []int
		for _, m := range c.makers {
			db := &counting{value: []byte("value"), slow: 50 * time.Millisecond}
			a, _ := m.make(t, db.database())
			together(t, n, func(int) error {
				values, err := a.getMany(t.Context(), ids)
				return all(len(ids), len(values), err)
			})
			calls = append(calls, int(db.calls.Load()))
		}
		if n == 1 {
			c.add("a batch of 100 cold ids: loader calls", calls, "")
			c.must(t, "loader calls of a batch", calls, 1)
		} else {
			c.add(fmt.Sprintf("%d goroutines ask for such a batch: loader calls", n), calls, "")
		}
	}
}

func names(of string, n int) (ids []string) {
	for i := range n {
		ids = append(ids, fmt.Sprintf("%s %d", of, i))
	}
	return ids
}

// elsewhere: how many of 100 rows that were changed, and invalidated in one process, another one in another DC no longer
// serves.
func (c *cacheComparison) elsewhere(t *testing.T) {
	t.Helper()
	ids := names("elsewhere", 100)
	var reached []int
	for _, m := range c.makers {
		r := newReplica()
		close(r.gate)
		a, b := m.make(t, r.database())
		readAll(t, a, ids)
		readAll(t, b, ids)
		r.change()
		r.catchUp()
		for _, id := range ids {
			if err := a.invalidate(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		reached = append(reached, len(ids)-readAll(t, b, ids))
	}
	c.add("rows changed and invalidated in one process: another one, in another DC, serves the new", reached, " of 100")
	c.must(t, "invalidations that reach another DC", reached, len(ids))
}
