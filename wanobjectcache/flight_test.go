package wanobjectcache_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/internal/freshness"
	"github.com/multidc/multidc/wanobjectcache"
)

// taking lets each load last.
func taking(d time.Duration) func(*options) {
	return func(o *options) {
		next := o.Load
		o.Load = func(ctx context.Context, id string) (int, error) {
			select {
			case <-time.After(d):
				return next(ctx, id)
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
	}
}

// G9, with fewer goroutines: one load in a DC for a cold key.
func TestHerd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, replicated)
		l := loads{}
		var callers sync.WaitGroup
		for range 8 {
			cache, _ := w.process(replicated)
			g, _ := numbers(t, cache, func(o *options) { o.Load = l.next }, taking(time.Second), func(o *options) {
				load := o.Load
				o.Load = func(ctx context.Context, id string) (int, error) {
					wanobjectcache.Report(ctx, wanobjectcache.Facts{})
					return load(ctx, id)
				}
			})
			for range 100 {
				callers.Go(func() {
					if r := fetch(t, g, "1"); r.Value != 1 || r.Stale {
						t.Errorf("got %+v", r)
					}
				})
			}
			callers.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 100*ms)
				defer cancel()
				began := time.Now()
				if _, err := g.Get(ctx, "1"); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 100*ms {
					t.Errorf("a caller in a hurry: %v after %v", err, time.Since(began))
				}
			})
		}
		callers.Wait()
		if l.calls() != 1 {
			t.Errorf("%d loads", l.calls())
		}
		w.isUnlocked("g:1")
	})
}

// Joined callers share the value, and what its loader reported.
func TestJoinedCallersHearTheFacts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, reported := range []bool{true, false} {
			w := newWorld(t)
			g, _ := numbers(t, w.cache, taking(time.Second), func(o *options) {
				load := o.Load
				o.Load = func(ctx context.Context, id string) (int, error) {
					if reported {
						wanobjectcache.Report(ctx, wanobjectcache.Facts{Lag: 2 * time.Second})
					}
					return load(ctx, id)
				}
			})
			var callers sync.WaitGroup
			for i := range 3 {
				callers.Go(func() {
					time.Sleep(time.Duration(i) * ms)
					var page freshness.Recorder
					r, err := g.Fetch(freshness.With(t.Context(), &page), "1")
					if how := []wanobjectcache.Outcome{wanobjectcache.MissCompute, wanobjectcache.MissJoined, wanobjectcache.MissJoined}[i]; r.Outcome != how || err != nil {
						t.Errorf("caller %d: %+v, %v", i, r, err)
					}
					if f, read := page.Facts(); read != reported || f.Lag != map[bool]time.Duration{true: 2 * time.Second}[reported] || f.Unknown {
						t.Errorf("caller %d was told %+v, %v", i, f, read)
					}
				})
			}
			callers.Wait()
		}
	})
}

// G7: when the last caller leaves, the load is cancelled and the lock is free.
func TestOnlyCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var cancelled atomic.Bool
		g, _ := numbers(t, w.cache, func(o *options) {
			o.Load = func(ctx context.Context, _ string) (int, error) {
				<-ctx.Done()
				cancelled.Store(true)
				return 0, ctx.Err()
			}
		})
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(errBroken) })
		if _, err := g.Get(ctx, "1"); !errors.Is(err, errBroken) {
			t.Errorf("error %v", err)
		}
		synctest.Wait()
		if !cancelled.Load() {
			t.Error("the load goes on")
		}
		w.isUnlocked("g:1")
		if e := w.cache.Explain(t.Context()); e.Groups[0].Loads != 0 {
			t.Errorf("Explain shows %d loads", e.Groups[0].Loads)
		}
	})
}

// The load goes on for those who have joined it, when its first caller leaves.
func TestFirstCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, l := numbers(t, w.cache, taking(time.Second))
		ctx, cancel := context.WithTimeout(t.Context(), 500*ms)
		defer cancel()
		first := make(chan error)
		go func() {
			_, err := g.Get(ctx, "1")
			first <- err
		}()
		time.Sleep(100 * ms)
		second := make(chan result)
		go func() { second <- fetch(t, g, "1") }()
		if err := <-first; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("first: %v", err)
		}
		want(t, <-second, 1, wanobjectcache.MissJoined)
		if l.calls() != 1 {
			t.Errorf("%d loads", l.calls())
		}
	})
}

// A caller whose context has ended already starts nothing.
func TestCallerThatHasLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, l := numbers(t, w.cache)
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errBroken)
		for range 100 {
			if _, err := g.Get(ctx, "1"); !errors.Is(err, errBroken) {
				t.Errorf("error %v", err)
			}
		}
		synctest.Wait()
		if l.calls() != 0 {
			t.Errorf("%d loads", l.calls())
		}
	})
}

