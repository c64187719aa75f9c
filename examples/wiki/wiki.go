package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"html/template"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/multidc/multidc/chronology/dcroute"
	"github.com/multidc/multidc/rdbms"
)

// wiki is the application of one datacenter.
type wiki struct {
	*site

	both    sites // to be shown
	sockets sockets
	pages   *pages
	router  *dcroute.Router
}

func newWiki(s *site, both sites, sockets sockets, l *link, rollout float64) (w *wiki, err error) {
	w = &wiki{site: s, both: both, sockets: sockets, pages: newPages(s)}
	w.router, err = w.newRouter(l, rollout)
	return w, err
}

func otherDC(dc string) string {
	if dc == dcA {
		return dcB
	}
	return dcA
}

// handler is all pages, and what holds for all of them.
func (w *wiki) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", w.home)
	mux.HandleFunc("GET /wiki/{title...}", w.titled(w.view))
	mux.HandleFunc("GET /edit/{title...}", w.titled(w.editForm))
	mux.HandleFunc("POST /edit/{title...}", w.titled(w.save))
	mux.HandleFunc("GET /history/{title...}", w.titled(w.history))
	mux.HandleFunc("GET /recent", w.recent)
	mux.HandleFunc("GET /healthz", w.health)
	mux.HandleFunc("GET /_dc", w.dcs)
	mux.HandleFunc("GET /_dc/databases", w.databases)
	mux.HandleFunc("GET /_dc/cache", w.explainCache)
	mux.HandleFunc("GET /_dc/routing", w.explainRouting)
	mux.HandleFunc("GET /_dc/own", w.explainOwn)
	mux.HandleFunc("POST /_dc/primary", w.setPrimary)
	mux.HandleFunc("POST /_dc/lag", w.setLag)
	mux.HandleFunc("POST /_dc/cut", w.cut)
	mux.HandleFunc("POST /_dc/heal", w.heal)
	mux.HandleFunc("GET /style.css", style)
	return w.routed(http.NewCrossOriginProtection().Handler(mux))
}

// requestTime is how long an answer may take, with all its queries.
const requestTime = 15 * time.Second

func (w *wiki) everywhere(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		h := rw.Header()
		h.Set("Multidc-Served-By", w.dc)
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cache-Control", "no-cache")
		rememberClient(rw, r)
		ctx, cancel := context.WithTimeout(r.Context(), requestTime)
		defer cancel()
		next.ServeHTTP(rw, r.WithContext(ctx))
	})
}

// titled checks the title in the path.
func (w *wiki) titled(h func(http.ResponseWriter, *http.Request, string)) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		title := r.PathValue("title")
		if err := checkTitle(title); err != nil {
			w.fail(rw, r, &problem{status: http.StatusBadRequest, Heading: "No such title", Text: err.Error()})
			return
		}
		h(rw, r, title)
	}
}

//go:embed templates/*.html templates/style.css
var files embed.FS

var templates = parseTemplates("home", "page", "edit", "history", "recent", "dc", "databases", "cache", "routing", "own", "problem")

func parseTemplates(names ...string) map[string]*template.Template {
	funcs := template.FuncMap{
		"url": urlOf, "crumbs": crumbs, "last": lastPart, "age": age, "join": strings.Join,
		"time": func(t time.Time) string { return t.Format("2 Jan 2006, 15:04:05 UTC") },
		"iso":  func(t time.Time) string { return t.Format(time.RFC3339) },
	}
	all := map[string]*template.Template{}
	for _, name := range names {
		all[name] = template.Must(template.New("layout.html").Funcs(funcs).
			ParseFS(files, "templates/layout.html", "templates/"+name+".html"))
	}
	return all
}

func style(rw http.ResponseWriter, r *http.Request) {
	http.ServeFileFS(rw, r, files, "templates/style.css")
}

// frame is what the layout shows around every page.
type frame struct {
	DC, Primary string
	Heading     string
	Title       string // of the wiki page it is about, or empty
	OtherURL    string // the same in the other datacenter
	OtherDC     string
	Served      rdbms.Served
	Way         way
	Cached      string // how the cache had it; empty if it was not asked
	Purge       *purge // the last from here, or nil
	Body        any
}

