package dcroute

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/netip"
	"time"
)

// Options of a [Router]. DC is required, and HopKeys with Upstreams.
type Options struct {
	DC        string              // the DC this process runs in; required
	Upstreams map[string]Upstream // the routers of the other DCs; none = requests are answered here or refused: the read-only gate of a single DC
	HopKeys   [][]byte            // at least 32 bytes each, the same in every DC: the first signs, any verifies
	Rules     *RuleSet            // nil = all to the primary

	Order          []string             // DCs to try, in this order, when this one is down; nil = all, by name
	Healthy        func(dc string) bool // the application's own view, from memory; nil = all are
	NoReadFallback bool                 // when the primary is down its reads get 503, instead of this DC's data
	RetryAfter     time.Duration        // of a 503 without a known end; 0 = 10 s

	StickyTTL   time.Duration // of the sticky cookie; 0 = 10 s
	StickyAuto  bool          // every write that answers below 400 counts as MarkWrite
	PositionTTL time.Duration // chronology's Window, which StickyTTL must not be below; 0 = 10 s
	ForceSecure bool          // clients come by https although r.TLS is nil: TLS ends before us

	SessionCookies []string                          // names, exact or with one * at the end
	Subject        func(*http.Request) string        // who the client is, for the rollout; nil = nobody knows
	AnonCookie     string                            // the name of a lasting id of anonymous clients, likewise; "" = there is none
	ClientIP       func(*http.Request) netip.Addr    // nil = RemoteAddr: no header is believed
	Section        func(*http.Request) string        // of a request without a rule's; nil = ""
	MatchPath      func(host, rawPath string) string // instead of the rules' own normal form of paths; nil = that
	TrustDebug     func(*http.Request) bool          // may send X-DC-Force and X-DC-Force-Read-Only; nil = nobody

	RenderReadOnly func(http.ResponseWriter, *http.Request, ReadOnlyInfo) // the page of the gate's 503: its headers and body, the status is set already; nil = JSON
	RenderRefusal  func(http.ResponseWriter, *http.Request, Decision)     // likewise of all other refusals, by Decision.Reason; nil = a sentence
	LoopToken      string                                                 // in CDN-Loop, different for services that proxy to each other; "" = "multidc"
	NoHeaders      bool                                                   // no X-DC on answers

	Logger *slog.Logger // nil = discard
	Events Events
	Now    func() time.Time // stamps hops, and compares them; nil = time.Now
}

// Upstream is the router of another DC.
type Upstream struct {
	Addrs          []string    // https://host:port, tried in this order
	TLS            *tls.Config // nil = the system's roots
	AllowPlaintext bool        // http:// is allowed: the link is encrypted below
}

// The defaults, as the fields of Options name them.
const (
	defaultRetryAfter = 10 * time.Second
	defaultStickyTTL  = 10 * time.Second
	defaultLoopToken  = "multidc"
	minKey            = 32
)
