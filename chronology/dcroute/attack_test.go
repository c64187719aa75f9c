package dcroute

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/multidc/multidc/chronology"
)

// A GET that a rule makes a write is not executed twice, whoever would send it again: a POST is not either.
func TestWritesByRuleAreNotRetried(t *testing.T) {
	for what, after := range map[string]int{"new connection": 0, "kept connection": 1} {
		addr, requests := dropping(t, after)
		rules := everybodyLocal()
		rules.Rules = []Rule{{Name: "rollback", Query: []string{"action=rollback"}, Action: RuleWrite}}
		w := newWorld(t, tuning{options: func(_ string, o *Options) {
			o.Upstreams["a"], o.Rules = Upstream{Addrs: []string{addr}, AllowPlaintext: true}, rules
		}}, "b")
		for range after {
			w.expect(what, w.ask("b", "GET", "/?action=rollback", nil), 204, "")
		}
		w.expect(what, w.ask("b", "GET", "/?action=rollback", nil), 502, "")
		if got := requests() - after; got != 1 { // the answer is of no use: the figure is
			t.Errorf("%s: the write was sent %d times", what, got)
		}
	}
}

// "Until further notice" is a date very far away.
func TestReadOnlyForAges(t *testing.T) {
	m := NewMemory("b")
	m.Update(func(s *State) {
		s.ReadOnly = map[string]ReadOnlyInfo{"*": {Reason: "r", Until: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)}}
	})
	same(t, "Retry-After", newRouter(t, m, nil).Decide(request("POST", "/")).RetryAfter, 120*time.Second)
}

// 3.9: at most 4 KiB.
func TestReadOnlyBodyIsShort(t *testing.T) {
	w := newWorld(t, tuning{}, "a")
	for _, reason := range []string{strings.Repeat("<", 2000), strings.Repeat("\x01", 2000), strings.Repeat("\xff", 2000)} {
		w.sites["a"].state.Update(func(s *State) { s.ReadOnly = map[string]ReadOnlyInfo{"*": {Reason: reason}} })
		got := w.ask("a", "POST", "/", nil)
		if len(got.body) > 4<<10 || !strings.HasPrefix(got.body, `{"code":"readonly"`) {
			t.Errorf("%.3q: the body has %d bytes", reason, len(got.body))
		}
	}
}

// 3.7: trailers kept.
func TestRequestTrailers(t *testing.T) {
	w := newWorld(t, tuning{}, "a", "b")
	w.sites["a"].handle(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, r.Trailer.Get("Checksum"))
	})
	for _, dc := range []string{"a", "b"} {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, w.sites[dc].server.URL, io.NopCloser(strings.NewReader("x")))
		r.Trailer = http.Header{"Checksum": {"42"}}
		w.expect("entering at "+dc, w.do(r), 200, "42")
	}
}

// What stands outside has set headers: early hints of the other DC do not take them away.
func TestHeadersFromOutsideSurviveEarlyHints(t *testing.T) {
	w := newWorld(t, tuning{wrap: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Dc-Hop") == "" {
				w.Header().Set("X-Outside", "1")
			}
			next.ServeHTTP(w, r)
		})
	}}, "a", "b")
	w.sites["a"].handle(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hints" {
			w.Header().Set("Link", "</style.css>")
			w.WriteHeader(http.StatusEarlyHints)
		}
		_, _ = io.WriteString(w, "ok")
	})
	for _, path := range []string{"/", "/hints"} {
		if got := w.ask("b", "POST", path, nil).header.Values("X-Outside"); len(got) == 0 {
			t.Errorf("%s: X-Outside is gone", path)
		}
	}
}

// Who sends a broken body has broken it himself: the other DC is well.
func TestBrokenBody(t *testing.T) {
	w := newWorld(t, tuning{}, "a", "b")
	w.sites["a"].handle(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", w.sites["b"].server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nnot a number\r\n")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusBadRequest || res.Header.Get("X-Dc-Outcome") != "unknown" {
		t.Errorf("got %s, %v", res.Status, res.Header)
	}
}

