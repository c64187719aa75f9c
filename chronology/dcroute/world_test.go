package dcroute

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// site is an application behind its router in one DC, over real HTTP.
type site struct {
	dc     string
	state  *Memory
	router *Router
	server *httptest.Server

	mu       sync.Mutex
	app      http.HandlerFunc
	executed []string // method and URI of what the application has run
	told     []DecisionInfo
	forwards []ForwardInfo
	rejected []HopKind
}

// world is some DCs whose routers know each other. Unless tune says something else, all have one primary, a, and reads are
// answered where they come in.
type world struct {
	t     *testing.T
	sites map[string]*site
}

type tuning struct {
	options func(dc string, o *Options)     // a DC's
	wrap    func(http.Handler) http.Handler // around a router: what is between the network and it
}

func everybodyLocal() *RuleSet { return &RuleSet{Default: HostConfig{Mode: ModeLocal, Share: 10_000}} }

func newWorld(t *testing.T, tune tuning, dcs ...string) *world {
	t.Helper()
	w := &world{t: t, sites: map[string]*site{}}
	for _, dc := range dcs {
		s := &site{dc: dc, state: NewMemory("a")}
		s.server = httptest.NewUnstartedServer(nil)
		w.sites[dc] = s
	}
	for _, s := range w.sites {
		o := &Options{DC: s.dc, HopKeys: [][]byte{testKey}, Rules: everybodyLocal(), Upstreams: map[string]Upstream{}, Events: s.events()}
		for _, other := range w.sites {
			if other != s {
				o.Upstreams[other.dc] = Upstream{Addrs: []string{"http://" + other.server.Listener.Addr().String()}, AllowPlaintext: true}
			}
		}
		if tune.options != nil {
			tune.options(s.dc, o)
		}
		router, err := New(s.state, o)
		if err != nil {
			t.Fatal(err)
		}
		s.router = router
		h := router.Middleware(http.HandlerFunc(s.run))
		if tune.wrap != nil {
			h = tune.wrap(h)
		}
		s.server.Config.Handler = h
		s.server.Config.ErrorLog = quietLog()
		s.server.Start()
		t.Cleanup(func() { s.close() })
	}
	return w
}

func (s *site) close() {
	s.server.CloseClientConnections()
	s.server.Close()
	for _, up := range s.router.upstreams {
		up.transport.CloseIdleConnections()
		up.spliced.CloseIdleConnections()
	}
}

func (s *site) events() Events {
	return Events{
		OnDecision:    func(_ context.Context, i DecisionInfo) { s.note(func() { s.told = append(s.told, i) }) },
		OnForward:     func(_ context.Context, i ForwardInfo) { s.note(func() { s.forwards = append(s.forwards, i) }) },
		OnHopRejected: func(_ context.Context, i HopInfo) { s.note(func() { s.rejected = append(s.rejected, i.Kind) }) },
	}
}

func (s *site) note(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// run is the application: it says where it is, and what for.
func (s *site) run(w http.ResponseWriter, r *http.Request) {
	var app http.HandlerFunc
	s.note(func() { s.executed, app = append(s.executed, r.Method+" "+r.RequestURI), s.app })
	if app != nil {
		app(w, r)
		return
	}
	d, _ := DecisionFrom(r.Context())
	_, _ = fmt.Fprintf(w, "%s %s from %s", s.dc, d.Reason, d.Entry)
}

// runs are what the application has run since the last time.
func (s *site) runs() (list []string) {
	s.note(func() { list, s.executed = s.executed, nil })
	return list
}

// sent are the proxy's attempts.
func (s *site) sent() (list []ForwardInfo) {
	s.note(func() { list = slices.Clone(s.forwards) })
	return list
}

func (s *site) handle(app http.HandlerFunc) { s.note(func() { s.app = app }) }

// lastDecision is awaited: it is told when the answer has been sent already.
func (s *site) lastDecision(t *testing.T) (last DecisionInfo) {
	t.Helper()
	eventually(t, "a decision is told", func() (there bool) {
		s.note(func() {
			if there = len(s.told) > 0; there {
				last, s.told = s.told[len(s.told)-1], nil
			}
		})
		return there
	})
	return last
}

func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); !so(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// answer is what a client got.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends a request to a DC. Headers are "Name: value".
func (w *world) ask(dc, method, target string, body io.Reader, headers ...string) answer {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.sites[dc].server.URL+target, body)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	return w.do(r)
}

func (w *world) do(r *http.Request) answer {
	w.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, ExpectContinueTimeout: time.Minute}}
	res, err := client.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(b)}
}

// expect compares an answer's status, and the beginning of its body.
func (w *world) expect(what string, got answer, status int, body string) {
	w.t.Helper()
	if got.status != status || !strings.HasPrefix(got.body, body) {
		w.t.Errorf("%s: got %d %.100q, want %d %q…; X-DC: %s", what, got.status, got.body, status, body, got.header.Get("X-Dc"))
	}
}

// same fails if the two differ.
func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// nowhere is an address where nobody listens.
func nowhere(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	return "http://" + l.Addr().String()
}

// trusting is the TLS of a client that knows the server.
func trusting(s *httptest.Server) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return &tls.Config{RootCAs: pool}
}

func quietLog() *log.Logger { return log.New(io.Discard, "", 0) }
