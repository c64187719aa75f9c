package dcroute

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

var testKey = func() []byte {
	key := make([]byte, 32)
	for i := range key {
		key[i] = byte(i)
	}
	return key
}()

var errStale = errors.New("stale")

// testOptions are of DC b of three, where all clients read.
func testOptions() *Options {
	return &Options{
		DC:             "b",
		Upstreams:      map[string]Upstream{"a": {Addrs: []string{"https://a.example.net:8443"}}, "c": {Addrs: []string{"https://c.example.net"}}},
		HopKeys:        [][]byte{testKey},
		Rules:          &RuleSet{Default: HostConfig{Mode: ModeLocal, Share: maxShare}},
		SessionCookies: []string{"session", "wiki*"},
	}
}

// newRouter is of DC b; the primary is a.
func newRouter(tb testing.TB, state PrimarySource, change func(*Options)) *Router {
	tb.Helper()
	opts := testOptions()
	if change != nil {
		change(opts)
	}
	if state == nil {
		state = NewMemory("a")
	}
	rt, err := New(state, opts)
	if err != nil {
		tb.Fatal(err)
	}
	return rt
}

// request has headers as "Name: value".
func request(method, target string, headers ...string) *http.Request {
	r := httptest.NewRequestWithContext(context.Background(), method, target, http.NoBody)
	for _, line := range headers {
		for i := range line {
			if line[i] == ':' {
				r.Header.Add(line[:i], line[i+2:])
				break
			}
		}
	}
	return r
}

// The short form of a decision: what the tables below compare.
func short(d Decision) string {
	s := string(d.Action) + " " + string(d.Reason)
	if d.Action == Forward {
		s = "to " + d.Target + " " + string(d.Reason)
	}
	if d.StaleRisk {
		s += " stale-risk"
	}
	return s
}

func check(t *testing.T, rt *Router, r *http.Request, want string) Decision {
	t.Helper()
	d := rt.Decide(r)
	if got := short(d); got != want {
		t.Errorf("%s %s: %s, want %s\n%s", r.Method, r.URL, got, want, rt.Trace(r))
	}
	return d
}

// Cases 1, 2, 3.
func TestMethods(t *testing.T) {
	rt := newRouter(t, nil, nil)
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "TRACE", "QUERY"} {
		if d := check(t, rt, request(method, "/"), "local default"); d.Intent != Read || d.Target != "b" || d.Entry != "b" || d.Epoch != 1 {
			t.Errorf("%+v", d)
		}
	}
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "FOO", "get", "CONNECT", "MKCOL"} {
		r := request("GET", "/")
		r.Method = method
		if d := check(t, rt, r, "to a write"); d.Intent != Write {
			t.Errorf("%+v", d)
		}
	}
	check(t, rt, request("PURGE", "/"), "local purge")
}

func TestThePrimaryAnswersAll(t *testing.T) {
	rt := newRouter(t, NewMemory("b"), nil)
	check(t, rt, request("GET", "/"), "local local-is-primary")
	check(t, rt, request("POST", "/", "Cookie: UseDC=primary"), "local local-is-primary")
}

// Without rules all goes to the primary.
func TestNoRules(t *testing.T) {
	rt := newRouter(t, nil, func(o *Options) { o.Rules = nil })
	check(t, rt, request("GET", "/"), "to a host-mode")
}

// Case 11.
func TestModes(t *testing.T) {
	rt := newRouter(t, nil, func(o *Options) { o.Rules.Default.Mode = ModeLocalAnon })
	check(t, rt, request("GET", "/"), "local default")
	check(t, rt, request("GET", "/", "Cookie: xsession=1; mysession=2; session2=3; Wiki=4"), "local default")
	check(t, rt, request("GET", "/", "Cookie: a=b; session=1"), "to a session")
	check(t, rt, request("GET", "/", "Cookie: a=b", "Cookie: session=1"), "to a session")
	check(t, rt, request("GET", "/", "Cookie: session="), "to a session")
	check(t, rt, request("GET", "/", "Cookie: wikiUserID=7"), "to a session")
	check(t, rt, request("GET", "/", "Authorization: Bearer x"), "to a session")
}

func TestSticky(t *testing.T) {
	rt := newRouter(t, nil, nil)
	check(t, rt, request("GET", "/", "Cookie: a=b; UseDC=primary"), "to a sticky")
	check(t, rt, request("GET", "/", "Cookie: UseDC=master"), "to a sticky")
	check(t, rt, request("GET", "/", "Cookie: XUseDC=primary; UseDC=secondary"), "local default")
	check(t, rt, request("GET", "/", "Cookie: cpPosIndex=1@2#3"), "local default") // chronology waits here
}

