package dcroute

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Case Xo, and what holds for any request: 10,000 random ones, in random states.
func TestTraceIsDecide(t *testing.T) {
	seed := rand.Uint64()
	w := newRandomWorld(t, seed)
	seen := map[Reason]int{}
	for i := range 10_000 {
		if i%20 == 0 {
			w.change()
		}
		r := w.request()
		d, trace := w.rt.Decide(r), w.rt.Trace(r)
		if d != trace.Decision {
			t.Fatalf("seed %d: Decide %+v, Trace %s", seed, d, trace)
		}
		seen[d.Reason]++
		w.invariants(t, r, d, trace)
		if t.Failed() {
			t.Fatalf("seed %d, request %d: %s %s %v\n%s", seed, i, r.Method, r.URL, r.Header, trace)
		}
	}
	for _, reason := range reasons {
		driver := []Reason{ReasonStaleRouter, ReasonPrimaryUnreachable, ReasonUpstreamLost, ReasonUpstreamTimeout}
		if seen[reason] == 0 != slices.Contains(driver, reason) {
			t.Errorf("seed %d: %s: %d times", seed, reason, seen[reason])
		}
	}
}

// randomWorld is DC b with a state, and requests, of all kinds.
type randomWorld struct {
	*rand.Rand
	state   *Memory
	rt      *Router
	healthy map[string]bool
}

const secret = "s3cr3t"

func newRandomWorld(t *testing.T, seed uint64) *randomWorld {
	t.Helper()
	w := &randomWorld{Rand: rand.New(rand.NewPCG(seed, 2)), state: NewMemory("a"), healthy: map[string]bool{}}
	w.rt = newRouter(t, w.state, func(o *Options) {
		o.Healthy = func(dc string) bool { return w.healthy[dc] }
		o.TrustDebug = func(r *http.Request) bool { return r.Header.Get("X-Trusted") != "" }
		o.Rules = &RuleSet{
			Default: HostConfig{Mode: ModeLocal, Share: 9000},
			Hosts:   map[string]HostConfig{"far.org": {Mode: ModePrimary}, "anon.org": {Mode: ModeLocalAnon}, "ws.org": {Upgrade: UpgradeLocal}},
			Rules: []Rule{
				{Name: "rollback", Query: []string{"action=rollback"}, Action: RuleWrite},
				{Name: "primary", PathPrefix: "/primary", Action: RulePrimary},
				{Name: "search", Path: "/search", Action: RuleNonWrite},
				{Name: "login", Path: "/login", AllowReadOnly: true, Section: "users"},
			},
		}
	})
	return w
}

func pick[T any](w *randomWorld, list ...T) T { return list[w.IntN(len(list))] }

func (w *randomWorld) change() {
	w.state.Update(func(s *State) {
		s.Primary, s.Err = pick(w, "a", "a", "a", "a", "b", "c", "", "d"), pick[error](w, nil, nil, nil, errStale)
		s.Epoch = 5
		clear(s.ReadOnly)
		clear(s.Depooled)
		if w.IntN(4) == 0 {
			s.ReadOnly[pick(w, "*", "users", "other")] = ReadOnlyInfo{Reason: "moving", Until: time.Now().Add(time.Minute)}
		}
		if w.IntN(4) == 0 {
			s.Depooled[pick(w, "a", "b", "c")] = true
		}
	})
	oneIn := pick(w, 2, 6, 6)
	for _, dc := range []string{"a", "b", "c"} {
		w.healthy[dc] = w.IntN(oneIn) > 0
	}
}

func (w *randomWorld) request() *http.Request {
	r := request(pick(w, "GET", "GET", "GET", "HEAD", "POST", "PUT", "FOO", "PURGE"),
		"http://"+pick(w, "x.org", "x.org", "far.org", "anon.org", "ws.org")+pick(w, "/", "/a//b", "/primary/x", "/search", "/login", "/x?action=rollback", "/?x=%zz"))
	for _, header := range []string{
		"Cookie: session=" + secret + strconv.Itoa(w.IntN(1000)), "Cookie: UseDC=primary", "Authorization: Bearer " + secret,
		"X-DC-Force: " + pick(w, "a", "b", "c", "d", secret), "X-Trusted: 1", "CDN-Loop: multidc", "CDN-Loop: multidc, " + pick(w, "multidc", "x"),
		"X-DC-Hop: " + w.hop(),
	} {
		if w.IntN(6) == 0 {
			name, value, _ := strings.Cut(header, ": ")
			r.Header.Add(name, value)
		}
	}
	if w.IntN(6) == 0 {
		r.Header.Set("Connection", "upgrade")
		r.Header.Set("Upgrade", "websocket")
	}
	if w.IntN(50) == 0 {
		r.Header.Set("X-DC-Force-Read-Only", "drill")
	}
	return r
}

