package wanobjectcache_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/internal/freshness"
	"github.com/multidc/multidc/wanobjectcache"
)

// asked are the calls of a LoadMany.
type asked struct {
	mu    sync.Mutex
	calls [][]string
	miss  map[string]bool // it says nothing about these
	err   error
}

// together adds a LoadMany, which answers with the length of the id and 100 times the number of the call.
func (a *asked) together(o *options) {
	o.LoadMany = func(_ context.Context, ids []string) (map[string]int, error) {
		time.Sleep(ms)
		a.mu.Lock()
		defer a.mu.Unlock()
		a.calls = append(a.calls, slices.Clone(ids))
		values := map[string]int{}
		for _, id := range ids {
			if !a.miss[id] {
				values[id] = 100*len(a.calls) + len(id)
			}
		}
		return values, a.err
	}
}

// take returns what was asked for since the last call, sorted.
func (a *asked) take() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var calls []string
	for _, ids := range a.calls {
		slices.Sort(ids)
		calls = append(calls, strings.Join(ids, " "))
	}
	a.calls = nil
	return strings.Join(calls, "; ")
}

func fetchMany(t *testing.T, g *numbery, ids ...string) []result {
	t.Helper()
	list, err := g.FetchMany(t.Context(), ids)
	if err != nil {
		t.Fatalf("FetchMany: %v", err)
	}
	return list
}

func outcomes(list []result) string {
	var all []string
	for _, r := range list {
		all = append(all, r.ID+" "+string(r.Outcome))
	}
	return strings.Join(all, "; ")
}

// T45
func TestSeveralIDsOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var most, now atomic.Int64
		g, _ := numbers(t, w.cache, func(o *options) {
			o.Load = func(_ context.Context, id string) (int, error) {
				most.Store(max(most.Load(), now.Add(1)))
				defer now.Add(-1)
				time.Sleep(10 * ms)
				return strconv.Atoi(id)
			}
		})
		ids := []string{"6", "5", "4", "3", "2", "1"}
		for _, how := range []wanobjectcache.Outcome{wanobjectcache.MissCompute, wanobjectcache.HitGood} {
			for i, r := range fetchMany(t, g, ids...) {
				want(t, r, 6-i, how)
			}
		}
		if n := len(take(w.seen, &w.seen.loads)); n != 6 {
			t.Errorf("%d loads", n)
		}
		ids = nil
		for i := range 50 {
			ids = append(ids, strconv.Itoa(100+i))
		}
		fetchMany(t, g, ids...)
		if most.Load() != 8 {
			t.Errorf("%d at a time", most.Load())
		}
	})
}

// A die is rolled once for each hit, also among several.
func TestSeveralIDsRefreshOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rolls := 0
		w := newWorld(t, func(o *wanobjectcache.Options) {
			o.Rand = func() float64 {
				if rolls++; rolls == 1 {
					return 0
				}
				return 0.999
			}
		})
		g, l := numbers(t, w.cache, func(o *options) { o.TTL, o.LowTTL = 30*time.Second, 0 })
		fetch(t, g, "1")
		time.Sleep(time.Second)
		rolls = 0
		want(t, fetchMany(t, g, "1")[0], 1, wanobjectcache.HitRefresh)
		synctest.Wait()
		if l.calls() != 2 {
			t.Errorf("%d loads", l.calls())
		}
	})
}

// T49
func TestLoadManyWithTTLFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var a asked
		g, _ := numbers(t, w.cache, a.together, func(o *options) {
			o.TTLFor = func(id string, _ int) time.Duration { return time.Duration(len(id)) * time.Minute }
		})
		fetchMany(t, g, "x", "xx", "xxx")
		if got := a.take(); got != "x xx xxx" {
			t.Errorf("asked for %q", got)
		}
		for _, id := range []string{"x", "xx", "xxx"} {
			if r := peek(t, g, id); r.TTL != time.Duration(len(id))*time.Minute || r.Value != 100+len(id) {
				t.Errorf("%s: %+v", id, r)
			}
		}
	})
}

