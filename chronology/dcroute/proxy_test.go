package dcroute

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Cases 1 to 3.
func TestVerbs(t *testing.T) {
	w := newWorld(t, tuning{}, "a", "b")
	for method, want := range map[string]string{"GET": "b default", "HEAD": "", "OPTIONS": "b default", "QUERY": "b default", "POST": "a hop", "PUT": "a hop", "DELETE": "a hop", "FROBNICATE": "a hop", "PURGE": "b purge"} {
		w.expect(method, w.ask("b", method, "/x", nil), 200, want)
	}
}

// Case 34, and Xa: the other DC gets the request as it came, but for what a client could lie about.
func TestWhatIsForwarded(t *testing.T) {
	w := newWorld(t, tuning{}, "a", "b")
	var got *http.Request
	var body []byte
	w.sites["a"].handle(func(_ http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
	})
	for _, target := range []string{"/x?x=1;y=2&z=%zz", "/a%2Fb//c/../d;e|f?", "/?&&=", "/wiki/Caf%c3%a9%20%E2%9C%93", "//double?q", "/%7e~\"<>"} {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", w.sites["b"].server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: wiki.example:81\r\nConnection: close, X-Private\r\nX-Private: 1\r\nForwarded: for=6.6.6.6\r\n"+
			"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Port: 1\r\nX-Real-IP: 6.6.6.6\r\nX-DC-Hop: lie\r\nCookie: a=b; c=d\r\nContent-Length: 3\r\n\r\nabc", target)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		_ = conn.Close()
		if res.StatusCode != http.StatusOK || got == nil {
			t.Errorf("%s: %s", target, res.Status)
			continue
		}
		same(t, "request-target", got.RequestURI, target)
		same(t, "body", string(body), "abc")
		same(t, "host, cookies", got.Host+" "+got.Header.Get("Cookie"), "wiki.example:81 a=b; c=d")
		same(t, "forwarded", fmt.Sprint(got.Header["Forwarded"], got.Header["X-Forwarded-For"], got.Header["X-Forwarded-Host"], got.Header["X-Forwarded-Proto"],
			got.Header["X-Forwarded-Port"], got.Header["X-Real-Ip"], got.Header["X-Private"], got.Header["X-Dc-Hop"]), "[] [127.0.0.1] [wiki.example:81] [http] [] [] [] []")
		if d, _ := DecisionFrom(got.Context()); d.Entry != "b" || d.Reason != ReasonHop {
			t.Errorf("the decision is %+v", d)
		}
		got = nil
	}
}

// Case 33.
func TestTrailersAndEarlyHints(t *testing.T) {
	w := newWorld(t, tuning{}, "a", "b")
	w.sites["a"].handle(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Trailer", "Checksum")
		_, _ = w.Write([]byte("x"))
		w.Header().Set("Checksum", "42")
	})
	early := ""
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(status int, h textproto.MIMEHeader) error {
		early = fmt.Sprint(status, h.Get("Link"))
		return nil
	}})
	r, _ := http.NewRequestWithContext(ctx, http.MethodPost, w.sites["b"].server.URL, nil)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	same(t, "early", early, "103</style.css>")
	same(t, "trailer", res.Trailer.Get("Checksum"), "42")
	same(t, "X-DC", res.Header.Get("X-Dc"), "a; via=b; reason=write")
	http.DefaultClient.CloseIdleConnections()
}

// Case 21: the primary is down, or said to be: a write is refused, and nobody else gets it. Case Xh: a read is answered here.
func TestPrimaryDown(t *testing.T) {
	for what, tune := range map[string]func(dc string, o *Options){
		"refuses": func(dc string, o *Options) {
			if dc == "b" {
				o.Upstreams["a"] = Upstream{Addrs: []string{nowhere(t)}, AllowPlaintext: true}
			}
		},
		"not healthy": func(dc string, o *Options) { o.Healthy = func(at string) bool { return at != "a" } },
	} {
		w := newWorld(t, tuning{options: tune}, "a", "b", "c")
		got := w.ask("b", "POST", "/x", strings.NewReader("text"))
		w.expect(what, got, 503, "The datacenter that answers this")
		same(t, what+": Retry-After", got.header.Get("Retry-After"), "10")
		same(t, what+": outcome", got.header.Get("X-DC-Outcome"), "")
		got = w.ask("b", "GET", "/x", nil, "Cookie: UseDC=primary")
		w.expect(what+": a read", got, 200, "b primary-")
		same(t, what+": stale risk", got.header.Get("X-DC-Stale-Risk")+" "+got.header.Get("Cache-Control"), "1 private")
		same(t, what+": executed elsewhere", len(w.sites["a"].runs())+len(w.sites["c"].runs()), 0)
	}
	w := newWorld(t, tuning{options: func(_ string, o *Options) {
		o.NoReadFallback = true
		o.Upstreams["a"] = Upstream{Addrs: []string{nowhere(t)}, AllowPlaintext: true}
		delete(o.Upstreams, o.DC)
	}}, "b")
	w.expect("no fallback", w.ask("b", "GET", "/x", nil, "Cookie: UseDC=primary"), 503, "")
}

