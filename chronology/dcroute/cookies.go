package dcroute

import (
	"net/http"
	"strings"

	"github.com/multidc/multidc/internal/stickydc"
)

// sticks is D13. The cookie says that its client wrote a moment ago, wherever that was.
func (f *facts) sticks() bool { return stickydc.Present(f.r) && f.to(f.primary, ReasonSticky) }

// session looks for the cookies of Options.SessionCookies, in their order: browsers are free to send theirs in another one from
// request to request. An empty value is a session too, as far as a client's reads are concerned.
func (rt *Router) session(r *http.Request) (value string, found bool) {
	lines := r.Header["Cookie"]
	for _, name := range rt.opts.SessionCookies {
		v, ok := findCookie(lines, name)
		found = found || ok
		if v != "" {
			return v, true
		}
	}
	return "", found
}

// findCookie returns the first cookie of a name, or of a beginning with a * behind it, that has a value; else an empty one, if
// there is. It is for looking only: values that RFC 6265 does not allow are found too, for the application may read them.
func findCookie(lines []string, want string) (value string, found bool) {
	stem, glob := strings.CutSuffix(want, "*")
	for _, line := range lines {
		if !strings.Contains(line, stem) {
			continue
		}
		for line != "" {
			var part string
			part, line, _ = strings.Cut(line, ";")
			name, v, _ := strings.Cut(strings.TrimSpace(part), "=")
			name = strings.TrimSpace(name)
			if wanted := name == stem || glob && strings.HasPrefix(name, stem); !wanted {
				continue
			}
			found = true
			if v = strings.Trim(v, "\" \t"); v != "" {
				return v, true
			}
		}
	}
	return "", found
}
