package wanobjectcache_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/internal/freshness"
	"github.com/multidc/multidc/wanobjectcache"
)

// A LoadMany that ends with "not found" has said so of what is missing in its map, and of nothing else.
func TestLoadManySaysNotFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		noRows := fmt.Errorf("no rows: %w", wanobjectcache.ErrNotFound)
		a := asked{miss: map[string]bool{"xx": true}, err: noRows}
		g, _ := numbers(t, w.cache, a.together, func(o *options) { o.Load, o.NegativeTTL = nil, time.Minute })
		if v, err := g.Get(t.Context(), "x"); v != 101 || err != nil {
			t.Errorf("Get of what is there: %d, %v", v, err)
		}
		if v, err := g.Get(t.Context(), "xx"); v != 0 || !errors.Is(err, noRows) {
			t.Errorf("Get of what is not: %d, %v", v, err)
		}
		w.store.Flush()
		values, err := g.GetMany(t.Context(), []string{"x", "xx", "xxx"})
		if len(values) != 2 || values["xxx"] != 303 || err != nil {
			t.Errorf("GetMany: %v, %v", values, err)
		}
		a.take()
		if list := fetchMany(t, g, "x", "xx"); outcomes(list) != "x hit.good; xx hit.good" || list[1].Found || a.take() != "" {
			t.Errorf("then: %+v", list)
		}
		if n := w.seen.warned(wanobjectcache.IDMissing); n != 0 {
			t.Errorf("%d warnings", n)
		}
	})
}

// One warning for a call, with the number of ids and the key of the first.
func TestMissingIDsAreOneWarning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := asked{miss: map[string]bool{"a": true, "b": true}}
		g, _ := numbers(t, w.cache, a.together, func(o *options) { o.Load = nil })
		fetchMany(t, g, "x", "a", "b")
		fetch(t, g, "b")
		warnings := take(w.seen, &w.seen.warnings)
		if len(warnings) != 2 {
			t.Fatalf("%+v", warnings)
		}
		for i, want := range []wanobjectcache.WarningInfo{
			{Key: "default:g:a", Err: errors.New("LoadMany said nothing about 2 of 3 ids")},
			{Key: "default:g:b", Err: errors.New("LoadMany said nothing about 1 of 1 ids")},
		} {
			if got := warnings[i]; got.Kind != wanobjectcache.IDMissing || got.Key != want.Key || got.Err.Error() != want.Err.Error() {
				t.Errorf("%+v", got)
			}
		}
	})
}

// deaf loads for an hour, whatever its context says.
func deaf(o *options) {
	o.LoadMany = func(context.Context, []string) (map[string]int, error) {
		time.Sleep(time.Hour)
		panic("late")
	}
}

// GetMany returns when its context ends, its load when it likes; Close awaits that.
func TestGetManyHeedsItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, _ := numbers(t, w.cache, deaf)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		values, err := g.GetMany(ctx, []string{"1", "2"})
		if took := time.Since(began); took != time.Second || len(values) != 0 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, %v after %v", values, err, took)
		}
		if err := w.cache.Close(t.Context()); err != nil || time.Since(began) != time.Hour {
			t.Errorf("Close: %v after %v", err, time.Since(began))
		}
		if n := w.seen.warned(wanobjectcache.LoaderPanicked); n != 1 {
			t.Errorf("%d warnings of the panic", n)
		}
	})
}

// A Close that gives up ends batches, too, with the reason.
func TestCloseEndsABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, _ := numbers(t, w.cache, deaf)
		errs := make(chan error)
		go func() {
			_, err := g.GetMany(t.Context(), []string{"1", "2"})
			errs <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := w.cache.Close(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Close: %v", err)
		}
		if err := <-errs; !errors.Is(err, wanobjectcache.ErrClosed) {
			t.Errorf("GetMany: %v", err)
		}
	})
}

