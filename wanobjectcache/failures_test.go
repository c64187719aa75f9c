package wanobjectcache_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/wanobjectcache"
)

func allDown(string) bool { return true }

// G13
func TestStoreDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *wanobjectcache.Options) { o.LockWait = 0 })
		w.store.down = allDown
		g, l := numbers(t, w.cache, func(o *options) {
			next := o.Load
			o.Load = func(ctx context.Context, id string) (int, error) {
				time.Sleep(100 * ms)
				return next(ctx, id)
			}
		})
		began := time.Now()
		var callers sync.WaitGroup
		for range 50 {
			callers.Go(func() {
				if r := fetch(t, g, "1"); r.Value != 1 || r.State != wanobjectcache.Unknown || r.Stale {
					t.Errorf("got %+v", r)
				}
			})
		}
		callers.Wait()
		if took := time.Since(began); l.calls() != 1 || took != 100*ms {
			t.Errorf("%d loads in %v", l.calls(), took)
		}
		if w.seen.warned(wanobjectcache.StoreFailed) == 0 {
			t.Error("nobody was warned")
		}
		if sent := w.store.requests(); count(sent, "get") != len(sent) {
			t.Errorf("written to a server that does not answer: %q", sent)
		}
		want(t, fetch(t, g, "1"), 2, wanobjectcache.MissCompute)
	})
}

func TestPeekOfAStoreThatIsDown(t *testing.T) {
	w := newWorld(t)
	g, _ := numbers(t, w.cache)
	store(t, g, "1", 5, wanobjectcache.SetOptions{})
	w.store.down = func(key string) bool { return strings.Contains(key, "g:2|") }
	list, err := g.PeekMany(t.Context(), []string{"1", "2"})
	if !errors.Is(err, wanobjectcache.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
	if len(list) != 2 || list[0].Value != 5 || list[0].Err != nil || list[1].State != wanobjectcache.Unknown || list[1].Err == nil {
		t.Errorf("got %+v", list)
	}
	if fill, err := g.Set(t.Context(), "2", 1, wanobjectcache.SetOptions{}); fill != wanobjectcache.FillFailed || !errors.Is(err, wanobjectcache.ErrUnavailable) {
		t.Errorf("Set: %s, %v", fill, err)
	}
}

// stalledWrite delays the first write of a kind to a key, once.
func stalledWrite(op, key string, meanwhile func()) func(string, string) error {
	var once sync.Once
	return func(o, k string) error {
		if o == op && k == key {
			once.Do(meanwhile)
		}
		return nil
	}
}

// G17: an ADD that arrives when the tombstone has come and gone.
func TestStalledAddIsTakenBack(t *testing.T) {
	for _, bySet := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			another, _ := w.process()
			other, _ := numbers(t, another)
			g, _ := numbers(t, w.cache)
			w.store.before = stalledWrite("add", wire("g:1", "v"), func() {
				time.Sleep(500 * ms)
				remove(t, other, "1")
				time.Sleep(11500 * ms)
			})
			if bySet {
				if fill := store(t, g, "1", 1, wanobjectcache.SetOptions{}); fill != wanobjectcache.FillTakenBack {
					t.Errorf("Set was %s", fill)
				}
			} else {
				want(t, fetch(t, g, "1"), 1, wanobjectcache.MissCompute)
				if fill := w.seen.lastFill(); fill != wanobjectcache.FillTakenBack {
					t.Errorf("the load was %s", fill)
				}
			}
			if r := peek(t, g, "1"); r.State != wanobjectcache.Absent {
				t.Errorf("the purge was undone: %+v", r)
			}
		})
	}
}

