// Package stickydc is the cookie that sends a client who has written to the primary DC for a while: UseDC=primary. It names
// a role and not a DC, so it is right after a switchover too. It is not signed: who forges it costs himself some
// latency.
package stickydc

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	name  = "UseDC"
	value = "primary"
	older = "master" // what MediaWiki's cookie said, read as the same
)

// Present reports whether a request has the cookie: by that very name, with one of its values. Of several one is enough.
func Present(r *http.Request) bool {
	return slices.ContainsFunc(r.CookiesNamed(name), func(c *http.Cookie) bool { return c.Value == value || c.Value == older })
}

// Set adds the cookie to an answer, and makes that private; an answer that has such a cookie already keeps it. domain ""
// is the host alone.
func Set(h http.Header, ttl time.Duration, domain string, secure bool) {
	Private(h)
	if slices.ContainsFunc(h["Set-Cookie"], func(c string) bool { return strings.HasPrefix(c, name+"=") }) {
		return
	}
	c := http.Cookie{ //nolint:gosec // Secure where the connection is
		Name: name, Value: value, Path: "/", Domain: domain, MaxAge: int((ttl + time.Second - 1) / time.Second), HttpOnly: true, Secure: secure,
		SameSite: http.SameSiteLaxMode,
	}
	h.Add("Set-Cookie", c.String())
}

// Private keeps caches that serve others from storing an answer: it is for one client. A Cache-Control that says private or
// no-store stays as it is. The headers that are for CDNs alone go, since they obey those first.
func Private(h http.Header) {
	h.Del("Surrogate-Control")
	h.Del("CDN-Cache-Control")
	var kept []string
	for _, line := range h["Cache-Control"] {
		for directive := range strings.SplitSeq(line, ",") {
			directive = strings.TrimSpace(directive)
			word, _, _ := strings.Cut(strings.ToLower(directive), "=")
			switch {
			case strings.EqualFold(directive, "private"), word == "no-store": // private="some-header" is about that header only
				return
			case word != "public" && strings.TrimSpace(word) != "s-maxage" && word != "":
				kept = append(kept, directive)
			}
		}
	}
	h.Set("Cache-Control", strings.Join(append([]string{"private"}, kept...), ", "))
}