func (w *randomWorld) hop() string {
	h := hop{"a", pick(w, "b", "b", "b", "c"), pick(w, 1, 1, 1, 1, 2), pick[uint64](w, 0, 4, 5, 6), time.Now()}
	return h.sealed(pick(w, testKey, testKey, testKey, make([]byte, 32)))
}

// invariants are the guarantees, as far as a single decision can keep them.
func (w *randomWorld) invariants(t *testing.T, r *http.Request, d Decision, trace Trace) {
	t.Helper()
	primary, _, err := w.state.Primary(t.Context())
	switch {
	case d.Intent == Write && d.Action != Refuse && d.Target != primary && d.Reason != ReasonPurge:
		t.Errorf("a write goes to %s, the primary is %q", d.Target, primary)
	case d.Intent == Write && d.Action != Refuse && err != nil && d.Reason != ReasonPurge:
		t.Error("a write by a stale state")
	case d.Entry != "b" && d.Action == Forward:
		t.Error("forwarded twice")
	case (d.Action == Local) != (d.Target == "b"), (d.Action == Refuse) != (d.Status != 0), (d.Action == Refuse) != (d.Target == ""):
		t.Error("the decision contradicts itself")
	case d.StaleRisk && (d.Action != Local || d.Intent != Read):
		t.Error("stale-risk without a read")
	case d.Status == 503 != (d.RetryAfter > 0):
		t.Error("503 and Retry-After belong together")
	}
	if text, _ := json.Marshal(trace); strings.Contains(string(text), secret) || strings.Contains(trace.String(), secret) {
		t.Error("a secret is in the trace")
	}
}

func TestTraceReadsLikeAPage(t *testing.T) {
	rt := withRules(t, Rule{Name: "old", Path: "/x", Action: RulePrimary}, Rule{Name: "api", Path: "/api", Section: "api"})
	const want = `rule old: does not match (path)
rule api: matches
D1 loop: go on (0 times multidc in CDN-Loop)
D2 hop: go on (none)
D3 purge: go on (GET is a read)
D4 state: go on (primary a, epoch 1)
D5 read-only: go on (GET is a read, section "api" is writable)
D2 hop, after the gates: go on (none)
D6 force: go on (no X-DC-Force)
D7 no primary known: go on (primary a, epoch 1)
D8 primary here: go on (primary a, epoch 1)
D9 write: go on (GET is a read)
D10 rule: go on (no rule has an action)
D11 mode: go on (host "example.com": local; session cookie or Authorization: true)
D12 rollout: go on (by session cookie of 6 bytes in bucket 4035, share 10000)
D13 sticky: forward to a, sticky (UseDC is there)
upstream: yes (a)
primary healthy: yes (a)
so: forward to a, sticky
`
	if got := rt.Trace(request("GET", "/api", "Cookie: session=s3cr3t; UseDC=primary")).String(); got != want {
		t.Errorf("got:\n%s", got)
	}
}

func TestExplain(t *testing.T) {
	m := NewMemory("a")
	rt := newRouter(t, m, func(o *Options) { o.Order = []string{"c"}; o.Healthy = func(dc string) bool { return dc != "c" } })
	rt.count(ReasonDefault)
	rt.count(ReasonWrite)
	rt.count(ReasonWrite)
	rt.count("no such reason")
	m.Update(func(s *State) {
		s.Depooled["b"], s.Err = true, errors.New("too old")
		s.ReadOnly["*"] = ReadOnlyInfo{Reason: "moving", Until: time.Unix(1e9, 0).UTC()}
	})
	const want = `dcroute in DC b: the primary is a, epoch 1
  look at this: writes are refused: too old
  read-only: moving until 2001-09-09T01:46:40Z
  DC b, not pooled
  DC c, not healthy
    https://c.example.net
  DC a
    https://a.example.net:8443
  rules: 0; hosts: 0, all others: mode local, share 10000
             2 write
             1 default
`
	e := rt.Explain(t.Context())
	if got := e.String(); got != want {
		t.Errorf("got:\n%s", got)
	}
	if text, err := json.Marshal(e); err != nil || strings.Contains(string(text), string(testKey[1:8])) {
		t.Errorf("%s, %v", text, err)
	}
}
