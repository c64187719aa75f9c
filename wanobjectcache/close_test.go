package wanobjectcache_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/wanobjectcache"
)

func TestCallsAfterClose(t *testing.T) {
	w := newWorld(t)
	g, _ := numbers(t, w.cache)
	if err := w.cache.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.store.requests()
	ctx := t.Context()
	for name, call := range map[string]func() error{
		"Get": func() error { _, err := g.Get(ctx, "1"); return err },
		"GetWith": func() error {
			_, err := g.GetWith(ctx, "1", func(context.Context) (int, error) { return 1, nil })
			return err
		},
		"GetMany":   func() error { _, err := g.GetMany(ctx, []string{"1"}); return err },
		"Fetch":     func() error { _, err := g.Fetch(ctx, "1"); return err },
		"FetchMany": func() error { _, err := g.FetchMany(ctx, []string{"1"}); return err },
		"Peek":      func() error { _, err := g.Peek(ctx, "1"); return err },
		"PeekMany":  func() error { _, err := g.PeekMany(ctx, []string{"1"}); return err },
		"Set":       func() error { _, err := g.Set(ctx, "1", 1, wanobjectcache.SetOptions{}); return err },
		"Delete":    func() error { _, err := g.Delete(ctx, "1"); return err },
		"PurgeTags": func() error { _, err := w.cache.PurgeTags(ctx, "tag"); return err },
	} {
		if err := call(); !errors.Is(err, wanobjectcache.ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if sent := w.store.requests(); len(sent) != 0 {
		t.Errorf("sent %q", sent)
	}
	if err := w.cache.Close(ctx); err != nil {
		t.Errorf("Close again: %v", err)
	}
}

// Close waits for refreshes, loads that were cut off, and deliveries.
func TestCloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFaulty(nil)
		b.before = func(string, string) error {
			time.Sleep(800 * ms)
			return nil
		}
		w := newWorld(t, always, func(o *wanobjectcache.Options) { o.DC, o.Remote = "a", map[string]wanobjectcache.Store{"b": b} })
		g, l := numbers(t, w.cache, taking(500*ms), func(o *options) { o.TTL, o.LowTTL = 30*time.Second, 0 })
		fetch(t, g, "1")
		time.Sleep(time.Second)
		want(t, fetch(t, g, "1"), 1, wanobjectcache.HitRefresh)
		d, err := g.Delete(t.Context(), "2")
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := w.cache.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != 800*ms || l.calls() != 2 {
			t.Errorf("after %v and %d loads", took, l.calls())
		}
		if r := d.Results()[1]; !r.Done || r.Err != nil {
			t.Errorf("the delivery: %v", r)
		}
	})
}

// When its context ends first, what goes on is cancelled.
func TestCloseGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, _ := numbers(t, w.cache, taking(time.Hour))
		errs := make(chan error)
		go func() {
			_, err := g.Get(t.Context(), "1")
			errs <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := w.cache.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close: %v", err)
		}
		if err := <-errs; !errors.Is(err, wanobjectcache.ErrClosed) {
			t.Errorf("the load: %v", err)
		}
		if err := w.cache.Close(t.Context()); err != nil {
			t.Errorf("Close again: %v", err)
		}
	})
}
