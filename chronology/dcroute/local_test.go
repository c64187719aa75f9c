package dcroute

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Cases 17 and 19: the cookie is set by the DC that has executed the write, when that was marked, whatever way the handler
// answers.
func TestStickyCookie(t *testing.T) {
	w := newWorld(t, tuning{}, "a", "b")
	const want = "UseDC=primary; Path=/; Max-Age=10; HttpOnly; SameSite=Lax"
	for what, tc := range map[string]struct {
		method string
		app    http.HandlerFunc
		want   string
	}{
		"a write": {"POST", func(_ http.ResponseWriter, r *http.Request) { MarkWrite(r.Context()) }, want},
		"its own code": {"PUT", func(w http.ResponseWriter, r *http.Request) {
			MarkWrite(r.Context())
			w.WriteHeader(http.StatusCreated)
		}, want},
		"flushes": {"POST", func(w http.ResponseWriter, r *http.Request) {
			MarkWrite(r.Context())
			_ = http.NewResponseController(w).Flush()
			_, _ = w.Write([]byte("x"))
		}, want},
		"fails after the commit": {"POST", func(w http.ResponseWriter, r *http.Request) {
			MarkWrite(r.Context())
			http.Error(w, "oh", http.StatusInternalServerError)
		}, want},
		"fails before it":    {"POST", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "oh", http.StatusInternalServerError) }, ""},
		"writes nothing":     {"POST", func(http.ResponseWriter, *http.Request) {}, ""},
		"a read that writes": {"GET", func(_ http.ResponseWriter, r *http.Request) { MarkWrite(r.Context()) }, ""},
	} {
		for _, dc := range []string{"a", "b"} {
			w.sites["a"].handle(tc.app)
			w.sites["b"].handle(tc.app)
			got := w.ask(dc, tc.method, "/x", nil)
			same(t, what+" in "+dc, strings.Join(got.header["Set-Cookie"], "\n"), tc.want)
		}
	}
}

func TestStickyAuto(t *testing.T) {
	w := newWorld(t, tuning{options: func(_ string, o *Options) { o.StickyAuto, o.ForceSecure = true, true }}, "a", "b")
	const want = "UseDC=primary; Path=/; Max-Age=10; HttpOnly; Secure; SameSite=Lax"
	for _, dc := range []string{"a", "b"} {
		same(t, "a write in "+dc, w.ask(dc, "POST", "/x", nil).header.Get("Set-Cookie"), want)
		w.sites["a"].handle(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusBadRequest) })
		same(t, "one that is refused in "+dc, w.ask(dc, "POST", "/x", nil).header.Get("Set-Cookie"), "")
		w.sites["a"].handle(nil)
	}
}

// Cases Xj and Xk: another cookie of that name stays alone, and the answer is private.
func TestStickyCookieOfTheApplication(t *testing.T) {
	w := newWorld(t, tuning{}, "a", "b")
	w.sites["a"].handle(func(w http.ResponseWriter, r *http.Request) {
		MarkWrite(r.Context())
		w.Header().Set("Set-Cookie", "UseDC=primary; Path=/; Max-Age=60")
		w.Header().Set("Cache-Control", "public, s-maxage=60")
		w.Header().Set("CDN-Cache-Control", "max-age=60")
	})
	got := w.ask("b", "POST", "/x", nil).header
	same(t, "cookies", got["Set-Cookie"], "[UseDC=primary; Path=/; Max-Age=60]")
	same(t, "Cache-Control", got.Get("Cache-Control"), "private")
	same(t, "CDN-Cache-Control", got.Get("CDN-Cache-Control"), "")
}

// A client that has the cookie reads at the primary.
func TestStickyClientReadsAtThePrimary(t *testing.T) {
	w := newWorld(t, tuning{}, "a", "b")
	w.expect("without", w.ask("b", "GET", "/x", nil), 200, "b default from b")
	w.expect("with", w.ask("b", "GET", "/x", nil, "Cookie: UseDC=primary"), 200, "a hop from b")
	same(t, "decided", w.sites["b"].lastDecision(t).Decision.Reason, ReasonSticky)
}

