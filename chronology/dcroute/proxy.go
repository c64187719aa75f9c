package dcroute

import (
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httputil"
	"strconv"
	"strings"
	"time"
)

// sending is an exchange that is on its way to another DC.
type sending struct {
	x       *exchange
	up      *upstream
	body    *body // nil = the request has none
	cancel  context.CancelFunc
	failure *failed
	answer  bool // of the other DC: its headers have come
}

type sendingKey struct{}

func sendingOf(ctx context.Context) *sending { return ctx.Value(sendingKey{}).(*sending) }

// forward lets another DC answer. When that knows a newer primary it decides once more.
func (x *exchange) forward() {
	s := x.send()
	if s.misrouted() {
		newer := x.decideAgain() // in any case: for the client's next try
		if !newer || !s.untouched() {
			x.give(ReasonStaleRouter, http.StatusServiceUnavailable, time.Second)
			return
		}
		if x.Action != Forward {
			x.act()
			return
		}
		s = x.send()
	}
	switch {
	case s.misrouted(): // once was enough
		x.give(ReasonStaleRouter, http.StatusServiceUnavailable, time.Second)
	case s.failure != nil:
		x.failed(s)
	}
}

// decideAgain refreshes the state, and reports whether that knows a newer primary.
func (x *exchange) decideAgain() bool {
	before := x.Epoch
	x.rt.refresh(x.r.Context())
	x.verdict = x.rt.judgeBy(x.rules, x.r, nil)
	return x.Epoch > before
}

// send proxies the request. It has been answered unless there is a failure.
func (x *exchange) send() *sending {
	s := &sending{x: x, up: x.rt.upstreams[x.Target]}
	x.outside = maps.Clone(x.w.Header())
	ctx := context.WithValue(x.r.Context(), sendingKey{}, s)
	hasBody := x.r.Body != nil && x.r.Body != http.NoBody && x.r.ContentLength != 0
	if hasBody {
		ctx, s.cancel = context.WithCancel(ctx)
	}
	r := x.r.WithContext(ctx) // a shallow copy: the server must find its own body again
	if hasBody {
		s.body = &body{from: r.Body}
		r.Body = s.body
		defer s.body.end()
	}
	s.up.proxy.ServeHTTP(x.w, r)
	if s.failure != nil {
		x.bringBack() // now: who answers instead may take away what stands there
	}
	return s
}

// harmless: it may happen twice. A rule may say that a GET writes, and an upgrade is never sent again.
func (x *exchange) harmless() bool { return x.Intent == Read && !x.upgrade }

func (s *sending) misrouted() bool { return s.failure != nil && s.failure.kind == misrouted }

func (s *sending) untouched() bool { return s.body == nil || s.body.untouched() }

// give refuses.
func (x *exchange) give(why Reason, status int, retryAfter time.Duration) {
	x.Action, x.Target, x.Reason, x.Status, x.RetryAfter = Refuse, "", why, status, retryAfter
	x.refuse()
}

// failed answers what the other DC has not.
func (x *exchange) failed(s *sending) {
	if errors.Is(x.r.Context().Err(), context.Canceled) { // the client has gone
		panic(http.ErrAbortHandler)
	}
	if s.body != nil && s.body.failed() != nil {
		x.blame(s.body.failed())
		return
	}
	readHere := x.Intent == Read && s.untouched() && !x.rt.opts.NoReadFallback && s.failure.kind != late
	switch s.failure.kind {
	case unreachable:
		x.Reason = ReasonPrimaryUnreachable
	case lost:
		x.Reason = ReasonUpstreamLost
	default:
		x.Reason = ReasonUpstreamTimeout
	}
	switch {
	case readHere:
		x.Action, x.Target, x.StaleRisk = Local, x.rt.opts.DC, true
		x.local()
	case s.failure.kind == unreachable:
		x.give(x.Reason, http.StatusServiceUnavailable, x.rt.opts.RetryAfter)
	default:
		if x.Intent == Write {
			x.w.Header().Set(headerOutcome, "unknown")
		}
		status := http.StatusBadGateway
		if s.failure.kind == late {
			status = http.StatusGatewayTimeout
		}
		x.give(x.Reason, status, 0)
	}
}

// blame answers a client whose body could not be read to its end: what the other DC made of the beginning, nobody knows.
func (x *exchange) blame(err error) {
	if x.Intent == Write {
		x.w.Header().Set(headerOutcome, "unknown")
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		http.Error(x.w, "The request's body is too large.", http.StatusRequestEntityTooLarge)
		return
	}
	http.Error(x.w, "The request's body is broken.", http.StatusBadRequest)
}