// A caller that leaves while the lock is being taken leaves no lock behind, and starts no loader.
func TestCallerLeavesBeforeTheLoad(t *testing.T) {
	for _, op := range []string{"add", "get"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			g, l := numbers(t, w.cache)
			gets := 0
			w.store.after = func(o, _ string) error {
				if o == "get" {
					gets++
				}
				if o == op && (o == "add" || gets == 2) {
					time.Sleep(time.Second)
				}
				return nil
			}
			ctx, cancel := context.WithTimeout(t.Context(), 500*ms)
			defer cancel()
			if _, err := g.Get(ctx, "1"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v", err)
			}
			time.Sleep(2 * time.Second)
			if l.calls() != 0 {
				t.Error("a load began that nobody waited for")
			}
			w.isUnlocked("g:1")
		})
	}
}

// Nb: between a caller's first read and its lock another process has loaded.
func TestSecondReadFindsTheValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, l := numbers(t, w.cache)
		w.store.before = func(op, key string) error {
			if op == "add" && key == wire("g:1", "m") {
				w.store.set(func(f *faulty) { f.before = nil })
				other, _ := w.process()
				h, m := numbers(t, other)
				m.n.Store(10)
				fetch(t, h, "1")
			}
			return nil
		}
		r := fetch(t, g, "1")
		want(t, r, 11, wanobjectcache.MissWaited)
		if l.calls() != 0 {
			t.Errorf("%d loads", l.calls())
		}
		w.isUnlocked("g:1")
	})
}

// Nb, of a purged key.
func TestSecondReadFindsTheInterimValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, l := numbers(t, w.cache)
		remove(t, g, "1")
		time.Sleep(time.Second)
		w.store.before = func(op, key string) error {
			if op == "add" && key == wire("g:1", "m") {
				w.store.set(func(f *faulty) { f.before = nil })
				other, _ := w.process()
				h, m := numbers(t, other)
				m.n.Store(10)
				fetch(t, h, "1")
			}
			return nil
		}
		want(t, fetch(t, g, "1"), 11, wanobjectcache.MissWaited)
		if l.calls() != 0 {
			t.Errorf("%d loads", l.calls())
		}
	})
}

// Without the lock a caller waits for its owner's value, or until the lock is gone, or for LockWait.
func TestWaitForAnotherProcess(t *testing.T) {
	for _, tc := range []struct {
		name  string
		after func(w *world, g *numbery) // half a second
		how   wanobjectcache.Outcome
		value int
		least time.Duration
		most  time.Duration
	}{
		{"its value comes", func(w *world, g *numbery) { store(w.t, g, "1", 50, wanobjectcache.SetOptions{}) }, wanobjectcache.MissWaited, 50, 500 * ms, 800 * ms},
		{"its lock goes", func(w *world, _ *numbery) { w.store.Evict(wire("g:1", "m")) }, wanobjectcache.MissCompute, 1, 500 * ms, 800 * ms},
		{"it hangs", func(*world, *numbery) {}, wanobjectcache.MissCompute, 1, 3 * time.Second, 3 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, func(o *wanobjectcache.Options) { o.LockWait = 0 })
				g, _ := numbers(t, w.cache)
				w.lockedByAnother("g:1")
				began := time.Now()
				time.AfterFunc(500*ms, func() { tc.after(w, g) })
				want(t, fetch(t, g, "1"), tc.value, tc.how)
				if took := time.Since(began); took < tc.least || took > tc.most {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// A lock that has run out may be another's: it stays.
func TestForeignLockIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, _ := numbers(t, w.cache, taking(12*time.Second))
		time.AfterFunc(11*time.Second, func() { w.lockedByAnother("g:1") })
		fetch(t, g, "1")
		if item := w.store.item(wire("g:1", "m")); string(item.Value) != "0123456789abcdef" {
			t.Errorf("the other's lock was removed: %+v", item)
		}
		if n := w.seen.warned(wanobjectcache.StoreFailed); n != 0 {
			t.Errorf("%d warnings", n)
		}
	})
}

// T7, Nn: a store that keeps nothing: every Get loads, and none waits.
func TestStoreThatKeepsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, change := range []func(*wanobjectcache.Options){func(*wanobjectcache.Options) {}, replicated} {
			w := &world{t: t, store: newFaulty(&wanobjectcache.MemoryOptions{MaxBytes: -1})}
			w.cache, w.seen = w.process(change)
			g, _ := numbers(t, w.cache, tagged("a"))
			began := time.Now()
			for i := range 3 {
				want(t, fetch(t, g, "1"), i+1, wanobjectcache.MissCompute)
			}
			if time.Since(began) > 0 {
				t.Errorf("it took %v", time.Since(began))
			}
		}
	})
}

// Nk
func TestLoadersThatReadEachOther(t *testing.T) {
	for _, lockWait := range []time.Duration{0, -1} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, func(o *wanobjectcache.Options) { o.LockWait = lockWait })
			type inside struct{}
			var g *numbery
			g, _ = numbers(t, w.cache, func(o *options) {
				o.Load = func(ctx context.Context, id string) (int, error) {
					if ctx.Value(inside{}) != nil {
						return 1, nil
					}
					time.Sleep(10 * ms)
					other := map[string]string{"a": "b", "b": "a", "self": "self"}[id]
					v, err := g.Get(context.WithValue(ctx, inside{}, true), other)
					return v + 1, err
				}
			})
			began := time.Now()
			var callers sync.WaitGroup
			for _, id := range []string{"a", "b", "self"} {
				callers.Go(func() {
					if r := fetch(t, g, id); !r.Found {
						t.Errorf("%s: %+v", id, r)
					}
				})
			}
			callers.Wait()
			if took := time.Since(began); took > 3*time.Second+10*ms {
				t.Errorf("LockWait %v: it took %v", lockWait, took)
			}
			for _, id := range []string{"a", "b", "self"} {
				w.isUnlocked("g:" + id)
			}
		})
	}
}

