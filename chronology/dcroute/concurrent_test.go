package dcroute

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"
)

// 3.4, 3.6, 3.7 with a router at both ends: the primary's cookie, Secure as the client came, and one X-DC; a handler that panics
// at the primary is a lost connection here; each end tells each request once (2, OnDecision).
func TestTwoRoutersOverEveryProtocol(t *testing.T) {
	overEveryProtocol(t, func(t *testing.T, p protocols) {
		far := &site{dc: "a"}
		var err error
		far.router, err = New(NewMemory("a"), &Options{DC: "a", HopKeys: [][]byte{testKey}, Upstreams: map[string]Upstream{"b": {Addrs: []string{"https://b.invalid"}}}, Events: far.events()})
		if err != nil {
			t.Fatal(err)
		}
		f := p.front(t, far.router.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/panic" {
				panic("of the application")
			}
			MarkWrite(r.Context())
			far.run(w, r)
		})).ServeHTTP)

		got := f.ask("POST", "/", nil)
		f.expect("a write", got, 200, "a hop from b")
		secure := ""
		if p.client == http2 {
			secure = " Secure;"
		}
		same(t, "cookie", got.header["Set-Cookie"], "[UseDC=primary; Path=/; Max-Age=10; HttpOnly;"+secure+" SameSite=Lax]")
		same(t, "X-DC, Cache-Control", fmt.Sprint(got.header[headerDC], got.header["Cache-Control"]), "[a; via=b; reason=write] [private]")

		got = f.ask("POST", "/panic", nil)
		f.expect("a panic", got, 502, "")
		same(t, "outcome", got.header.Get(headerOutcome), "unknown")

		for _, s := range []*site{f.site, far} {
			var told []DecisionInfo
			eventually(t, "all is told", func() bool {
				s.note(func() { told = append([]DecisionInfo(nil), s.told...) })
				return len(told) >= 2
			})
			same(t, "told in "+s.dc, len(told), 2)
			if s == far && (told[0].Status != 200 || !told[0].StickySet || told[0].Decision.Entry != "b" || told[1].Status != 0 || told[1].StickySet) {
				t.Errorf("told in a: %+v", told)
			}
		}
	})
}

// 5, "handler panics: passes on, as in net/http": the very value.
func TestPanicPassesOn(t *testing.T) {
	defer func() { same(t, "panic", recover(), "of the application") }()
	record(newRouter(t, nil, nil), request("GET", "/"), func(http.ResponseWriter, *http.Request) { panic("of the application") })
	t.Error("no panic")
}

// Whoever else is served, panics, or leaves: each client gets the answer to its own request, and Explain counts them (2).
func TestAnswersAreNotMixedUp(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/panic" {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, r.URL.RawQuery)
	}
	f := protocols{http1, http1}.front(t, echo)
	f.handle(echo)
	body := make([]byte, 10_000)
	const clients, each = 8, 6
	var wait sync.WaitGroup
	for client := range clients {
		wait.Go(func() {
			for i := range each {
				id := fmt.Sprintf("%d-%d", client, i)
				leaves, cancel := context.WithTimeout(t.Context(), time.Millisecond)
				_, _ = f.try(f.newRequest("POST", "/?"+id, bytes.NewReader(body)).WithContext(leaves))
				cancel()
				if got, err := f.try(f.newRequest("GET", "/panic", nil)); err == nil {
					t.Errorf("a panic is an answer: %+v", got)
				}
				for _, r := range []*http.Request{f.newRequest("GET", "/?"+id, nil), f.newRequest("POST", "/?"+id, bytes.NewReader(body))} {
					if got, err := f.try(r); err != nil || got.body != id {
						t.Errorf("%s: %+v, %v", id, got, err)
					}
				}
			}
		})
	}
	wait.Wait()
	counts := f.router.Explain(t.Context()).Counts
	if counts[ReasonDefault] < 2*clients*each || counts[ReasonWrite] < clients*each {
		t.Errorf("counted %v", counts)
	}
}

// 2: SetRules, Explain, Trace, and the state's changes go on beside requests.
func TestAllAtOnce(t *testing.T) {
	f := protocols{http1, http1}.front(t, nothing)
	var wait sync.WaitGroup
	for _, step := range []func(){
		func() {
			_ = f.router.SetRules(&RuleSet{Rules: []Rule{{Name: "x", Path: "/", Action: RuleWrite}}})
			_ = f.router.SetRules(everybodyLocal())
		},
		func() { _ = f.router.Explain(t.Context()).String() },
		func() { _ = f.router.Trace(request("GET", "/")).String() },
		func() {
			f.state.Update(func(s *State) {
				s.Rollout["x.org"], s.Depooled["b"] = HostConfig{Mode: "odd"}, !s.Depooled["b"]
			})
		},
	} {
		wait.Go(func() {
			for range 100 {
				step()
			}
		})
	}
	for range 10 {
		for _, method := range []string{"GET", "POST", "PUT"} {
			r := f.newRequest(method, "/", nil)
			wait.Go(func() {
				if got, err := f.try(r); err != nil || got.status != http.StatusOK {
					t.Errorf("%s: %+v, %v", method, got, err)
				}
			})
		}
	}
	wait.Wait()
}
