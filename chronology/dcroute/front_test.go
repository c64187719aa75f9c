package dcroute

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// front is DC b over real HTTP. In the place of DC a it has what a test puts there, mostly a bare handler: that sees what is
// sent, and answers as it likes.
type front struct {
	*world
	*site

	client *http.Client
}

const (
	http1 = "HTTP/1"
	http2 = "HTTP/2"
)

// protocols are how a request travels: to DC b, and from there to DC a.
type protocols struct{ client, link string }

func overEveryProtocol(t *testing.T, f func(t *testing.T, p protocols)) {
	t.Helper()
	for _, p := range []protocols{{http1, http1}, {http1, http2}, {http2, http1}, {http2, http2}} {
		t.Run(p.client+", then "+p.link, func(t *testing.T) { f(t, p) })
	}
}

// front has a handler as DC a.
func (p protocols) front(t *testing.T, a http.HandlerFunc) *front {
	t.Helper()
	return newFront(t, p.client, upstreamOf(t, p.link, a), nil)
}

// newFront starts DC b. Without addresses, a is no DC that b knows.
func newFront(t *testing.T, clientProtocol string, a Upstream, options func(*Options)) *front {
	t.Helper()
	s := &site{dc: "b", state: NewMemory("a")}
	o := &Options{DC: "b", HopKeys: [][]byte{testKey}, Rules: everybodyLocal(), Upstreams: map[string]Upstream{}, Events: s.events()}
	if len(a.Addrs) > 0 {
		o.Upstreams["a"] = a
	}
	if options != nil {
		options(o)
	}
	var err error
	if s.router, err = New(s.state, o); err != nil {
		t.Fatal(err)
	}
	s.server = startServer(clientProtocol, s.router.Middleware(http.HandlerFunc(s.run)))
	f := &front{&world{t: t, sites: map[string]*site{"b": s}}, s, s.server.Client()}
	f.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	transport, _ := f.client.Transport.(*http.Transport)
	transport.ExpectContinueTimeout = time.Minute
	t.Cleanup(func() {
		f.client.CloseIdleConnections()
		s.close()
	})
	return f
}

// startServer has TLS if it speaks HTTP/2.
func startServer(protocol string, h http.Handler) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = quietLog()
	if protocol == http2 {
		s.EnableHTTP2 = true
		s.StartTLS()
	} else {
		s.Start()
	}
	return s
}

func upstreamOf(t *testing.T, protocol string, h http.HandlerFunc) Upstream {
	t.Helper()
	s := startServer(protocol, h)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	if protocol == http2 {
		return Upstream{Addrs: []string{s.URL}, TLS: trusting(s)}
	}
	return plaintext(s.URL)
}

func plaintext(addrs ...string) Upstream { return Upstream{Addrs: addrs, AllowPlaintext: true} }

// wrap puts a handler between the network and the router. It is to be called before requests.
func (f *front) wrap(around func(next http.Handler) http.Handler) {
	f.server.Config.Handler = around(f.server.Config.Handler)
}

func (f *front) newRequest(method, target string, body io.Reader, headers ...string) *http.Request {
	f.t.Helper()
	r, err := http.NewRequestWithContext(f.t.Context(), method, f.server.URL+target, body)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	return r
}

// ask sends a request. Headers are "Name: value".
func (f *front) ask(method, target string, body io.Reader, headers ...string) answer {
	f.t.Helper()
	got, err := f.try(f.newRequest(method, target, body, headers...))
	if err != nil {
		f.t.Fatalf("%s %s: %v", method, target, err)
	}
	return got
}

// try fails where the client does, in the answer's body too.
func (f *front) try(r *http.Request) (answer, error) {
	res, err := f.client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(b)}, err
}

// send writes bytes to DC b as they are, and hands out the connection to go on with. Nothing on it takes longer than 10 s.
func (f *front) send(text string) (net.Conn, *bufio.Reader) {
	f.t.Helper()
	conn, err := new(net.Dialer).DialContext(f.t.Context(), "tcp", f.server.Listener.Addr().String())
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, text); err != nil {
		f.t.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

// receive reads the answer to what was sent.
func (f *front) receive(in *bufio.Reader) answer {
	f.t.Helper()
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(b)}
}

// record runs one request through a router without a network.
func record(rt *Router, r *http.Request, next http.HandlerFunc) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	rt.Middleware(next).ServeHTTP(rec, r)
	return rec
}

func nothing(http.ResponseWriter, *http.Request) {}

// readPinned is the header by which a read goes to the primary.
const readPinned = "Cookie: UseDC=primary"
