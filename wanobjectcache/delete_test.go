package wanobjectcache_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/internal/freshness"
	"github.com/multidc/multidc/wanobjectcache"
)

const ms = time.Millisecond

// G6
func TestLoadFromBeforeAPurgeIsNotJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		row, release := atomic.Int64{}, make(chan struct{})
		row.Store(1)
		g, _ := numbers(t, w.cache, func(o *options) {
			o.Load = func(context.Context, string) (int, error) {
				if v := int(row.Load()); v == 1 {
					<-release
					return v, nil
				}
				return int(row.Load()), nil
			}
		})
		var early result
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			early = fetch(t, g, "1")
		}()
		synctest.Wait()
		row.Store(2)
		remove(t, g, "1")
		want(t, fetch(t, g, "1"), 2, wanobjectcache.MissCompute)
		close(release)
		<-ended
		want(t, early, 1, wanobjectcache.MissCompute) // its own caller gets it
		if fill := w.seen.lastFill(); fill != wanobjectcache.FillPurged {
			t.Errorf("the old load was %s", fill)
		}
		time.Sleep(200 * ms)
		if r := fetch(t, g, "1"); r.Value != 2 {
			t.Errorf("the old load was kept: %+v", r)
		}
		time.Sleep(w.cache.Holdoff())
		if r := fetch(t, g, "1"); r.Value != 2 {
			t.Errorf("the old load came back: %+v", r)
		}
	})
}

// G6: nor is one that began while the tombstone was under way.
func TestLoadThatBeginsDuringAPurgeIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		release := make(chan struct{})
		g, _ := numbers(t, w.cache, func(o *options) {
			next := o.Load
			o.Load = func(ctx context.Context, id string) (int, error) {
				v, err := next(ctx, id)
				if v == 1 {
					<-release
				}
				return v, err
			}
		})
		w.store.before = func(op, _ string) error {
			if op == "set" {
				time.Sleep(100 * ms)
			}
			return nil
		}
		purged := make(chan struct{})
		go func() {
			defer close(purged)
			remove(t, g, "1")
		}()
		time.Sleep(50 * ms)
		early := make(chan result)
		go func() { early <- fetch(t, g, "1") }()
		<-purged
		want(t, fetch(t, g, "1"), 2, wanobjectcache.MissCompute)
		close(release)
		want(t, <-early, 1, wanobjectcache.MissCompute)
	})
}

// G6: nor after a purge that did not reach the store, whoever cannot see it there.
func TestPurgeThatFailsCutsLoadsOff(t *testing.T) {
	for name, purge := range map[string]func(w *world, g *numbery) error{
		"Delete":    func(w *world, g *numbery) error { _, err := g.Delete(w.t.Context(), "1"); return err },
		"PurgeTags": func(w *world, _ *numbery) error { _, err := w.cache.PurgeTags(w.t.Context(), "tag"); return err },
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.store.down = allDown
			release := make(chan struct{})
			g, _ := numbers(t, w.cache, tagged("tag"), func(o *options) {
				next := o.Load
				o.Load = func(ctx context.Context, id string) (int, error) {
					v, err := next(ctx, id)
					if v == 1 {
						<-release
					}
					return v, err
				}
			})
			early, late := make(chan result), make(chan result)
			go func() { early <- fetch(t, g, "1") }()
			synctest.Wait()
			if err := purge(w, g); !errors.Is(err, wanobjectcache.ErrUnavailable) {
				t.Errorf("%s: %v", name, err)
			}
			go func() { late <- fetch(t, g, "1") }()
			synctest.Wait()
			close(release)
			want(t, <-early, 1, wanobjectcache.MissCompute)
			want(t, <-late, 2, wanobjectcache.MissCompute)
		})
	}
}

// T67
func TestDeleteRefusesFills(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, _ := numbers(t, w.cache)
		store(t, g, "1", 7, wanobjectcache.SetOptions{})
		remove(t, g, "1")
		r := peek(t, g, "1")
		if r.Found || r.State != wanobjectcache.Purged || r.TTL >= 0 || r.PurgedAt.IsZero() {
			t.Errorf("after Delete: %+v", r)
		}
		for range 10 {
			if fill := store(t, g, "1", 8, wanobjectcache.SetOptions{}); fill != wanobjectcache.FillPurged {
				t.Errorf("%v after the purge: Set was %s", time.Since(r.PurgedAt), fill)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(999 * ms)
		if fill := store(t, g, "1", 8, wanobjectcache.SetOptions{}); fill != wanobjectcache.FillPurged {
			t.Errorf("at the end of the hold-off: %s", fill)
		}
		time.Sleep(ms)
		if fill := store(t, g, "1", 9, wanobjectcache.SetOptions{}); fill != wanobjectcache.FillStored {
			t.Errorf("after the hold-off: %s", fill)
		}
	})
}

