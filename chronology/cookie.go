package chronology

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The cookies of the two modes.
const (
	indexCookie = "cpPosIndex"
	tokenCookie = "cp"
)

// mostAhead is how far ahead of our clock a cookie or token may have been issued.
const mostAhead = 5 * time.Second

// ticket is the position cookie of store mode: which version of which entry the client has seen.
type ticket struct {
	index  uint32
	issued time.Time // in seconds
	id     string    // of the client
}

// ticketForm has numbers without sign or leading zeros. No newline fits: $ would let one end the text.
var ticketForm = regexp.MustCompile(`\A([1-9][0-9]{0,9})@(0|[1-9][0-9]{0,11})#([0-9a-f]{32})\z`)

func (t ticket) String() string {
	return strconv.FormatUint(uint64(t.index), 10) + "@" + strconv.FormatInt(t.issued.Unix(), 10) + "#" + t.id
}

func parseTicket(text string) (ticket, bool) {
	parts := ticketForm.FindStringSubmatch(text)
	if parts == nil {
		return ticket{}, false
	}
	index, err := strconv.ParseUint(parts[1], 10, 32)
	seconds, _ := strconv.ParseInt(parts[2], 10, 64)
	return ticket{uint32(index), time.Unix(seconds, 0), parts[3]}, err == nil
}

// timely says why something that was issued then counts no more, or not yet.
func timely(issued, now time.Time, life time.Duration) Rejection {
	switch age := now.Sub(issued); {
	case age > life:
		return RejectedOld
	case age < -mostAhead:
		return RejectedFuture
	}
	return ""
}

func (p *Protector) setCookie(h http.Header, name, value string, secure bool) {
	c := http.Cookie{ //nolint:gosec // Secure where the connection is
		Name: name, Value: value, Path: "/", Domain: p.opts.CookieDomain, MaxAge: int((p.opts.Window + time.Second - 1) / time.Second),
		HttpOnly: true, Secure: secure, SameSite: http.SameSiteLaxMode,
	}
	h.Add("Set-Cookie", c.String())
}

// cookie is the value of a request's first cookie of that name. net/http would trim what a value must not have, and drop in
// silence what is to be told.
func cookie(r *http.Request, name string) (string, bool) {
	for _, line := range r.Header["Cookie"] {
		for pair := range strings.SplitSeq(line, ";") {
			key, value, _ := strings.Cut(strings.TrimLeft(pair, " "), "=")
			if key != name {
				continue
			}
			if last := len(value) - 1; last > 0 && value[0] == '"' && value[last] == '"' {
				value = value[1:last]
			}
			return value, true
		}
	}
	return "", false
}
