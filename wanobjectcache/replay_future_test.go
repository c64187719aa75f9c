package wanobjectcache_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/wanobjectcache"
)

// A purge that was stamped by a clock years ahead purges what is there, and is over with its hold-off.
func TestReplayFromTheFuture(t *testing.T) {
	for name, purge := range map[string]wanobjectcache.Purge{
		"delete": {Op: wanobjectcache.OpDelete, Key: "WANCache:default:g:k|#|v"},
		"tag":    {Op: wanobjectcache.OpTag, Key: "WANCache:default:tag:t|#|t"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newReplaying(t, nil)
				r.get("k") // makes the tag
				time.Sleep(time.Second)
				r.get("k")
				time.Sleep(time.Second)
				r.version = "new"
				purge.Time, purge.Holdoff = time.Now().AddDate(10, 0, 0), r.cache.Holdoff()
				r.replay(purge)
				if got := r.get("k"); got != "new" {
					t.Errorf("the purged value is still %q", got)
				}
				time.Sleep(r.cache.Holdoff() + time.Second)
				fill, err := r.group.Set(t.Context(), "k", "later", wanobjectcache.SetOptions{})
				if err != nil || fill != wanobjectcache.FillStored {
					t.Errorf("after the hold-off a fill is %s, %v", fill, err)
				}
				if p, err := r.group.Peek(t.Context(), "k"); err != nil || p.State != wanobjectcache.Fresh {
					t.Errorf("after the hold-off: %+v, %v", p, err)
				}
			})
		})
	}
}

// Clocks may differ: what they can be ahead is left as it is.
func TestReplayFromALittleAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplaying(t, func(o *wanobjectcache.Options) { o.MaxClockSkew = 5 * time.Second })
		at := time.Now().Add(65 * time.Second)
		r.replay(wanobjectcache.Purge{Op: wanobjectcache.OpDelete, Key: "WANCache:default:g:k|#|v", Time: at, Holdoff: r.cache.Holdoff()})
		if p, err := r.group.Peek(t.Context(), "k"); err != nil || p.State != wanobjectcache.Purged || !p.PurgedAt.Equal(at) {
			t.Errorf("%+v, %v, want it purged at %v", p, err, at)
		}
	})
}

// A purge of a tag must not be one of everything, and for as long as it likes.
func TestReplayDoesNotTouchTheEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplaying(t, nil)
		purge := wanobjectcache.Purge{Op: wanobjectcache.OpTag, Key: "WANCache:global:WANCache-epoch|#|t", Time: time.Now()}
		if errs := r.cache.Replay(t.Context(), []wanobjectcache.Purge{purge}); errs[0] == nil {
			t.Error("a purge of the epoch was taken")
		}
	})
}

// What New lets through can be logged, and replayed; what is more is refused at once, by both.
func TestHoldoffThatCanBeLogged(t *testing.T) {
	const most = time.Hour - time.Second // and a second
	purge := wanobjectcache.Purge{Op: wanobjectcache.OpDelete, Key: "WANCache:default:g:k|#|v", Time: time.Now()}
	for lag, ok := range map[time.Duration]bool{most: true, most + 1: false} {
		options := wanobjectcache.Options{
			Freshness: wanobjectcache.Unreplicated, DC: "a", PurgeLog: wanobjectcache.NewMemoryPurgeLog(), MaxCommitDelay: -1, MaxReadLag: lag,
		}
		_, err := wanobjectcache.New(wanobjectcache.NewMemory(nil), &options)
		if (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "Options.MaxCommitDelay, MaxReadLag, MaxClockSkew") {
			t.Errorf("%v, with a log: %v", lag, err)
		}
		options.PurgeLog = nil
		c, err := wanobjectcache.New(wanobjectcache.NewMemory(nil), &options)
		if err != nil {
			t.Fatal(err)
		}
		purge.Holdoff = c.Holdoff()
		if errs := c.Replay(t.Context(), []wanobjectcache.Purge{purge}); (errs[0] == nil) != ok {
			t.Errorf("%v, replayed: %v", lag, errs[0])
		}
	}
}
