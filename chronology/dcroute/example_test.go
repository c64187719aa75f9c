package dcroute_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/multidc/multidc/chronology/dcroute"
)

func request(method, target, cookie string) *http.Request {
	r := httptest.NewRequest(method, target, nil) //nolint:noctx // an example's
	if cookie != "" {
		r.Header.Set("Cookie", cookie)
	}
	return r
}

// The router of DC b; the primary is a.
func inB(rules *dcroute.RuleSet) (*dcroute.Memory, *dcroute.Router) {
	state := dcroute.NewMemory("a")
	router, err := dcroute.New(state, &dcroute.Options{
		DC:        "b",
		Upstreams: map[string]dcroute.Upstream{"a": {Addrs: []string{"https://app.a.example.net"}}},
		HopKeys:   [][]byte{make([]byte, 32)}, // in earnest random, and the same in every DC
		Rules:     rules,
	})
	if err != nil {
		panic(err)
	}
	return state, router
}

func ExampleRouter_Decide() {
	_, router := inB(&dcroute.RuleSet{Default: dcroute.HostConfig{Mode: dcroute.ModeLocal, Share: 10_000}})
	for _, r := range []*http.Request{
		request("GET", "/wiki/Main", ""), request("POST", "/wiki/Main", ""), request("GET", "/wiki/Main", "UseDC=primary"),
	} {
		d := router.Decide(r)
		fmt.Println(r.Method, d.Action, d.Target, d.Reason)
	}
	// Output:
	// GET local b default
	// POST forward a write
	// GET forward a sticky
}

// A rule is for what its method does not tell.
func ExampleRouter_SetRules() {
	_, router := inB(nil)
	rules, err := dcroute.ParseRules([]byte(`{"v":1,
		"default": {"mode": "local", "share": 10000},
		"rules": [{"name": "search", "path": "/search", "action": "nonwrite"}, {"name": "rollback", "query": ["action=rollback"], "action": "write"}]}`))
	if err == nil {
		err = router.SetRules(rules)
	}
	if err != nil {
		panic(err)
	}
	for _, r := range []*http.Request{request("POST", "/search", ""), request("GET", "/w/?title=x&action=rollback", "")} {
		d := router.Decide(r)
		fmt.Println(d.Intent, d.Target, d.Reason, "by rule", d.Rule)
	}
	// Output:
	// read b default by rule search
	// write a write by rule rollback
}

// Middleware goes around the application; MarkWrite is called where it commits.
func ExampleRouter_Middleware() {
	state := dcroute.NewMemory("a")
	router, err := dcroute.New(state, &dcroute.Options{DC: "a"}) // a single DC: the read-only gate alone
	if err != nil {
		panic(err)
	}
	app := router.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			dcroute.MarkWrite(r.Context())
		}
	}))
	w := httptest.NewRecorder()
	app.ServeHTTP(w, request("POST", "/wiki/Main", ""))
	fmt.Println(w.Code, w.Header().Get("X-DC"), w.Header().Get("Set-Cookie"))

	state.Update(func(s *dcroute.State) { s.ReadOnly["*"] = dcroute.ReadOnlyInfo{Reason: "the primary moves"} })
	w = httptest.NewRecorder()
	app.ServeHTTP(w, request("POST", "/wiki/Main", ""))
	fmt.Println(w.Code, w.Header().Get("Retry-After"), w.Body)
	// Output:
	// 200 a; via=a; reason=local-is-primary UseDC=primary; Path=/; Max-Age=10; HttpOnly; SameSite=Lax
	// 503 10 {"code":"readonly","reason":"the primary moves","section":"*","until":null}
}

func ExampleReadOnly() {
	state := dcroute.NewMemory("a")
	state.Update(func(s *dcroute.State) { s.ReadOnly["*"] = dcroute.ReadOnlyInfo{Reason: "the primary moves"} })
	router, err := dcroute.New(state, &dcroute.Options{DC: "a"})
	if err != nil {
		panic(err)
	}
	app := router.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if info, on := dcroute.ReadOnly(r.Context()); on {
			d, _ := dcroute.DecisionFrom(r.Context())
			fmt.Printf("no edit button in %s: %s\n", d.Target, info.Reason)
		}
	}))
	app.ServeHTTP(httptest.NewRecorder(), request("GET", "/wiki/Main", ""))
	// Output:
	// no edit button in a: the primary moves
}

// Trace shows each test that led to a decision. Cookies are shown as their length only.
func ExampleRouter_Trace() {
	_, router := inB(nil)
	fmt.Print(router.Trace(request("GET", "/wiki/Main", "")))
	// Output:
	// D1 loop: go on (0 times multidc in CDN-Loop)
	// D2 hop: go on (none)
	// D3 purge: go on (GET is a read)
	// D4 state: go on (primary a, epoch 1)
	// D5 read-only: go on (GET is a read, section "" is writable)
	// D2 hop, after the gates: go on (none)
	// D6 force: go on (no X-DC-Force)
	// D7 no primary known: go on (primary a, epoch 1)
	// D8 primary here: go on (primary a, epoch 1)
	// D9 write: go on (GET is a read)
	// D10 rule: go on (no rule has an action)
	// D11 mode: forward to a, host-mode (host "example.com": primary; session cookie or Authorization: false)
	// upstream: yes (a)
	// primary healthy: yes (a)
	// so: forward to a, host-mode
}

func ExampleRouter_Explain() {
	_, router := inB(nil)
	fmt.Print(router.Explain(request("GET", "/", "").Context()))
	// Output:
	// dcroute in DC b: the primary is a, epoch 1
	//   DC b
	//   DC a
	//     https://app.a.example.net
	//   rules: 0; hosts: 0, all others: mode primary, share 0
}
