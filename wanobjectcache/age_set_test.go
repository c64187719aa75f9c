package wanobjectcache_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/internal/freshness"
	"github.com/multidc/multidc/wanobjectcache"
)

// T9 to T19: what Set makes of the age of what it is given.
func TestSetJudgesAge(t *testing.T) {
	const unknown = -1
	sec := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	for _, tc := range []struct {
		name       string
		lag, since float64 // seconds
		walltime   float64
		pending    bool
		unknown    bool
		want       wanobjectcache.Fill
	}{
		{"T9", 0, 30, 28, false, false, wanobjectcache.FillCapped},
		{"T10", 0, 30, unknown, false, false, wanobjectcache.FillCapped},
		{"T11", 300, 0, 0.1, false, false, wanobjectcache.FillCapped},
		{"T14", 0, 300, 0.1, false, false, wanobjectcache.FillOld},
		{"T15", 0, 300, unknown, false, false, wanobjectcache.FillCapped},
		{"T17", 5, 5, 0.1, false, false, wanobjectcache.FillOld},
		{"T18", 3, 3, 0.1, false, false, wanobjectcache.FillStored},
		{"T19", 0, 0, 0.1, true, false, wanobjectcache.FillPending},
		{"at the limit", 7, 0, unknown, false, false, wanobjectcache.FillStored},
		{"age unknown", 0, 1, 0.1, false, true, wanobjectcache.FillCapped},
		{"unknown and pending", 0, 0, 0.1, true, true, wanobjectcache.FillPending},
		{"a load that took long, and no word of a snapshot", 0, 0, 9, false, false, wanobjectcache.FillCapped},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				g, _ := numbers(t, w.cache)
				o := wanobjectcache.SetOptions{Facts: wanobjectcache.Facts{Lag: sec(tc.lag), Pending: tc.pending, Unknown: tc.unknown}}
				if tc.since > 0 {
					o.Facts.Since = time.Now().Add(-sec(tc.since))
				}
				if tc.walltime != unknown {
					o.LoadStarted = time.Now().Add(-sec(tc.walltime))
				}
				if fill := store(t, g, "1", 1, o); fill != tc.want {
					t.Fatalf("Set was %s, want %s", fill, tc.want)
				}
				r := peek(t, g, "1")
				wantTTL := map[wanobjectcache.Fill]time.Duration{wanobjectcache.FillCapped: 30 * time.Second, wanobjectcache.FillStored: time.Hour}[tc.want]
				if r.Found != (wantTTL > 0) || r.Found && r.TTL != wantTTL {
					t.Errorf("stored as %+v", r)
				}
			})
		})
	}
}

// Set hears what the context's recorder was told, what Freshness says, and what it is told itself.
func TestSetMergesFacts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, replicated)
		g, _ := numbers(t, w.cache)
		old, _ := numbers(t, w.cache, func(o *options) {
			o.Freshness = func(context.Context) wanobjectcache.Facts { return wanobjectcache.Facts{Lag: 9 * time.Second} }
		})
		recorded := func(f freshness.Facts) context.Context {
			ctx := freshness.With(t.Context(), &freshness.Recorder{})
			freshness.Record(ctx, f)
			return ctx
		}
		fresh := wanobjectcache.SetOptions{Facts: wanobjectcache.Facts{Since: time.Now()}}
		for name, tc := range map[string]struct {
			g    *numbery
			ctx  context.Context //nolint:containedctx // of one case
			o    wanobjectcache.SetOptions
			want wanobjectcache.Fill
		}{
			"nothing said":       {g, t.Context(), wanobjectcache.SetOptions{}, wanobjectcache.FillCapped},
			"said":               {g, t.Context(), fresh, wanobjectcache.FillStored},
			"recorded":           {g, recorded(freshness.Facts{}), wanobjectcache.SetOptions{}, wanobjectcache.FillStored},
			"only a write":       {g, recorded(freshness.Facts{WroteAt: time.Now()}), wanobjectcache.SetOptions{}, wanobjectcache.FillCapped},
			"recorded unknown":   {g, recorded(freshness.Facts{Unknown: true}), fresh, wanobjectcache.FillCapped},
			"recorded pending":   {g, recorded(freshness.Facts{Pending: true}), fresh, wanobjectcache.FillPending},
			"Freshness says old": {old, recorded(freshness.Facts{}), fresh, wanobjectcache.FillCapped},
		} {
			w.store.Flush()
			fill, err := tc.g.Set(tc.ctx, "1", 1, tc.o)
			if fill != tc.want || err != nil {
				t.Errorf("%s: %s, %v", name, fill, err)
			}
		}
		if n := w.seen.warned(wanobjectcache.AgeUnreported); n != 1 {
			t.Errorf("%d warnings that nothing was said", n)
		}
	})
}