// G17: a CAS needs no fence.
func TestStalledCASIsRefused(t *testing.T) {
	for _, after := range []time.Duration{5 * time.Second, 12 * time.Second} { // the tombstone stands, or is gone
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			another, _ := w.process()
			other, _ := numbers(t, another)
			g, _ := numbers(t, w.cache, func(o *options) { o.TTL, o.StaleIfError = time.Second, time.Minute })
			fetch(t, g, "1")
			time.Sleep(2 * time.Second)
			w.store.before = stalledWrite("cas", wire("g:1", "v"), func() {
				remove(t, other, "1")
				time.Sleep(after)
			})
			want(t, fetch(t, g, "1"), 2, wanobjectcache.MissCompute)
			r := peek(t, g, "1")
			if r.Found && r.TTL > 30*time.Second {
				t.Errorf("the purge was undone: %+v", r)
			}
			if after < w.cache.Holdoff() && r.State != wanobjectcache.Purged {
				t.Errorf("the tombstone was replaced: %+v", r)
			}
		})
	}
}

// Of a stalled ADD that cannot be taken back somebody must hear.
func TestFenceFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, _ := numbers(t, w.cache)
		stall := stalledWrite("add", wire("g:1", "v"), func() { time.Sleep(8 * time.Second) })
		w.store.before = func(op, key string) error {
			if op == "cas" && key == wire("g:1", "v") {
				return errBroken
			}
			return stall(op, key)
		}
		fetch(t, g, "1")
		if w.seen.warned(wanobjectcache.FenceFailed) != 1 {
			t.Error("no warning")
		}
		if fills := take(w.seen, &w.seen.fills); fills[0].Fill != wanobjectcache.FillFailed || !errors.Is(fills[0].Err, errBroken) {
			t.Errorf("told as %+v", fills)
		}
		if n := count(w.store.requests(), "cas "+wire("g:1", "v")); n != 2 {
			t.Errorf("taking back was tried %d times", n)
		}
	})
}

// Taking back removes only what was sent: another's value stays.
func TestFenceLeavesOthersValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, _ := numbers(t, w.cache)
		w.store.before = stalledWrite("add", wire("g:1", "v"), func() { time.Sleep(8 * time.Second) })
		w.store.after = func(op, key string) error {
			if op == "add" && key == wire("g:1", "v") {
				w.store.Evict(key)
				w.store.set(func(f *faulty) { f.after = nil })
				store(t, g, "1", 77, wanobjectcache.SetOptions{})
			}
			return nil
		}
		fetch(t, g, "1")
		if r := peek(t, g, "1"); r.Value != 77 {
			t.Errorf("another's value was taken: %+v", r)
		}
	})
}

// A write whose answer was lost may have happened, or not: nobody is misled, and a late one is taken back.
func TestLostAnswers(t *testing.T) {
	for _, happened := range []bool{true, false} {
		for _, stall := range []time.Duration{0, 8 * time.Second} {
			t.Run(fmt.Sprint(happened, stall), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					g, _ := numbers(t, w.cache)
					lost := func(op, key string) error {
						if op == "add" && key == wire("g:1", "v") {
							time.Sleep(stall)
							return wanobjectcache.ErrUnknownOutcome
						}
						return nil
					}
					if happened {
						w.store.after = lost
					} else {
						w.store.before = lost
					}
					want(t, fetch(t, g, "1"), 1, wanobjectcache.MissCompute)
					fill, state := w.seen.lastFill(), peek(t, g, "1").State
					switch {
					case stall > 0 && (fill != wanobjectcache.FillTakenBack || state != wanobjectcache.Absent):
						t.Errorf("late: %s, now %s", fill, state)
					case stall == 0 && fill != wanobjectcache.FillFailed:
						t.Errorf("in time: %s", fill)
					case stall == 0 && happened != (state == wanobjectcache.Fresh):
						t.Errorf("in time: now %s", state)
					}
					w.isUnlocked("g:1")
				})
			})
		}
	}
}

// An unanswered ADD of the lock is settled by reading it.
func TestLostAnswerToTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *wanobjectcache.Options) { o.LockWait = 0 })
		g, _ := numbers(t, w.cache)
		w.store.after = func(op, key string) error {
			if op == "add" && key == wire("g:1", "m") {
				return wanobjectcache.ErrUnknownOutcome
			}
			return nil
		}
		began := time.Now()
		want(t, fetch(t, g, "1"), 1, wanobjectcache.MissCompute)
		if time.Since(began) > 0 {
			t.Errorf("it waited for itself: %v", time.Since(began))
		}
		w.isUnlocked("g:1")
	})
}

func TestFillFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, _ := numbers(t, w.cache)
		w.store.before = func(op, key string) error {
			if op == "add" && key == wire("g:1", "v") {
				return wanobjectcache.ErrTooLarge
			}
			return nil
		}
		want(t, fetch(t, g, "1"), 1, wanobjectcache.MissCompute)
		fills := take(w.seen, &w.seen.fills)
		if len(fills) != 1 || fills[0].Fill != wanobjectcache.FillFailed || !errors.Is(fills[0].Err, wanobjectcache.ErrTooLarge) {
			t.Errorf("told as %+v", fills)
		}
		if w.seen.warned(wanobjectcache.StoreFailed) != 1 {
			t.Error("no warning")
		}
		if fill, err := g.Set(t.Context(), "1", 1, wanobjectcache.SetOptions{}); fill != wanobjectcache.FillFailed || !errors.Is(err, wanobjectcache.ErrTooLarge) {
			t.Errorf("Set: %s, %v", fill, err)
		}
		w.isUnlocked("g:1")
	})
}

// Ne
func TestStaleIfError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var broken atomic.Bool
		var calls atomic.Int64
		g, _ := numbers(t, w.cache, func(o *options) {
			o.TTL, o.StaleIfError = 10*time.Second, time.Minute
			o.Load = func(context.Context, string) (int, error) {
				calls.Add(1)
				if broken.Load() {
					return 0, errBroken
				}
				return 7, nil
			}
		})
		fetch(t, g, "1")
		broken.Store(true)
		time.Sleep(20 * time.Second)
		r := fetch(t, g, "1")
		want(t, r, 7, wanobjectcache.HitFallback)
		if !r.Stale || !errors.Is(r.Err, errBroken) || r.TTL != -10*time.Second {
			t.Errorf("the fallback: %+v", r)
		}
		if v, err := g.Get(t.Context(), "1"); v != 7 || err != nil {
			t.Errorf("Get: %v, %v", v, err)
		}
		for _, f := range take(w.seen, &w.seen.fetches)[1:] {
			if f.Outcome != wanobjectcache.HitFallback || !errors.Is(f.Err, errBroken) {
				t.Errorf("told as %+v", f)
			}
		}
		time.Sleep(4999 * ms)
		want(t, fetch(t, g, "1"), 7, wanobjectcache.HitFallback)
		if calls.Load() != 2 {
			t.Errorf("loaded within RetryAfter: %d calls", calls.Load())
		}
		time.Sleep(ms)
		want(t, fetch(t, g, "1"), 7, wanobjectcache.HitFallback)
		if calls.Load() != 3 {
			t.Errorf("after RetryAfter: %d calls", calls.Load())
		}
		time.Sleep(45 * time.Second)
		if _, err := g.Fetch(t.Context(), "1"); !errors.Is(err, errBroken) {
			t.Errorf("beyond StaleIfError: %v", err)
		}
	})
}

func TestNoRetryAfterWhenOffOrPurged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, retry := range []time.Duration{0, -1} {
			w := newWorld(t)
			fail := false
			calls := 0
			g, _ := numbers(t, w.cache, func(o *options) {
				o.TTL, o.StaleIfError, o.RetryAfter = time.Second, time.Minute, retry
				o.Load = func(context.Context, string) (int, error) {
					if calls++; fail {
						return 0, errBroken
					}
					return calls, nil
				}
			})
			fetch(t, g, "1")
			fail = true
			time.Sleep(2 * time.Second)
			want(t, fetch(t, g, "1"), 1, wanobjectcache.HitFallback)
			want(t, fetch(t, g, "1"), 1, wanobjectcache.HitFallback)
			if wantCalls := map[time.Duration]int{0: 2, -1: 3}[retry]; calls != wantCalls {
				t.Errorf("RetryAfter %v: %d calls", retry, calls)
			}
			remove(t, g, "1") // leaves no fallback
			if _, err := g.Fetch(t.Context(), "1"); !errors.Is(err, errBroken) {
				t.Errorf("after a purge: %v", err)
			}
		}
	})
}