// Cases 38, 39, and Xp: the gate.
func TestReadOnlyGate(t *testing.T) {
	w := newWorld(t, tuning{options: func(_ string, o *Options) {
		o.Rules = everybodyLocal()
		o.Rules.Rules = []Rule{{Name: "login", Path: "/login", AllowReadOnly: true}, {Name: "files", PathPrefix: "/files/", Section: "files"}}
	}}, "a", "b")
	readOnly := func(section string, until time.Time) {
		for _, s := range w.sites {
			s.state.Update(func(st *State) {
				clear(st.ReadOnly)
				st.ReadOnly[section] = ReadOnlyInfo{Reason: "switchover", Until: until}
			})
		}
	}
	for what, tc := range map[string]struct {
		until time.Time
		want  string
	}{
		"soon": {time.Now().Add(200 * time.Millisecond), "1"}, "late": {time.Now().Add(500 * time.Second), "120"},
		"unknown": {time.Time{}, "10"}, "past": {time.Now().Add(-time.Minute), "10"}, "in 59.5 s": {time.Now().Add(59*time.Second + 500*time.Millisecond), "60"},
	} {
		readOnly("*", tc.until)
		got := w.ask("b", "POST", "/x", nil)
		w.expect(what, got, 503, `{"code":"readonly","reason":"switchover","section":"*","until":`)
		same(t, what+": Retry-After", got.header.Get("Retry-After"), tc.want)
		same(t, what+": headers", []string{got.header.Get("Content-Type"), got.header.Get("X-Read-Only"), got.header.Get("Cache-Control")}, "[application/json * no-store]")
		var body struct{ Until *time.Time }
		if err := json.Unmarshal([]byte(got.body), &body); err != nil || (body.Until == nil) != tc.until.IsZero() {
			t.Errorf("%s: %s, %v", what, got.body, err)
		}
	}
	w.expect("a read", w.ask("b", "GET", "/x", nil), 200, "b default")
	w.expect("allowed", w.ask("b", "POST", "/login", nil), 200, "a hop")
	same(t, "executed", w.sites["a"].runs(), "[POST /login]")

	readOnly("files", time.Time{})
	w.expect("another section", w.ask("b", "POST", "/x", nil), 200, "a hop")
	got := w.ask("b", "POST", "/files/1", nil)
	w.expect("the section", got, 503, `{"code":"readonly","reason":"switchover","section":"files","until":null}`)
	same(t, "X-Read-Only", got.header.Get("X-Read-Only"), "files")
	w.sites["b"].handle(func(w http.ResponseWriter, r *http.Request) {
		info, on := ReadOnly(r.Context())
		_, _ = w.Write([]byte(info.Section + info.Reason))
		if !on {
			_, _ = w.Write([]byte("writable"))
		}
	})
	w.expect("a handler asks", w.ask("b", "GET", "/files/1", nil), 200, "filesswitchover")
	w.expect("another asks", w.ask("b", "GET", "/x", nil), 200, "writable")
}

func TestReadOnlyPageOfTheApplication(t *testing.T) {
	w := newWorld(t, tuning{options: func(_ string, o *Options) {
		o.RenderReadOnly = func(w http.ResponseWriter, r *http.Request, i ReadOnlyInfo) {
			d, _ := DecisionFrom(r.Context())
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusTeapot) // it is not the page's to say
			_, _ = w.Write([]byte("sorry: " + i.Reason + ": " + string(d.Reason)))
		}
	}}, "a")
	w.sites["a"].state.Update(func(s *State) { s.ReadOnly["*"] = ReadOnlyInfo{Reason: "moving"} })
	got := w.ask("a", "POST", "/x", nil)
	w.expect("rendered", got, 503, "sorry: moving: read-only")
	same(t, "headers", got.header.Get("Content-Type")+" "+got.header.Get("Retry-After"), "text/html 10")
}