// Set judges after it has read: what passes in the read counts, or its CAS would not be safe.
func TestSetJudgesAfterItsRead(t *testing.T) {
	for _, there := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			g, _ := numbers(t, w.cache)
			if there {
				store(t, g, "1", 1, wanobjectcache.SetOptions{})
			}
			w.store.before = func(op, _ string) error {
				if op == "get" {
					time.Sleep(8 * time.Second)
				}
				return nil
			}
			o := wanobjectcache.SetOptions{Facts: wanobjectcache.Facts{Since: time.Now()}}
			if fill := store(t, g, "1", 2, o); fill != wanobjectcache.FillCapped {
				t.Errorf("there %v: Set was %s", there, fill)
			}
		})
	}
}

func TestSetDoesNotReplaceWhatCameMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, _ := numbers(t, w.cache)
		interfere := func(string, string) error {
			w.store.set(func(f *faulty) { f.after = nil })
			store(t, g, "1", 5, wanobjectcache.SetOptions{})
			return nil
		}
		for _, what := range []string{"nothing there", "a value there"} {
			w.store.after = interfere
			if fill := store(t, g, "1", 6, wanobjectcache.SetOptions{}); fill != wanobjectcache.FillConflict {
				t.Errorf("%s: %s", what, fill)
			}
			if r := peek(t, g, "1"); r.Value != 5 {
				t.Errorf("%s: now %+v", what, r)
			}
		}
	})
}

// T21 to T23
func TestStaleValueOfASlowLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		type old struct {
			value int
			asOf  time.Time
			ok    bool
		}
		var previous []old
		slow := 9 * time.Second
		g, l := numbers(t, w.cache, func(o *options) {
			o.StaleWhileLocked = 5 * time.Second
			next := o.Load
			o.Load = func(ctx context.Context, id string) (int, error) {
				v, asOf, ok := wanobjectcache.Previous[int](ctx)
				previous = append(previous, old{v, asOf, ok})
				time.Sleep(slow)
				return next(ctx, id)
			}
		})
		want(t, fetch(t, g, "1"), 1, wanobjectcache.MissCompute)
		asOf := time.Now()
		r := peek(t, g, "1")
		if r.TTL != 30*time.Second || w.store.ttls[wire("g:1", "v")] != 35*time.Second {
			t.Fatalf("stored for %v, kept for %v", r.TTL, w.store.ttls[wire("g:1", "v")])
		}
		time.Sleep(32 * time.Second)

		w.lockedByAnother("g:1") // T23
		r = fetch(t, g, "1")
		want(t, r, 1, wanobjectcache.HitStale)
		if !r.Stale || l.calls() != 1 {
			t.Errorf("while locked: %+v, %d loads", r, l.calls())
		}
		w.store.Evict(wire("g:1", "m"))

		slow = 0
		want(t, fetch(t, g, "1"), 2, wanobjectcache.MissCompute) // T21
		if p := previous[1]; !p.ok || p.value != 1 || !p.asOf.Equal(asOf) {
			t.Errorf("the old value: %+v", p)
		}
		want(t, fetch(t, g, "1"), 2, wanobjectcache.HitGood) // T22
	})
}

// T25
func TestLaggedLoadIsCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, l := numbers(t, w.cache, func(o *options) {
			o.TTL, o.StaleWhileLocked = 300*time.Second, 5*time.Second
			next := o.Load
			o.Load = func(ctx context.Context, id string) (int, error) {
				wanobjectcache.Report(ctx, wanobjectcache.Facts{Lag: 15 * time.Second})
				return next(ctx, id)
			}
		})
		fetch(t, g, "1")
		if r := peek(t, g, "1"); r.TTL != 30*time.Second {
			t.Errorf("stored for %v", r.TTL)
		}
		if fills := take(w.seen, &w.seen.fills); fills[0].Fill != wanobjectcache.FillCapped || fills[0].TTL != 30*time.Second {
			t.Errorf("told as %+v", fills)
		}
		want(t, fetch(t, g, "1"), 1, wanobjectcache.HitGood)
		time.Sleep(31 * time.Second)
		want(t, fetch(t, g, "1"), 2, wanobjectcache.MissCompute)
		if l.calls() != 2 {
			t.Errorf("%d loads", l.calls())
		}
	})
}