// A context that has ended begins no load, and is what the errors blame: by its own error and by its cause.
func TestEndedContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, l := numbers(t, w.cache)
		var a asked
		together, _ := numbers(t, w.cache, a.together)
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errBroken)
		dead := func(string, string) error { return errors.Join(wanobjectcache.ErrUnavailable, ctx.Err()) } // as memcached says it
		w.store.set(func(f *faulty) { f.before = dead })
		for name, call := range map[string]func() error{
			"Get":           func() error { _, err := g.Get(ctx, "1"); return err },
			"Fetch":         func() error { r, _ := g.Fetch(ctx, "1"); return r.Err },
			"GetMany":       func() error { _, err := g.GetMany(ctx, []string{"1", "2"}); return err },
			"with LoadMany": func() error { _, err := together.GetMany(ctx, []string{"1", "2"}); return err },
			"Peek":          func() error { _, err := g.Peek(ctx, "1"); return err },
			"Set":           func() error { _, err := g.Set(ctx, "1", 1, wanobjectcache.SetOptions{}); return err },
			"RaiseEpoch":    func() error { return w.cache.RaiseEpoch(ctx, time.Now()) },
		} {
			err := call()
			if !errors.Is(err, context.Canceled) || !errors.Is(err, errBroken) || errors.Is(err, wanobjectcache.ErrUnavailable) {
				t.Errorf("%s: %v", name, err)
			}
		}
		time.Sleep(time.Second)
		if got := a.take(); l.calls() != 0 || got != "" {
			t.Errorf("%d loads, and of %q", l.calls(), got)
		}
	})
}

// Likewise one that ends while a load is under way.
func TestContextEndsDuringALoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, _ := numbers(t, w.cache, taking(time.Hour), func(o *options) {
			load := o.Load
			o.LoadMany = func(ctx context.Context, ids []string) (map[string]int, error) {
				_, err := load(ctx, ids[0])
				return nil, err
			}
		})
		for name, call := range map[string]func(context.Context) error{
			"Get":     func(ctx context.Context) error { _, err := g.Get(ctx, "1"); return err },
			"GetMany": func(ctx context.Context) error { _, err := g.GetMany(ctx, []string{"1", "2"}); return err },
		} {
			ctx, cancel := context.WithCancelCause(t.Context())
			stop := time.AfterFunc(time.Second, func() { cancel(errBroken) })
			if err := call(ctx); !errors.Is(err, context.Canceled) || !errors.Is(err, errBroken) {
				t.Errorf("%s: %v", name, err)
			}
			stop.Stop()
		}
	})
}

// "Not found" names the key, and has the loader's error, if there was one.
func TestNotFoundNamesTheKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		noRow := fmt.Errorf("no row: %w", wanobjectcache.ErrNotFound)
		g, _ := numbers(t, w.cache, func(o *options) {
			o.NegativeTTL = time.Minute
			o.Load = func(context.Context, string) (int, error) { return 0, noRow }
		})
		_, err := g.Get(t.Context(), "1")
		if !errors.Is(err, noRow) || err.Error() != "wanobjectcache: get default:g:1: "+noRow.Error() {
			t.Errorf("loaded: %v", err)
		}
		_, err = g.Get(t.Context(), "1")
		if !errors.Is(err, wanobjectcache.ErrNotFound) || errors.Is(err, noRow) || !strings.Contains(err.Error(), "default:g:1") {
			t.Errorf("from the cache: %v", err)
		}
	})
}

// The error of a whole call does not grow with its ids; errors.Is finds them all the same.
func TestErrorsOfManyIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		last := errors.New("the last")
		fails := func(_ context.Context, id string) (int, error) {
			if id == "999" {
				return 0, last
			}
			return 0, errBroken
		}
		one, _ := numbers(t, w.cache, func(o *options) { o.Load = fails })
		many, _ := numbers(t, w.cache, func(o *options) {
			o.LoadMany = func(context.Context, []string) (map[string]int, error) { return nil, last }
		})
		var ids []string
		for i := range 1000 {
			ids = append(ids, strconv.Itoa(i))
		}
		_, err := one.GetMany(t.Context(), ids)
		if !errors.Is(err, last) || len(err.Error()) > 1000 || !strings.Contains(err.Error(), "and 990 more") {
			t.Errorf("one by one: %v", err)
		}
		_, err = many.GetMany(t.Context(), ids)
		if !errors.Is(err, last) || err.Error() != "wanobjectcache: load default:g:0 and 999 more: the last" {
			t.Errorf("together: %v", err)
		}
		w.store.set(func(f *faulty) { f.down = func(string) bool { return true } })
		_, err = one.PeekMany(t.Context(), ids)
		if !errors.Is(err, wanobjectcache.ErrUnavailable) || len(err.Error()) > 2000 {
			t.Errorf("PeekMany: %v", err)
		}
	})
}

