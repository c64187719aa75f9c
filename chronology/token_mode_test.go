package chronology_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/chronology"
)

const (
	vectorIssued = 1700000000000
	vectorToken  = "AQEBi8_laAABDW5AeQEZCW0xOjAtMS0xMA0pawXN2krrFGZoUrNASKg"
)

// opaque is a cluster whose positions are never compared.
type opaque struct{ cluster }

func (*opaque) Require(context.Context, string, time.Time, time.Duration, string) error { return nil }

// The vector of section 4.2 of FORMAT.md, made and read.
func TestTokenVector(t *testing.T) {
	issued := time.UnixMilli(vectorIssued)
	main := &cluster{name: "main", writer: "a"}
	now := issued
	s := newSite(t, chronology.Options{Keys: keys(), Now: func() time.Time { return now }}, main)
	c := newClient()
	c.do(s, "POST", func(_ http.ResponseWriter, r *http.Request) {
		main.commitAt(r.Context(), "m1:0-1-10", issued.Add(-25*time.Millisecond))
	})
	same(t, "made", c.cookies["cp"], vectorToken)

	other := &opaque{cluster{name: "main"}}
	for age, want := range map[time.Duration]bool{0: true, 10 * time.Second: true, 10*time.Second + 1e6: false, -5 * time.Second: true, -5*time.Second - 1e6: false} {
		now = issued.Add(age)
		s = newSite(t, chronology.Options{Keys: keys(), Now: func() time.Time { return now }}, other)
		var e chronology.Explanation
		c.do(s, "GET", func(_ http.ResponseWriter, r *http.Request) { e = s.own.Explain(r.Context()) })
		got := e.Clusters[0]
		if (got.Required == "m1:0-1-10" && got.AsOf.Equal(issued.Add(-25*time.Millisecond)) && got.Source == chronology.FromCookie) != want {
			t.Errorf("at the age of %v: %+v", age, got)
		}
	}
}

// Case Xb: written in a, read in b: the position is required there, with Wait and the policy of the options. Case 105: what
// nobody signed is not.
func TestTokenMode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inA, inB := &cluster{name: "main", writer: "a"}, &cluster{name: "main", writer: "a"}
		a := newSite(t, chronology.Options{Keys: keys()}, inA)
		b := newSite(t, chronology.Options{Keys: keys(), DC: "b", Wait: 5 * time.Second, OnTimeout: chronology.OnTimeoutStale}, inB)
		c := newClient()
		same(t, "cookies", names(c.do(a, "POST", writing(inA, "a7"))), "cp UseDC")
		var q []requirement
		get := func(_ http.ResponseWriter, r *http.Request) { q = inB.requiredBy(r.Context()) }
		c.do(b, "GET", get)
		if len(q) != 1 || q[0].position != "a7" || q[0].wait != 5*time.Second || q[0].onTimeout != "stale" {
			t.Errorf("required %+v", q)
		}
		same(t, "cookies of a write in b", names(newClient().do(b, "POST", writing(inB, "b1"))), "cp UseDC")
		same(t, "told", a.j.take()+b.j.take(), "")

		forged, _ := base64.RawURLEncoding.DecodeString(c.cookies["cp"])
		forged[len(forged)-17] = '9'
		c.cookies["cp"] = base64.RawURLEncoding.EncodeToString(forged)
		c.do(b, "GET", get)
		same(t, "required by a forged cookie", q, "[]")
		same(t, "told", b.j.take(), "cookie:mac")
	})
}

// What a request required, within Window, is in the token that it gives: a chain of writes is not forgotten. Case Xc.
func TestTokensCarryOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := &cluster{name: "one", writer: "a"}, &cluster{name: "two", writer: "a"}
		s := newSite(t, chronology.Options{Keys: keys()}, one, two)
		c := newClient()
		c.do(s, "POST", writing(one, "a3"))
		time.Sleep(6 * time.Second)
		c.do(s, "POST", func(w http.ResponseWriter, r *http.Request) {
			two.commit(r.Context(), "x1")
			one.commitAt(r.Context(), "b2", time.Now().Add(-6200*time.Millisecond)) // the clock of that host is slow
		})
		var x, y string
		read := func(w http.ResponseWriter, r *http.Request) { reading(one, &x)(w, r); reading(two, &y)(w, r) }
		c.do(s, "GET", read)
		same(t, "required", x+" "+y, "a3,b2 x1")

		time.Sleep(9 * time.Second)
		c.do(s, "POST", writing(two, "x2"))
		c.do(s, "GET", read)
		same(t, "required", x+" "+y, " x2") // one is over
	})
}

