package wanobjectcache_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/wanobjectcache"
)

// witness notes what a loader found to be the old value.
type witness struct {
	value int
	asOf  time.Time
	ok    bool
}

func (x *witness) watch(o *options) {
	next := o.Load
	o.Load = func(ctx context.Context, id string) (int, error) {
		x.value, x.asOf, x.ok = wanobjectcache.Previous[int](ctx)
		return next(ctx, id)
	}
}

// T33 to T35
func TestGetLoadsOnceUntilNewTagsCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var old witness
		g, l := numbers(t, w.cache, func(o *options) {
			o.TTL = 30 * time.Second
			o.TTLFor = func(string, int) time.Duration { return 20 * time.Second }
			old.watch(o)
		})
		want(t, fetch(t, g, "1"), 1, wanobjectcache.MissCompute)
		began := time.Now()
		if r := peek(t, g, "1"); old.ok || r.TTL != 20*time.Second || !r.AsOf.Equal(began) {
			t.Errorf("an old value %+v, now %+v", old, r)
		}
		want(t, fetch(t, g, "1"), 1, wanobjectcache.HitGood)

		time.Sleep(time.Second)
		newTags, m := numbers(t, w.cache, tagged("a", "b"), old.watch)
		m.n.Store(10)
		want(t, fetch(t, newTags, "1"), 11, wanobjectcache.MissCompute)
		if !old.ok || old.value != 1 || !old.asOf.Equal(began) {
			t.Errorf("the old value: %+v", old)
		}
		for _, tag := range []string{"tag:a", "tag:b"} {
			if !w.store.item(wire(tag, "t")).Found {
				t.Errorf("%s was not made", tag)
			}
		}
		if l.calls() != 1 {
			t.Errorf("%d loads", l.calls())
		}
	})
}

// T37, T38
func TestPreviousLivesAsLongAsStaleIfError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var old witness
		g, _ := numbers(t, w.cache, func(o *options) {
			o.TTL, o.StaleIfError = 30*time.Second, 50*time.Second
			old.watch(o)
		})
		fetch(t, g, "1")
		began := time.Now()
		time.Sleep(40 * time.Second)
		want(t, fetch(t, g, "1"), 2, wanobjectcache.MissCompute)
		if !old.ok || old.value != 1 || !old.asOf.Equal(began) {
			t.Errorf("after 40 s: %+v", old)
		}
		time.Sleep(260 * time.Second)
		want(t, fetch(t, g, "1"), 3, wanobjectcache.MissCompute)
		if old.ok {
			t.Errorf("after 260 s: %+v", old)
		}
	})
}

// Previous is the loader's own: not that of a load around it, and there is none of a purged key.
func TestPreviousIsOfTheOwnLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var old, inner, many witness
		other, _ := numbers(t, w.cache, inner.watch)
		several, _ := numbers(t, w.cache, func(o *options) {
			o.LoadMany = func(ctx context.Context, ids []string) (map[string]int, error) {
				many.value, many.asOf, many.ok = wanobjectcache.Previous[int](ctx)
				return map[string]int{ids[0]: 1}, nil
			}
		})
		g, _ := numbers(t, w.cache, func(o *options) {
			o.TTL, o.StaleIfError = time.Second, time.Minute
			o.Load = func(ctx context.Context, _ string) (int, error) {
				if _, err := other.Get(ctx, "inner"); err != nil {
					return 0, err
				}
				if _, err := several.GetMany(ctx, []string{"many"}); err != nil {
					return 0, err
				}
				old.value, old.asOf, old.ok = wanobjectcache.Previous[int](ctx)
				return 7, nil
			}
		})
		fetch(t, g, "1")
		time.Sleep(2 * time.Second)
		w.store.Evict(wire("g:inner", "v"))
		w.store.Evict(wire("g:many", "v"))
		fetch(t, g, "1")
		if !old.ok || inner.ok || many.ok {
			t.Errorf("own %+v, inner %+v, of LoadMany %+v", old, inner, many)
		}
		remove(t, g, "1")
		time.Sleep(ms)
		fetch(t, g, "1")
		if old.ok {
			t.Errorf("of a purged key: %+v", old)
		}
		time.Sleep(200 * ms)
		fetch(t, g, "1")
		if !old.ok || old.value != 7 {
			t.Errorf("of an interim value: %+v", old)
		}
		if _, _, ok := wanobjectcache.Previous[string](t.Context()); ok {
			t.Error("outside of a load")
		}
	})
}

