package wanobjectcache_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/wanobjectcache"
)

// replaying is a cache over a store of its own, with a group whose loader tells the version that it is given.
type replaying struct {
	*testing.T

	store   *faulty
	cache   *wanobjectcache.Cache
	group   *wanobjectcache.Group[string, string]
	version string
}

func newReplaying(t *testing.T, change func(*wanobjectcache.Options)) *replaying {
	t.Helper()
	r := &replaying{T: t, store: newFaulty(nil), version: "old"}
	options := wanobjectcache.Options{Freshness: wanobjectcache.Unreplicated, LockWait: -1}
	if change != nil {
		change(&options)
	}
	var err error
	if r.cache, err = wanobjectcache.New(r.store, &options); err != nil {
		t.Fatal(err)
	}
	r.group, err = wanobjectcache.NewGroup(r.cache, "g", &wanobjectcache.GroupOptions[string, string]{
		TTL: time.Hour, AgeNew: -1,
		Load: func(context.Context, string) (string, error) { return r.version, nil },
		Tags: func(id string) []wanobjectcache.Tag {
			if id == "k" {
				return []wanobjectcache.Tag{"t"}
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.cache.Close(context.Background()); err != nil {
			t.Error("Close:", err)
		}
	})
	return r
}

func (r *replaying) get(id string) string {
	r.Helper()
	v, err := r.group.Get(r.Context(), id)
	if err != nil {
		r.Fatal(err)
	}
	return v
}

func (r *replaying) replay(purges ...wanobjectcache.Purge) {
	r.Helper()
	for i, err := range r.cache.Replay(r.Context(), purges) {
		if err != nil {
			r.Errorf("purge %d: %v", i, err)
		}
	}
}

// Case G3. DC b cannot be reached for a minute, and a deletes: the Delivery names b, the log has the purge. Replayed on
// heal, it purges what was stored before the end of its hold-off, and nothing newer.
func TestReplayAfterACut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newReplaying(t, func(o *wanobjectcache.Options) { o.DC = "b" })
		link := &faulty{Memory: b.store.Memory, ttls: map[string]time.Duration{}}
		log := wanobjectcache.NewMemoryPurgeLog()
		a := newReplaying(t, func(o *wanobjectcache.Options) {
			o.DC, o.Remote, o.PurgeLog = "a", map[string]wanobjectcache.Store{"b": link}, log
		})
		time.Sleep(time.Second)
		if b.get("early") != "old" || b.get("late") != "old" {
			t.Fatal("not cached")
		}
		link.set(func(f *faulty) {
			f.before = func(string, string) error { return wanobjectcache.ErrUnavailable }
		})
		d, err := a.group.Delete(t.Context(), "early", "late")
		if err != nil || !d.Logged() {
			t.Fatalf("%v, %v", d, err)
		}
		var failed *wanobjectcache.DeliveryError
		if err := d.Wait(t.Context()); !errors.As(err, &failed) || failed.Results[1].DC != "b" || !errors.Is(err, wanobjectcache.ErrUnavailable) {
			t.Errorf("Wait: %v", err)
		}
		time.Sleep(time.Minute)
		b.store.Evict("WANCache:default:g:late|#|v")
		b.version = "new"
		b.get("late")
		b.version = "newest" // who reads this has loaded anew
		for range 2 {
			b.replay(log.From(0)...)
		}
		if got := b.get("early"); got != "newest" {
			t.Errorf("the purged value is still %q", got)
		}
		if got := b.get("late"); got != "new" {
			t.Errorf("what was stored after the hold-off is %q", got)
		}
	})
}

// Within the hold-off a replayed purge leaves a tombstone, that refuses as the purge's own would have.
func TestReplayWithinHoldoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplaying(t, nil)
		time.Sleep(time.Second)
		r.get("k")
		at := time.Now()
		time.Sleep(4 * time.Second)
		purge := wanobjectcache.Purge{Op: wanobjectcache.OpDelete, Key: "WANCache:default:g:k|#|v", Time: at, Holdoff: r.cache.Holdoff(), Origin: "b"}
		r.replay(purge, purge)
		fill, err := r.group.Set(t.Context(), "k", "stale", wanobjectcache.SetOptions{})
		if err != nil || fill != wanobjectcache.FillPurged {
			t.Errorf("a fill is %s, %v", fill, err)
		}
		p, err := r.group.Peek(t.Context(), "k")
		if err != nil || p.State != wanobjectcache.Purged || !p.PurgedAt.Equal(at) {
			t.Errorf("%+v, %v", p, err)
		}
		time.Sleep(9 * time.Second)
		if p, err := r.group.Peek(t.Context(), "k"); err != nil || p.State != wanobjectcache.Absent {
			t.Errorf("after the hold-off: %+v, %v", p, err)
		}
	})
}

