package stickydc

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestPresent(t *testing.T) {
	for cookies, want := range map[string]bool{
		"":                            false,
		"UseDC=primary":               true,
		"UseDC=master":                true,
		"a=b; UseDC=primary; c=d":     true,
		"UseDC=secondary":             false,
		"UseDC=":                      false,
		"UseDC=primary2":              false,
		"UseDC=x; UseDC=primary":      true,
		"usedc=primary":               false,
		"XUseDC=primary":              false,
		"UseDCX=primary":              false,
		"note=UseDC=primary":          false,
		"note=x&UseDC=primary":        false,
		`note="; UseDC=primary; x="`:  true, // a semicolon ends a cookie, quoted or not: RFC 6265
		"UseDC=Primary":               false,
		"UseDC=primary,foo":           false,
		"q=1; note=UseDC=primary;z=2": false,
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		if cookies != "" {
			r.Header.Set("Cookie", cookies)
		}
		if got := Present(r); got != want {
			t.Errorf("%q: %t", cookies, got)
		}
	}
}

func TestSet(t *testing.T) {
	h := http.Header{}
	Set(h, 10*time.Second, "", true)
	Set(h, 20*time.Second, "", true) // a second one
	if got, want := strings.Join(h["Set-Cookie"], "\n"), "UseDC=primary; Path=/; Max-Age=10; HttpOnly; Secure; SameSite=Lax"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	h = http.Header{"Set-Cookie": {"UseDCX=1"}}
	Set(h, 10*time.Second, "example.org", false)
	if got, want := h["Set-Cookie"][1], "UseDC=primary; Path=/; Domain=example.org; Max-Age=10; HttpOnly; SameSite=Lax"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := h.Get("Cache-Control"); got != "private" {
		t.Errorf("Cache-Control: %q", got)
	}
}

func TestPrivate(t *testing.T) {
	for in, want := range map[string]string{
		"":                               "private",
		"public":                         "private",
		"public, max-age=60, s-maxage=1": "private, max-age=60",
		"max-age=60":                     "private, max-age=60",
		"PUBLIC,S-MaxAge = 5,max-age=60": "private, max-age=60",
		"private":                        "private",
		"Private, s-maxage=60":           "Private, s-maxage=60",
		"no-store":                       "no-store",
		`private="x-foo, y", max-age=3`:  `private, private="x-foo, y", max-age=3`,
		"no-cache":                       "private, no-cache",
	} {
		h := http.Header{"Surrogate-Control": {"max-age=9"}, "Cdn-Cache-Control": {"max-age=9"}}
		if in != "" {
			h.Set("Cache-Control", in)
		}
		Private(h)
		if got := h.Get("Cache-Control"); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
		if len(h) != 1 {
			t.Errorf("%q: left %v", in, h)
		}
	}
}