// Case Xl, and the table of section 3.5.
func TestStickyCookieOfOtherModes(t *testing.T) {
	main, sessions := &cluster{name: "main", writer: "a"}, &cluster{name: "sessions"}
	for what, tc := range map[string]struct {
		keys   []chronology.Key
		dc     string
		method string
		wrote  *cluster
		want   string
	}{
		"token, main in a":      {keys(), "a", "POST", main, "cp UseDC"},
		"token, main in b":      {keys(), "b", "POST", main, "cp UseDC"},
		"token, sessions in a":  {keys(), "a", "POST", sessions, "cp UseDC"},
		"token, sessions in b":  {keys(), "b", "POST", sessions, "cp"},
		"token, GET in a":       {keys(), "a", "GET", main, "cp"},
		"token, unknown method": {keys(), "a", "FROBNICATE", main, "cp UseDC"},
		"sticky, main in a":     {nil, "a", "POST", main, "UseDC"},
		"sticky, main in b":     {nil, "b", "DELETE", main, "UseDC"},
		"sticky, sessions in b": {nil, "b", "POST", sessions, ""},
		"sticky, GET in a":      {nil, "a", "GET", main, ""},
	} {
		s := newSite(t, chronology.Options{Keys: tc.keys, DC: tc.dc}, main, sessions)
		same(t, what, names(newClient().do(s, tc.method, writing(tc.wrote, "a1"))), tc.want)
	}
}

// Case Xe: a position without room becomes a touch, the other is required.
func TestLongPositionInAToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := &cluster{name: "one", writer: "a"}, &cluster{name: "two", writer: "a"}
		s := newSite(t, chronology.Options{Keys: keys()}, one, two)
		c := newClient()
		c.do(s, "POST", func(_ http.ResponseWriter, r *http.Request) {
			one.commit(r.Context(), "a"+strings.Repeat("0", 3<<10)+"1")
			two.commit(r.Context(), "b1")
		})
		same(t, "told", s.j.take(), "no-room:one")
		c.do(s, "GET", func(_ http.ResponseWriter, r *http.Request) {
			same(t, "required of one", len(one.requiredBy(r.Context())), 1)
			same(t, "positions", one.positions(r.Context())+two.positions(r.Context()), "b1")
		})
	})
}

// Case Xj: a key is rolled in three steps, DC after DC, and no client notices.
func TestKeyRolling(t *testing.T) {
	old, next := chronology.Key{ID: 1, Secret: secret()}, chronology.Key{ID: 2, Secret: []byte(strings.Repeat("n", 32))}
	steps := [][]chronology.Key{{old}, {old, next}, {next, old}, {next}}
	at := func(step int) (*site, *cluster) {
		main := &cluster{name: "main", writer: "a"}
		return newSite(t, chronology.Options{Keys: steps[step]}, main), main
	}
	for step := range 3 { // one DC is a step ahead of the other
		for _, way := range [][2]int{{step, step + 1}, {step + 1, step}, {step, step}} {
			from, wroteTo := at(way[0])
			to, readFrom := at(way[1])
			var load sync.WaitGroup
			for range 50 {
				load.Go(func() {
					c := newClient()
					c.do(from, "POST", writing(wroteTo, "a1"))
					var required string
					c.do(to, "GET", reading(readFrom, &required))
					if required != "a1" {
						t.Errorf("from step %d to step %d: required %q", way[0], way[1], required)
					}
				})
			}
			load.Wait()
		}
	}
	from, wroteTo := at(0)
	to, _ := at(3)
	c := newClient()
	c.do(from, "POST", writing(wroteTo, "a1"))
	c.do(to, "GET", quiet)
	same(t, "told of a key that was retired too early", to.j.take(), "cookie:key")
}

