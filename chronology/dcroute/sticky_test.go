package dcroute

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// 3.4, "the moment": MarkWrite counts until the first header byte goes out, in whatever way; a cookie of that name that is there
// stays. 4.1: Secure if the request is https.
func TestMomentOfTheStickyCookie(t *testing.T) {
	for protocol, cookie := range map[string]string{
		http1: "UseDC=primary; Path=/; Max-Age=10; HttpOnly; SameSite=Lax",
		http2: "UseDC=primary; Path=/; Max-Age=10; HttpOnly; Secure; SameSite=Lax",
	} {
		f := newFront(t, protocol, Upstream{}, nil)
		f.state.Update(func(s *State) { s.Primary = "b" })
		for what, c := range map[string]struct {
			app  http.HandlerFunc
			want []string
		}{
			"marked": {func(_ http.ResponseWriter, r *http.Request) { MarkWrite(r.Context()) }, []string{cookie}},
			"marked in a derived context": {func(_ http.ResponseWriter, r *http.Request) {
				ctx, cancel := context.WithCancel(r.Context())
				defer cancel()
				MarkWrite(ctx)
			}, []string{cookie}},
			"ReadFrom": {func(w http.ResponseWriter, r *http.Request) {
				MarkWrite(r.Context())
				_, _ = io.Copy(w, strings.NewReader("x"))
			}, []string{cookie}},
			"Flush": {func(w http.ResponseWriter, r *http.Request) {
				MarkWrite(r.Context())
				flusher, _ := w.(http.Flusher)
				flusher.Flush()
			}, []string{cookie}},
			"after early hints": {func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusEarlyHints)
				MarkWrite(r.Context())
			}, []string{cookie}},
			"too late": {func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, "x")
				MarkWrite(r.Context())
			}, nil},
			"beside another cookie": {func(w http.ResponseWriter, r *http.Request) {
				MarkWrite(r.Context())
				w.Header().Set("Set-Cookie", "xUseDC=primary")
			}, []string{"xUseDC=primary", cookie}},
			"beside one of that name": {func(w http.ResponseWriter, r *http.Request) {
				MarkWrite(r.Context())
				w.Header().Set("Set-Cookie", "UseDC=primary; Path=/x")
			}, []string{"UseDC=primary; Path=/x"}},
		} {
			f.handle(c.app)
			got := f.ask("POST", "/", nil)
			same(t, protocol+", "+what, got.header["Set-Cookie"], c.want)
			if c.want != nil {
				same(t, protocol+", "+what+": Cache-Control", got.header["Cache-Control"], "[private]")
			}
		}
	}
}

// 4.1: the cookie's Domain and Max-Age are the options'. 2, StickyAuto: any unsafe request with status < 400.
func TestStickyCookieByOptions(t *testing.T) {
	rt := newRouter(t, NewMemory("b"), func(o *Options) {
		o.Rules.Default.StickyDomain, o.StickyTTL, o.ForceSecure, o.StickyAuto = "example.org", 20*time.Second, true, true
	})
	const cookie = "[UseDC=primary; Path=/; Domain=example.org; Max-Age=20; HttpOnly; Secure; SameSite=Lax]"
	for status, want := range map[int]string{200: cookie, 302: cookie, 399: cookie, 400: "[]", 500: "[]"} {
		answers := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
		same(t, fmt.Sprint("POST ", status), record(rt, request("POST", "/"), answers).Header()["Set-Cookie"], want)
		same(t, fmt.Sprint("GET ", status), record(rt, request("GET", "/"), answers).Header()["Set-Cookie"], "[]")
	}
}

// 4.1: Secure by ForceSecure also on a request that came by a hop.
func TestForceSecureAfterAHop(t *testing.T) {
	rt := newRouter(t, NewMemory("b"), func(o *Options) { o.ForceSecure, o.StickyAuto = true, true })
	header := "X-DC-Hop: " + hop{"a", "b", 1, 1, time.Now()}.sealed(testKey)
	same(t, "cookie", record(rt, request("POST", "/", header), nothing).Header()["Set-Cookie"], "[UseDC=primary; Path=/; Max-Age=10; HttpOnly; Secure; SameSite=Lax]")
}