// An early answer reaches a client that has stopped sending and waits.
func TestEarlyAnswerToAPausingClient(t *testing.T) {
	w := newWorld(t, tuning{}, "a", "b")
	w.sites["a"].handle(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadFull(r.Body, make([]byte, 5000)) // so that the proxy is at reading the next bytes
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
	})
	for _, dc := range []string{"a", "b"} {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", w.sites[dc].server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\nabc%9000d", 1)
		_ = conn.SetReadDeadline(time.Now().Add(3 * time.Second))
		res, err := http.ReadResponse(bufio.NewReader(conn), nil) //nolint:bodyclose // it is read below
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("by %s: no answer", dc)
		} else if err != nil || res.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("by %s: %v, %v", dc, res, err)
		}
		_ = conn.Close()
	}
}

// swapping brings other rules with a newer state.
type swapping struct {
	*Memory
	refresh func()
}

func (s *swapping) Refresh(context.Context) error { s.refresh(); return nil }

// 3.3: a request uses the rule set it started with, also when it is decided twice.
func TestDecidedAgainByTheSameRules(t *testing.T) {
	s := &swapping{Memory: NewMemory("a")}
	newer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-DC-Epoch", "2")
		w.WriteHeader(http.StatusMisdirectedRequest)
	}))
	defer newer.Close()
	rt, err := New(s, &Options{DC: "b", HopKeys: [][]byte{testKey}, Upstreams: map[string]Upstream{"a": {Addrs: []string{newer.URL}, AllowPlaintext: true}},
		Rules: &RuleSet{Rules: []Rule{{Name: "old", Path: "/", Action: RuleNonWrite}}}})
	if err != nil {
		t.Fatal(err)
	}
	s.refresh = func() {
		s.Update(func(s *State) { s.Primary, s.Epoch = "b", 2 })
		_ = rt.SetRules(&RuleSet{Rules: []Rule{{Name: "new", Path: "/", Action: RuleWrite}}})
	}
	rec := httptest.NewRecorder()
	rt.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		d, _ := DecisionFrom(r.Context())
		if d.Rule != "old" || r.Header.Get("X-DC-Non-Write") != "true" {
			t.Errorf("began with the old rules, ended with %+v", d)
		}
	})).ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), "POST", "http://wiki.example/", nil))
	for _, up := range rt.upstreams {
		up.transport.CloseIdleConnections()
	}
}

// A body of the application's own has its own type, and what renders it may ask why.
func TestRenderReadOnlyType(t *testing.T) {
	m := NewMemory("b")
	m.Update(func(s *State) { s.ReadOnly = map[string]ReadOnlyInfo{"*": {Reason: "r"}} })
	rt := newRouter(t, m, func(o *Options) {
		o.RenderReadOnly = func(w http.ResponseWriter, r *http.Request, _ ReadOnlyInfo) {
			w.Header().Set("Content-Type", "application/problem+json")
			_, _ = io.WriteString(w, `{}`)
			if _, ok := ReadOnly(r.Context()); !ok {
				t.Error("ReadOnly(ctx) does not know")
			}
		}
	})
	rec := httptest.NewRecorder()
	rt.Middleware(http.NotFoundHandler()).ServeHTTP(rec, request("POST", "/"))
	res := rec.Result()
	same(t, "answer", fmt.Sprint(res.StatusCode, res.Header.Get("Content-Type")), "503application/problem+json")
}

// An untrusted debug header does not become trusted by being forwarded: the other DC sees the router as its client.
func TestDebugHeadersAreNotLaundered(t *testing.T) {
	w := newWorld(t, tuning{options: func(dc string, o *Options) { o.TrustDebug = func(*http.Request) bool { return dc == "a" } }}, "a", "b")
	w.expect("untrusted in b", w.ask("b", "POST", "/", nil, "X-DC-Force-Read-Only: forged"), 200, "a hop")
}

// A multipart form's files are removed when the request ends, as net/http does.
func TestMultipartFilesAreRemoved(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	w := newWorld(t, tuning{}, "a")
	w.sites["a"].handle(func(_ http.ResponseWriter, r *http.Request) {
		if err := r.ParseMultipartForm(1); err != nil {
			t.Error(err)
		}
	})
	body := "--x\r\nContent-Disposition: form-data; name=f; filename=f\r\n\r\n" + strings.Repeat("y", 20<<20) + "\r\n--x--\r\n"
	w.expect("upload", w.ask("a", "POST", "/", strings.NewReader(body), "Content-Type: multipart/form-data; boundary=x"), 200, "")
	w.sites["a"].close()
	left, _ := os.ReadDir(dir)
	same(t, "files left", len(left), 0)
}