// An id without a key is refused with the whole call.
func TestIDWithoutKeyInABatch(t *testing.T) {
	w := newWorld(t)
	g, l := numbers(t, w.cache)
	for name, call := range map[string]func() (int, error){
		"GetMany":   func() (int, error) { v, err := g.GetMany(t.Context(), []string{"1", ""}); return len(v), err },
		"FetchMany": func() (int, error) { v, err := g.FetchMany(t.Context(), []string{"1", ""}); return len(v), err },
		"PeekMany":  func() (int, error) { v, err := g.PeekMany(t.Context(), []string{"1", ""}); return len(v), err },
	} {
		if n, err := call(); n != 0 || err == nil {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
	if sent := w.store.requests(); l.calls() != 0 || len(sent) != 0 {
		t.Errorf("%d loads, sent %q", l.calls(), sent)
	}
}

func TestGroupsThatCannotWork(t *testing.T) {
	w := newWorld(t)
	if _, err := wanobjectcache.NewGroup(nil, "g", &options{TTL: time.Hour}); err == nil {
		t.Error("NewGroup takes no cache")
	}
	if _, err := wanobjectcache.NewGroup(w.cache, strings.Repeat("x", 10_000), &options{TTL: time.Hour}); err == nil || len(err.Error()) > 400 {
		t.Errorf("a long name: %v", err)
	}
	g := group(t, w.cache, options{TTL: time.Hour})
	for _, call := range []func() error{
		func() error { _, err := g.Get(t.Context(), "1"); return err },
		func() error { _, err := g.GetMany(t.Context(), []string{"1"}); return err },
	} {
		if err := call(); !errors.Is(err, wanobjectcache.ErrUnsupported) || !strings.Contains(err.Error(), "GroupOptions.Load or LoadMany") {
			t.Errorf("no loader: %v", err)
		}
	}
}

// Who did not get an answer does not know the epoch.
func TestEpochIsReadAgainWithoutAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, _ := numbers(t, w.cache)
		store(t, g, "1", 1, wanobjectcache.SetOptions{})
		time.Sleep(time.Second)
		if err := w.cache.RaiseEpoch(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		state := func(g *numbery) wanobjectcache.State { return peek(t, g, "1").State }

		cache, _ := w.process()
		hasty, _ := numbers(t, cache)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := hasty.Peek(ctx, "1"); err == nil {
			t.Error("an ended context reads")
		}
		if got := state(hasty); got != wanobjectcache.Absent {
			t.Errorf("after a call without context: %s", got)
		}

		cache, _ = w.process()
		unlucky, _ := numbers(t, cache)
		w.store.set(func(f *faulty) { f.down = func(key string) bool { return strings.Contains(key, "epoch") } })
		if got := state(unlucky); got != wanobjectcache.Fresh {
			t.Errorf("without answer: %s", got)
		}
		w.store.set(func(f *faulty) { f.down = nil })
		time.Sleep(time.Second)
		if got := state(unlucky); got != wanobjectcache.Absent {
			t.Errorf("a second later: %s", got)
		}
	})
}

// A load that began before a client's own write is good for others only.
func TestJoinedLoadFromBeforeOwnWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, _ := numbers(t, w.cache, func(o *options) {
			var n atomic.Int64
			o.Load = func(context.Context, string) (int, error) {
				defer time.Sleep(time.Second)
				return int(n.Add(1)), nil // read at once
			}
		})
		remove(t, g, "1")
		time.Sleep(ms)
		results := make(chan result)
		for range 2 {
			go func() { results <- fetch(t, g, "1") }()
			synctest.Wait()
		}
		time.Sleep(ms)
		ctx := freshness.With(t.Context(), &freshness.Recorder{})
		freshness.Record(ctx, freshness.Facts{WroteAt: time.Now()})
		time.Sleep(ms)
		r, err := g.Fetch(ctx, "1")
		if err != nil || r.Value != 2 {
			t.Errorf("who has written: %+v, %v", r, err)
		}
		for range 2 {
			if r := <-results; r.Value != 1 {
				t.Errorf("another: %+v", r)
			}
		}
	})
}

