package wanobjectcache_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/wanobjectcache"
)

// What an adversary found.

// A LoadMany that sorts its ids must not mix up the values.
func TestLoadManyMaySortItsIDs(t *testing.T) {
	w := newWorld(t)
	g := group(t, w.cache, wanobjectcache.GroupOptions[string, string]{TTL: time.Hour, LoadMany: func(_ context.Context, ids []string) (map[string]string, error) {
		slices.Sort(ids)
		m := map[string]string{}
		for _, id := range ids {
			m[id] = "of " + id
		}
		return m, nil
	}})
	for range 2 {
		got, err := g.GetMany(t.Context(), []string{"c", "b", "a"})
		if err != nil {
			t.Fatal(err)
		}
		for id, v := range got {
			if v != "of "+id {
				t.Errorf("%s has the value %q", id, v)
			}
		}
	}
}

// Raising the epoch keeps the hold-off of a tag purge: what is loaded from a lagging replica must not stick.
func TestEpochKeepsTagHoldoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *wanobjectcache.Options) { o.Freshness = wanobjectcache.FromContext })
		committed := false
		g, _ := numbers(t, w.cache, tagged("t"), func(o *options) {
			o.Load = func(ctx context.Context, _ string) (int, error) {
				wanobjectcache.Report(ctx, wanobjectcache.Facts{Lag: 6 * time.Second})
				if committed {
					return 2, nil
				}
				return 1, nil
			}
		})
		fetch(t, g, "k")
		time.Sleep(time.Minute)
		if _, err := w.cache.PurgeTags(t.Context(), "t"); err != nil {
			t.Fatal(err)
		}
		purged := time.Now()
		time.Sleep(time.Second) // the row is committed now; the replica shows it 6 s later
		if err := w.cache.RaiseEpoch(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		fetch(t, g, "k") // the old row: reported lag 6 s, which is allowed
		time.Sleep(time.Second)
		fetch(t, g, "k")
		time.Sleep(5 * time.Second)
		committed = true
		time.Sleep(time.Minute)
		r := fetch(t, g, "k")
		if r.Value != 2 {
			t.Errorf("%v after the purge: %+v", time.Since(purged), r)
		}
	})
}

// Guarantee 6: a tag's time does not fall, when the epoch lies ahead and a process's clock is behind.
func TestTagsDoNotFallUnderAnEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		skew := func(o *wanobjectcache.Options) { o.MaxClockSkew = 5 * time.Second }
		w := newWorld(t, skew)
		behind, _ := w.process(skew, func(o *wanobjectcache.Options) { o.Now = func() time.Time { return time.Now().Add(-5 * time.Second) } })
		g, _ := numbers(t, behind, tagged("t"))
		if err := w.cache.RaiseEpoch(t.Context(), time.Now().Add(w.cache.Holdoff())); err != nil {
			t.Fatal(err)
		}
		if _, err := w.cache.PurgeTags(t.Context(), "t"); err != nil {
			t.Fatal(err)
		}
		before := w.store.item("WANCache:default:tag:t|#|t").Value[8:24]
		fetch(t, g, "k")
		after := w.store.item("WANCache:default:tag:t|#|t").Value[8:24]
		if slices.Compare(after[:8], before[:8]) < 0 {
			t.Errorf("the tag's time fell: %x to %x", before, after)
		}
	})
}

// What the user gives may panic in a batch refresh too: it must not end the process.
func TestBatchRefreshPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bad atomic.Bool
		w := newWorld(t, func(o *wanobjectcache.Options) { o.Rand = func() float64 { return 0 } })
		g := group(t, w.cache, options{TTL: time.Hour, LowTTL: time.Hour, AgeNew: -1,
			LoadMany: func(_ context.Context, ids []string) (map[string]int, error) {
				m := map[string]int{}
				for _, id := range ids {
					m[id] = 1
				}
				return m, nil
			},
			TTLFor: func(string, int) time.Duration {
				if bad.Load() {
					panic("TTLFor")
				}
				return 0
			}})
		ids := []string{"a", "b"}
		if _, err := g.GetMany(t.Context(), ids); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		bad.Store(true)
		if _, err := g.GetMany(t.Context(), ids); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if w.seen.warned(wanobjectcache.LoaderPanicked) != 1 {
			t.Error("no warning")
		}
	})
}

// The server of a tag is down, and the value is stamped a little ahead.
func TestUnknownTagOfAValueAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		skew := func(o *wanobjectcache.Options) { o.MaxClockSkew = 5 * time.Second }
		w := newWorld(t, skew)
		ahead, _ := w.process(skew, func(o *wanobjectcache.Options) { o.Now = func() time.Time { return time.Now().Add(3 * time.Second) } })
		g, _ := numbers(t, w.cache, tagged("t"))
		h, _ := numbers(t, ahead, tagged("t"))
		fetch(t, h, "k")
		time.Sleep(10 * time.Second)
		fetch(t, h, "k")
		w.store.set(func(f *faulty) { f.down = func(key string) bool { return key == "WANCache:default:tag:t|#|t" } })
		if p := peek(t, g, "k"); p.State == wanobjectcache.Fresh {
			t.Errorf("tag unknown: %+v", p)
		}
	})
}