// What a loader reports decides what becomes of its value.
func TestLoadsAreJudgedByTheirFacts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tc := range []struct {
			name   string
			report func(ctx context.Context)
			want   wanobjectcache.Fill
		}{
			{"nothing", func(context.Context) {}, wanobjectcache.FillCapped},
			{"fresh", func(ctx context.Context) { wanobjectcache.Report(ctx, wanobjectcache.Facts{}) }, wanobjectcache.FillStored},
			{"pending", func(ctx context.Context) { wanobjectcache.Report(ctx, wanobjectcache.Facts{Pending: true}) }, wanobjectcache.FillPending},
			{"an old snapshot", func(ctx context.Context) {
				wanobjectcache.Report(ctx, wanobjectcache.Facts{Since: time.Now().Add(-8 * time.Second)})
			}, wanobjectcache.FillOld},
			{"fresh and unknown", func(ctx context.Context) {
				wanobjectcache.Report(ctx, wanobjectcache.Facts{})
				wanobjectcache.Report(ctx, wanobjectcache.Facts{Unknown: true})
			}, wanobjectcache.FillCapped},
			{"lag and age of the snapshot", func(ctx context.Context) {
				wanobjectcache.Report(ctx, wanobjectcache.Facts{Lag: 4 * time.Second, Since: time.Now().Add(-4 * time.Second)})
			}, wanobjectcache.FillOld},
		} {
			w := newWorld(t, replicated)
			g, _ := numbers(t, w.cache, func(o *options) {
				o.Load = func(ctx context.Context, _ string) (int, error) {
					tc.report(ctx)
					return 1, nil
				}
			})
			r := fetch(t, g, "1")
			if fill := w.seen.lastFill(); fill != tc.want || r.Value != 1 {
				t.Errorf("%s: %s, %+v", tc.name, fill, r)
			}
			if silent := w.seen.warned(wanobjectcache.AgeUnreported); silent != map[bool]int{true: 1}[tc.name == "nothing"] {
				t.Errorf("%s: %d warnings", tc.name, silent)
			}
			// Neither is stored for purged keys, which have a key of their own.
			remove(t, g, "2")
			fetch(t, g, "2")
			refused := tc.want == wanobjectcache.FillPending || tc.want == wanobjectcache.FillOld
			if found := w.store.item(wire("g:2", "i")).Found; found == refused {
				t.Errorf("%s: interim value stored: %v", tc.name, found)
			}
		}
	})
}

// Nq: the lag counts that was there when the load began.
func TestFreshnessIsAskedBeforeTheLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		lag := 9 * time.Second
		freshness := func(context.Context) wanobjectcache.Facts { return wanobjectcache.Facts{Lag: lag} }
		caughtUp := func(context.Context, string) (int, error) {
			lag = 0
			return 1, nil
		}
		g, _ := numbers(t, w.cache, func(o *options) { o.Load, o.Freshness = caughtUp, freshness })
		fetch(t, g, "1")
		if fill := w.seen.lastFill(); fill != wanobjectcache.FillCapped {
			t.Errorf("one: %s", fill)
		}
		lag = 9 * time.Second
		many, _ := numbers(t, w.cache, func(o *options) {
			o.Freshness = freshness
			o.LoadMany = func(ctx context.Context, ids []string) (map[string]int, error) {
				v, err := caughtUp(ctx, "")
				return map[string]int{ids[0]: v}, err
			}
		})
		if _, err := many.FetchMany(t.Context(), []string{"2"}); err != nil || w.seen.lastFill() != wanobjectcache.FillCapped {
			t.Errorf("several: %s, %v", w.seen.lastFill(), err)
		}
	})
}

// Np: a group of its own Freshness.
func TestUnreplicatedGroupBesideFromContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, replicated)
		g, _ := numbers(t, w.cache, func(o *options) { o.Freshness = wanobjectcache.Unreplicated })
		fetch(t, g, "1")
		if fill := w.seen.lastFill(); fill != wanobjectcache.FillStored || w.seen.warned(wanobjectcache.AgeUnreported) != 0 {
			t.Errorf("%s, %d warnings", fill, w.seen.warned(wanobjectcache.AgeUnreported))
		}
	})
}

func TestAgeUnreportedIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, replicated)
		one, _ := numbers(t, w.cache)
		other, _ := numbers(t, w.cache)
		for _, id := range []string{"1", "2", "3"} {
			fetch(t, one, id)
		}
		if n := w.seen.warned(wanobjectcache.AgeUnreported); n != 1 {
			t.Errorf("%d warnings of a group", n)
		}
		fetch(t, other, "4")
		if n := w.seen.warned(wanobjectcache.AgeUnreported); n != 2 {
			t.Errorf("%d warnings of two groups", n)
		}
	})
}

// Na: what an outer loader makes of a value that may be old may be old itself, whatever its own Freshness says.
func TestNestedReadsCapTheOuterValue(t *testing.T) {
	for _, tc := range []struct {
		name    string
		prepare func(t *testing.T, w *world, inner *numbery)
		want    wanobjectcache.Fill
	}{
		{"fresh", func(t *testing.T, _ *world, inner *numbery) { fetch(t, inner, "in") }, wanobjectcache.FillStored},
		{"loaded now", func(*testing.T, *world, *numbery) {}, wanobjectcache.FillStored},
		{"capped", func(t *testing.T, _ *world, inner *numbery) {
			store(t, inner, "in", 1, wanobjectcache.SetOptions{Facts: wanobjectcache.Facts{Unknown: true}})
		}, wanobjectcache.FillCapped},
		{"stale", func(t *testing.T, w *world, inner *numbery) {
			store(t, inner, "in", 1, wanobjectcache.SetOptions{TTL: time.Second})
			time.Sleep(2 * time.Second)
			w.lockedByAnother("g:in")
		}, wanobjectcache.FillCapped},
		{"a load of a purged key", func(t *testing.T, _ *world, inner *numbery) { remove(t, inner, "in") }, wanobjectcache.FillCapped},
		{"interim", func(t *testing.T, _ *world, inner *numbery) {
			remove(t, inner, "in")
			time.Sleep(ms)
			fetch(t, inner, "in")
		}, wanobjectcache.FillCapped},
		{"fallback", func(t *testing.T, _ *world, inner *numbery) {
			store(t, inner, "in", -1, wanobjectcache.SetOptions{TTL: time.Second})
			time.Sleep(2 * time.Second)
		}, wanobjectcache.FillCapped},
		{"cache server down", func(_ *testing.T, w *world, _ *numbery) {
			w.store.down = func(key string) bool { return key == wire("g:in", "v") }
		}, wanobjectcache.FillCapped},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				inner, _ := numbers(t, w.cache, func(o *options) {
					o.StaleWhileLocked, o.StaleIfError = time.Minute, time.Minute
					next := o.Load
					o.Load = func(ctx context.Context, id string) (int, error) {
						if tc.name == "fallback" {
							return 0, errBroken
						}
						return next(ctx, id)
					}
				})
				outer, _ := numbers(t, w.cache, func(o *options) {
					o.Load = func(ctx context.Context, _ string) (int, error) { return inner.Get(ctx, "in") }
				})
				tc.prepare(t, w, inner)
				if _, err := outer.Get(t.Context(), "out"); err != nil {
					t.Fatal(err)
				}
				if fill := w.seen.lastFill(); fill != tc.want {
					t.Errorf("one by one: %s", fill)
				}
				// No: the page around it hears of it, too.
				var page freshness.Recorder
				if _, err := inner.GetMany(freshness.With(t.Context(), &page), []string{"in"}); err != nil {
					t.Fatal(err)
				}
				if f, _ := page.Facts(); f.Unknown != (tc.want == wanobjectcache.FillCapped) {
					t.Errorf("the page was told %+v", f)
				}
			})
		})
	}
}

// G10
func TestLongTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for _, ttl := range []time.Duration{31 * 24 * time.Hour, wanobjectcache.Indefinite} {
			g, _ := numbers(t, w.cache, func(o *options) { o.TTL = ttl })
			store(t, g, "1", 1, wanobjectcache.SetOptions{})
			if r := peek(t, g, "1"); r.TTL != ttl {
				t.Errorf("left %v of %v", r.TTL, ttl)
			}
			time.Sleep(30*24*time.Hour + time.Hour)
			if r := peek(t, g, "1"); !r.Found || r.Stale {
				t.Errorf("after 30 days: %+v", r)
			}
		}
		if ttl := w.store.ttls[wire("g:1", "v")]; ttl != 0 {
			t.Errorf("kept for %v instead of for ever", ttl)
		}
	})
}