// Case Xt: a certificate that we do not know is no connection; the cause is told.
func TestWrongCertificate(t *testing.T) {
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	secure.Config.ErrorLog = quietLog()
	defer secure.Close()
	w := newWorld(t, tuning{options: func(_ string, o *Options) { o.Upstreams["a"] = Upstream{Addrs: []string{secure.URL}} }}, "b")
	w.expect("wrong CA", w.ask("b", "POST", "/x", nil), 503, "The datacenter that answers this cannot be reached")
	f := w.sites["b"].sent()
	if len(f) != 2 || f[0].Sent || f[0].Err == nil || !strings.Contains(f[0].Err.Error(), "certificate") {
		t.Errorf("told %+v", f)
	}
	w = newWorld(t, tuning{options: func(_ string, o *Options) {
		o.Upstreams["a"] = Upstream{Addrs: []string{secure.URL}, TLS: trusting(secure)}
	}}, "b")
	w.expect("right CA", w.ask("b", "POST", "/x", nil), 404, "404 page not found")
}

// Case 27: an address that cannot be dialed: the next one gets the body whole, and is asked first the next time.
func TestSecondAddress(t *testing.T) {
	w := newWorld(t, tuning{options: func(dc string, o *Options) {
		if dc == "b" {
			o.Upstreams["a"] = Upstream{Addrs: append([]string{nowhere(t)}, o.Upstreams["a"].Addrs...), AllowPlaintext: true}
		}
	}}, "a", "b")
	w.sites["a"].handle(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		_, _ = w.Write(b)
	})
	text := strings.Repeat("body ", 100_000)
	for range 2 {
		if got := w.ask("b", "POST", "/x", strings.NewReader(text)); got.status != 200 || got.body != text {
			t.Errorf("got %d, %d bytes", got.status, len(got.body))
		}
	}
	f := w.sites["b"].sent()
	if len(f) != 3 || f[0].Attempt != 1 || f[0].Sent || f[1].Attempt != 2 || f[2].Attempt != 1 || f[2].Err != nil {
		t.Errorf("attempts %+v", f)
	}
}

// dropping answers nothing: it reads the headers, perhaps the body, and closes the connection.
func dropping(t *testing.T, after int) (addr string, requests func() int) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	seen := make(chan struct{}, 1000)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				in := bufio.NewReader(c)
				for range after {
					if _, err := http.ReadRequest(in); err != nil {
						return
					}
					seen <- struct{}{}
					_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
				}
				if _, err := http.ReadRequest(in); err == nil {
					seen <- struct{}{}
				}
			}()
		}
	}()
	return "http://" + l.Addr().String(), func() int { return len(seen) }
}

// A connection that is lost after sending: what is not idempotent is never sent again, and its outcome is unknown.
func TestConnectionLost(t *testing.T) {
	for _, tc := range []struct {
		method, body string
		header       string
		sent, status int
	}{
		{"POST", "", "", 1, 502}, {"POST", "text", "", 1, 502}, {"PATCH", "", "", 1, 502}, {"FROB", "", "", 1, 502}, {"PUT", "", "", 2, 502},
		{"PUT", "text", "", 1, 502}, {"DELETE", "", "", 2, 502}, {"GET", "", "", 2, 200},
	} {
		addr, requests := dropping(t, 0)
		w := newWorld(t, tuning{options: func(_ string, o *Options) { o.Upstreams["a"] = Upstream{Addrs: []string{addr}, AllowPlaintext: true} }}, "b")
		var body io.Reader
		if tc.body != "" {
			body = strings.NewReader(tc.body)
		}
		got := w.ask("b", tc.method, "/x", body, "Cookie: UseDC=primary")
		what := tc.method + " " + tc.body
		w.expect(what, got, tc.status, "")
		same(t, what+": sent", requests(), tc.sent)
		if tc.status == 502 {
			same(t, what+": outcome", got.header.Get("X-DC-Outcome")+got.header.Get("Retry-After"), "unknown")
		} else {
			same(t, what+": stale risk", got.header.Get("X-DC-Stale-Risk"), "1")
		}
	}
}

