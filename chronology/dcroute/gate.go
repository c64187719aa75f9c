package dcroute

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"
)

// mostReason is how many bytes of a read-only reason are shown.
const mostReason = 1 << 10

// mostBody is how long the gate's answer is.
const mostBody = 4 << 10

// refuse answers with an error of the router's own.
func (x *exchange) refuse() {
	h := x.w.Header()
	h.Set("Cache-Control", "no-store")
	if x.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(x.RetryAfter.Seconds()))))
	}
	if x.Reason == ReasonReadOnly {
		x.refuseReadOnly(h)
		return
	}
	if x.Reason == ReasonHopStale {
		h.Set(headerEpoch, strconv.FormatUint(x.Epoch, 10))
	}
	if render := x.rt.opts.RenderRefusal; render != nil {
		x.render(func(w http.ResponseWriter, r *http.Request) { render(w, r, x.Decision) })
		return
	}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	x.w.WriteHeader(x.Status)
	_, _ = x.w.Write([]byte(sentences[x.Reason] + "\n"))
}

// sentences are for people who see a refusal.
var sentences = map[Reason]string{
	ReasonLoop:               "Loop: the routers of two datacenters send this request to each other.",
	ReasonHopMisdirected:     "This request was meant for another datacenter.",
	ReasonHopStale:           "The datacenter that forwarded this request does not know the newest primary.",
	ReasonHopDisagree:        "Two datacenters disagree about which of them is the primary.",
	ReasonStateBehind:        "This datacenter does not know the newest primary yet. Nothing was changed; try again.",
	ReasonStaleRouter:        "The primary datacenter has just moved. Nothing was changed; try again.",
	ReasonStateUnknown:       "It is not known at present which datacenter takes changes. Nothing was changed; try again.",
	ReasonPrimaryDown:        "The datacenter that answers this is down. Nothing was changed; try again.",
	ReasonPrimaryUnreachable: "The datacenter that answers this cannot be reached. Nothing was changed; try again.",
	ReasonUpstreamLost:       "The connection to the datacenter that answers this was lost.",
	ReasonUpstreamTimeout:    "The datacenter that answers this did not answer in time.",
	ReasonNoRoute:            "There is no way from here to the datacenter that answers this. Nothing was changed.",
}

// refusal is the body of the read-only gate.
type refusal struct {
	Code    string     `json:"code"`
	Reason  string     `json:"reason"`
	Section string     `json:"section"`
	Until   *time.Time `json:"until"`
}

func (x *exchange) refuseReadOnly(h http.Header) {
	info := x.readOnly
	body := refusal{Code: "readonly", Reason: cut(info.Reason, mostReason), Section: info.Section}
	if body.Section == "" {
		body.Section = "*"
	}
	if until := info.Until.UTC(); !until.IsZero() && until.Year() <= 9999 { // RFC 3339 ends there
		body.Until = &until
	}
	h.Set(headerReadOnly, body.Section)
	if render := x.rt.opts.RenderReadOnly; render != nil {
		x.render(func(w http.ResponseWriter, r *http.Request) { render(w, r, info) })
		return
	}
	h.Set("Content-Type", "application/json")
	x.w.WriteHeader(x.Status)
	b, _ := json.Marshal(body)
	for len(b) > mostBody { // escapes are six bytes, and a section may be long too
		longer := &body.Reason
		if len(body.Section) > len(body.Reason) {
			longer = &body.Section
		}
		*longer = cut(*longer, len(*longer)/2)
		b, _ = json.Marshal(body)
	}
	_, _ = x.w.Write(b)
}

// render lets the application say it.
func (x *exchange) render(page func(http.ResponseWriter, *http.Request)) {
	w := &withStatus{ResponseWriter: x.w, status: x.Status}
	page(w, x.r.WithContext(x.carry()))
	w.WriteHeader(x.Status) // if it has nothing to say
}

// withStatus is a ResponseWriter whose status is decided already.
type withStatus struct {
	http.ResponseWriter

	status int
	sent   bool
}

// WriteHeader implements http.ResponseWriter.
func (w *withStatus) WriteHeader(int) {
	if !w.sent {
		w.sent = true
		w.ResponseWriter.WriteHeader(w.status)
	}
}

// Write implements http.ResponseWriter.
func (w *withStatus) Write(b []byte) (int, error) {
	w.WriteHeader(w.status)
	return w.ResponseWriter.Write(b)
}

// cut shortens a text, between two characters.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}