// The hold-off on a clock that ticks once a second, as memcached's: what a replica that is 7 s behind shows of a commit
// 3 s after the Delete must still be refused.
func TestTombstoneOutlivesCommitAndLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for offset := time.Duration(0); offset < time.Second; offset += 100 * ms {
			w := &world{t: t, store: newFaulty(&wanobjectcache.MemoryOptions{CoarseClock: true})}
			w.cache, w.seen = w.process()
			g, _ := numbers(t, w.cache)
			time.Sleep(offset)
			remove(t, g, "1")
			time.Sleep(3*time.Second + 7*time.Second - ms)
			if fill := store(t, g, "1", 1, wanobjectcache.SetOptions{}); fill != wanobjectcache.FillPurged {
				t.Errorf("offset %v: the tombstone was gone too early: %s", offset, fill)
			}
			time.Sleep(2 * time.Second)
		}
	})
}

func TestHoldoffIsTheSumOfItsTerms(t *testing.T) {
	for _, tc := range []struct {
		commit, lag, skew, want time.Duration
	}{
		{0, 0, 0, 11 * time.Second},
		{5 * time.Second, 20 * time.Second, 2 * time.Second, 28 * time.Second},
		{-1, -1, -1, time.Second},
	} {
		w := newWorld(t, func(o *wanobjectcache.Options) {
			o.MaxCommitDelay, o.MaxReadLag, o.MaxClockSkew = tc.commit, tc.lag, tc.skew
		})
		if got := w.cache.Holdoff(); got != tc.want {
			t.Errorf("%+v: %v", tc, got)
		}
		g, _ := numbers(t, w.cache)
		remove(t, g, "1")
		if ttl := w.store.ttls[wire("g:1", "v")]; ttl != tc.want {
			t.Errorf("%+v: the tombstone lives %v", tc, ttl)
		}
	}
}

// T70
func TestInterimValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, l := numbers(t, w.cache)
		want(t, fetch(t, g, "1"), 1, wanobjectcache.MissCompute)
		remove(t, g, "1")
		time.Sleep(time.Second)
		want(t, fetch(t, g, "1"), 2, wanobjectcache.MissCompute)
		if fill := w.seen.lastFill(); fill != wanobjectcache.FillInterim {
			t.Errorf("stored as %s", fill)
		}
		r := fetch(t, g, "1")
		want(t, r, 2, wanobjectcache.HitVolatile)
		if r.Stale || r.State != wanobjectcache.Purged {
			t.Errorf("an interim value: %+v", r)
		}
		time.Sleep(time.Second)
		want(t, fetch(t, g, "1"), 3, wanobjectcache.MissCompute)
		time.Sleep(time.Second)
		w.lockedByAnother("g:1")
		r = fetch(t, g, "1")
		want(t, r, 3, wanobjectcache.HitStale)
		if r.Stale {
			t.Error("an interim value is loaded after the purge: it is not stale")
		}
		if l.calls() != 3 {
			t.Errorf("%d loads", l.calls())
		}
		if ttl := w.store.ttls[wire("g:1", "i")]; ttl != 2*time.Second {
			t.Errorf("interim values live %v", ttl)
		}
	})
}

func TestInterimLivesAsLongAsStaleWhileLocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, _ := numbers(t, w.cache, func(o *options) { o.StaleWhileLocked = 5 * time.Second })
		remove(t, g, "1")
		time.Sleep(ms)
		fetch(t, g, "1")
		if ttl := w.store.ttls[wire("g:1", "i")]; ttl != 5*time.Second {
			t.Errorf("interim values live %v", ttl)
		}
	})
}

// G11: an interim value from between two purges is not good after the second, with the lock or without.
func TestInterimFromBeforeThePurgeIsNotServed(t *testing.T) {
	for _, locked := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			g, _ := numbers(t, w.cache)
			remove(t, g, "1")
			time.Sleep(25 * ms)
			want(t, fetch(t, g, "1"), 1, wanobjectcache.MissCompute)
			time.Sleep(25 * ms)
			remove(t, g, "1")
			time.Sleep(ms)
			if locked {
				w.lockedByAnother("g:1")
			}
			want(t, fetch(t, g, "1"), 2, wanobjectcache.MissCompute)
		})
	}
}

