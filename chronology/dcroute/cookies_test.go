package dcroute

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// The dumb twin of the sticky cookie: a cookie stands between semicolons, its name and its value between blanks, and the
// value perhaps in quotes.
var stickyTwin = regexp.MustCompile(`(?:^|;)[ \t]*UseDC[ \t]*=(?:(?:primary|master)|"(?:primary|master)")[ \t]*(?:;|$)`)

// Figure "sticky false pins": 100,000 generated Cookie headers, and none pins that has no such cookie; nor is one overlooked.
func TestNoFalsePins(t *testing.T) {
	rt := newRouter(t, nil, nil)
	parts := []string{
		"UseDC", "UseDC", "UseDC", "primary", "primary", "primary", "master", "=", "=", "=", ";", ";", "; ", " ", "x", "X", "%3D", `"`, ",", "&", "usedc", "Primary",
		"cp", "session", "UseDC=primary", "UseDC=primary", "UseDC=master", "note=UseDC=primary", "UseDC=primary2", "XUseDC=primary", "a=b; ", "UseDC=;",
	}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	pinned, falsePins := 0, 0
	r := request("GET", "/", "Cookie: ")
	for range 100_000 {
		var b strings.Builder
		for range 1 + random.IntN(8) {
			b.WriteString(parts[random.IntN(len(parts))])
		}
		r.Header["Cookie"][0] = b.String()
		got, want := rt.Decide(r).Reason == ReasonSticky, stickyTwin.MatchString(b.String())
		if got {
			pinned++
		}
		if got != want {
			falsePins++
			t.Errorf("seed %d: %q: pinned %t", seed, b.String(), got)
		}
		if falsePins > 10 {
			break
		}
	}
	if pinned < 1000 || pinned > 90_000 {
		t.Errorf("seed %d: %d pinned: the headers are not good ones", seed, pinned)
	}
}

func TestFindCookie(t *testing.T) {
	for _, c := range []struct {
		want, value string
		found       bool
		lines       []string
	}{
		{"a", "", false, nil},
		{"a", "", false, []string{"b=a; aa=1; xa=2"}},
		{"a", "1", true, []string{"b=2; a=1"}},
		{"a", "1", true, []string{"b=2", "x=3;a=1"}},
		{"a", "1=2", true, []string{"a=1=2"}},
		{"a", "1", true, []string{`a="1"`}},
		{"a", "1", true, []string{"a=; a=1; a=2"}},
		{"a", "", true, []string{"a="}},
		{"a", "", true, []string{"a"}},
		{"a*", "1", true, []string{"xa=0; ab=1; a=2"}},
		{"a*", "", false, []string{"A=1"}},
		{"A", "", false, []string{"a=1"}},
	} {
		if value, found := findCookie(c.lines, c.want); value != c.value || found != c.found {
			t.Errorf("%q in %q: %q, %t", c.want, c.lines, value, found)
		}
	}
}

// The order in which a browser sends its cookies does not move a client.
func TestSessionOrder(t *testing.T) {
	rt := newRouter(t, nil, nil)
	for i := range 100 {
		a, b := fmt.Sprintf("session=%d", i), fmt.Sprintf("wikiSession=x%d", i)
		_, one := rt.client(request("GET", "/", "Cookie: "+a+"; "+b))
		_, two := rt.client(request("GET", "/", "Cookie: "+b+"; "+a))
		if one != two || one != strconv.Itoa(i) {
			t.Fatalf("%q, %q", one, two)
		}
	}
}