// So are all other refusals, with what was decided and a body that nobody has touched.
func TestRefusalPageOfTheApplication(t *testing.T) {
	w := newWorld(t, tuning{options: func(dc string, o *Options) {
		o.RenderRefusal = func(w http.ResponseWriter, r *http.Request, d Decision) {
			text, _ := io.ReadAll(r.Body)
			w.Header().Set("Content-Type", "text/html")
			_, _ = fmt.Fprintf(w, "%s: %s: %s", dc, d.Reason, text)
		}
		o.Upstreams = map[string]Upstream{"a": {Addrs: []string{nowhere(t)}, AllowPlaintext: true}}
	}}, "b")
	got := w.ask("b", "POST", "/x", strings.NewReader("my text"))
	w.expect("rendered", got, 503, "b: primary-unreachable: my text")
	same(t, "headers", got.header.Get("Content-Type")+" "+got.header.Get("Retry-After")+" "+got.header.Get("Cache-Control"), "text/html 10 no-store")
	same(t, "told", w.sites["b"].lastDecision(t).Status, 503)
}

// Case Xr, and what never reaches the application: a client's own X-DC-Non-Write, and a hop header.
func TestHeadersForTheApplication(t *testing.T) {
	w := newWorld(t, tuning{options: func(_ string, o *Options) {
		o.Rules = everybodyLocal()
		o.Rules.Rules = []Rule{{Name: "search", Path: "/search", Action: RuleNonWrite}}
	}}, "a", "b")
	show := func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(r.Header.Get("X-DC-Non-Write") + "|" + r.Header.Get("X-DC-Hop")))
	}
	w.sites["a"].handle(show)
	w.sites["b"].handle(show)
	w.expect("by the rule", w.ask("b", "POST", "/search", nil), 200, "true|")
	w.expect("a client's own", w.ask("a", "POST", "/x", nil, "X-DC-Non-Write: true"), 200, "|")
	w.expect("forwarded", w.ask("b", "POST", "/x", nil, "X-DC-Non-Write: true"), 200, "|")
	w.expect("a read", w.ask("b", "GET", "/x", nil, "X-DC-Non-Write: true", "X-DC-Hop: v1.a.b.1.1.1.x"), 200, "|")
	same(t, "rejected", w.sites["b"].rejected, "[form]")
}

// X-DC says which DC has answered, and why; a receiver adds none of its own.
func TestTheAnswerSaysWhy(t *testing.T) {
	w := newWorld(t, tuning{}, "a", "b")
	same(t, "local", w.ask("b", "GET", "/x", nil).header["X-Dc"], "[b; via=b; reason=default]")
	same(t, "forwarded", w.ask("b", "POST", "/x", nil).header["X-Dc"], "[a; via=b; reason=write]")
	for _, s := range w.sites {
		s.state.Update(func(st *State) { st.Primary = "" })
	}
	got := w.ask("b", "POST", "/x", nil)
	w.expect("refused", got, 503, "It is not known")
	same(t, "refused", got.header["X-Dc"], "[b; via=b; reason=state-unknown]")
	quiet := newWorld(t, tuning{options: func(_ string, o *Options) { o.NoHeaders = true }}, "a")
	same(t, "switched off", len(quiet.ask("a", "GET", "/", nil).header["X-Dc"]), 0)
}

// Case Xq.
func TestForcedReadOnly(t *testing.T) {
	w := newWorld(t, tuning{options: func(_ string, o *Options) {
		o.TrustDebug = func(r *http.Request) bool { return r.Header.Get("Secret") == "yes" }
	}}, "a")
	w.expect("trusted", w.ask("a", "POST", "/x", nil, "Secret: yes", "X-DC-Force-Read-Only: drill"), 503, `{"code":"readonly","reason":"drill"`)
	w.expect("the next", w.ask("a", "POST", "/x", nil), 200, "a local-is-primary")
	w.expect("untrusted", w.ask("a", "POST", "/x", nil, "X-DC-Force-Read-Only: drill"), 200, "a local-is-primary")
}
