package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/multidc/multidc/chronology/dcroute"
	"github.com/multidc/multidc/rdbms"
)

// clientCookie is a lasting id of a browser: of clients that have it, the rollout draws a share.
const clientCookie = "wiki_client"

// newRouter makes what decides in which datacenter a request is answered.
func (w *wiki) newRouter(l *link, rollout float64) (*dcroute.Router, error) {
	share := int(math.Round(rollout * 100)) // in hundredths of a percent
	if share == 0 {
		share = -1 // nobody: 0 is "not set"
	}
	other := otherDC(w.dc)
	return dcroute.New(w.state, &dcroute.Options{
		DC:             w.dc,
		Upstreams:      map[string]dcroute.Upstream{other: {Addrs: []string{l.upstream(other)}, AllowPlaintext: true}}, // it never leaves the machine
		HopKeys:        [][]byte{w.secret},
		Rules:          &dcroute.RuleSet{Default: dcroute.HostConfig{Mode: dcroute.ModeLocal, Share: share}},
		AnonCookie:     clientCookie,
		RenderReadOnly: w.readOnly,
		RenderRefusal:  w.refused,
	})
}

// routed is the order of things: the router outside, and inside, only in the datacenter that answers, what lets clients
// see their own edits. What a page says about this datacenter itself is not routed.
func (w *wiki) routed(app http.Handler) http.Handler {
	app = w.own.Middleware(w.everywhere(app))
	all := http.NewServeMux()
	all.Handle("/", w.router.Middleware(app))
	for _, path := range []string{"/_dc", "/_dc/", "/healthz", "/style.css"} {
		all.Handle(path, app)
	}
	return all
}

// readOnly is the page that the router shows to who wants to save while the state says read-only.
func (w *wiki) readOnly(rw http.ResponseWriter, r *http.Request, info dcroute.ReadOnlyInfo) {
	r.Body = http.MaxBytesReader(rw, r.Body, maxForm)
	p := w.asProblem(r.Context(), &rdbms.ReadOnlyError{Reason: info.Reason})
	p.Edited = r.PostFormValue("text")
	w.everywhere(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.fail(rw, r, p) })).ServeHTTP(rw, r)
}

// refused is the page when the other datacenter should have answered, and cannot. Who wanted to save gets the text back,
// unless it was on its way already.
func (w *wiki) refused(rw http.ResponseWriter, r *http.Request, d dcroute.Decision) {
	p := &problem{status: d.Status, Heading: "No answer", Text: "Another datacenter answers this, and it cannot be reached from datacenter " +
		w.dc + " at the moment (" + string(d.Reason) + ")."}
	switch {
	case d.Intent != dcroute.Write:
	case d.Status == http.StatusServiceUnavailable:
		r.Body = http.MaxBytesReader(rw, r.Body, maxForm)
		p.Heading, p.Text, p.Edited = "Not saved", p.Text+" Nothing was changed. Reading goes on; try to save again in a while.", r.PostFormValue("text")
	default:
		known := w.asProblem(r.Context(), errUnknownOutcome)
		p.Heading, p.Text = known.Heading, known.Text
	}
	w.everywhere(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.fail(rw, r, p) })).ServeHTTP(rw, r)
}

// rememberClient gives a browser its id.
func rememberClient(rw http.ResponseWriter, r *http.Request) {
	if _, err := r.Cookie(clientCookie); err != nil {
		http.SetCookie(rw, &http.Cookie{ //nolint:gosec // not Secure: the wiki speaks http
			Name: clientCookie, Value: rand.Text(), Path: "/", MaxAge: int((365 * 24 * time.Hour).Seconds()),
			HttpOnly: true, SameSite: http.SameSiteLaxMode,
		})
	}
}

// entryDC is the datacenter where a request came in.
func (s *site) entryDC(ctx context.Context) string {
	if d, ok := dcroute.DecisionFrom(ctx); ok {
		return d.Entry
	}
	return s.dc
}

// routing is what the router knows, and what it would do with this request.
type routing struct {
	dcroute.Explanation

	Trace dcroute.Trace `json:"trace"`
}

func (e routing) String() string { return e.Explanation.String() + "\n" + e.Trace.String() }

func (w *wiki) explainRouting(rw http.ResponseWriter, r *http.Request) {
	trace := w.router.Trace(r) //nolint:contextcheck // the request has it
	w.explain(rw, r, "routing", "Routing", routing{w.router.Explain(r.Context()), trace})
}

// explainOwn shows what this datacenter does for clients to see their own edits, and what this client's are.
func (w *wiki) explainOwn(rw http.ResponseWriter, r *http.Request) {
	w.explain(rw, r, "own", "Own edits", w.own.Explain(r.Context()))
}

// way is how a request came to be answered here: for the footer.
type way struct {
	Routed   bool
	Decision dcroute.Decision
	Own      string // which edits of the client its reads had to include
}

func (w *wiki) wayOf(ctx context.Context) (out way) {
	out.Decision, out.Routed = dcroute.DecisionFrom(ctx)
	e := w.own.Explain(ctx)
	switch c := e.Clusters[0]; {
	case c.Required != "":
		out.Own = fmt.Sprintf("up to %s, by the %s", c.Required, c.Source)
	case e.RecentWriter:
		out.Own = "made a moment ago"
	default:
		out.Own = "none"
	}
	return out
}