// A loader joins others' loads that do not wait for it.
func TestNestedLoadsAreJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *wanobjectcache.Options) { o.LockWait = 0 })
		inner, l := numbers(t, w.cache, taking(time.Second))
		outer, _ := numbers(t, w.cache, func(o *options) {
			o.Load = func(ctx context.Context, _ string) (int, error) { return inner.Get(ctx, "in") }
		})
		var callers sync.WaitGroup
		for i := range 10 {
			callers.Go(func() { fetch(t, outer, strconv.Itoa(i)) })
		}
		callers.Wait()
		if l.calls() != 1 {
			t.Errorf("%d loads", l.calls())
		}
	})
}

// Ns: the starter's context ends while another has joined: that one loads with its own loader.
func TestGetWithLeavesNoLoaderBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, l := numbers(t, w.cache)
		var returned atomic.Bool
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		first, second := make(chan error, 1), make(chan result, 1)
		go func() {
			_, err := g.GetWith(ctx, "1", func(ctx context.Context) (int, error) {
				if returned.Load() {
					t.Error("started after GetWith has returned")
				}
				<-ctx.Done()
				return 0, ctx.Err()
			})
			returned.Store(true)
			first <- err
		}()
		time.Sleep(500 * ms)
		go func() { second <- fetch(t, g, "1") }()
		if err := <-first; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("first: %v", err)
		}
		want(t, <-second, 1, wanobjectcache.MissCompute)
		if l.calls() != 1 {
			t.Errorf("%d loads", l.calls())
		}
		w.isUnlocked("g:1")
	})
}

// Ns, when the starter leaves while it waits for the lock.
func TestGetWithDoesNotStartAfterItReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *wanobjectcache.Options) { o.LockWait = 0 })
		g, _ := numbers(t, w.cache)
		w.lockedByAnother("g:1")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := g.GetWith(ctx, "1", func(context.Context) (int, error) {
			t.Error("started after GetWith has returned")
			return 0, nil
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		time.Sleep(5 * time.Second)
	})
}

// GetWith is otherwise Get: hits, joins, and Previous.
func TestGetWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := group(t, w.cache, options{TTL: time.Hour})
		if _, err := g.Get(t.Context(), "1"); !errors.Is(err, wanobjectcache.ErrUnsupported) {
			t.Errorf("Get without a loader: %v", err)
		}
		if _, err := g.GetMany(t.Context(), []string{"1"}); !errors.Is(err, wanobjectcache.ErrUnsupported) {
			t.Errorf("GetMany without a loader: %v", err)
		}
		calls := 0
		load := func(context.Context) (int, error) {
			calls++
			return 5, nil
		}
		for range 2 {
			if v, err := g.GetWith(t.Context(), "1", load); v != 5 || err != nil {
				t.Errorf("got %v, %v", v, err)
			}
		}
		_, err := g.GetWith(t.Context(), "2", func(context.Context) (int, error) { return 0, wanobjectcache.ErrNotFound })
		if calls != 1 || !errors.Is(err, wanobjectcache.ErrNotFound) {
			t.Errorf("%d loads, %v", calls, err)
		}
	})
}

// An error is not stored, all who wait get it, wrapped once with operation and key.
func TestLoadError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, _ := numbers(t, w.cache, func(o *options) {
			o.Load = func(context.Context, string) (int, error) {
				time.Sleep(time.Second)
				return 0, errBroken
			}
		})
		var callers sync.WaitGroup
		for range 3 {
			callers.Go(func() {
				_, err := g.Get(t.Context(), "1")
				if !errors.Is(err, errBroken) || err.Error() != "wanobjectcache: load default:g:1: broken pipe" {
					t.Errorf("error %v", err)
				}
			})
		}
		callers.Wait()
		if r := peek(t, g, "1"); r.State != wanobjectcache.Absent {
			t.Errorf("stored: %+v", r)
		}
		w.isUnlocked("g:1")
	})
}

// A hit asks the store once.
func TestHitIsOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, _ := numbers(t, w.cache, tagged("a", "b", "a"), taking(ms))
		fetch(t, g, "1")
		w.store.requests()
		want(t, fetch(t, g, "1"), 1, wanobjectcache.HitGood)
		sent := w.store.requests()
		if len(sent) != 1 || sent[0] != "get "+wire("g:1", "v")+" "+wire("tag:a", "t")+" "+wire("tag:b", "t") {
			t.Errorf("sent %q", sent)
		}
	})
}