// A replayed purge of a tag lets its time be at least that, and never lowers it.
func TestReplayTag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplaying(t, nil)
		time.Sleep(time.Second)
		r.get("k")
		time.Sleep(time.Second)
		at := time.Now()
		time.Sleep(time.Minute)
		later := wanobjectcache.Purge{Op: wanobjectcache.OpTag, Key: "WANCache:default:tag:t|#|t", Time: at, Holdoff: r.cache.Holdoff(), Origin: "b"}
		earlier := later
		earlier.Time = at.Add(-time.Hour)
		r.replay(later)
		r.replay(earlier)
		if p, err := r.group.Peek(t.Context(), "k"); err != nil || p.State != wanobjectcache.Stale || !p.PurgedAt.Equal(at) {
			t.Errorf("%+v, %v", p, err)
		}
	})
}

// What cannot be a purge is refused, and does not keep the others from being replayed. A server that does not answer is an
// error, which is repeated.
func TestReplayErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplaying(t, nil)
		time.Sleep(time.Second)
		r.get("k")
		good := wanobjectcache.Purge{Op: wanobjectcache.OpDelete, Key: "WANCache:default:g:k|#|v", Time: time.Now(), Holdoff: time.Second}
		bad := []wanobjectcache.Purge{
			{Op: "sing", Key: good.Key, Time: good.Time}, {Op: wanobjectcache.OpTag, Key: good.Key, Time: good.Time},
			{Op: wanobjectcache.OpDelete, Key: "k", Time: good.Time}, {Op: wanobjectcache.OpDelete, Key: good.Key},
			{Op: wanobjectcache.OpDelete, Key: good.Key, Time: good.Time, Holdoff: -1},
		}
		errs := r.cache.Replay(t.Context(), append(bad, good))
		for i := range bad {
			if errs[i] == nil {
				t.Errorf("%+v was taken", bad[i])
			}
		}
		if errs[len(bad)] != nil {
			t.Error(errs[len(bad)])
		}
		r.store.set(func(f *faulty) { f.down = func(string) bool { return true } })
		if errs := r.cache.Replay(t.Context(), []wanobjectcache.Purge{good}); !errors.Is(errs[0], wanobjectcache.ErrUnavailable) {
			t.Error(errs[0])
		}
	})
}

// Case T74. What was stored before the epoch counts as absent, tags too; another process follows within five seconds of its
// next read.
func TestEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplaying(t, nil)
		r.get("k") // makes the tag
		time.Sleep(time.Second)
		r.get("old")
		time.Sleep(10 * time.Second)
		other := newReplaying(t, nil)
		other.store.Memory = r.store.Memory
		other.version = "other"
		if other.get("old") != "old" {
			t.Fatal("the store is not shared")
		}
		if err := r.cache.RaiseEpoch(t.Context(), time.Now().Add(-5*time.Second)); err != nil {
			t.Fatal(err)
		}
		if err := r.cache.RaiseEpoch(t.Context(), time.Now().Add(-time.Hour)); err != nil { // it never falls
			t.Fatal(err)
		}
		if err := r.cache.RaiseEpoch(t.Context(), time.Now().Add(time.Hour)); err == nil {
			t.Error("the cache was turned off for an hour")
		}
		for _, id := range []string{"old", "k"} {
			if p, err := r.group.Peek(t.Context(), id); err != nil || p.State != wanobjectcache.Absent {
				t.Errorf("%s: %+v, %v", id, p, err)
			}
		}
		time.Sleep(6 * time.Second)
		other.get("warm")
		if got := other.get("old"); got != "other" {
			t.Errorf("another process has %q", got)
		}
	})
}

// Case Nl. The epoch does not lift a tombstone that stands.
func TestEpochLeavesTombstones(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplaying(t, nil)
		time.Sleep(time.Second)
		if _, err := r.group.Delete(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		if err := r.cache.RaiseEpoch(t.Context(), time.Now().Add(5*time.Second)); err != nil {
			t.Fatal(err)
		}
		fill, err := r.group.Set(t.Context(), "k", "stale", wanobjectcache.SetOptions{})
		if err != nil || fill != wanobjectcache.FillPurged {
			t.Errorf("a fill is %s, %v", fill, err)
		}
	})
}