func TestUpgrade(t *testing.T) {
	websocket := []string{"Connection: keep-alive, Upgrade", "Upgrade: websocket"}
	rt := newRouter(t, nil, func(o *Options) {
		o.Rules.Hosts = map[string]HostConfig{"near.example.org": {Upgrade: UpgradeLocal}}
		o.Rules.Rules = []Rule{{Name: "near", Path: "/near", Upgrade: UpgradeLocal}, {Name: "far", Path: "/far", Upgrade: UpgradePrimary}}
	})
	check(t, rt, request("GET", "/", websocket...), "to a upgrade")
	check(t, rt, request("GET", "/", websocket[1]), "local default")
	check(t, rt, request("GET", "/near", websocket...), "local default")
	check(t, rt, request("GET", "http://near.example.org/", websocket...), "local default")
	if d := check(t, rt, request("GET", "http://near.example.org/far", websocket...), "to a upgrade"); d.Rule != "far" {
		t.Errorf("%+v", d)
	}
	if !rt.judge(request("GET", "/near", websocket...), nil).upgrade {
		t.Error("not seen as an upgrade")
	}
}

// D15, and what Forward needs.
func TestDown(t *testing.T) {
	m := NewMemory("a")
	down := map[string]bool{}
	rt := newRouter(t, m, func(o *Options) {
		o.Order, o.Healthy = []string{"b", "c", "a"}, func(dc string) bool { return !down[dc] }
	})
	m.Update(func(s *State) { s.Depooled["b"] = true })
	if v := rt.judge(request("GET", "/"), nil); short(v.Decision) != "to c local-down" || rt.epochFor(v) != 0 {
		t.Errorf("%+v", v)
	}
	down["c"] = true
	if v := rt.judge(request("GET", "/"), nil); short(v.Decision) != "to a local-down" || rt.epochFor(v) != 0 {
		t.Errorf("%+v", v)
	}
	down["a"] = true
	check(t, rt, request("GET", "/"), "local none-up")
	m.Update(func(s *State) { delete(s.Depooled, "b") })
	check(t, rt, request("GET", "/"), "local default")
	check(t, rt, request("GET", "/", "Cookie: UseDC=primary"), "local primary-down stale-risk")
	if d := check(t, rt, request("POST", "/"), "refuse primary-down"); d.Status != 503 || d.RetryAfter != 10*time.Second || d.Target != "" {
		t.Errorf("%+v", d)
	}
	strict := newRouter(t, m, func(o *Options) { o.NoReadFallback, o.Healthy = true, func(dc string) bool { return !down[dc] } })
	check(t, strict, request("GET", "/", "Cookie: UseDC=primary"), "refuse primary-down")
	m.Update(func(s *State) { s.Primary = "elsewhere" })
	if d := check(t, rt, request("GET", "/", "Cookie: UseDC=primary"), "refuse no-route"); d.Status != 503 {
		t.Errorf("%+v", d)
	}
}

// D4, D7, and case Xd.
func TestStateUnknownAndStale(t *testing.T) {
	m := NewMemory("")
	rt := newRouter(t, m, nil)
	if d := check(t, rt, request("GET", "/", "Cookie: UseDC=primary"), "local state-unknown"); d.Epoch != 0 {
		t.Errorf("%+v", d)
	}
	if d := check(t, rt, request("POST", "/"), "refuse state-unknown"); d.Status != 503 || d.RetryAfter != 10*time.Second {
		t.Errorf("%+v", d)
	}
	if v := rt.judge(request("GET", "/"), nil); v.readOnly.Reason == "" || v.readOnlyErr == nil {
		t.Error("handlers would not know that nothing can be written")
	}
	m.Update(func(s *State) { s.Primary, s.Err = "a", errStale })
	check(t, rt, request("GET", "/"), "local default")
	check(t, rt, request("GET", "/", "Cookie: UseDC=primary"), "to a sticky")
	check(t, rt, request("POST", "/"), "refuse state-unknown")
	m.Update(func(s *State) { s.Primary = "b" })
	check(t, rt, request("GET", "/"), "local local-is-primary")
	check(t, rt, request("POST", "/"), "refuse state-unknown")
}

// D6, case Xg.
func TestForce(t *testing.T) {
	trust := true
	rt := newRouter(t, nil, func(o *Options) { o.TrustDebug = func(*http.Request) bool { return trust } })
	v := rt.judge(request("GET", "/", "X-DC-Force: c"), nil)
	if short(v.Decision) != "to c force" || rt.epochFor(v) != 0 {
		t.Errorf("%+v", v)
	}
	check(t, rt, request("GET", "/", "X-DC-Force: b", "Cookie: UseDC=primary"), "local force")
	check(t, rt, request("GET", "/", "X-DC-Force: d"), "local default")
	check(t, rt, request("POST", "/", "X-DC-Force: c"), "to a write")
	trust = false
	check(t, rt, request("GET", "/", "X-DC-Force: c"), "local default")
	check(t, newRouter(t, nil, nil), request("GET", "/", "X-DC-Force: c"), "local default")
}

