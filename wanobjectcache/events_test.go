package wanobjectcache_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/wanobjectcache"
)

func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *wanobjectcache.Options) {
			o.DC, o.Remote = "a", map[string]wanobjectcache.Store{"b": newFaulty(nil)}
		})
		g, _ := numbers(t, w.cache, taking(time.Second), func(o *options) {
			next := o.Load
			o.Load = func(ctx context.Context, id string) (int, error) {
				wanobjectcache.Report(ctx, wanobjectcache.Facts{Lag: 2 * time.Second})
				return next(ctx, id)
			}
		})
		fetch(t, g, "1")
		fetch(t, g, "1")
		fetches := take(w.seen, &w.seen.fetches)
		if len(fetches) != 2 || fetches[0] != (wanobjectcache.FetchInfo{Group: "g", Key: "default:g:1", Outcome: wanobjectcache.MissCompute, Took: time.Second}) ||
			fetches[1] != (wanobjectcache.FetchInfo{Group: "g", Key: "default:g:1", Outcome: wanobjectcache.HitGood}) {
			t.Errorf("OnFetch: %+v", fetches)
		}
		loads := take(w.seen, &w.seen.loads)
		if len(loads) != 1 || loads[0].Group != "g" || len(loads[0].Keys) != 1 || loads[0].Keys[0] != "default:g:1" || loads[0].Took != time.Second ||
			loads[0].Err != nil || loads[0].Facts.Lag != 2*time.Second || !loads[0].Facts.Since.Equal(time.Now().Add(-time.Second)) {
			t.Errorf("OnLoad: %+v", loads)
		}
		fills := take(w.seen, &w.seen.fills)
		if len(fills) != 1 || fills[0] != (wanobjectcache.FillInfo{Group: "g", Key: "default:g:1", Fill: wanobjectcache.FillStored, TTL: time.Hour, Size: 33}) {
			t.Errorf("OnFill: %+v", fills)
		}
		remove(t, g, "1", "2")
		synctest.Wait()
		purges := take(w.seen, &w.seen.purges)
		var names []string
		for _, p := range purges {
			names = append(names, p.Result.DC)
			if p.Op != wanobjectcache.OpDelete || len(p.Keys) != 2 || !p.Result.Done || p.Result.Err != nil || p.Logged {
				t.Errorf("OnPurge: %+v", p)
			}
		}
		if slices.Sort(names); !slices.Equal(names, []string{"a", "b"}) {
			t.Errorf("OnPurge of %q", names)
		}
		if len(w.seen.warnings) != 0 {
			t.Errorf("OnWarning: %+v", w.seen.warnings)
		}
	})
}

func TestEventsOfFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, _ := numbers(t, w.cache, func(o *options) { o.Load = func(context.Context, string) (int, error) { return 0, errBroken } })
		_, _ = g.Get(t.Context(), "1")
		_, _ = g.GetMany(t.Context(), []string{"2"})
		loads := take(w.seen, &w.seen.loads)
		fetches := take(w.seen, &w.seen.fetches)
		if len(loads) != 2 || len(fetches) != 2 {
			t.Fatalf("%+v, %+v", loads, fetches)
		}
		for i := range 2 {
			if !errors.Is(loads[i].Err, errBroken) || !errors.Is(fetches[i].Err, errBroken) {
				t.Errorf("%+v, %+v", loads[i], fetches[i])
			}
		}
		if fills := take(w.seen, &w.seen.fills); len(fills) != 0 {
			t.Errorf("nothing was to be stored: %+v", fills)
		}
	})
}

