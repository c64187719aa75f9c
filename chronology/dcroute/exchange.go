package dcroute

import (
	"context"
	"crypto/tls"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/multidc/multidc/internal/headerhook"
	"github.com/multidc/multidc/internal/stickydc"
)

// The headers, as net/http spells them.
const (
	headerDC            = "X-Dc"
	headerHop           = "X-Dc-Hop"
	headerEpoch         = "X-Dc-Epoch"
	headerLoop          = "Cdn-Loop"
	headerStaleRisk     = "X-Dc-Stale-Risk"
	headerOutcome       = "X-Dc-Outcome"
	headerReadOnly      = "X-Read-Only"
	headerNonWrite      = "X-Dc-Non-Write"
	headerForce         = "X-Dc-Force"
	headerForceReadOnly = "X-Dc-Force-Read-Only"
)

// exchange is one request on its way through the router.
type exchange struct {
	rt    *Router
	w     http.ResponseWriter // the hook's
	r     *http.Request       // as it came: its body is never replaced
	next  http.Handler
	began time.Time

	*verdict

	outside http.Header // what the headers of the answer were before it was forwarded

	served *served // when it is executed here
	status int     // of the answer, 0 = none was begun
	sticky bool    // the cookie was set
}

// Middleware decides each request, and answers it by next, by the proxy, or with a refusal. It is the outermost but for
// what belongs to the server, and chronology's is inside.
func (rt *Router) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &exchange{rt: rt, r: r, next: next, began: time.Now(), verdict: rt.judge(r, nil)}
		if x.behind {
			rt.refresh(r.Context())
			x.verdict = rt.judgeBy(x.rules, r, nil)
		}
		if on := rt.opts.Events.OnHopRejected; on != nil && x.hopRejected != "" {
			on(r.Context(), HopInfo{x.hopRejected})
		}
		hook := headerhook.New(w, func(status int) { x.answering(w.Header(), status) })
		x.w = hook.Handlers()
		defer x.tell()
		x.act()
		hook.Finish() // not in a panic: then there is no answer
	})
}

// act does what was decided.
func (x *exchange) act() {
	switch x.Action {
	case Local:
		x.local()
	case Forward:
		x.forward()
	default:
		x.refuse()
	}
}

// local lets the next handler answer.
func (x *exchange) local() {
	r := x.r.WithContext(x.carry())
	switch https := x.byHTTPS(); {
	case x.hop == nil:
	case !https: // TLS is of the link between the DCs, and a Secure cookie would be lost
		r.TLS = nil
	case r.TLS == nil:
		r.TLS = &tls.ConnectionState{}
	}
	if x.nonWrite || r.Header[headerNonWrite] != nil || r.Header[headerHop] != nil {
		r.Header = maps.Clone(r.Header)
		delete(r.Header, headerHop)
		delete(r.Header, headerNonWrite)
		if x.nonWrite {
			r.Header.Set(headerNonWrite, "true")
		}
	}
	defer func() { x.r.MultipartForm = r.MultipartForm }() // the server removes its files
	x.next.ServeHTTP(x.w, r)
}

// carry is the context of what runs here. From here on the verdict stands.
func (x *exchange) carry() context.Context {
	x.served = &served{Context: x.r.Context(), verdict: x.verdict}
	return x.served
}

// answering is the moment before the headers go out.
func (x *exchange) answering(h http.Header, status int) {
	x.status = status
	x.bringBack()
	if x.hop == nil && !x.rt.opts.NoHeaders {
		h.Set(headerDC, x.describe())
	}
	if x.StaleRisk {
		h.Set(headerStaleRisk, "1")
		stickydc.Private(h)
	}
	if x.marksClient(status) {
		stickydc.Set(h, x.rt.opts.StickyTTL, x.stickyDomain, x.rt.opts.ForceSecure || x.byHTTPS())
		x.sticky = true
	}
}

// bringBack is of the headers from outside: ReverseProxy clears all with each 1xx.
func (x *exchange) bringBack() {
	h := x.w.Header()
	for name, values := range x.outside {
		if _, there := h[name]; !there {
			h[name] = values
		}
	}
	x.outside = nil
}

func (x *exchange) describe() string {
	own := x.rt.opts.DC
	switch x.Target {
	case "", own:
		return x.rt.words[x.Reason] // the client came in here: else there is a hop
	}
	return describe(x.Target, own, x.Reason)
}

func describe(dc, entry string, reason Reason) string {
	return dc + "; via=" + entry + "; reason=" + string(reason)
}

// marksClient: the client has written here, and here is the primary.
func (x *exchange) marksClient(status int) bool {
	return x.served != nil && x.Intent == Write && x.primaryIsLocal &&
		(x.served.wrote.Load() || x.rt.opts.StickyAuto && status < http.StatusBadRequest)
}

// byHTTPS says how the client came in; of a forwarded request the other router does.
func (x *exchange) byHTTPS() bool {
	if x.hop != nil {
		return strings.EqualFold(x.r.Header.Get("X-Forwarded-Proto"), "https")
	}
	return x.rt.opts.ForceSecure || x.r.TLS != nil
}

func (x *exchange) tell() {
	x.rt.count(x.Reason)
	if on := x.rt.opts.Events.OnDecision; on != nil {
		on(x.r.Context(), DecisionInfo{Decision: x.Decision, Status: x.status, StickySet: x.sticky, Took: time.Since(x.began)})
	}
}

// mostRefresh bounds a refresh of the state in a request.
const mostRefresh = 2 * time.Second

// refresh reads the state anew, or waits for somebody else's refresh that began later than this call.
func (rt *Router) refresh(ctx context.Context) {
	if rt.refresher == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, mostRefresh)
	defer cancel()
	begun := rt.refreshes.Load()
	select {
	case rt.refreshing <- struct{}{}:
		defer func() { <-rt.refreshing }()
	case <-ctx.Done():
		return
	}
	if rt.refreshes.Load() != begun {
		return
	}
	rt.refreshes.Add(1)
	if err := rt.refresher.Refresh(ctx); err != nil {
		rt.opts.Logger.WarnContext(ctx, "dcroute: refreshing the state", "error", err)
	}
}