// always wins every die that has a chance.
func always(o *wanobjectcache.Options) { o.Rand = func() float64 { return 0 } }

// T42
func TestGetWithLoadsInLineWhenADieIsWon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, always)
		g, _ := numbers(t, w.cache, func(o *options) { o.TTL, o.LowTTL = 30*time.Second, 0 })
		fetch(t, g, "1")
		time.Sleep(time.Second)
		take(w.seen, &w.seen.fetches)
		running := true
		v, err := g.GetWith(t.Context(), "1", func(context.Context) (int, error) {
			if !running {
				t.Error("the loader runs after GetWith has returned")
			}
			return 70, nil
		})
		running = false
		if v != 70 || err != nil {
			t.Errorf("got %v, %v", v, err)
		}
		synctest.Wait()
		if f := take(w.seen, &w.seen.fetches); len(f) != 1 || f[0].Outcome != wanobjectcache.MissCompute {
			t.Errorf("told as %+v", f)
		}
		if r := peek(t, g, "1"); r.Value != 70 {
			t.Errorf("stored: %+v", r)
		}
	})
}

// T43
func TestGetRefreshesInTheBackgroundWhenADieIsWon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, always)
		g, l := numbers(t, w.cache, func(o *options) {
			o.TTL, o.LowTTL = 30*time.Second, 0
			next := o.Load
			o.Load = func(ctx context.Context, id string) (int, error) {
				time.Sleep(100 * ms)
				return next(ctx, id)
			}
		})
		fetch(t, g, "1")
		time.Sleep(time.Second)
		take(w.seen, &w.seen.fetches)
		for range 5 {
			want(t, fetch(t, g, "1"), 1, wanobjectcache.HitRefresh)
		}
		synctest.Wait()
		if w.store.item(wire("g:1", "m")).Found {
			t.Error("a refresh takes no lock")
		}
		time.Sleep(200 * ms)
		if r := peek(t, g, "1"); r.Value != 2 {
			t.Errorf("after the refresh: %+v", r)
		}
		if l.calls() != 2 {
			t.Errorf("%d loads", l.calls())
		}
		renewed := 0
		for _, f := range take(w.seen, &w.seen.fetches) {
			if f.Outcome == wanobjectcache.RenewCompute {
				renewed++
			}
		}
		if renewed != 1 {
			t.Errorf("%d refreshes told", renewed)
		}
	})
}

// A refresh ends when the key has been purged meanwhile.
func TestRefreshOfAPurgedKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, always)
		another, _ := w.process()
		other, _ := numbers(t, another)
		g, l := numbers(t, w.cache, func(o *options) { o.TTL, o.LowTTL = 30*time.Second, 0 })
		fetch(t, g, "1")
		time.Sleep(time.Second)
		reads := 0
		w.store.before = func(op, _ string) error {
			if op == "get" {
				if reads++; reads == 2 {
					remove(t, other, "1")
				}
			}
			return nil
		}
		want(t, fetch(t, g, "1"), 1, wanobjectcache.HitRefresh)
		synctest.Wait()
		if l.calls() != 1 {
			t.Errorf("%d loads", l.calls())
		}
	})
}

// A refresh that is under way when its key is purged stores nothing.
func TestPurgeDuringARefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, always)
		release := make(chan struct{})
		g, l := numbers(t, w.cache, func(o *options) {
			o.TTL, o.LowTTL = 30*time.Second, 0
			next := o.Load
			o.Load = func(ctx context.Context, id string) (int, error) {
				v, err := next(ctx, id)
				if v == 2 {
					<-release
				}
				return v, err
			}
		})
		fetch(t, g, "1")
		time.Sleep(time.Second)
		fetch(t, g, "1")
		synctest.Wait()
		remove(t, g, "1")
		close(release)
		synctest.Wait()
		if fill := w.seen.lastFill(); fill != wanobjectcache.FillPurged || l.calls() != 2 {
			t.Errorf("%s after %d loads", fill, l.calls())
		}
	})
}

func TestRefreshesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, always, func(o *wanobjectcache.Options) { o.MaxRefreshes, o.RefreshTimeout = 2, 3*time.Second })
		var background atomic.Bool
		g, _ := numbers(t, w.cache, func(o *options) {
			o.TTL, o.LowTTL = time.Minute, 0
			next := o.Load
			o.Load = func(ctx context.Context, id string) (int, error) {
				if background.Load() {
					<-ctx.Done()
					return 0, ctx.Err()
				}
				return next(ctx, id)
			}
		})
		ids := []string{"1", "2", "3", "4"}
		for _, id := range ids {
			fetch(t, g, id)
		}
		time.Sleep(time.Second)
		background.Store(true)
		for _, id := range ids {
			if r := fetch(t, g, id); r.Outcome != wanobjectcache.HitRefresh {
				t.Errorf("%s: %+v", id, r)
			}
		}
		synctest.Wait()
		if n := w.seen.warned(wanobjectcache.RefreshDropped); n != 2 {
			t.Errorf("%d dropped", n)
		}
		if e := w.cache.Explain(t.Context()); e.Refreshes != 2 {
			t.Errorf("Explain shows %d refreshes", e.Refreshes)
		}
		time.Sleep(3 * time.Second) // RefreshTimeout
		synctest.Wait()
		if e := w.cache.Explain(t.Context()); e.Refreshes != 0 {
			t.Errorf("after RefreshTimeout there are %d refreshes", e.Refreshes)
		}
	})
}

// Who has joined a refresh that runs into RefreshTimeout loads himself.
func TestRefreshRunsOutOfTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, always, func(o *wanobjectcache.Options) { o.RefreshTimeout = time.Minute })
		var hang atomic.Bool
		g, _ := numbers(t, w.cache, func(o *options) {
			o.TTL, o.LowTTL = 30*time.Second, 0
			next := o.Load
			o.Load = func(ctx context.Context, id string) (int, error) {
				if hang.CompareAndSwap(true, false) {
					<-ctx.Done()
					return 0, ctx.Err()
				}
				return next(ctx, id)
			}
		})
		fetch(t, g, "1")
		time.Sleep(time.Second)
		hang.Store(true)
		want(t, fetch(t, g, "1"), 1, wanobjectcache.HitRefresh)
		time.Sleep(30 * time.Second)
		began := time.Now()
		want(t, fetch(t, g, "1"), 2, wanobjectcache.MissCompute)
		if took := time.Since(began); took != 30*time.Second {
			t.Errorf("it waited %v", took)
		}
	})
}

// A refresh sees the values of the context that began it, and not its end.
func TestRefreshOutlivesItsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		w := newWorld(t, always)
		var value any
		g, _ := numbers(t, w.cache, func(o *options) {
			o.TTL, o.LowTTL = 30*time.Second, 0
			next := o.Load
			o.Load = func(ctx context.Context, id string) (int, error) {
				time.Sleep(time.Second)
				value = ctx.Value(key{})
				if ctx.Err() != nil {
					return 0, ctx.Err()
				}
				return next(ctx, id)
			}
		})
		fetch(t, g, "1")
		time.Sleep(time.Second)
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "request"))
		if _, err := g.Get(ctx, "1"); err != nil {
			t.Fatal(err)
		}
		cancel()
		time.Sleep(2 * time.Second)
		if r := peek(t, g, "1"); r.Value != 2 || value != "request" {
			t.Errorf("%+v, %v", r, value)
		}
	})
}

// T55
func TestNewTagWhileAnotherLoads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, _ := numbers(t, w.cache)
		fetch(t, g, "1")
		time.Sleep(time.Second)
		w.lockedByAnother("g:1")
		newTag, l := numbers(t, w.cache, tagged("new"), func(o *options) { o.StaleWhileLocked = 5 * time.Second })
		r := fetch(t, newTag, "1")
		want(t, r, 1, wanobjectcache.HitStale)
		if !r.Stale || l.calls() != 0 {
			t.Errorf("%+v after %d loads", r, l.calls())
		}
	})
}