func TestLoop(t *testing.T) {
	rt := newRouter(t, nil, nil)
	if d := check(t, rt, request("GET", "/", "CDN-Loop: multidc, other; v=1, MultiDC; x=y"), "refuse loop"); d.Status != 508 || d.RetryAfter != 0 {
		t.Errorf("%+v", d)
	}
	check(t, rt, request("POST", "/", "CDN-Loop: multidc", "CDN-Loop: multidc"), "refuse loop")
	check(t, rt, request("GET", "/", "CDN-Loop: multidc, multidc2, other"), "local default")
	own := newRouter(t, nil, func(o *Options) { o.LoopToken = "mine" })
	check(t, own, request("GET", "/", "CDN-Loop: multidc, multidc"), "local default")
}

// D5: the gate.
func TestGate(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	m := NewMemory("b")
	rt := newRouter(t, m, func(o *Options) {
		o.Now = func() time.Time { return now }
		o.TrustDebug = func(r *http.Request) bool { return r.Header.Get("X-Trusted") != "" }
		o.Section = func(r *http.Request) string { return r.Header.Get("X-Section") }
		o.Rules.Rules = []Rule{{Name: "shop", PathPrefix: "/shop/", Section: "shop"}, {Name: "login", Path: "/login", AllowReadOnly: true}}
	})
	refused := func(r *http.Request, section string, retryAfter time.Duration) {
		t.Helper()
		v := rt.judge(r, nil)
		if short(v.Decision) != "refuse read-only" || v.Status != 503 || v.readOnly.Section != section || v.RetryAfter != retryAfter {
			t.Errorf("%+v", v)
		}
	}
	check(t, rt, request("POST", "/"), "local local-is-primary")
	m.Update(func(s *State) {
		s.ReadOnly["shop"] = ReadOnlyInfo{Reason: "disk", Until: now.Add(200 * time.Millisecond)}
	})
	check(t, rt, request("POST", "/"), "local local-is-primary")
	refused(request("POST", "/shop/x"), "shop", time.Second)
	refused(request("POST", "/", "X-Section: shop"), "shop", time.Second)
	check(t, rt, request("POST", "/", "X-Section: other"), "local local-is-primary")
	if v := rt.judge(request("GET", "/shop/x"), nil); short(v.Decision) != "local local-is-primary" || v.readOnly.Reason != "disk" || v.section != "shop" {
		t.Errorf("%+v", v)
	}
	for _, c := range []struct{ left, want time.Duration }{ // case Xp
		{200 * time.Millisecond, time.Second}, {time.Second, time.Second}, {1001 * time.Millisecond, 2 * time.Second},
		{500 * time.Second, 120 * time.Second}, {-time.Second, 10 * time.Second},
	} {
		m.Update(func(s *State) { s.ReadOnly["*"] = ReadOnlyInfo{Reason: "moving", Until: now.Add(c.left)} })
		refused(request("POST", "/"), "", c.want)
	}
	m.Update(func(s *State) { s.ReadOnly["*"] = ReadOnlyInfo{Reason: "moving"} })
	refused(request("POST", "/shop/x"), "", 10*time.Second)
	check(t, rt, request("GET", "/"), "local local-is-primary")
	check(t, rt, request("POST", "/login"), "local local-is-primary") // case 39, the decision
	m.Update(func(s *State) { clear(s.ReadOnly) })
	forced := request("POST", "/", "X-DC-Force-Read-Only: drill") // case Xq, the decision
	check(t, rt, forced, "local local-is-primary")
	forced.Header.Set("X-Trusted", "1")
	refused(forced, "", 10*time.Second)
	forced.Method = "GET"
	if v := rt.judge(forced, nil); v.Action != Local || v.readOnly.Reason != "drill" {
		t.Errorf("%+v", v)
	}
}

// A source that does not know is not taken for a writable one.
func TestGateUnknown(t *testing.T) {
	rt := newRouter(t, unsure{NewMemory("b")}, nil)
	v := rt.judge(request("POST", "/"), nil)
	if short(v.Decision) != "refuse read-only" || !errors.Is(v.readOnlyErr, errStale) || v.RetryAfter != 10*time.Second {
		t.Errorf("%+v", v)
	}
	check(t, rt, request("GET", "/"), "local local-is-primary")
}