// What is loaded and not cacheable has an age too.
func TestUncacheableInnerHasAnAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, change := range map[string]func(*options){
			"TTLFor": func(o *options) { o.TTLFor = func(string, int) time.Duration { return -1 } },
			"not found": func(o *options) {
				o.Load = func(context.Context, string) (int, error) { return 0, wanobjectcache.ErrNotFound }
			},
			"cached": func(o *options) {},
		} {
			w := newWorld(t, func(o *wanobjectcache.Options) { o.Freshness = wanobjectcache.FromContext })
			inner, _ := numbers(t, w.cache, change) // tells nothing: its age is unknown
			outer, _ := numbers(t, w.cache, func(o *options) {
				o.Load = func(ctx context.Context, _ string) (int, error) {
					wanobjectcache.Report(ctx, wanobjectcache.Facts{})
					v, _ := inner.Get(ctx, "in")
					return v, nil
				}
			})
			fetch(t, outer, "out")
			if p := peek(t, outer, "out"); p.TTL > 30*time.Second {
				t.Errorf("%s: the outer value lives %v", name, p.TTL)
			}
		}
	})
}

// All is done: Wait has nothing to wait for, whatever its context.
func TestWaitOfWhatIsDone(t *testing.T) {
	w := newWorld(t)
	g, _ := numbers(t, w.cache)
	d, err := g.Delete(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	n := 0
	for range 100 {
		if d.Wait(ended) != nil {
			n++
		}
	}
	if n > 0 {
		t.Errorf("%d of 100 errors: %v", n, d)
	}
}

// GetWith whose die is won loads, also what is very new, or rests.
func TestGetWithDieWonLoads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *wanobjectcache.Options) { o.Rand = func() float64 { return 0 } })
		g, _ := numbers(t, w.cache, func(o *options) { o.TTL, o.LowTTL = 10*time.Second, time.Hour })
		store(t, g, "k", 1, wanobjectcache.SetOptions{})
		time.Sleep(20 * ms)
		v, err := g.GetWith(t.Context(), "k", func(context.Context) (int, error) { return 2, nil })
		if v != 2 || err != nil {
			t.Errorf("got %v, %v", v, err)
		}
	})
}

// A TTL of nearly for ever.
func TestNearlyIndefinite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ahead, _ := w.process(func(o *wanobjectcache.Options) { o.Now = func() time.Time { return time.Now().Add(3 * time.Second) } })
		g, _ := numbers(t, w.cache)
		h, _ := numbers(t, ahead)
		store(t, h, "k", 1, wanobjectcache.SetOptions{TTL: math.MaxInt64 - 1})
		if p := peek(t, g, "k"); p.State != wanobjectcache.Fresh {
			t.Errorf("%+v", p)
		}
	})
}

// A tag whose record says a hold-off without end purges.
func TestEndlessTagSpan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, _ := numbers(t, w.cache, tagged("t"))
		fetch(t, g, "k")
		time.Sleep(time.Second)
		fetch(t, g, "k")
		key := "WANCache:default:tag:t|#|t"
		it := w.store.item(key)
		copy(it.Value[8:16], slices.Concat([]byte{0, 3, 0x5d}, it.Value[11:16])) // same time
		for i := 16; i < 24; i++ {
			it.Value[i] = 0xff
		}
		it.Value[16] = 0x7f
		if err := w.store.Memory.Set(t.Context(), key, it, time.Hour); err != nil {
			t.Fatal(err)
		}
		if p := peek(t, g, "k"); p.State == wanobjectcache.Fresh {
			t.Errorf("%+v", p)
		}
	})
}

type onceBroken struct{ bad *atomic.Bool }

func (onceBroken) Append(dst []byte, v int) ([]byte, error) { return fmt.Append(dst, v), nil }
func (c onceBroken) Decode([]byte) (int, error) {
	if c.bad.Load() {
		panic("Decode")
	}
	return 0, nil
}

// A codec that panics at the second read leaves the lock.
func TestDecodePanicsUnderLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var bad atomic.Bool
		g, _ := numbers(t, w.cache, func(o *options) { o.Codec = onceBroken{&bad} })
		w.store.set(func(f *faulty) {
			f.after = func(op, key string) error {
				if op == "add" && key == wire("g:k", "m") {
					bad.Store(true)
					_ = w.store.Memory.Set(context.Background(), wire("g:k", "v"), wanobjectcache.StoreItem{Value: stamped(time.Now()), Flags: 0x57430101}, time.Hour)
				}
				return nil
			}
		})
		_ = caught(func() { _, _ = g.Get(t.Context(), "k") })
		w.isUnlocked("g:k")
	})
}