// G11: nor one whose load began before the purge and ended after it, by another process.
func TestInterimIsAsOldAsTheStartOfItsLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		other, _ := w.process()
		slow, _ := numbers(t, other, func(o *options) {
			o.Load = func(context.Context, string) (int, error) {
				time.Sleep(time.Second)
				return -1, nil
			}
		})
		g, _ := numbers(t, w.cache)
		remove(t, g, "1")
		time.Sleep(10 * ms)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			want(t, fetch(t, slow, "1"), -1, wanobjectcache.MissCompute)
		}()
		time.Sleep(500 * ms)
		remove(t, g, "1") // of which the other process knows nothing
		<-ended
		if !w.store.item(wire("g:1", "i")).Found {
			t.Fatal("the other process has not stored its interim value: the test tests nothing")
		}
		want(t, fetch(t, g, "1"), 1, wanobjectcache.MissCompute)
	})
}

// Nh
func TestInterimFromBeforeOwnWriteIsNotServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, _ := numbers(t, w.cache)
		remove(t, g, "1")
		time.Sleep(10 * ms)
		want(t, fetch(t, g, "1"), 1, wanobjectcache.MissCompute)
		time.Sleep(10 * ms)
		var request freshness.Recorder
		ctx := freshness.With(t.Context(), &request)
		freshness.Record(ctx, freshness.Facts{WroteAt: time.Now()})
		time.Sleep(10 * ms)
		want(t, fetch(t, g, "1"), 1, wanobjectcache.HitVolatile) // others may have it
		r, err := g.Fetch(ctx, "1")
		if err != nil {
			t.Fatal(err)
		}
		want(t, r, 2, wanobjectcache.MissCompute)
	})
}

// The clocks of two processes may differ by MaxClockSkew: a load counts as later than a purge only beyond that.
func TestInterimAllowsForSkew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *wanobjectcache.Options) { o.MaxClockSkew = 30 * ms })
		g, _ := numbers(t, w.cache)
		remove(t, g, "1")
		time.Sleep(20 * ms)
		want(t, fetch(t, g, "1"), 1, wanobjectcache.MissCompute)
		want(t, fetch(t, g, "1"), 2, wanobjectcache.MissCompute)
		time.Sleep(11 * ms)
		want(t, fetch(t, g, "1"), 3, wanobjectcache.MissCompute)
		want(t, fetch(t, g, "1"), 3, wanobjectcache.HitVolatile)
	})
}

// Nt: one of the servers of this DC is down, and so is DC b.
func TestDeleteNamesWhatItCouldNotPurge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFaulty(nil)
		b.down = func(string) bool { return true }
		w := newWorld(t, func(o *wanobjectcache.Options) {
			o.DC, o.Remote = "a", map[string]wanobjectcache.Store{"b": b}
		})
		w.store.down = func(key string) bool { return strings.Contains(key, "g:2|") }
		g, _ := numbers(t, w.cache)
		d, err := g.Delete(t.Context(), "1", "2", "3")
		var failed *wanobjectcache.DeliveryError
		if !errors.As(err, &failed) || !errors.Is(err, wanobjectcache.ErrUnavailable) {
			t.Fatalf("Delete: %v", err)
		}
		if text := d.Results()[0].Err.Error(); !strings.Contains(text, "g:2:") || strings.Contains(text, "g:1:") || strings.Contains(text, "g:3:") {
			t.Errorf("the error names the wrong keys: %s", text)
		}
		if d == nil {
			t.Fatal("something was sent, but there is no Delivery")
		}
		for _, id := range []string{"1", "3"} {
			if r := peek(t, g, id); r.State != wanobjectcache.Purged {
				t.Errorf("%s: %+v", id, r)
			}
		}
		if err := d.Wait(t.Context()); err == nil || !strings.Contains(err.Error(), "b: failed") {
			t.Errorf("Wait: %v", err)
		}
	})
}

func TestDeadRemoteDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFaulty(nil)
		b.before = func(string, string) error {
			time.Sleep(time.Minute)
			return nil
		}
		w := newWorld(t, func(o *wanobjectcache.Options) {
			o.DC, o.Remote = "a", map[string]wanobjectcache.Store{"b": b}
		})
		g, _ := numbers(t, w.cache)
		began := time.Now()
		d, err := g.Delete(t.Context(), "1")
		if err != nil || time.Since(began) > 0 {
			t.Errorf("Delete: %v after %v", err, time.Since(began))
		}
		if results := d.Results(); results[0].DC != "a" || !results[0].Done || results[1].DC != "b" || results[1].Done {
			t.Errorf("results: %v", results)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err = d.Wait(ctx)
		var failed *wanobjectcache.DeliveryError
		if !errors.As(err, &failed) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "b: pending") {
			t.Errorf("Wait: %v", err)
		}
	})
}

// A write that was sent and not answered is unknown: neither done nor failed.
func TestPurgeWithoutAnswerIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.store.after = func(string, string) error { return wanobjectcache.ErrUnknownOutcome }
		g, _ := numbers(t, w.cache)
		d, err := g.Delete(t.Context(), "1")
		if !errors.Is(err, wanobjectcache.ErrUnknownOutcome) {
			t.Errorf("Delete: %v", err)
		}
		if text := d.String(); !strings.Contains(text, "local: unknown") {
			t.Errorf("Delivery: %s", text)
		}
	})
}

func TestDeleteEndsWithItsContextAndGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, _ := numbers(t, w.cache)
		store(t, g, "1", 1, wanobjectcache.SetOptions{})
		w.store.before = func(op, _ string) error {
			if op == "set" {
				time.Sleep(500 * ms)
			}
			return nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*ms)
		defer cancel()
		d, err := g.Delete(ctx, "1")
		if d == nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Delete: %v, %v", d, err)
		}
		if err := d.Wait(t.Context()); err != nil {
			t.Errorf("Wait: %v", err)
		}
		if r := peek(t, g, "1"); r.State != wanobjectcache.Purged {
			t.Errorf("the purge was not sent: %+v", r)
		}
	})
}

// Nor is it too late for a purge when the context has ended before it: the data may be changed all the same.
func TestDeleteAfterItsContextHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFaulty(nil)
		w := newWorld(t, func(o *wanobjectcache.Options) {
			o.DC, o.Remote, o.PurgeLog = "a", map[string]wanobjectcache.Store{"b": b}, wanobjectcache.NewMemoryPurgeLog()
		})
		w.store.before = func(string, string) error {
			time.Sleep(ms)
			return nil
		}
		g, _ := numbers(t, w.cache)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		d, err := g.Delete(ctx, "1")
		if d == nil || !errors.Is(err, context.Canceled) {
			t.Fatalf("Delete: %v, %v", d, err)
		}
		if err := d.Wait(t.Context()); err != nil {
			t.Errorf("Wait: %v", err)
		}
		synctest.Wait()
		if !d.Logged() || !w.store.item(wire("g:1", "v")).Found || !b.item(wire("g:1", "v")).Found {
			t.Errorf("not all was sent: %s", d)
		}
	})
}

// A purge whose log did not accept it was sent all the same.
func TestPurgeThatIsNotLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *wanobjectcache.Options) { o.DC, o.PurgeLog = "a", brokenLog{} })
		g, _ := numbers(t, w.cache)
		d, err := g.Delete(t.Context(), "1")
		if !errors.Is(err, wanobjectcache.ErrNotLogged) || !errors.Is(err, errBroken) || d.Logged() {
			t.Errorf("Delete: %v, logged %v", err, d.Logged())
		}
		if r := peek(t, g, "1"); r.State != wanobjectcache.Purged {
			t.Errorf("not purged: %+v", r)
		}
	})
}

type brokenLog struct{}

func (brokenLog) Append(context.Context, []wanobjectcache.Purge) error { return errBroken }

func TestPurgesAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := wanobjectcache.NewMemoryPurgeLog()
		w := newWorld(t, func(o *wanobjectcache.Options) { o.DC, o.PurgeLog = "a", log })
		g, _ := numbers(t, w.cache)
		d, err := g.Delete(t.Context(), "1", "2")
		if err != nil || !d.Logged() {
			t.Fatalf("Delete: %v", err)
		}
		if _, err := w.cache.PurgeTags(t.Context(), "site:7"); err != nil {
			t.Fatal(err)
		}
		got := log.From(0)
		if len(got) != 3 || got[0].Key != wire("g:1", "v") || got[0].Op != wanobjectcache.OpDelete || got[0].Holdoff != w.cache.Holdoff() ||
			got[0].Origin != "a" || got[2].Key != wire("tag:site:7", "t") || got[2].Op != wanobjectcache.OpTag {
			t.Errorf("logged: %+v", got)
		}
	})
}
