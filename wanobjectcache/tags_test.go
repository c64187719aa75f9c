package wanobjectcache_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/wanobjectcache"
)

func purgeTags(t *testing.T, c *wanobjectcache.Cache, tags ...wanobjectcache.Tag) {
	t.Helper()
	if _, err := c.PurgeTags(t.Context(), tags...); err != nil {
		t.Fatalf("PurgeTags: %v", err)
	}
}

// T62
func TestPurgedTags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, _ := numbers(t, w.cache, func(o *options) {
			o.Tags = func(id string) []wanobjectcache.Tag { return []wanobjectcache.Tag{wanobjectcache.Tag("tag" + id)} }
		})
		peekMany(t, g, "1", "2") // makes the tags
		time.Sleep(ms)
		store(t, g, "1", 1, wanobjectcache.SetOptions{})
		store(t, g, "2", 2, wanobjectcache.SetOptions{})
		time.Sleep(time.Second)
		purgeTags(t, w.cache, "tag1", "tag2")
		at := time.Now()
		for i, most := range []time.Duration{0, -1} {
			for j, r := range peekMany(t, g, "1", "2") {
				if !r.Found || !r.Stale || r.Value != j+1 || r.TTL > most || r.State != wanobjectcache.Stale || !r.PurgedAt.Equal(at) {
					t.Errorf("%d s after the purge: %+v", i, r)
				}
			}
			time.Sleep(time.Second)
		}
	})
}

// T63
func TestOwnAndSharedTags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, _ := numbers(t, w.cache, func(o *options) {
			o.Tags = func(id string) []wanobjectcache.Tag {
				return []wanobjectcache.Tag{"shared", wanobjectcache.Tag("own:" + id)}
			}
		})
		peekMany(t, g, "1", "2")
		time.Sleep(100 * ms)
		store(t, g, "1", 1, wanobjectcache.SetOptions{})
		store(t, g, "2", 2, wanobjectcache.SetOptions{})
		signs := func() string {
			var s strings.Builder
			for _, r := range peekMany(t, g, "1", "2") {
				s.WriteString(map[bool]string{true: "+", false: "-"}[r.TTL > 0])
			}
			return s.String()
		}
		if got := signs(); got != "++" {
			t.Errorf("stored: %s", got)
		}
		time.Sleep(ms)
		purgeTags(t, w.cache, "own:1")
		if got := signs(); got != "-+" {
			t.Errorf("own tag purged: %s", got)
		}
		purgeTags(t, w.cache, "shared")
		if got := signs(); got != "--" {
			t.Errorf("shared tag purged: %s", got)
		}
	})
}

// T65
func TestYoungestTagCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		purgeTags(t, w.cache, "old")
		time.Sleep(25 * time.Second)
		purgeTags(t, w.cache, "young")
		time.Sleep(5 * time.Second)
		g, _ := numbers(t, w.cache, tagged("old", "young"))
		store(t, g, "1", 1, wanobjectcache.SetOptions{})
		if r := peek(t, g, "1"); r.TTL != -5*time.Second {
			t.Errorf("now %+v", r)
		}
	})
}

// A value that was stored in the very microsecond of a purge, or of the end of its hold-off, may be from before it.
func TestTagHitsWhatIsAsOldAsItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, _ := numbers(t, w.cache, tagged("tag"))
		purgeTags(t, w.cache, "tag")
		for _, tc := range []struct {
			after time.Duration
			stale bool
		}{{w.cache.Holdoff() - time.Microsecond, true}, {time.Microsecond, true}, {time.Microsecond, false}} {
			time.Sleep(tc.after)
			store(t, g, "1", 1, wanobjectcache.SetOptions{})
			if r := peek(t, g, "1"); r.Stale != tc.stale {
				t.Errorf("stored at %v: %+v", r.AsOf, r)
			}
		}
	})
}

// A tag that is made by a reader has no hold-off: nothing was changed.
func TestNewTagHasNoHoldoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, _ := numbers(t, w.cache, tagged("new"), taking(ms))
		want(t, fetch(t, g, "1"), 1, wanobjectcache.MissCompute)
		want(t, fetch(t, g, "1"), 1, wanobjectcache.HitGood)
		if ttl := w.store.ttls[wire("tag:new", "t")]; ttl != 365*24*time.Hour {
			t.Errorf("a tag lives %v", ttl)
		}
	})
}