func stamped(at time.Time) []byte {
	b := []byte{'W', 'C', 1, 1, 0, 0, 0, 0}
	us := uint64(at.UnixMicro())
	for i := 7; i >= 0; i-- {
		b = append(b, byte(us>>(8*i)))
	}
	b = append(b, 0, 0, 0, 0, 255, 255, 255, 255)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
	return append(b, '7')
}

// FetchMany ends with its context, also while what it loaded is stored on a server that hangs.
func TestBatchFillsEndWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := group(t, w.cache, options{TTL: time.Hour, LoadMany: func(_ context.Context, ids []string) (map[string]int, error) {
			m := map[string]int{}
			for _, id := range ids {
				m[id] = 1
			}
			return m, nil
		}})
		w.store.set(func(f *faulty) {
			f.before = func(op, key string) error {
				if op == "add" {
					time.Sleep(250 * ms) // memcached's Timeout
					return wanobjectcache.ErrUnknownOutcome
				}
				return nil
			}
		})
		ids := make([]string, 1000)
		for i := range ids {
			ids[i] = strconv.Itoa(i)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		_, _ = g.GetMany(ctx, ids)
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// A cold herd on a key with a new tag: one load per process at a time, as for a key without tags.
func TestHerdOnANewTag(t *testing.T) {
	for _, c := range []struct {
		wait, takes time.Duration
		tags        bool
	}{{-1, time.Second, false}, {0, time.Second, true}, {0, 4 * time.Second, false}, {0, 4 * time.Second, true}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, func(o *wanobjectcache.Options) { o.LockWait = c.wait })
			w.store.set(func(f *faulty) {
				f.after = func(string, string) error { time.Sleep(ms); return nil } // the way back from the server
				f.before = func(string, string) error { time.Sleep(ms); return nil }
			})
			var now, peak atomic.Int64
			g, _ := numbers(t, w.cache, func(o *options) {
				if c.tags {
					tagged("t")(o)
				}
				o.Load = func(context.Context, string) (int, error) {
					if n := now.Add(1); n > peak.Load() {
						peak.Store(n)
					}
					time.Sleep(c.takes)
					now.Add(-1)
					return 1, nil
				}
			})
			var callers sync.WaitGroup
			for range 100 {
				callers.Go(func() { _, _ = g.Get(t.Context(), "k") })
				time.Sleep(10 * time.Microsecond)
			}
			callers.Wait()
			n := count(w.store.requests(), "add")
			if peak.Load() > 1 {
				t.Errorf(" %+v: %d loads at a time, %d adds", c, peak.Load(), n)
			}
		})
	}
}

// The wall clock of a process is set back while it loads. Elapsed time is the larger of both clocks.
func TestClockSetBackDuringLoad(t *testing.T) {
	for name, strip := range map[string]bool{"monotonic": false, "wall only": true} {
		synctest.Test(t, func(t *testing.T) {
			var back atomic.Int64
			w := newWorld(t, func(o *wanobjectcache.Options) {
				o.Now = func() time.Time {
					now := time.Now()
					if strip {
						now = now.Round(0)
					}
					return now.Add(-time.Duration(back.Load()))
				}
			})
			other, _ := w.process()
			o, _ := numbers(t, other)
			g, _ := numbers(t, w.cache, func(o *options) {
				o.Load = func(context.Context, string) (int, error) {
					time.Sleep(12 * time.Second) // it has read at once
					back.Store(int64(10 * time.Second))
					return 1, nil
				}
			})
			got := make(chan struct{})
			go func() { defer close(got); _, _ = g.Get(t.Context(), "k") }()
			time.Sleep(100 * ms)
			remove(t, o, "k") // and the row is committed a moment later
			<-got
			if p := peek(t, o, "k"); p.Found && p.TTL > 30*time.Second {
				t.Errorf("%s: %+v", name, p)
			}
		})
	}
}

// A load that another has replaced in the table is detached by a purge too, and stores nothing.
func TestReplacedLoadsAreDetached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		other, _ := w.process()
		o, _ := numbers(t, other)
		g, _ := numbers(t, w.cache, func(o *options) {
			o.Load = func(context.Context, string) (int, error) { time.Sleep(5 * time.Second); return 1, nil }
		})
		var callers sync.WaitGroup
		callers.Go(func() { fetch(t, g, "k") }) // the first load
		time.Sleep(time.Second)
		remove(t, o, "k") // by another process
		time.Sleep(time.Second)
		callers.Go(func() { fetch(t, g, "k") }) // it does not join the first load: another replaces that
		time.Sleep(time.Second)
		remove(t, g, "k")               // by this process: no load from before may store anything
		w.store.Evict(wire("g:k", "v")) // not even if the tombstone is lost
		callers.Wait()
		for _, f := range take(w.seen, &w.seen.fills) {
			if f.Fill != wanobjectcache.FillPurged {
				t.Errorf("a load from before the purge: %s", f.Fill)
			}
		}
		if p := peek(t, o, "k"); p.Found {
			t.Errorf("%+v", p)
		}
	})
}
