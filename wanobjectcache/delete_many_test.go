package wanobjectcache_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/wanobjectcache"
)

// numbered are the ids "0", "1" and so on, or tags.
func numbered[T ~string](n int) []T {
	list := make([]T, n)
	for i := range list {
		list[i] = T(strconv.Itoa(i))
	}
	return list
}

// twoDCs is a cache in DC a, whose other DC is b.
func twoDCs(t *testing.T, b wanobjectcache.Store, change ...func(*wanobjectcache.Options)) *world {
	t.Helper()
	return newWorld(t, append(change, func(o *wanobjectcache.Options) {
		o.DC, o.Remote = "a", map[string]wanobjectcache.Store{"b": b}
	})...)
}

// RemoteTimeout is for each key: 4,000 that take 10 ms each are 5 s for 8 at a time.
func TestLongListsAreNoFailure(t *testing.T) {
	for name, purge := range map[string]func(w *world, g *numbery) (*wanobjectcache.Delivery, error){
		"Delete": func(w *world, g *numbery) (*wanobjectcache.Delivery, error) {
			return g.Delete(w.t.Context(), numbered[string](4000)...)
		},
		"PurgeTags": func(w *world, _ *numbery) (*wanobjectcache.Delivery, error) {
			return w.cache.PurgeTags(w.t.Context(), numbered[wanobjectcache.Tag](4000)...)
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newFaulty(nil)
			w := twoDCs(t, b)
			for _, s := range []*faulty{w.store, b} {
				s.before = func(string, string) error {
					time.Sleep(10 * ms)
					return nil
				}
			}
			g, _ := numbers(t, w.cache)
			d, err := purge(w, g)
			if err = errors.Join(err, d.Wait(t.Context())); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if took := d.Results()[0].Took; took < 5*time.Second {
				t.Errorf("%s: it took %v: the test tests nothing", name, took)
			}
		})
	}
}

// mute takes what is sent, and does not answer before the context ends.
type mute struct {
	*faulty

	asked atomic.Int64
}

func (m *mute) Set(ctx context.Context, _ string, _ wanobjectcache.StoreItem, _ time.Duration) error {
	m.asked.Add(1)
	<-ctx.Done()
	return fmt.Errorf("%w: %w", wanobjectcache.ErrUnknownOutcome, ctx.Err())
}

// A DC that does not answer fails within RemoteTimeout, however many keys there are. What was not sent is not unknown, and
// all that is said of it stays short.
func TestMuteDCIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &mute{faulty: newFaulty(nil)}
		w := twoDCs(t, b)
		g, _ := numbers(t, w.cache)
		d, err := g.Delete(t.Context(), numbered[string](10_000)...)
		if err != nil {
			t.Fatal(err)
		}
		err = d.Wait(t.Context())
		there := d.Results()[1]
		if there.Took != time.Second || b.asked.Load() > 8 {
			t.Errorf("given up after %v and %d keys", there.Took, b.asked.Load())
		}
		if !errors.Is(err, wanobjectcache.ErrUnknownOutcome) || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			t.Errorf("Wait: %v", err)
		}
		unknown, unsent := 0, 0
		for _, err := range causes(there.Err) {
			switch {
			case errors.Is(err, wanobjectcache.ErrUnknownOutcome):
				unknown++
			case errors.Is(err, wanobjectcache.ErrUnavailable) && strings.HasSuffix(err.Error(), "not sent within Options.RemoteTimeout, 1s"):
				unsent++
			}
		}
		if unknown != int(b.asked.Load()) || unsent != 10_000-unknown {
			t.Errorf("of 10,000 keys, %d sent: %d unknown, %d not sent", b.asked.Load(), unknown, unsent)
		}
		isShort(t, w, d, err, "default:g:0: not within Options.RemoteTimeout, 1s: ", "and 9997 more keys")
	})
}

func causes(err error) []error {
	var all interface{ Unwrap() []error }
	if !errors.As(err, &all) {
		return nil
	}
	return all.Unwrap()
}

// isShort checks what people see of a purge that failed in DC b.
func isShort(t *testing.T, w *world, d *wanobjectcache.Delivery, err error, words ...string) {
	t.Helper()
	object, jsonErr := json.Marshal(d.Results()[1])
	if jsonErr != nil {
		t.Error(jsonErr)
	}
	synctest.Wait()
	warnings := take(w.seen, &w.seen.warnings)
	if len(warnings) != 1 || warnings[0].DC != "b" {
		t.Fatalf("%d warnings, want one of b", len(warnings))
	}
	for what, text := range map[string]string{
		"error": err.Error(), "Delivery": d.String(), "JSON": string(object), "warning": warnings[0].Err.Error(),
	} {
		if len(text) > 2000 {
			t.Errorf("%s: %d bytes, %.500s", what, len(text), text)
		}
		for _, part := range words {
			if !strings.Contains(text, part) {
				t.Errorf("%s has no %q: %.2000s", what, part, text)
			}
		}
	}
}

