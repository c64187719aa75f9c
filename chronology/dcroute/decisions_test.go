package dcroute

import (
	"net/http"
	"slices"
	"testing"
	"time"
)

// 3.2, "first match wins": where two steps would answer, and what each step leaves alone. DC b decides, a is the primary.
func TestOrderOfDecisions(t *testing.T) {
	state := func(changes ...func(*State)) func(*State) {
		return func(s *State) {
			for _, change := range changes {
				change(s)
			}
		}
	}
	primary := func(dc string) func(*State) { return func(s *State) { s.Primary = dc } }
	stale := func(s *State) { s.Err = errStale }
	readOnly := func(s *State) { s.ReadOnly["*"] = ReadOnlyInfo{Reason: "moving"} }
	depooled := func(dcs ...string) func(*State) {
		return func(s *State) {
			for _, dc := range dcs {
				s.Depooled[dc] = true
			}
		}
	}
	options := func(changes ...func(*Options)) func(*Options) {
		return func(o *Options) {
			for _, change := range changes {
				change(o)
			}
		}
	}
	trustDebug := func(o *Options) { o.TrustDebug = func(*http.Request) bool { return true } }
	down := func(dcs ...string) func(*Options) {
		return func(o *Options) { o.Healthy = func(dc string) bool { return !slices.Contains(dcs, dc) } }
	}
	loopToken := func(o *Options) { o.LoopToken = "mine" }
	const (
		loop      = "CDN-Loop: multidc, multidc"
		force     = "X-DC-Force: c"
		connected = "Connection: Upgrade"
		websocket = "Upgrade: websocket"
	)
	validHop := "X-DC-Hop: " + hop{"a", "b", 1, 1, time.Now()}.sealed(testKey)
	for _, c := range []struct {
		name    string
		state   func(*State)
		options func(*Options)
		method  string
		headers []string
		want    string
	}{
		{"D1 in two lines, among others", nil, nil, "GET", []string{"CDN-Loop: multidc", "CDN-Loop: x, multidc; v=1"}, "refuse loop"},
		{"D1 not by a part of a token", nil, nil, "GET", []string{"CDN-Loop: xmultidc, multidcx, multidc"}, "local default"},
		{"D1 by a token of one's own", nil, loopToken, "GET", []string{"CDN-Loop: mine,mine"}, "refuse loop"},
		{"D1 before D3", nil, nil, "PURGE", []string{loop}, "refuse loop"},
		{"D1 before a valid hop", primary("b"), nil, "GET", []string{loop, validHop}, "refuse loop"},

		{"D2 an invalid hop counts for nothing", nil, nil, "POST", []string{"X-DC-Hop: junk"}, "to a write"},
		{"D2 a read, while read-only", state(primary("b"), readOnly), nil, "GET", []string{validHop}, "local hop"},

		{"D3 before D4", primary(""), nil, "PURGE", nil, "local purge"},
		{"D3 before D5", readOnly, nil, "PURGE", nil, "local purge"},
		{"D4 before D5", state(stale, readOnly), nil, "POST", nil, "refuse state-unknown"},
		{"D5 of another DC", readOnly, nil, "POST", nil, "refuse read-only"},
		{"D5 is about writes", readOnly, nil, "GET", nil, "local default"},

		{"D6 before D7", primary(""), trustDebug, "GET", []string{force}, "to c force"},
		{"D6 before D8", primary("b"), trustDebug, "GET", []string{force}, "to c force"},
		{"D6 to the primary", nil, trustDebug, "GET", []string{"X-DC-Force: a"}, "to a force"},
		{"D6 does not ask for health", nil, options(trustDebug, down("c")), "GET", []string{force}, "to c force"},

		{"D8 before D15", state(primary("b"), depooled("b")), nil, "GET", nil, "local local-is-primary"},
		{"D9 before D15", depooled("b"), nil, "POST", nil, "to a write"},
		{"D9 to a primary that is depooled", depooled("a"), nil, "POST", nil, "to a write"},

		{"D13 any one of several", nil, nil, "GET", []string{"Cookie: UseDC=x; UseDC=primary"}, "to a sticky"},
		{"D13 in another line", nil, nil, "GET", []string{"Cookie: a=b", "Cookie: UseDC=primary"}, "to a sticky"},
		{"D13 before D14", nil, nil, "GET", []string{connected, websocket, readPinned}, "to a sticky"},

		{"D15 in the order of names", depooled("b"), nil, "GET", nil, "to a local-down"},
		{"D15 not healthy", nil, down("b"), "GET", nil, "to a local-down"},
		{"D15 the next is not healthy", nil, down("b", "a"), "GET", nil, "to c local-down"},
		{"D15 the next is not pooled", depooled("b", "a"), nil, "GET", nil, "to c local-down"},

		{"no route for a write", primary("elsewhere"), nil, "POST", nil, "refuse no-route"},
		{"no route is needed", primary("elsewhere"), nil, "GET", nil, "local default"},
		{"no route before not healthy", primary("elsewhere"), down("elsewhere"), "GET", []string{readPinned}, "refuse no-route"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := NewMemory("a")
			if c.state != nil {
				m.Update(c.state)
			}
			d := check(t, newRouter(t, m, c.options), request(c.method, "/", c.headers...), c.want)
			if d.Status == http.StatusServiceUnavailable && d.RetryAfter != defaultRetryAfter {
				t.Errorf("Retry-After %v", d.RetryAfter)
			}
		})
	}
}

// 2: what asks a context that is not of one of our requests gets nothing, and MarkWrite does nothing (3).
func TestForeignContext(t *testing.T) {
	MarkWrite(t.Context())
	if d, ok := DecisionFrom(t.Context()); ok {
		t.Errorf("%+v", d)
	}
	if info, ok := ReadOnly(t.Context()); ok {
		t.Errorf("%+v", info)
	}
}