// Interim values of several ids are read with one request, also by those who load one by one.
func TestInterimsAreReadTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, l := numbers(t, w.cache)
		ids := []string{"1", "2", "3", "4", "5"}
		remove(t, g, ids...)
		time.Sleep(ms)
		fetchMany(t, g, ids...)
		w.store.requests()
		for _, r := range fetchMany(t, g, ids...) {
			if r.Outcome != wanobjectcache.HitVolatile {
				t.Errorf("%+v", r)
			}
		}
		if sent := w.store.requests(); len(sent) != 2 || l.calls() != len(ids) {
			t.Errorf("%d loads, sent %q", l.calls(), sent)
		}
	})
}

// A loader that ends its goroutine has not timed out.
func TestLoaderThatExitsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		exits := func(context.Context, []string) (map[string]int, error) {
			runtime.Goexit()
			return nil, nil //nolint:nilnil // it does not get here
		}
		g, _ := numbers(t, w.cache, func(o *options) { o.Load, o.LoadMany, o.LoadTimeout = nil, exits, time.Minute })
		began := time.Now()
		if _, err := g.Get(t.Context(), "1"); err == nil || errors.Is(err, wanobjectcache.ErrLoadTimeout) {
			t.Errorf("Get: %v", err)
		}
		if _, err := g.GetMany(t.Context(), []string{"1", "2"}); err == nil || errors.Is(err, wanobjectcache.ErrLoadTimeout) {
			t.Errorf("GetMany: %v", err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("after %v", took)
		}
	})
}

// Negative is off.
func TestNegativeOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, always, func(o *wanobjectcache.Options) { o.MaxRefreshes = -1 })
		fails := false
		g, l := numbers(t, w.cache, func(o *options) {
			o.LowTTL, o.AgeNew = 0, 0
			o.NegativeTTL, o.StaleIfError, o.StaleWhileLocked, o.LoadTimeout = -1, -1, -1, -1
			load := o.Load
			o.Load = func(ctx context.Context, id string) (int, error) {
				if fails {
					return 0, wanobjectcache.ErrNotFound
				}
				return load(ctx, id)
			}
		})
		fetch(t, g, "1")
		time.Sleep(time.Hour - time.Second)
		want(t, fetch(t, g, "1"), 1, wanobjectcache.HitGood) // not in the background
		time.Sleep(2 * time.Second)
		want(t, fetch(t, g, "1"), 2, wanobjectcache.MissCompute)
		if n := w.seen.warned(wanobjectcache.RefreshDropped); n != 0 {
			t.Errorf("%d refreshes dropped", n)
		}
		fails = true
		for range 2 {
			if r := fetch(t, g, "2"); r.Found || r.Outcome != wanobjectcache.MissCompute {
				t.Errorf("%+v", r)
			}
		}
		if l.calls() != 2 {
			t.Errorf("%d loads", l.calls())
		}
	})
}

// What the user gives may panic in a refresh before anything is loaded, too.
func TestRefreshPanicsBeforeItsLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, always)
		var a asked
		var calls atomic.Int64
		g, _ := numbers(t, w.cache, a.together, func(o *options) {
			o.LowTTL = time.Hour
			o.Tags = func(string) []wanobjectcache.Tag {
				if calls.Add(1) > 2 { // those of the two GetMany
					panic("Tags")
				}
				return nil
			}
		})
		fetchMany(t, g, "x")
		time.Sleep(time.Minute)
		if list := fetchMany(t, g, "x"); outcomes(list) != "x hit.refresh" {
			t.Errorf("got %+v", list)
		}
		synctest.Wait()
		if n := w.seen.warned(wanobjectcache.LoaderPanicked); n != 1 {
			t.Errorf("%d warnings", n)
		}
	})
}