// At most 1,024 keys are remembered: beyond that they are loaded again, not forgotten one by one.
func TestRetryAfterIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		fail := false
		calls := 0
		g, _ := numbers(t, w.cache, func(o *options) {
			o.TTL, o.StaleIfError = time.Second, time.Minute
			o.Load = func(context.Context, string) (int, error) {
				if calls++; fail {
					return 0, errBroken
				}
				return 1, nil
			}
		})
		const keys = 1100
		for i := range keys {
			fetch(t, g, strconv.Itoa(i))
		}
		fail, calls = true, 0
		time.Sleep(2 * time.Second)
		for range 2 {
			for i := range keys {
				want(t, fetch(t, g, strconv.Itoa(i)), 1, wanobjectcache.HitFallback)
			}
		}
		if calls != keys+keys-1024 {
			t.Errorf("%d loads", calls)
		}
	})
}

// Nu
func TestLoaderThatIgnoresItsContext(t *testing.T) {
	for _, stale := range []time.Duration{0, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			var slow atomic.Bool
			l := loads{}
			g, _ := numbers(t, w.cache, func(o *options) {
				o.TTL, o.StaleIfError, o.LoadTimeout = time.Second, stale, 50*ms
				o.Load = func(ctx context.Context, id string) (int, error) {
					if slow.Load() {
						time.Sleep(time.Second)
					}
					return l.next(ctx, id)
				}
			})
			fetch(t, g, "1")
			time.Sleep(1100 * ms)
			slow.Store(true)
			began := time.Now()
			r, err := g.Fetch(t.Context(), "1")
			if time.Since(began) != 50*ms {
				t.Errorf("it took %v", time.Since(began))
			}
			if stale > 0 {
				want(t, r, 1, wanobjectcache.HitFallback)
				err = r.Err
			}
			if !errors.Is(err, wanobjectcache.ErrLoadTimeout) {
				t.Errorf("error %v", err)
			}
			w.isUnlocked("g:1")
			time.Sleep(2 * time.Second)
			if r := peek(t, g, "1"); r.Value == 2 {
				t.Error("the late result was stored")
			}
		})
	}
}

func TestLoaderThatHeedsItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, _ := numbers(t, w.cache, func(o *options) {
			o.LoadTimeout = 50 * ms
			o.Load = func(ctx context.Context, _ string) (int, error) {
				<-ctx.Done()
				return 0, fmt.Errorf("query: %w", ctx.Err())
			}
		})
		if _, err := g.Get(t.Context(), "1"); !errors.Is(err, wanobjectcache.ErrLoadTimeout) {
			t.Errorf("error %v", err)
		}
	})
}

// A panic with an error that says "not found" is a panic: nothing is cached.
func TestPanicIsNotAbsence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, _ := numbers(t, w.cache, func(o *options) {
			o.NegativeTTL = time.Hour
			o.Load = func(context.Context, string) (int, error) {
				time.Sleep(time.Second)
				panic(fmt.Errorf("no row: %w", wanobjectcache.ErrNotFound))
			}
		})
		var others sync.WaitGroup
		others.Go(func() {
			time.Sleep(ms)
			if r, err := g.Fetch(t.Context(), "1"); err == nil || errors.Is(err, wanobjectcache.ErrNotFound) {
				t.Errorf("joined: %+v, %v", r, err)
			}
		})
		if p := caught(func() { _, _ = g.Get(t.Context(), "1") }); p == nil {
			t.Error("no panic")
		}
		others.Wait()
		if r := peek(t, g, "1"); r.State != wanobjectcache.Absent {
			t.Errorf("cached: %+v", r)
		}
	})
}

// An abandoned loader that panics in the end must not bring the process down, nor pass unseen.
func TestAbandonedLoaderPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, _ := numbers(t, w.cache, func(o *options) {
			o.LoadTimeout = 50 * ms
			o.Load = func(context.Context, string) (int, error) {
				time.Sleep(time.Second)
				panic("late")
			}
		})
		if _, err := g.Get(t.Context(), "1"); !errors.Is(err, wanobjectcache.ErrLoadTimeout) {
			t.Errorf("error %v", err)
		}
		time.Sleep(2 * time.Second)
		if w.seen.warned(wanobjectcache.LoaderPanicked) != 1 {
			t.Error("nobody was told")
		}
	})
}