// G14
func TestChances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dice := rand.New(rand.NewPCG(1, 2))
		w := newWorld(t, func(o *wanobjectcache.Options) { o.Rand = dice.Float64 })
		const tries = 20000
		won := func(change func(*options), age time.Duration) float64 {
			w.store.Flush()
			g, _ := numbers(t, w.cache, change, func(o *options) {
				o.TTLFor = func(_ string, v int) time.Duration {
					if v > 1 {
						return -1 // so that the value stays as it is
					}
					return 0
				}
			})
			fetch(t, g, "1")
			time.Sleep(age)
			n := 0
			for range tries {
				if fetch(t, g, "1").Outcome == wanobjectcache.HitRefresh {
					n++
					synctest.Wait()
				}
			}
			return float64(n) / tries
		}
		expiring := won(func(o *options) { o.TTL, o.LowTTL = time.Hour, 0 }, time.Hour-30*time.Second)
		if expiring < 0.0625-0.006 || expiring > 0.0625+0.006 {
			t.Errorf("with half of the window left: %v", expiring)
		}
		popular := won(func(o *options) { o.AgeNew = 0 }, 90*time.Second)
		if popular < 0.4/825 || popular > 1.8/825 {
			t.Errorf("for its popularity: 1/%.0f", 1/popular)
		}
		if p := won(func(o *options) { o.AgeNew = 0 }, 60*time.Second); p != 0 {
			t.Errorf("at AgeNew: %v", p)
		}
	})
}

func TestNegativeResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		calls := 0
		notThere := func(context.Context, string) (int, error) {
			calls++
			return 0, errors.Join(errors.New("select"), wanobjectcache.ErrNotFound)
		}
		off, _ := numbers(t, w.cache, func(o *options) { o.Load = notThere })
		for range 2 {
			r := fetch(t, off, "1")
			if r.Found || r.Err != nil || r.Stale || r.Outcome != wanobjectcache.MissCompute {
				t.Errorf("not cached: %+v", r)
			}
		}
		if calls != 2 {
			t.Errorf("%d loads without NegativeTTL", calls)
		}
		if _, err := off.Get(t.Context(), "1"); !errors.Is(err, wanobjectcache.ErrNotFound) {
			t.Errorf("Get: %v", err)
		}

		calls = 0
		on, _ := numbers(t, w.cache, func(o *options) { o.Load, o.NegativeTTL = notThere, 10*time.Second })
		fetch(t, on, "2")
		r := fetch(t, on, "2")
		if calls != 1 || r.Found || r.State != wanobjectcache.Fresh || r.Outcome != wanobjectcache.HitGood || r.TTL != 10*time.Second {
			t.Errorf("cached: %+v after %d loads", r, calls)
		}
		if _, err := on.Get(t.Context(), "2"); !errors.Is(err, wanobjectcache.ErrNotFound) {
			t.Errorf("Get from the cache: %v", err)
		}
		if p := peek(t, on, "2"); p.Found || p.State != wanobjectcache.Fresh {
			t.Errorf("Peek: %+v", p)
		}
		time.Sleep(10 * time.Second)
		fetch(t, on, "2")
		if calls != 2 {
			t.Errorf("%d loads after NegativeTTL", calls)
		}
		remove(t, on, "2")
		if p := peek(t, on, "2"); p.State != wanobjectcache.Purged {
			t.Errorf("purged: %+v", p)
		}
		if fill := w.seen.lastFill(); fill != wanobjectcache.FillStored {
			t.Errorf("stored as %s", fill)
		}
	})
}

// TTLFor that says "do not store" is obeyed.
func TestUncacheable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, _ := numbers(t, w.cache, func(o *options) { o.TTLFor = func(string, int) time.Duration { return -1 } })
		for i := range 2 {
			want(t, fetch(t, g, "1"), i+1, wanobjectcache.MissCompute)
		}
		if w.store.item(wire("g:1", "v")).Found || w.seen.lastFill() != wanobjectcache.FillUncacheable {
			t.Errorf("stored: %s", w.seen.lastFill())
		}
	})
}
