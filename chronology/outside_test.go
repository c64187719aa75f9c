package chronology_test

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/chronology"
)

// 3.8: Token and Resume: nothing, unreadable, unknown, aged, in store mode.
func TestOutside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main, other := &cluster{name: "main", writer: "a"}, &cluster{name: "other", writer: "a"}
		s := newSite(t, chronology.Options{Keys: keys(), MaxTokenAge: time.Hour}, main, other)
		now := time.Now()
		tok := func(issued time.Duration, list ...rawEntry) string {
			return b64(signed(rawBody(1, 1, now.Add(-issued).UnixMilli(), list...)))
		}
		e := rawEntry{name: "main", flags: 1, position: "a5"}
		for what, tc := range map[string]struct {
			token string
			ok    bool
			err   error
			told  string
			need  string
		}{
			"an hour":        {tok(time.Hour, e), true, nil, "", "a5"},
			"more":           {tok(time.Hour+time.Millisecond, e), false, chronology.ErrBadToken, "token:old", ""},
			"5 s ahead":      {tok(-5*time.Second, e), true, nil, "", "a5"},
			"more ahead":     {tok(-5001*time.Millisecond, e), false, chronology.ErrBadToken, "token:future", ""},
			"unreadable":     {tok(0, rawEntry{name: "main", flags: 1, position: "?"}), false, nil, "require:main", ""},
			"one unreadable": {tok(0, rawEntry{name: "main", flags: 1, position: "?"}, rawEntry{name: "other", flags: 1, position: "b1"}), false, nil, "require:main", ""},
			"bad":            {"x", false, chronology.ErrBadToken, "token:form", ""},
			"empty":          {"", true, nil, "", ""},
			"old touch":      {tok(time.Minute, rawEntry{name: "main", flags: 1}), true, nil, "", ""},
		} {
			ctx, ok, err := s.own.Resume(t.Context(), tc.token, time.Second)
			if ok != tc.ok || !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) {
				t.Errorf("%s: %t %v", what, ok, err)
			}
			same(t, what, []string{s.j.take(), main.positions(ctx)}, []string{tc.told, tc.need})
			ctx = s.own.WithToken(t.Context(), tc.token)
			same(t, what, []string{s.j.take(), main.positions(ctx)}, []string{tc.told, tc.need})
			if _, err := s.own.Token(ctx); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		stored := newSite(t, chronology.Options{Store: chronology.NewMemory(0)}, main)
		_, err := stored.own.Token(t.Context())
		same(t, "no keys", errors.Is(err, chronology.ErrNoKeys), true)
	})
}

// 3.8: Reached is asked of every required cluster, every 50 ms.
func TestReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main, other := &cluster{name: "main", writer: "a"}, &cluster{name: "other", writer: "a"}
		s := newSite(t, chronology.Options{Keys: keys()}, main, other)
		now := time.Now()
		list := []rawEntry{{name: "main", flags: 1, position: "a5"}, {name: "other", flags: 1, position: "b5"}}
		slices.SortFunc(list, func(a, b rawEntry) int {
			x, y := sha256.Sum256([]byte(a.name)), sha256.Sum256([]byte(b.name))
			return strings.Compare(string(x[:4]), string(y[:4]))
		})
		token := b64(signed(rawBody(1, 1, now.UnixMilli(), list...)))
		var asked atomic.Int32
		main.reached = func(string) bool { asked.Add(1); return time.Since(now) >= 100*time.Millisecond }
		other.reached = func(string) bool { return time.Since(now) >= 220*time.Millisecond }
		_, ok, err := s.own.Resume(t.Context(), token, time.Second)
		same(t, "both", []any{ok, err, time.Since(now)}, []any{true, nil, 250 * time.Millisecond})
		now = time.Now()
		other.reached = func(string) bool { return time.Since(now) >= 180*time.Millisecond }
		_, ok, err = s.own.Resume(t.Context(), token, 190*time.Millisecond)
		same(t, "at the end of wait", []any{ok, err, time.Since(now)}, []any{true, nil, 190 * time.Millisecond})
	})
}

// 3.8: a bad token is ErrBadToken, in a protector without keys too, and told.
func TestResumeWithoutKeys(t *testing.T) {
	main := &cluster{name: "main", writer: "a"}
	s := newSite(t, chronology.Options{}, main)
	ctx, ok, err := s.own.Resume(t.Context(), "x", 0)
	if ok || !errors.Is(err, chronology.ErrBadToken) || ctx == nil {
		t.Errorf("%t, %v", ok, err)
	}
	same(t, "told", s.j.take(), "token:key")
}