// caught returns what f panics with.
func caught(f func()) (p any) {
	defer func() { p = recover() }()
	f()
	return nil
}

// G7: a panic surfaces once; the others get an error.
func TestPanicSurfacesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, _ := numbers(t, w.cache, func(o *options) {
			o.Load = func(context.Context, string) (int, error) {
				time.Sleep(100 * ms)
				panic(errBroken)
			}
		})
		var panics, errs atomic.Int64
		var callers sync.WaitGroup
		for range 10 {
			callers.Go(func() {
				p := caught(func() {
					var as *wanobjectcache.PanicError
					if _, err := g.Get(t.Context(), "1"); errors.As(err, &as) && errors.Is(err, errBroken) {
						errs.Add(1)
					}
				})
				if as, ok := p.(*wanobjectcache.PanicError); ok && as.Value == any(errBroken) && strings.Contains(string(as.Stack), "failures_test") {
					panics.Add(1)
				}
			})
		}
		callers.Wait()
		if panics.Load() != 1 || errs.Load() != 9 || w.seen.warned(wanobjectcache.LoaderPanicked) != 0 {
			t.Errorf("%d panics, %d errors, %d warnings", panics.Load(), errs.Load(), w.seen.warned(wanobjectcache.LoaderPanicked))
		}
		w.isUnlocked("g:1")
	})
}

// G7: if the first caller has left it is logged.
func TestPanicThatNobodyWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, _ := numbers(t, w.cache, func(o *options) {
			o.Load = func(context.Context, string) (int, error) {
				time.Sleep(time.Second)
				panic("late")
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), 100*ms)
		defer cancel()
		errs := make(chan error)
		go func() {
			time.Sleep(50 * ms)
			_, err := g.Get(t.Context(), "1")
			errs <- err
		}()
		if _, err := g.Get(ctx, "1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("first caller: %v", err)
		}
		var as *wanobjectcache.PanicError
		if err := <-errs; !errors.As(err, &as) {
			t.Errorf("second caller: %v", err)
		}
		synctest.Wait()
		if n := w.seen.warned(wanobjectcache.LoaderPanicked); n != 1 {
			t.Errorf("%d warnings", n)
		}
	})
}

// What else the user gives may panic too: in the goroutine of the load nobody could recover it.
func TestPanicsOfOptions(t *testing.T) {
	for name, change := range map[string]func(*options){
		"TTLFor":    func(o *options) { o.TTLFor = func(string, int) time.Duration { panic("TTLFor") } },
		"Freshness": func(o *options) { o.Freshness = func(context.Context) wanobjectcache.Facts { panic("Freshness") } },
		"Codec":     func(o *options) { o.Codec = brokenCodec{} },
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			g, _ := numbers(t, w.cache, change)
			p, ok := caught(func() { _, _ = g.Get(t.Context(), "1") }).(*wanobjectcache.PanicError)
			if !ok || p.Value != name {
				t.Errorf("%s: %v", name, p)
			}
			w.isUnlocked("g:1")
			if p := caught(func() { _, _ = g.FetchMany(t.Context(), []string{"1", "2"}) }); p == nil {
				t.Errorf("%s: FetchMany has swallowed it", name)
			}
		})
	}
}

type brokenCodec struct{}

func (brokenCodec) Append([]byte, int) ([]byte, error) { panic("Codec") }
func (brokenCodec) Decode([]byte) (int, error)         { return 0, errBroken }

// A loader that calls t.FailNow, or otherwise ends its goroutine, leaves an error: not "there is no such thing".
func TestLoaderThatExits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, _ := numbers(t, w.cache, func(o *options) {
			o.Load = func(context.Context, string) (int, error) {
				runtime.Goexit()
				return 0, nil
			}
		})
		if _, err := g.Get(t.Context(), "1"); err == nil || errors.Is(err, wanobjectcache.ErrNotFound) {
			t.Errorf("error %v", err)
		}
		w.isUnlocked("g:1")
	})
}