// T50
func TestLoadManyWithNewTags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var a asked
		g, _ := numbers(t, w.cache, a.together)
		fetchMany(t, g, "x", "xx")
		time.Sleep(time.Second)
		newTags, _ := numbers(t, w.cache, a.together, tagged("new"))
		a.take()
		fetchMany(t, newTags, "x", "xx")
		if got := a.take(); got != "x xx" {
			t.Errorf("asked for %q", got)
		}
		time.Sleep(200 * ms)
		if got := outcomes(fetchMany(t, newTags, "x", "xx")); got != "x hit.good; xx hit.good" { // no hold-off
			t.Errorf("again: %s", got)
		}
	})
}

// T51
func TestLoadManyAfterATagPurge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var a asked
		g, _ := numbers(t, w.cache, a.together, tagged("tag"))
		fetchMany(t, g, "x", "xx")
		time.Sleep(time.Second)
		a.take()
		purgeTags(t, w.cache, "tag")
		time.Sleep(time.Second)
		for _, r := range peekMany(t, g, "x", "xx") {
			if r.TTL > 0 || r.State != wanobjectcache.Stale {
				t.Errorf("on arrival: %+v", r)
			}
		}
		fetchMany(t, g, "x", "xx")
		list := fetchMany(t, g, "x", "xx")
		if got := outcomes(list); got != "x hit.volatile; xx hit.volatile" || list[0].Stale {
			t.Errorf("the same instant again: %s", got)
		}
		if got := a.take(); got != "x xx" {
			t.Errorf("asked for %q", got)
		}
		time.Sleep(time.Second)
		fetchMany(t, g, "x", "xx")
		if got := a.take(); got != "x xx" {
			t.Errorf("a second later asked for %q", got)
		}
	})
}

// T53
func TestLoadManySaysNothingOfAnID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := asked{miss: map[string]bool{"xx": true}}
		g, _ := numbers(t, w.cache, a.together)
		list := fetchMany(t, g, "x", "xx", "xxx")
		if len(list) != 3 || list[1].ID != "xx" || list[1].Found || list[1].Err != nil || list[2].Value != 103 {
			t.Errorf("got %+v", list)
		}
		if n := w.seen.warned(wanobjectcache.IDMissing); n != 1 {
			t.Errorf("%d warnings", n)
		}
		a.take()
		values, err := g.GetMany(t.Context(), []string{"x", "xx", "xxx"})
		if got := a.take(); got != "xx" || err != nil || len(values) != 2 {
			t.Errorf("asked for %q, got %v, %v", got, values, err)
		}
		negative, _ := numbers(t, w.cache, a.together, func(o *options) { o.NegativeTTL = time.Minute })
		fetchMany(t, negative, "xx")
		a.take()
		fetchMany(t, negative, "xx")
		if got := a.take(); got != "" {
			t.Errorf("with NegativeTTL asked for %q", got)
		}
		if _, err := negative.Get(t.Context(), "xx"); !errors.Is(err, wanobjectcache.ErrNotFound) {
			t.Errorf("Get: %v", err)
		}
	})
}

// Get goes by LoadMany if there is no Load.
func TestGetByLoadMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := asked{miss: map[string]bool{"xx": true}}
		g, _ := numbers(t, w.cache, a.together, func(o *options) { o.Load = nil })
		want(t, fetch(t, g, "x"), 101, wanobjectcache.MissCompute)
		if _, err := g.Get(t.Context(), "xx"); !errors.Is(err, wanobjectcache.ErrNotFound) || w.seen.warned(wanobjectcache.IDMissing) != 1 {
			t.Errorf("%v, %d warnings", err, w.seen.warned(wanobjectcache.IDMissing))
		}
	})
}

// T54
func TestDuplicateIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var a asked
		g, _ := numbers(t, w.cache, a.together)
		list := fetchMany(t, g, "xx", "x", "xx", "x")
		if got := outcomes(list); got != "xx miss.compute; x miss.compute" {
			t.Errorf("FetchMany: %s", got)
		}
		if list := peekMany(t, g, "xx", "x", "xx"); len(list) != 2 || list[0].ID != "xx" || list[1].ID != "x" {
			t.Errorf("PeekMany: %+v", list)
		}
		w.store.requests()
		remove(t, g, "x", "x")
		if n := count(w.store.requests(), "set"); n != 1 {
			t.Errorf("Delete sent %d tombstones", n)
		}
		colliding, _ := numbers(t, w.cache, func(o *options) { o.Key = func(id string) []string { return []string{strings.ToLower(id)} } })
		for name, call := range map[string]func() error{
			"FetchMany": func() error { _, err := colliding.FetchMany(t.Context(), []string{"a", "A"}); return err },
			"GetMany":   func() error { _, err := colliding.GetMany(t.Context(), []string{"a", "A"}); return err },
			"PeekMany":  func() error { _, err := colliding.PeekMany(t.Context(), []string{"a", "A"}); return err },
			"Delete":    func() error { _, err := colliding.Delete(t.Context(), "a", "A"); return err },
		} {
			if err := call(); !errors.Is(err, wanobjectcache.ErrKeyCollision) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if list, err := g.FetchMany(t.Context(), nil); len(list) != 0 || err != nil {
			t.Errorf("no ids: %v, %v", list, err)
		}
	})
}