func (w *wiki) begin(r *http.Request) frame {
	entry := w.entryDC(r.Context())
	return frame{DC: w.dc, Primary: w.cluster.Positions().WriterDC(), OtherDC: otherDC(entry), OtherURL: w.sockets.otherURL(entry, r)}
}

// otherURL is the same page in the datacenter where the request did not come in.
func (s sockets) otherURL(entry string, r *http.Request) string {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = strings.Trim(r.Host, "[]")
	}
	otherHost, port := s.other(entry)
	if otherHost != "" {
		host = otherHost
	}
	u := *r.URL
	if r.Method == http.MethodPost {
		u.Path, u.RawPath, u.RawQuery = "/", "", ""
	}
	return "http://" + net.JoinHostPort(host, port) + u.RequestURI()
}

// show renders a page completely before it sends the first byte. The footer tells what its reads got.
func (w *wiki) show(rw http.ResponseWriter, r *http.Request, status int, name string, f frame) {
	f.Served, f.Way, f.Purge = w.cluster.Served(r.Context()), w.wayOf(r.Context()), w.cache.last.Load()
	var out bytes.Buffer
	if err := templates[name].Execute(&out, f); err != nil {
		http.Error(rw, "The page cannot be shown: "+err.Error(), http.StatusInternalServerError)
		return
	}
	rw.Header().Set("Content-Type", "text/html; charset=utf-8")
	rw.WriteHeader(status)
	_, _ = out.WriteTo(rw) // whoever has gone does not read errors
}

// problem is an answer that is not what was asked for.
type problem struct {
	status        int
	retryAfter    int // seconds; 0 = none
	Heading, Text string
	Title         string // offers to write the page
	Edited        string // what the user wrote: it is not lost
	Nearby        []entry
}

func (p *problem) Error() string { return p.Text }

// fail answers with a problem, or with what an error of the databases means to a reader.
func (w *wiki) fail(rw http.ResponseWriter, r *http.Request, err error) {
	p := w.asProblem(r.Context(), err)
	if p.retryAfter > 0 {
		rw.Header().Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	f := w.begin(r)
	f.Heading, f.Body = p.Heading, p
	w.show(rw, r, p.status, "problem", f)
}

// asProblem says what an error means to who asked. Writing goes across the link, reading to what is near: the same
// lost connection means different things, so errors of saving come here classified.
func (w *wiki) asProblem(ctx context.Context, err error) *problem {
	var p *problem
	var readOnly *rdbms.ReadOnlyError
	primary := w.cluster.Positions().WriterDC()
	busy := func(retryAfter int, heading, text string) *problem {
		return &problem{status: http.StatusServiceUnavailable, retryAfter: retryAfter, Heading: heading, Text: text}
	}
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, errUnknownOutcome):
		return busy(5, "Maybe saved", "The connection broke while your edit was being saved. The page's history in datacenter "+
			primary+" will tell whether it was; saving the same text again does no harm.")
	case errors.As(err, &readOnly):
		return busy(int(readOnly.RetryAfter.Seconds()), "Read-only", "The wiki takes no edits at the moment: "+readOnly.Reason+
			". Nothing was changed. Reading goes on; try to save again in a while.")
	case errors.Is(err, errUnavailable):
		return busy(5, "Not saved", "The database in datacenter "+primary+", where edits are saved, cannot be reached from datacenter "+
			w.dc+" at the moment. Nothing was changed. Reading goes on; try to save again in a while.")
	case lost(err):
		return busy(5, "No answer", "The databases do not answer in datacenter "+w.dc+". Try again in a while.")
	case w.pages.tablesMissing(ctx):
		return busy(1, "Not here yet", "The wiki's tables have not reached datacenter "+w.dc+
			" yet. They come with the replication; try again in a moment.")
	}
	return &problem{status: http.StatusInternalServerError, Heading: "Something is broken", Text: err.Error()}
}
