package chronology_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/multidc/multidc/chronology"
)

func textLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// Cases 109 and Xg: whatever way a handler answers, the cookie comes, once.
func TestWaysToAnswer(t *testing.T) {
	main := &cluster{name: "main", writer: "a"}
	s := newSite(t, chronology.Options{Keys: keys()}, main)
	for what, answer := range map[string]func(http.ResponseWriter){
		"nothing":     func(http.ResponseWriter) {},
		"Write":       func(w http.ResponseWriter) { _, _ = w.Write([]byte("x")) },
		"ReadFrom":    func(w http.ResponseWriter) { _, _ = io.Copy(w, strings.NewReader("x")) },
		"Flush":       func(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() },
		"early hints": func(w http.ResponseWriter) { w.WriteHeader(http.StatusEarlyHints); w.WriteHeader(http.StatusOK) },
		"its own": func(w http.ResponseWriter) {
			conn, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = conn.Close() }()
			_, _ = rw.WriteString("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n")
			_ = w.Header().WriteSubset(rw, nil)
			_, _ = rw.WriteString("\r\n")
			_ = rw.Flush()
		},
	} {
		server := httptest.NewServer(s.own.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			main.commit(r.Context(), "a1")
			answer(w)
		})))
		res := post(t, http.DefaultClient, server.URL)
		same(t, what, names(res), "cp UseDC")
		server.Close()
	}
	same(t, "told", s.j.take(), "")
	same(t, "kept", len(s.j.kept), 6)
}

func post(t *testing.T, client *http.Client, url string) *http.Response {
	t.Helper()
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, url, nil)
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res
}

// Case 111.
func TestLagged(t *testing.T) {
	main, other := &cluster{name: "main"}, &cluster{name: "other"}
	s := newSite(t, chronology.Options{Keys: keys()}, main, other)
	same(t, "not lagged", newClient().do(s, "GET", quiet).Header.Get("X-Database-Lagged"), "")
	res := newClient().do(s, "GET", func(w http.ResponseWriter, _ *http.Request) {
		other.lagging = true
		w.WriteHeader(http.StatusNotFound)
	})
	same(t, "lagged", res.Header.Get("X-Database-Lagged"), "true")
}

// Cases Xf and Xh.
func TestPrivate(t *testing.T) {
	main := &cluster{name: "main", writer: "a"}
	s := newSite(t, chronology.Options{Keys: keys()}, main)
	res := newClient().do(s, "POST", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=60, s-maxage=600")
		w.Header().Set("Surrogate-Control", "max-age=60")
		w.Header().Add("Set-Cookie", "UseDC=primary; Max-Age=3")
		main.commit(r.Context(), "a1")
	})
	same(t, "Cache-Control", res.Header.Get("Cache-Control"), "private, max-age=60")
	same(t, "Surrogate-Control", res.Header.Get("Surrogate-Control"), "")
	same(t, "cookies", names(res), "UseDC cp")
}

func TestPhases(t *testing.T) {
	main := &cluster{name: "main", writer: "a"}
	s := newSite(t, chronology.Options{Keys: keys()}, main)
	for what, want := range map[string]string{
		"GET": "[GET] [GET PostSend-GET]", "QUERY": "[GET] [GET PostSend-GET]", "POST": "[] []", "POST non-write": "[POST-nonwrite] [POST-nonwrite]",
	} {
		method, nonWrite, _ := strings.Cut(what, " ")
		r := httptest.NewRequestWithContext(t.Context(), method, "/", nil)
		if nonWrite != "" {
			r.Header.Set("X-DC-Non-Write", "true")
		}
		var state *served
		newClient().send(s, r, func(_ http.ResponseWriter, r *http.Request) { state = main.of(r.Context()) })
		same(t, what, strings.Join([]string{join(state.phaseThen), join(state.phases)}, " "), want)
	}
}

func join(list []string) string { return "[" + strings.Join(list, " ") + "]" }

// The cookie's attributes follow the options and the connection.
func TestCookieAttributes(t *testing.T) {
	main := &cluster{name: "main", writer: "a"}
	for want, o := range map[string]chronology.Options{
		"; Path=/; Max-Age=10; HttpOnly; SameSite=Lax":                            {},
		"; Path=/; Max-Age=10; HttpOnly; Secure; SameSite=Lax":                    {ForceSecure: true},
		"; Path=/; Domain=example.org; Max-Age=60; HttpOnly; SameSite=Lax":        {CookieDomain: "example.org", Window: 60e9},
		"; Path=/; Domain=example.org; Max-Age=2; HttpOnly; Secure; SameSite=Lax": {CookieDomain: "example.org", Window: 2e9, StickyTTL: 2e9, ForceSecure: true},
	} {
		o.Keys = keys()
		s := newSite(t, o, main)
		for _, got := range newClient().do(s, "POST", writing(main, "a1")).Header["Set-Cookie"] {
			if !strings.HasSuffix(got, want) {
				t.Errorf("got %q, want …%q", got, want)
			}
		}
	}
	s := newSite(t, chronology.Options{Keys: keys()}, main)
	server := httptest.NewTLSServer(s.own.Middleware(writing(main, "a1")))
	defer server.Close()
	for _, c := range post(t, server.Client(), server.URL).Cookies() {
		if !c.Secure {
			t.Errorf("%s is not Secure", c.Name)
		}
	}
}