// Case Xc: the transport itself sends a request with an Idempotency-Key again, once.
func TestIdempotencyKey(t *testing.T) {
	addr, requests := dropping(t, 1)
	w := newWorld(t, tuning{options: func(_ string, o *Options) { o.Upstreams["a"] = Upstream{Addrs: []string{addr}, AllowPlaintext: true} }}, "b")
	w.expect("the first", w.ask("b", "POST", "/x", nil, "Idempotency-Key: 1"), 204, "")
	before := requests()
	_ = w.ask("b", "POST", "/x", nil, "Idempotency-Key: 2")
	if n := requests() - before; n > 2 {
		t.Errorf("sent %d times, want twice at most", n)
	}
}

// An answer that comes too late: nothing is sent again.
func TestUpstreamTimeout(t *testing.T) {
	release := make(chan struct{})
	w := newWorld(t, tuning{}, "a", "b")
	w.sites["a"].handle(func(_ http.ResponseWriter, _ *http.Request) { <-release })
	w.sites["b"].router.upstreams["a"].transport.ResponseHeaderTimeout = 50 * time.Millisecond
	got := w.ask("b", "POST", "/x", nil)
	w.expect("a write", got, 504, "The datacenter that answers this did not answer in time")
	same(t, "outcome", got.header.Get("X-DC-Outcome")+got.header.Get("Retry-After"), "unknown")
	got = w.ask("b", "GET", "/x", nil, "Cookie: UseDC=primary")
	w.expect("a read", got, 504, "")
	close(release)
	same(t, "attempts", len(w.sites["b"].sent()), 2)
}

// Case Xi: what breaks in the middle of the answer is seen as broken.
func TestHalfAnAnswer(t *testing.T) {
	w := newWorld(t, tuning{}, "a", "b")
	w.sites["a"].handle(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte("half"))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, w.sites["b"].server.URL, nil)
	res, err := http.DefaultClient.Do(r)
	if err == nil {
		_, err = io.ReadAll(res.Body)
		_ = res.Body.Close()
	}
	if err == nil {
		t.Error("the client got a whole answer")
	}
	http.DefaultClient.CloseIdleConnections()
}

// Case 30.
func TestClientGoesAway(t *testing.T) {
	w := newWorld(t, tuning{}, "a", "b")
	arrived, cancelled := make(chan struct{}), make(chan struct{})
	w.sites["a"].handle(func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
		close(cancelled)
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	r, _ := http.NewRequestWithContext(ctx, http.MethodGet, w.sites["b"].server.URL, nil)
	r.Header.Set("Cookie", "UseDC=primary")
	res, err := http.DefaultClient.Do(r)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if res != nil {
		_ = res.Body.Close()
	}
	<-cancelled
	eventually(t, "the attempt is told", func() bool { return len(w.sites["b"].sent()) == 1 })
	http.DefaultClient.CloseIdleConnections()
}

// Case 26: an upload goes through in pieces.
func TestUpload(t *testing.T) {
	size := int64(100 << 20)
	if os.Getenv("MULTIDC_TEST_SEEDS") != "" { // a long run
		size = 1 << 30
	}
	w := newWorld(t, tuning{}, "a", "b")
	w.sites["a"].handle(func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		n, err := io.Copy(sum, r.Body)
		_, _ = fmt.Fprintf(w, "%d %x %v", n, sum.Sum(nil), err)
	})
	var before, after runtime.MemStats
	want := sha256.New()
	runtime.GC()
	runtime.ReadMemStats(&before)
	peak := make(chan uint64)
	stop := make(chan struct{})
	go func() {
		var most uint64
		for {
			runtime.ReadMemStats(&after)
			most = max(most, after.HeapInuse)
			select {
			case <-stop:
				peak <- most
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	got := w.ask("b", "POST", "/x", io.TeeReader(io.LimitReader(new(pattern), size), want))
	close(stop)
	if grown := int64(<-peak) - int64(before.HeapInuse); grown > 4<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	same(t, "arrived", got.body, fmt.Sprintf("%d %x <nil>", size, want.Sum(nil)))
}

// pattern is bytes without end.
type pattern struct{ at byte }

func (p *pattern) Read(b []byte) (int, error) {
	for i := range b {
		p.at += 7
		b[i] = p.at
	}
	return len(b), nil
}

// Case Xb: with Expect the other DC decides before the body is sent.
func TestExpectContinue(t *testing.T) {
	w := newWorld(t, tuning{}, "a", "b")
	w.sites["a"].handle(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
	})
	body := &bodyThatCounts{left: 10 << 20}
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, w.sites["b"].server.URL, body)
	r.ContentLength = int64(body.left)
	r.Header.Set("Expect", "100-continue")
	began := time.Now()
	w.expect("refused at once", w.do(r), http.StatusRequestEntityTooLarge, "too large")
	if body.read > 0 || time.Since(began) > 5*time.Second {
		t.Errorf("after %v %d bytes of the body were read", time.Since(began), body.read)
	}

	w.sites["a"].handle(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprint(w, n, err)
	})
	r, _ = http.NewRequestWithContext(t.Context(), http.MethodPost, w.sites["b"].server.URL, bytes.NewReader(make([]byte, 1<<20)))
	r.Header.Set("Expect", "100-continue")
	w.expect("welcome", w.do(r), 200, "1048576 <nil>")
}