// rewrite makes the request that is sent. The other side must get the very same, but for the headers that are between
// routers, and those by which a client could lie about where it comes from.
func (rt *Router) rewrite(p *httputil.ProxyRequest) {
	s := sendingOf(p.In.Context())
	switch {
	case s.body != nil:
		p.Out.Body = s.body          // ReverseProxy's own cannot be read any more when an attempt has closed it
		p.Out.Trailer = p.In.Trailer // the same map: the server fills it at the end of the body
	case !s.x.harmless() && safe(p.In.Method):
		p.Out.Body = io.NopCloser(strings.NewReader("")) // a GET without one the transport would send again
	}
	p.Out.URL.RawQuery = p.In.URL.RawQuery // ReverseProxy drops what it cannot parse
	if path, _, _ := strings.Cut(p.In.RequestURI, "?"); strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "//") {
		p.Out.URL.Opaque = path // byte for byte
	}
	h := p.Out.Header
	for name := range h {
		if strings.HasPrefix(name, "X-Forwarded-") {
			delete(h, name)
		}
	}
	for _, name := range []string{"Forwarded", "X-Real-Ip", headerNonWrite} {
		delete(h, name)
	}
	if rt.opts.TrustDebug == nil || !rt.opts.TrustDebug(p.In) { // the other DC sees this router, and may trust that
		delete(h, headerForce)
		delete(h, headerForceReadOnly)
	}
	if ip := rt.opts.ClientIP(p.In); ip.IsValid() {
		h.Set("X-Forwarded-For", ip.Unmap().String())
	}
	h.Set("X-Forwarded-Host", p.In.Host)
	h.Set("X-Forwarded-Proto", "http")
	if rt.opts.ForceSecure || p.In.TLS != nil {
		h.Set("X-Forwarded-Proto", "https")
	}
	h.Set(headerHop, rt.signHop(s.up.dc, rt.epochFor(s.x.verdict)))
	h.Set(headerLoop, strings.Join(append(h[headerLoop], rt.opts.LoopToken), ", "))
}

// modifyResponse keeps from the client what is between routers. A 421 with an epoch is the other router's; without one it is
// the application's.
func modifyResponse(res *http.Response) error {
	s := sendingOf(res.Request.Context())
	early := s.body != nil && !s.body.whole.Load() // while the body still comes
	if early && res.StatusCode != http.StatusSwitchingProtocols {
		res.Body = letGo{res.Body, s.cancel}
	}
	if text := res.Header.Get(headerEpoch); res.StatusCode == http.StatusMisdirectedRequest && text != "" {
		if _, err := strconv.ParseUint(text, 10, 64); err == nil {
			return &failed{misrouted, errMisrouted}
		}
	}
	for _, name := range []string{headerHop, headerLoop, headerEpoch} {
		delete(res.Header, name)
	}
	if len(res.Trailer) > 0 && s.x.r.ProtoMajor == 1 && s.x.r.Method != http.MethodHead {
		res.Header.Del("Content-Length") // HTTP/2 has it with trailers, HTTP/1 has not
	}
	if early && s.x.r.ProtoMajor == 1 {
		_ = http.NewResponseController(s.x.w).EnableFullDuplex()
		res.Header.Set("Connection", "close") // with full duplex and an unread rest the server panics at the next request
	}
	s.answer = true
	return nil
}

// letGo is the body of an early answer: over HTTP/2 closing it waits for the request's, whose client may wait for the answer.
type letGo struct {
	io.ReadCloser

	cancel context.CancelFunc
}

func (b letGo) Close() error {
	b.cancel()
	return b.ReadCloser.Close()
}

// noteFailure is called when nothing was answered yet: that is for who has sent the request. What breaks later, in an
// upgrade, is cut off.
func noteFailure(_ http.ResponseWriter, r *http.Request, err error) {
	s := sendingOf(r.Context())
	if s.answer {
		panic(http.ErrAbortHandler)
	}
	var f *failed
	if !errors.As(err, &f) {
		f = &failed{unreachable, err} // ReverseProxy's own: nothing was sent
	}
	s.failure = f
}

func slogAt(l *slog.Logger) *log.Logger { return slog.NewLogLogger(l.Handler(), slog.LevelWarn) }