// A client that came by http keeps what it wrote, also when the link to the primary is https: a Secure cookie it would not.
func TestCookiesAreSecureAsTheClientCame(t *testing.T) {
	own, err := chronology.New([]chronology.Cluster{wrote{}}, &chronology.Options{DC: "a", Keys: []chronology.Key{{ID: 1, Secret: testKey}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, linkTLS := range []bool{true, false} {
		far, err := New(NewMemory("a"), &Options{DC: "a", HopKeys: [][]byte{testKey}, Upstreams: map[string]Upstream{"b": {Addrs: []string{"https://b.example"}}}})
		if err != nil {
			t.Fatal(err)
		}
		a := httptest.NewUnstartedServer(far.Middleware(own.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { MarkWrite(r.Context()) }))))
		up := Upstream{AllowPlaintext: true}
		if a.Start(); linkTLS {
			a.Close()
			a = httptest.NewTLSServer(a.Config.Handler)
			up.TLS = trusting(a)
		}
		up.Addrs = []string{a.URL}
		near, err := New(NewMemory("a"), &Options{DC: "b", HopKeys: [][]byte{testKey}, Upstreams: map[string]Upstream{"a": up}})
		if err != nil {
			t.Fatal(err)
		}
		for _, scheme := range []string{"http", "https"} {
			rec := httptest.NewRecorder()
			near.Middleware(http.NotFoundHandler()).ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), "POST", scheme+"://wiki.example/", nil))
			cookies := rec.Result().Cookies()
			for _, c := range cookies {
				if c.Secure != (scheme == "https") {
					t.Errorf("client by %s, TLS between the DCs %t: %s Secure %t", scheme, linkTLS, c.Name, c.Secure)
				}
			}
			same(t, "cookies", len(cookies), 2)
		}
		near.upstreams["a"].transport.CloseIdleConnections()
		a.Close()
	}
}

// wrote is a cluster that every request has written.
type wrote struct{}

func (wrote) Name() string                                                            { return "main" }
func (wrote) WriterDC() string                                                        { return "a" }
func (wrote) Attach(ctx context.Context) context.Context                              { return ctx }
func (wrote) Require(context.Context, string, time.Time, time.Duration, string) error { return nil }
func (wrote) Captured(context.Context) (bool, string, time.Time, error) {
	return true, "p", time.Now(), nil
}
func (wrote) Merge(_, b string) (string, error) { return b, nil }

// 3.8: an upgrade is never sent again.
func TestUpgradesAreNotRetried(t *testing.T) {
	for what, after := range map[string]int{"new connection": 0, "kept connection": 1} {
		addr, requests := dropping(t, after)
		w := newWorld(t, tuning{options: func(_ string, o *Options) {
			o.Upstreams["a"] = Upstream{Addrs: []string{addr}, AllowPlaintext: true}
		}}, "b")
		for range after + 1 {
			w.ask("b", "GET", "/", nil, "Connection: Upgrade", "Upgrade: websocket")
		}
		if got := requests() - after; got != 1 {
			t.Errorf("%s: the upgrade was sent %d times", what, got)
		}
	}
}

// 3.7: the only address is asked again over a new connection; kept ones may be as dead as the first.
func TestRetryOverANewConnection(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	both := make(chan struct{}, 2)
	go func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				in := bufio.NewReader(c)
				if _, err := http.ReadRequest(in); err != nil {
					return
				}
				if n < 2 {
					both <- struct{}{}
					for len(both) < 2 { // until there are two connections
						time.Sleep(time.Millisecond)
					}
				}
				_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
				_, _ = http.ReadRequest(in) // and no answer
			}()
		}
	}()
	w := newWorld(t, tuning{options: func(_ string, o *Options) {
		o.Upstreams["a"] = Upstream{Addrs: []string{"http://" + l.Addr().String()}, AllowPlaintext: true}
	}}, "b")
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.ask("b", "POST", "/", nil)
	}()
	w.ask("b", "POST", "/", nil)
	<-done
	w.expect("the retry", w.ask("b", "PUT", "/", nil), 204, "")
}