// What is told as a warning is in the log, too; a panic that nobody saw as an error.
func TestWarningsAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		w := newWorld(t, replicated, func(o *wanobjectcache.Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		g, _ := numbers(t, w.cache)
		fetch(t, g, "1")
		if text := log.String(); !strings.Contains(text, "level=WARN") || !strings.Contains(text, "age unreported") || !strings.Contains(text, "default:g:1") {
			t.Errorf("logged: %s", text)
		}
		log.Reset()
		store(t, g, "2", 1, wanobjectcache.SetOptions{Facts: wanobjectcache.Facts{Pending: true}})
		if text := log.String(); !strings.Contains(text, string(wanobjectcache.FillPending)) {
			t.Errorf("logged: %s", text)
		}
	})
}

// No events, no logger: everything works.
func TestWithoutEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, replicated, func(o *wanobjectcache.Options) { o.Events = wanobjectcache.Events{} })
		g, _ := numbers(t, w.cache, tagged("a"))
		fetch(t, g, "1")
		fetchMany(t, g, "1", "2")
		store(t, g, "3", 1, wanobjectcache.SetOptions{})
		remove(t, g, "1")
		purgeTags(t, w.cache, "a")
		w.store.down = allDown
		fetch(t, g, "1")
	})
}

func TestDeliveryShowsItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c := newFaulty(nil), newFaulty(nil)
		b.down = allDown
		c.after = func(string, string) error { return wanobjectcache.ErrUnknownOutcome }
		w := newWorld(t, func(o *wanobjectcache.Options) {
			o.DC, o.Remote = "a", map[string]wanobjectcache.Store{"b": b, "c": c, "d": newFaulty(nil)}
		})
		g, _ := numbers(t, w.cache)
		d, err := g.Delete(t.Context(), "1")
		if err != nil {
			t.Fatal(err)
		}
		err = d.Wait(t.Context())
		if text := err.Error(); !strings.Contains(text, "b: failed") || !strings.Contains(text, "c: unknown") || strings.Contains(text, "d: done") {
			t.Errorf("Wait: %s", text)
		}
		if !errors.Is(err, wanobjectcache.ErrUnavailable) || !errors.Is(err, wanobjectcache.ErrUnknownOutcome) {
			t.Errorf("Wait: %v", err)
		}
		text, err := json.Marshal(d.Results())
		var states []struct{ DC, State string }
		if err := errors.Join(err, json.Unmarshal(text, &states)); err != nil {
			t.Fatal(err)
		}
		got := make([]string, len(states))
		for i, s := range states {
			got[i] = s.DC + " " + s.State
		}
		if !slices.Equal(got, []string{"a done", "b failed", "c unknown", "d done"}) {
			t.Errorf("results: %s", text)
		}
	})
}

func TestExplain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFaulty(nil)
		b.before = func(string, string) error {
			time.Sleep(300 * ms)
			return wanobjectcache.ErrUnavailable
		}
		w := newWorld(t, func(o *wanobjectcache.Options) { o.DC, o.Remote = "a", map[string]wanobjectcache.Store{"b": b} })
		g, _ := numbers(t, w.cache, taking(time.Hour))
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, _ = g.Get(ctx, "1") }()
		remove(t, g, "2")
		synctest.Wait()
		began := time.Now()
		e := w.cache.Explain(t.Context())
		cancel()
		if time.Since(began) > time.Second || e.DC != "a" || e.Keyspace != "default" || e.Holdoff != 11*time.Second || len(e.DCs) != 2 || !e.DCs[0].Reached ||
			e.DCs[1].Reached || len(e.Groups) != 1 || e.Groups[0].Name != "g" || e.Groups[0].Loads != 1 {
			t.Errorf("%+v", e)
		}
		page := e.String()
		for _, words := range []string{"hold-off 11s", "DC a answers", "DC b does not answer", "group g: TTL 1h0m0s, 1 loads", "no purge log"} {
			if !strings.Contains(page, words) {
				t.Errorf("the page has no %q:\n%s", words, page)
			}
		}
		if text, err := json.Marshal(e); err != nil || !strings.Contains(string(text), `"holdoff"`) {
			t.Errorf("%s, %v", text, err)
		}
	})
}