// What cannot be read, or is stamped far ahead, is made anew, by a reader and by a purge.
func TestUnbelievableTags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, spoil := range map[string]func(w *world){
			"unreadable": func(w *world) {
				_ = w.store.Memory.Set(t.Context(), wire("tag:tag", "t"), wanobjectcache.StoreItem{Value: []byte("?"), Flags: 0x57430103}, 0)
			},
			"foreign": func(w *world) {
				_ = w.store.Memory.Set(t.Context(), wire("tag:tag", "t"), wanobjectcache.StoreItem{Value: []byte("?")}, 0)
			},
			"from the future": func(w *world) {
				ahead, _ := w.process(func(o *wanobjectcache.Options) { o.Now = func() time.Time { return time.Now().Add(2 * time.Minute) } })
				purgeTags(t, ahead, "tag")
			},
		} {
			for _, byPurge := range []bool{false, true} {
				w := newWorld(t)
				g, _ := numbers(t, w.cache, tagged("tag"), taking(ms))
				spoil(w)
				spoilt := w.store.item(wire("tag:tag", "t"))
				if byPurge {
					purgeTags(t, w.cache, "tag")
				} else if r := peek(t, g, "1"); !r.PurgedAt.Equal(time.Now()) {
					t.Errorf("%s: it counts as purged at %v", name, r.PurgedAt)
				}
				if now := w.store.item(wire("tag:tag", "t")); string(now.Value) == string(spoilt.Value) {
					t.Errorf("%s, by purge %v: not replaced", name, byPurge)
				}
				time.Sleep(w.cache.Holdoff() + ms)
				fetch(t, g, "1")
				want(t, fetch(t, g, "1"), 1, wanobjectcache.HitGood)
			}
		}
	})
}

// Tags never move backwards: neither a late purge nor a clock that is behind lowers one, and the end of a hold-off stays.
func TestTagsNeverFall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		behind, _ := w.process(func(o *wanobjectcache.Options) { o.Now = func() time.Time { return time.Now().Add(-30 * time.Second) } })
		short, _ := w.process(func(o *wanobjectcache.Options) { o.MaxReadLag, o.MaxCommitDelay = -1, -1 })
		g, _ := numbers(t, w.cache, tagged("tag"))
		purgeTags(t, w.cache, "tag")
		at := time.Now()
		purgeTags(t, behind, "tag")
		if r := peek(t, g, "1"); !r.PurgedAt.Equal(at) {
			t.Errorf("lowered to %v", r.PurgedAt)
		}
		time.Sleep(time.Second)
		purgeTags(t, short, "tag") // hold-off 1 s
		if r := peek(t, g, "1"); !r.PurgedAt.Equal(at.Add(time.Second)) {
			t.Errorf("not raised: %v", r.PurgedAt)
		}
		time.Sleep(9 * time.Second)
		store(t, g, "1", 1, wanobjectcache.SetOptions{})
		if r := peek(t, g, "1"); !r.Stale {
			t.Error("the first purge's hold-off was cut short")
		}
		time.Sleep(1001 * ms)
		store(t, g, "1", 1, wanobjectcache.SetOptions{})
		if r := peek(t, g, "1"); r.Stale {
			t.Errorf("it did not end: %+v", r)
		}
	})
}

// Those who purge one tag at the same time do not undo each other's.
func TestTagPurgesThatRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.store.before = func(op, _ string) error {
			if op == "get" {
				return nil
			}
			w.store.set(func(f *faulty) { f.before = nil })
			ahead, _ := w.process(func(o *wanobjectcache.Options) { o.Now = func() time.Time { return time.Now().Add(10 * time.Second) } })
			purgeTags(t, ahead, "tag")
			return nil
		}
		at := time.Now().Add(10 * time.Second)
		purgeTags(t, w.cache, "tag") // reads nothing; then the other's is stored first
		g, _ := numbers(t, w.cache, tagged("tag"))
		if r := peek(t, g, "1"); !r.PurgedAt.Equal(at) {
			t.Errorf("lowered to %v", r.PurgedAt)
		}
	})
}

func TestTagPurgeGivesUpInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.store.before = func(op, _ string) error {
			if op == "add" || op == "cas" {
				return wanobjectcache.ErrConflict
			}
			return nil
		}
		_, err := w.cache.PurgeTags(t.Context(), "tag")
		if !errors.Is(err, wanobjectcache.ErrConflict) {
			t.Errorf("error %v", err)
		}
		if n := count(w.store.requests(), "get"); n != 10 {
			t.Errorf("%d rounds", n)
		}
	})
}

// A tag purge cuts off the loads that depend on it, and only those.
func TestPurgeTagsCutsLoadsOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		release := make(chan struct{})
		g, l := numbers(t, w.cache, func(o *options) {
			o.Tags = func(id string) []wanobjectcache.Tag { return []wanobjectcache.Tag{wanobjectcache.Tag("tag" + id)} }
			next := o.Load
			o.Load = func(ctx context.Context, id string) (int, error) {
				v, err := next(ctx, id)
				<-release
				return v, err
			}
		})
		var callers sync.WaitGroup
		for _, id := range []string{"1", "2"} {
			callers.Go(func() { fetch(t, g, id) })
		}
		synctest.Wait()
		time.Sleep(ms)
		purgeTags(t, w.cache, "tag1")
		for _, id := range []string{"1", "2"} {
			callers.Go(func() {
				r := fetch(t, g, id)
				if joined := r.Outcome == wanobjectcache.MissJoined; joined != (id == "2") {
					t.Errorf("%s: %+v", id, r)
				}
			})
		}
		synctest.Wait()
		close(release)
		callers.Wait()
		if l.calls() != 3 {
			t.Errorf("%d loads", l.calls())
		}
	})
}

// Nm
func TestServerOfATagDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, l := numbers(t, w.cache, tagged("tag"), taking(100*ms))
		fetch(t, g, "1")
		time.Sleep(time.Second)
		w.store.Evict(wire("tag:tag", "t"))
		w.store.down = func(key string) bool { return key == wire("tag:tag", "t") }
		w.store.requests()
		var callers sync.WaitGroup
		for i := range 100 {
			callers.Go(func() {
				time.Sleep(time.Duration(i) * 100 * time.Microsecond)
				if r := fetch(t, g, "1"); r.Value != 2 || !r.PurgedAt.IsZero() {
					t.Errorf("got %+v", r)
				}
			})
		}
		callers.Wait()
		if l.calls() != 2 {
			t.Errorf("%d loads", l.calls())
		}
		if n := count(w.store.requests(), "add "+wire("tag:tag", "t")); n != 0 {
			t.Errorf("%d attempts to make the tag", n)
		}
		w.store.down = nil
		if w.store.item(wire("tag:tag", "t")).Found {
			t.Error("the tag was made")
		}
	})
}

func TestTagsAreChecked(t *testing.T) {
	w := newWorld(t)
	many := make([]wanobjectcache.Tag, 65)
	for i := range many {
		many[i] = wanobjectcache.Tag(fmt.Sprint("tag", i))
	}
	for name, tags := range map[string][]wanobjectcache.Tag{"an empty tag": {"a", ""}, "65 tags": many} {
		g, l := numbers(t, w.cache, tagged(tags...))
		if _, err := g.Get(t.Context(), "1"); err == nil || l.calls() != 0 {
			t.Errorf("%s: %v after %d loads", name, err, l.calls())
		}
		if sent := w.store.requests(); len(sent) != 0 {
			t.Errorf("%s: sent before the check: %q", name, sent)
		}
		remove(t, g, "1") // which needs no tags
		if sent := w.store.requests(); len(sent) != 1 || sent[0] != "set "+wire("g:1", "v") {
			t.Errorf("%s: Delete sent %q", name, sent)
		}
	}
	if _, err := w.cache.PurgeTags(t.Context(), "a", ""); err == nil {
		t.Error("PurgeTags takes an empty tag")
	}
	if sent := w.store.requests(); len(sent) != 0 {
		t.Errorf("sent before the check: %q", sent)
	}
	if g, _ := numbers(t, w.cache, tagged(many[:64]...)); g != nil {
		if _, err := g.Get(t.Context(), "1"); err != nil {
			t.Errorf("64 tags: %v", err)
		}
	}
	if _, err := w.cache.PurgeTags(t.Context()); err != nil {
		t.Errorf("no tags: %v", err)
	}
	purgeTags(t, w.cache, "a", "a")
}