// A cold batch is one call of the loader and one read; a purged one two reads.
func TestLargeBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var a asked
		g, _ := numbers(t, w.cache, a.together, tagged("all"))
		ids := make([]string, 10_000)
		for i := range ids {
			ids[i] = strconv.Itoa(i)
		}
		if list := fetchMany(t, g, ids...); len(list) != len(ids) || list[9999].Value != 104 {
			t.Fatalf("%d results", len(list))
		}
		if sent := w.store.requests(); count(sent, "get") != 1 || w.store.largest < 10_001 || count(sent, "add") != 10_001 || len(a.calls) != 1 {
			t.Errorf("%d reads of up to %d keys, %d writes, %d loads", count(sent, "get"), w.store.largest, count(sent, "add"), len(a.calls))
		}
		fetchMany(t, g, ids...)
		if sent := w.store.requests(); len(sent) != 1 || len(a.calls) != 1 {
			t.Errorf("warm: %d requests, %d loads", len(sent), len(a.calls))
		}
		remove(t, g, ids[:100]...)
		time.Sleep(ms)
		w.store.requests()
		fetchMany(t, g, ids...)
		if sent := w.store.requests(); count(sent, "get") != 2 || len(a.calls) != 2 || len(a.calls[1]) != 100 {
			t.Errorf("after a purge: %d reads, %d loads", count(sent, "get"), len(a.calls))
		}
		if list := fetchMany(t, g, ids[0]); list[0].Outcome != wanobjectcache.HitVolatile {
			t.Errorf("interim values are not used: %+v", list)
		}
	})
}

// Ids that only won a die share one refresh.
func TestBatchRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, always)
		var a asked
		g, _ := numbers(t, w.cache, a.together, func(o *options) { o.TTL, o.LowTTL = 30*time.Second, 0 })
		fetchMany(t, g, "x", "xx", "xxx")
		time.Sleep(time.Second)
		a.take()
		take(w.seen, &w.seen.fetches)
		if got := outcomes(fetchMany(t, g, "x", "xx", "xxx", "xxxx")); got != "x hit.refresh; xx hit.refresh; xxx hit.refresh; xxxx miss.compute" {
			t.Errorf("got %s", got)
		}
		time.Sleep(time.Second)
		if got := a.take(); got != "x xx xxx; xxxx" && got != "xxxx; x xx xxx" {
			t.Errorf("asked for %q", got)
		}
		renewed := 0
		for _, f := range take(w.seen, &w.seen.fetches) {
			if f.Outcome == wanobjectcache.RenewCompute {
				renewed++
			}
		}
		if r := peek(t, g, "x"); r.Value < 100 || r.TTL < 29*time.Second || renewed != 3 {
			t.Errorf("after the refresh: %+v, %d told", r, renewed)
		}
	})
}

// If LoadMany fails, ids with a fallback get it, the others carry the error; then they are left alone for RetryAfter.
func TestBatchFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var a asked
		g, _ := numbers(t, w.cache, a.together, func(o *options) { o.TTL, o.StaleIfError = time.Second, time.Minute })
		fetchMany(t, g, "x")
		time.Sleep(2 * time.Second)
		a.err = errBroken
		a.take()
		list, err := g.FetchMany(t.Context(), []string{"x", "xx"})
		if !errors.Is(err, errBroken) || strings.Count(err.Error(), errBroken.Error()) != 1 {
			t.Errorf("error %v", err)
		}
		if got := outcomes(list); got != "x hit.fallback; xx miss.compute" || !list[0].Stale || list[0].Err == nil || !errors.Is(list[1].Err, errBroken) {
			t.Errorf("got %+v", list)
		}
		values, err := g.GetMany(t.Context(), []string{"x", "xx"})
		if len(values) != 1 || values["x"] != 101 || !errors.Is(err, errBroken) {
			t.Errorf("GetMany: %v, %v", values, err)
		}
		if got := a.take(); got != "x xx; xx" {
			t.Errorf("asked for %q", got)
		}
	})
}

func TestBatchPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		boom := func(context.Context, string) (int, error) { panic("boom") }
		one, _ := numbers(t, w.cache, func(o *options) { o.Load = boom })
		many, _ := numbers(t, w.cache, func(o *options) {
			o.LoadMany = func(context.Context, []string) (map[string]int, error) { panic("boom") }
		})
		for _, g := range []*numbery{one, many} {
			p, ok := caught(func() { _, _ = g.GetMany(t.Context(), []string{"1", "2", "3"}) }).(*wanobjectcache.PanicError)
			if !ok || p.Value != "boom" {
				t.Errorf("panic %v", p)
			}
		}
		for _, id := range []string{"1", "2", "3"} {
			w.isUnlocked("g:" + id)
		}
	})
}

func TestBatchTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, _ := numbers(t, w.cache, func(o *options) {
			o.LoadTimeout = 50 * ms
			o.LoadMany = func(context.Context, []string) (map[string]int, error) {
				time.Sleep(time.Second)
				return nil, nil
			}
		})
		began := time.Now()
		_, err := g.GetMany(t.Context(), []string{"1", "2"})
		if !errors.Is(err, wanobjectcache.ErrLoadTimeout) || time.Since(began) != 50*ms {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		time.Sleep(2 * time.Second)
	})
}

// Some servers down: their ids are loaded and not stored, the others are hits.
func TestBatchWithAServerDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var a asked
		g, _ := numbers(t, w.cache, a.together)
		fetchMany(t, g, "x", "xx")
		a.take()
		w.store.requests()
		w.store.down = func(key string) bool { return strings.Contains(key, "g:xx|") }
		var page freshness.Recorder
		list, err := g.FetchMany(freshness.With(t.Context(), &page), []string{"x", "xx"})
		if err != nil || outcomes(list) != "x hit.good; xx miss.compute" || list[1].State != wanobjectcache.Unknown {
			t.Errorf("got %+v, %v", list, err)
		}
		if got := a.take(); got != "xx" {
			t.Errorf("asked for %q", got)
		}
		if sent := w.store.requests(); count(sent, "get") != len(sent) {
			t.Errorf("written: %q", sent)
		}
		if f, _ := page.Facts(); !f.Unknown {
			t.Error("a load while the server is down counts as fresh")
		}
	})
}

// What a batch cannot store because somebody was faster stays as it is.
func TestBatchDoesNotUndoAPurge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var g *numbery
		g, _ = numbers(t, w.cache, func(o *options) {
			o.LoadMany = func(_ context.Context, ids []string) (map[string]int, error) {
				remove(t, g, ids...) //nolint:contextcheck // the test's
				return map[string]int{ids[0]: 1}, nil
			}
		})
		fetchMany(t, g, "1")
		if r := peek(t, g, "1"); r.State != wanobjectcache.Purged {
			t.Errorf("now %+v", r)
		}
		if fill := w.seen.lastFill(); fill != wanobjectcache.FillConflict {
			t.Errorf("stored as %s", fill)
		}
	})
}

// T6
func TestPeekMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, l := numbers(t, w.cache)
		store(t, g, "1", 10, wanobjectcache.SetOptions{TTL: 5 * time.Second})
		store(t, g, "2", 20, wanobjectcache.SetOptions{TTL: 10 * time.Second})
		list := peekMany(t, g, "1", "2", "3")
		var text strings.Builder
		for _, r := range list {
			fmt.Fprintf(&text, "%s=%d %s %v; ", r.ID, r.Value, r.State, r.TTL)
		}
		if got := text.String(); got != "1=10 fresh 5s; 2=20 fresh 10s; 3=0 absent 0s; " || l.calls() != 0 {
			t.Errorf("got %s and %d loads", got, l.calls())
		}
	})
}

func peekMany(t *testing.T, g *numbery, ids ...string) []result {
	t.Helper()
	list, err := g.PeekMany(t.Context(), ids)
	if err != nil {
		t.Fatalf("PeekMany: %v", err)
	}
	return list
}