// A token travels in a header to another service, which requires it besides the cookie.
func TestTokenHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main := &cluster{name: "main", writer: "a"}
		s := newSite(t, chronology.Options{Keys: keys()}, main)
		c := newClient()
		c.do(s, "POST", writing(main, "a1"))
		var token string
		newClient().do(s, "POST", func(_ http.ResponseWriter, r *http.Request) {
			main.commit(r.Context(), "b2")
			var err error
			if token, err = s.own.Token(r.Context()); err != nil {
				t.Error(err)
			}
		})
		called := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
		called.Header.Set(chronology.TokenHeader, token)
		var required string
		c.send(s, called, func(w http.ResponseWriter, r *http.Request) {
			reading(main, &required)(w, r)
			same(t, "recent writer", s.own.RecentWriter(r.Context()), true)
		})
		same(t, "required", required, "a1 b2")
		time.Sleep(11 * time.Second)
		called.Header.Del("Cookie")
		newClient().send(s, called, reading(main, &required))
		same(t, "required later", required, "")
		same(t, "told", s.j.take(), "header:old")
	})
}

// Case 103: a job's scope keeps nothing unless it asks for a token; Resume waits for what the token says.
func TestJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main := &cluster{name: "main", writer: "a"}
		s, store := storeSite(t, chronology.Options{Keys: keys()}, main)
		ctx := s.own.WithToken(t.Context(), "")
		main.commit(ctx, "a5")
		token, err := s.own.Token(ctx)
		if err != nil || token == "" {
			t.Fatal(token, err)
		}
		same(t, "calls of the store", store.gets.Load()+store.updates.Load(), 0)
		time.Sleep(23 * time.Hour) // a job runs late

		again := s.own.WithToken(t.Context(), token)
		if q := main.requiredBy(again); len(q) != 1 || q[0].position != "a5" || q[0].wait != time.Second {
			t.Errorf("WithToken requires %+v", q)
		}

		began := time.Now()
		main.reached = func(string) bool { return time.Since(began) >= 420*time.Millisecond }
		ctx, reached, err := s.own.Resume(t.Context(), token, time.Second)
		same(t, "resumed", []any{reached, err, time.Since(began)}, []any{true, nil, 450 * time.Millisecond})
		if q := main.requiredBy(ctx); len(q) != 1 || q[0].position != "a5" || q[0].wait >= 0 || q[0].onTimeout != "primary" {
			t.Errorf("Resume requires %+v", q)
		}

		main.reached = func(string) bool { return false }
		began = time.Now()
		_, reached, err = s.own.Resume(t.Context(), token, 120*time.Millisecond)
		same(t, "not reached", []any{reached, err, time.Since(began)}, []any{false, nil, 120 * time.Millisecond})
		_, reached, err = s.own.Resume(t.Context(), token, 0)
		same(t, "without a wait", []any{reached, err}, []any{false, nil})

		ctx, cancel := context.WithTimeoutCause(t.Context(), 70*time.Millisecond, errors.New("shutting down"))
		defer cancel()
		_, reached, err = s.own.Resume(ctx, token, time.Minute)
		if reached || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "shutting down") {
			t.Errorf("an ended context: %t, %v", reached, err)
		}

		main.broken = errors.New("gone")
		_, reached, err = s.own.Resume(t.Context(), token, time.Second)
		if reached || !errors.Is(err, main.broken) {
			t.Errorf("a broken cluster: %t, %v", reached, err)
		}
		_, reached, err = s.own.Resume(t.Context(), "", time.Second)
		same(t, "nothing", []any{reached, err}, []any{true, nil})
		ctx, reached, err = s.own.Resume(t.Context(), token[1:], time.Second)
		if reached || !errors.Is(err, chronology.ErrBadToken) || len(main.requiredBy(ctx)) != 0 {
			t.Errorf("a bad token: %t, %v", reached, err)
		}
		time.Sleep(2 * time.Hour)
		_, _, err = s.own.Resume(t.Context(), token, time.Second)
		same(t, "an old token", err, chronology.ErrBadToken)
		same(t, "told", s.j.take(), "token:form token:old")
	})
}