// A server that fails after 250 ms, as memcached's does, is not waited for with each of its keys: not if it is the only one,
// nor if others of its DC work. What is told of each key is true.
func TestDeadServerIsGivenUp(t *testing.T) {
	for name, dead := range map[string]func(key string) bool{
		"the only one":  func(string) bool { return true },
		"one of two":    func(key string) bool { return strings.Contains(key, "1|#|") || strings.Contains(key, "2|#|") },
		"one of twenty": func(key string) bool { return strings.Contains(key, "11|#|") },
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newFaulty(nil)
			b.before = func(_, key string) error {
				if dead(key) {
					time.Sleep(250 * ms)
					return wanobjectcache.ErrUnknownOutcome
				}
				return nil
			}
			w := twoDCs(t, b)
			g, _ := numbers(t, w.cache)
			d, err := g.Delete(t.Context(), numbered[string](10_000)...)
			if err != nil {
				t.Fatal(err)
			}
			err = d.Wait(t.Context())
			if took := d.Results()[1].Took; took < 750*ms || took > 1500*ms {
				t.Errorf("%s: %v", name, took)
			}
			purged := 0
			for _, id := range numbered[string](10_000) {
				if b.item(wire("g:"+id, "v")).Found {
					purged++
				}
			}
			if failed := len(causes(d.Results()[1].Err)); purged+failed != 10_000 {
				t.Errorf("%s: %d are purged, and %d failed", name, purged, failed)
			}
			isShort(t, w, d, err, "more keys")
		})
	}
}

// A server that refuses costs no time: all the others get their keys.
func TestRefusingServerHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFaulty(nil)
		last := wire("g:9999", "v")
		b.down = func(key string) bool { return strings.Contains(key, "1|#|") }
		b.before = func(_, key string) error {
			time.Sleep(ms)
			if key == last {
				return errSpecial
			}
			return nil
		}
		w := twoDCs(t, b)
		g, _ := numbers(t, w.cache)
		d, err := g.Delete(t.Context(), numbered[string](10_000)...)
		if err != nil {
			t.Fatal(err)
		}
		err = d.Wait(t.Context())
		for _, id := range numbered[string](9999) {
			if down := strings.HasSuffix(id, "1"); b.item(wire("g:"+id, "v")).Found == down {
				t.Errorf("%s: down %v, purged %v", id, down, !down)
			}
		}
		if !errors.Is(err, wanobjectcache.ErrUnavailable) || !errors.Is(err, errSpecial) {
			t.Errorf("a cause is lost: %v", err)
		}
		var special *specialError
		if !errors.As(d.Results()[1].Err, &special) {
			t.Errorf("a cause is lost: %v", err)
		}
		isShort(t, w, d, err, "default:g:1: ", "default:g:11: ", "default:g:21: ", "and 998 more keys")
	})
}

type specialError struct{}

func (*specialError) Error() string { return "special" }

var errSpecial = &specialError{}

// A Close that gives up ends a long list: what was not sent failed.
func TestCloseEndsLongLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFaulty(nil)
		b.before = func(string, string) error {
			time.Sleep(100 * ms)
			return nil
		}
		w := twoDCs(t, b)
		g, _ := numbers(t, w.cache)
		d, err := g.Delete(t.Context(), numbered[string](10_000)...)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 350*ms)
		defer cancel()
		if err := w.cache.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close: %v", err)
		}
		err = d.Wait(t.Context())
		there := d.Results()[1]
		if sent := count(b.requests(), "set "); !errors.Is(err, wanobjectcache.ErrClosed) || there.Took != 400*ms || sent+len(causes(there.Err)) != 10_000 {
			t.Errorf("after %v, with %d sent: %v", there.Took, sent, err)
		}
	})
}

// Nobody who wants to wait for ever is given up at once.
func TestRemoteTimeoutWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *wanobjectcache.Options) { o.RemoteTimeout = math.MaxInt64 })
		g, _ := numbers(t, w.cache)
		remove(t, g, numbered[string](100)...)
	})
}

// The events of a purge have base keys, as all others; a warning has the first that failed.
func TestPurgeEventsHaveBaseKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.store.down = func(key string) bool { return key == wire("g:2", "v") }
		g, _ := numbers(t, w.cache)
		if _, err := g.Delete(t.Context(), "1", "2", "1"); !errors.Is(err, wanobjectcache.ErrUnavailable) {
			t.Errorf("Delete: %v", err)
		}
		purgeTags(t, w.cache, "site:7")
		synctest.Wait()
		purges := take(w.seen, &w.seen.purges)
		if len(purges) != 2 || !slices.Equal(purges[0].Keys, []string{"default:g:1", "default:g:2"}) || !slices.Equal(purges[1].Keys, []string{"default:tag:site:7"}) {
			t.Errorf("OnPurge: %+v", purges)
		}
		if warnings := take(w.seen, &w.seen.warnings); len(warnings) != 1 || warnings[0].Key != "default:g:2" {
			t.Errorf("OnWarning: %+v", warnings)
		}
	})
}
