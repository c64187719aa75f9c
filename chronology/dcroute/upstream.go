package dcroute

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// The limits of a connection to another DC. There is none for a request as a whole: an upload may take hours.
const (
	dialTimeout     = time.Second
	tlsTimeout      = 3 * time.Second
	headerTimeout   = 30 * time.Second // from the end of the request to the headers of its answer
	continueTimeout = 30 * time.Second // with 0 the transport would take the body at once
	idleTimeout     = 90 * time.Second
	pingAfter       = 5 * time.Second // of silence, over HTTP/2
	pingTimeout     = 5 * time.Second
	mostIdle        = 256             // connections to an address
	avoidFor        = 5 * time.Second // an address that could not be dialed
	bufferSize      = 32 << 10        // as ReverseProxy's own
)

// upstream is the way to another DC.
type upstream struct {
	dc        string
	addresses []*address
	good      atomic.Int32 // the address that worked last

	transport *http.Transport
	spliced   *http.Transport // for upgrades, which HTTP/2 does not have
	proxy     *httputil.ReverseProxy
}

// address is one of an upstream.
type address struct {
	text string
	url  *url.URL

	mu       sync.Mutex
	failedAt time.Time
	why      string
}

func newUpstream(rt *Router, dc string, u Upstream) (*upstream, error) {
	up := &upstream{dc: dc}
	for _, text := range u.Addrs {
		at, err := url.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("dcroute: Options.Upstreams: DC %s: %w", dc, err)
		}
		up.addresses = append(up.addresses, &address{text: text, url: at})
	}
	up.transport, up.spliced = newTransport(u, true), newTransport(u, false)
	up.proxy = &httputil.ReverseProxy{
		Rewrite: rt.rewrite, Transport: roundTripper{}, ModifyResponse: modifyResponse, ErrorHandler: noteFailure,
		ErrorLog: slogAt(rt.opts.Logger), BufferPool: &rt.buffers,
	}
	return up, nil
}

func newTransport(u Upstream, http2 bool) *http.Transport {
	t := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSHandshakeTimeout: tlsTimeout, ResponseHeaderTimeout: headerTimeout, ExpectContinueTimeout: continueTimeout,
		IdleConnTimeout: idleTimeout, MaxIdleConnsPerHost: mostIdle, DisableCompression: true,
		Protocols: new(http.Protocols),
		HTTP2:     &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
	}
	t.Protocols.SetHTTP1(true)
	t.Protocols.SetHTTP2(http2)
	if u.TLS != nil {
		t.TLSClientConfig = u.TLS.Clone()
		if !http2 {
			t.TLSClientConfig.NextProtos = nil // they may name it
		}
	}
	return t
}

// buffers are what answers are copied through. ReverseProxy's own, one for each answer, would be most of all garbage.
type buffers struct{ free sync.Pool }

// Get implements httputil.BufferPool.
func (b *buffers) Get() []byte {
	if p, ok := b.free.Get().(*[bufferSize]byte); ok {
		return p[:]
	}
	return make([]byte, bufferSize)
}

// Put implements httputil.BufferPool.
func (b *buffers) Put(p []byte) { b.free.Put((*[bufferSize]byte)(p)) }

// inOrder lists the addresses from the last good one on; those that could not be dialed a moment ago come last.
func (up *upstream) inOrder(now time.Time) []*address {
	good := int(up.good.Load())
	list := append(slices.Clone(up.addresses[good:]), up.addresses[:good]...)
	slices.SortStableFunc(list, func(a, b *address) int { return a.avoided(now) - b.avoided(now) })
	return list
}

func (up *upstream) worked(a *address) {
	if i := slices.Index(up.addresses, a); int(up.good.Load()) != i {
		up.good.Store(int32(i))
	}
	a.note("", time.Time{})
}

func (a *address) avoided(now time.Time) int {
	if _, at := a.failure(); !at.IsZero() && now.Sub(at) < avoidFor {
		return 1
	}
	return 0
}

func (a *address) failure() (why string, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.why, a.failedAt
}

func (a *address) note(why string, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.why, a.failedAt = why, at
}

// failure is how a request to another DC went wrong.
type failure int

const (
	noFailure   failure = iota
	unreachable         // no connection: nothing was sent
	lost                // the connection broke after sending, before there were headers
	late                // no headers in time
	misrouted           // the other DC knows a newer primary
)

// failed carries that through the reverse proxy.
type failed struct {
	kind  failure
	cause error
}

func (f *failed) Error() string { return f.cause.Error() }
func (f *failed) Unwrap() error { return f.cause }

var errMisrouted = errors.New("the other DC knows a newer primary")