// Token is of what was committed, and says when that is not known.
func TestToken(t *testing.T) {
	main, other := &cluster{name: "main"}, &cluster{name: "other"}
	s := newSite(t, chronology.Options{Keys: keys()}, main, other)
	token, err := s.own.Token(t.Context())
	same(t, "without a scope", []any{token, err}, []any{"", nil})
	ctx := s.own.WithToken(t.Context(), "")
	token, err = s.own.Token(ctx)
	same(t, "nothing written", []any{token, err}, []any{"", nil})
	main.commit(ctx, "a1")
	main.broken = errors.New("gone")
	if _, err = s.own.Token(ctx); !errors.Is(err, main.broken) || !strings.Contains(err.Error(), "main") {
		t.Errorf("a position that cannot be read: %v", err)
	}
	main.broken = nil
	first, _ := s.own.Token(ctx)
	next := s.own.WithToken(t.Context(), first)
	other.commit(next, "b1")
	both, _ := s.own.Token(next)
	last := s.own.WithToken(t.Context(), both)
	same(t, "required", main.positions(last)+" "+other.positions(last), "a1 b1")

	none := newSite(t, chronology.Options{}, main)
	_, err = none.own.Token(ctx)
	same(t, "no keys", err, chronology.ErrNoKeys)
	_, _, err = none.own.Resume(t.Context(), both, 0)
	same(t, "no keys", []bool{errors.Is(err, chronology.ErrNoKeys), errors.Is(err, chronology.ErrBadToken)}, []bool{true, true})
}

// Positions of clusters that this process does not know are left out.
func TestUnknownCluster(t *testing.T) {
	main, other := &cluster{name: "main", writer: "a"}, &cluster{name: "other", writer: "a"}
	s := newSite(t, chronology.Options{Keys: keys()}, main, other)
	c := newClient()
	c.do(s, "POST", func(_ http.ResponseWriter, r *http.Request) {
		main.commit(r.Context(), "a1")
		other.commit(r.Context(), "b1")
	})
	alone := newSite(t, chronology.Options{Keys: keys()}, main)
	var required string
	c.do(alone, "GET", reading(main, &required))
	same(t, "required", required, "a1")
	same(t, "told", alone.j.take(), "cookie:cluster")
	same(t, "its hash", len(alone.j.kept), 0)
}

// Nobody can make a request wait: 100,000 tokens and store cookies with something changed.
func TestMutatedTokens(t *testing.T) {
	main := &cluster{name: "main", writer: "a"}
	s := newSite(t, chronology.Options{Keys: keys()}, main)
	c := newClient()
	c.do(s, "POST", writing(main, "a1"))
	good := c.cookies["cp"]
	dice := rand.New(rand.NewPCG(1, 2))
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	accepted := 0
	handler := s.own.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { accepted += len(main.requiredBy(r.Context())) }))
	for range 100_000 {
		b := []byte(good)
		switch at := dice.IntN(len(b)); dice.IntN(4) {
		case 0:
			b = append(b[:at], b[at+1:]...)
		case 1:
			b = append(b[:at], append([]byte{alphabet[dice.IntN(64)]}, b[at:]...)...)
		case 2:
			b = b[:at]
		default:
			b[at] = alphabet[dice.IntN(64)]
		}
		if string(b) == good {
			continue
		}
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
		r.AddCookie(&http.Cookie{Name: "cp", Value: string(b)})
		handler.ServeHTTP(httptest.NewRecorder(), r)
	}
	same(t, "accepted", accepted, 0)
}

func TestMutatedIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // a bubble: each that has the form waits 20 ms for its index
		main := &cluster{name: "main", writer: "a"}
		s, _ := storeSite(t, chronology.Options{}, main)
		c := newClient()
		c.do(s, "POST", writing(main, "a1"))
		good := c.cookies["cpPosIndex"]
		_, id, _ := strings.Cut(good, "#")
		dice := rand.New(rand.NewPCG(3, 4))
		accepted := 0
		handler := s.own.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { accepted += len(main.requiredBy(r.Context())) }))
		for range 100_000 {
			b := []byte(id)
			b[dice.IntN(32)] = "0123456789abcdefg"[dice.IntN(17)]
			if string(b) == id {
				continue
			}
			r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
			r.Header.Set("Cookie", fmt.Sprintf("cpPosIndex=1@%d#%s", time.Now().Unix(), b))
			handler.ServeHTTP(httptest.NewRecorder(), r)
		}
		same(t, "accepted", accepted, 0)
	})
}