// A refused POST leaves its connection fit for the next one, although its body was not read.
func TestConnectionSurvivesRefusedPosts(t *testing.T) {
	w := newWorld(t, tuning{options: func(_ string, o *Options) {
		o.Upstreams["a"] = Upstream{Addrs: []string{nowhere(t)}, AllowPlaintext: true}
	}}, "b")
	transport := new(http.Transport)
	defer transport.CloseIdleConnections()
	connections := 0
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		if !i.Reused {
			connections++
		}
	}})
	for range 20 {
		r, _ := http.NewRequestWithContext(ctx, http.MethodPost, w.sites["b"].server.URL, strings.NewReader("a short body"))
		res, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		same(t, "status", res.StatusCode, http.StatusServiceUnavailable)
	}
	same(t, "connections", connections, 1)
}

// The server must find its own body at the end: with another one it may try to read what the client was told not to send.
func TestTheRequestKeepsItsBody(t *testing.T) {
	kept := make(chan bool, 1)
	w := newWorld(t, tuning{wrap: func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body := r.Body
			h.ServeHTTP(w, r)
			if r.Header.Get("X-Dc-Hop") == "" {
				kept <- r.Body == body
			}
		})
	}}, "a", "b")
	w.expect("forwarded", w.ask("b", "POST", "/x", strings.NewReader("text")), 200, "a hop")
	same(t, "kept", <-kept, true)
}

type bodyThatCounts struct{ left, read int }

func (b *bodyThatCounts) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), b.left)
	b.left, b.read = b.left-n, b.read+n
	return n, nil
}

// A body that the server in front limits is 413, also when it is forwarded.
func TestMaxBytes(t *testing.T) {
	w := newWorld(t, tuning{wrap: func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, 10)
			h.ServeHTTP(w, r)
		})
	}}, "a", "b")
	w.sites["a"].handle(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	w.expect("too long", w.ask("b", "POST", "/x", strings.NewReader(strings.Repeat("x", 1000))), http.StatusRequestEntityTooLarge, "")
}

// Case 31: an upgrade is spliced to the primary.
func TestUpgradeIsSpliced(t *testing.T) {
	for _, secure := range []bool{false, true} {
		w := newWorld(t, tuning{}, "a", "b")
		echo := func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", "echo")
			w.WriteHeader(http.StatusSwitchingProtocols)
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = conn.Close() }()
			line, _ := rw.ReadString('\n')
			_, _ = rw.WriteString("a says " + line)
			_ = rw.Flush()
		}
		w.sites["a"].handle(echo)
		if secure {
			s := httptest.NewUnstartedServer(w.sites["a"].router.Middleware(http.HandlerFunc(echo)))
			s.EnableHTTP2 = true
			s.StartTLS()
			t.Cleanup(s.Close)
			up, err := newUpstream(w.sites["b"].router, "a", Upstream{Addrs: []string{s.URL}, TLS: trusting(s)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(up.spliced.CloseIdleConnections)
			w.sites["b"].router.upstreams["a"] = up
		}
		at, _ := url.Parse(w.sites["b"].server.URL)
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", at.Host)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "GET /socket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		in := bufio.NewReader(conn)
		res, err := http.ReadResponse(in, nil) //nolint:bodyclose // it has none
		if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
			t.Fatal(res, err)
		}
		_, _ = io.WriteString(conn, "hello\n")
		line, _ := in.ReadString('\n')
		same(t, fmt.Sprint("echo, https ", secure), line, "a says hello\n")
		_ = conn.Close()
	}
}

// An event stream is passed on line by line.
func TestEventStream(t *testing.T) {
	w := newWorld(t, tuning{}, "a", "b")
	next := make(chan struct{})
	w.sites["a"].handle(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			_, _ = fmt.Fprintf(w, "data: %d\n", i)
			_ = http.NewResponseController(w).Flush()
			<-next
		}
	})
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, w.sites["b"].server.URL, nil)
	r.Header.Set("Cookie", "UseDC=primary")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(res.Body)
	for i := range 3 {
		line, _ := in.ReadString('\n')
		same(t, "line", line, fmt.Sprintf("data: %d\n", i))
		next <- struct{}{}
	}
	_ = res.Body.Close()
	http.DefaultClient.CloseIdleConnections()
}