// Explain: neither secrets, ids nor tokens.
func TestExplainRedacts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main := &cluster{name: "main", writer: "a"}
		store := chronology.NewMemory(0)
		for _, o := range []chronology.Options{{Keys: keys()}, {Keys: keys(), Store: store, ClientID: func(*http.Request) string { return "user:42" }}} {
			s := newSite(t, o, main)
			c := newClient()
			c.do(s, "POST", writing(main, "a1"))
			c.do(s, "GET", func(_ http.ResponseWriter, r *http.Request) {
				main.commit(r.Context(), "a2")
				e := s.own.Explain(r.Context())
				b, _ := json.Marshal(e)
				all := string(b) + e.String() + fmt.Sprintf("%+v", e)
				for _, hidden := range []string{c.cookies["cp"] + "\x00", "6ce29a1d", "user:42", string(secret()[20:]), "000102", "AAEC"} {
					if strings.Contains(all, strings.TrimSuffix(hidden, "\x00")) && hidden != "\x00" {
						t.Errorf("it has %q", hidden)
					}
				}
				for _, want := range []string{"main", "a1", "a2", "cookie", "DC a", "10s", "1s", "primary"} {
					if !strings.Contains(e.String(), want) {
						t.Errorf("no %q in %s", want, e)
					}
				}
				one := e.Clusters[0]
				same(t, "cluster", []any{one.Name, one.WriterDC, one.Required, one.Source, one.Wrote, one.Captured}, []any{"main", "a", "a1", "cookie", true, "a2"})
			})
		}
	})
}

// New: the bounds.
func TestBounds(t *testing.T) {
	one := []chronology.Cluster{&cluster{name: strings.Repeat("n", 32)}}
	for what, o := range map[string]chronology.Options{
		"window 1 s": {Window: time.Second}, "window 60 s": {Window: time.Minute}, "wait 10 s": {Wait: 10 * time.Second}, "no wait": {Wait: -time.Hour},
		"sticky = window": {Window: 30 * time.Second, StickyTTL: 30 * time.Second}, "sticky off": {StickyTTL: -1},
		"keys": {Keys: []chronology.Key{{ID: 0, Secret: secret()}, {ID: 255, Secret: secret()}}}, "prefix": {KeyPrefix: strings.Repeat("-", 64)},
		"sticky below 10 s": {Window: 2 * time.Second, StickyTTL: 2 * time.Second},
	} {
		o.DC = strings.Repeat("d", 32)
		if _, err := chronology.New(one, &o); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, o := range map[string]chronology.Options{
		"KeyPrefix": {KeyPrefix: strings.Repeat("-", 65)}, "StickyTTL": {StickyTTL: 10*time.Second - 1}, "DC": {DC: strings.Repeat("d", 33)},
		"Keys": {Keys: []chronology.Key{{ID: 1, Secret: secret()}, {ID: 2, Secret: secret()[:31]}}},
	} {
		if o.DC == "" {
			o.DC = "a"
		}
		if _, err := chronology.New(one, &o); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// The options are copied, the secrets too.
func TestOptionsAreCopied(t *testing.T) {
	main := &cluster{name: "main", writer: "a"}
	k := keys()
	o := chronology.Options{DC: "a", Keys: k}
	own, err := chronology.New([]chronology.Cluster{main}, &o)
	if err != nil {
		t.Fatal(err)
	}
	clear(k[0].Secret)
	k[0].ID = 9
	ctx := own.WithToken(t.Context(), "")
	main.commit(ctx, "a1")
	token, err := own.Token(ctx)
	other := newSite(t, chronology.Options{Keys: keys()}, main)
	if err != nil || main.positions(other.own.WithToken(t.Context(), token)) != "a1" {
		t.Error(err, token)
	}
}

// Clusters without the optional methods: reached, not lagged, no phase.
type bare struct{ chronology.Cluster }

func TestOptionalMethods(t *testing.T) {
	main := &cluster{name: "main", writer: "a", lagging: true, reached: func(string) bool { return false }}
	s := newSite(t, chronology.Options{Keys: keys()}, bare{main})
	res := newClient().do(s, "GET", func(_ http.ResponseWriter, r *http.Request) { same(t, "phases", len(main.of(r.Context()).phases), 0) })
	same(t, "lagged", res.Header.Get("X-Database-Lagged"), "")
	ctx := s.own.WithToken(t.Context(), "")
	main.commit(ctx, "a1")
	token, _ := s.own.Token(ctx)
	_, ok, err := s.own.Resume(t.Context(), token, time.Second)
	same(t, "reached", []any{ok, err}, []any{true, nil})
}
