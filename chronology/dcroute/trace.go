package dcroute

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/multidc/multidc/internal/stickydc"
)

// Trace is how a request was decided. The values of cookies, tokens and keys are not in it, at most their lengths.
type Trace struct {
	Steps    []Step   `json:"steps"` // in order
	Decision Decision `json:"decision"`
}

// Step is one test.
type Step struct {
	Test    string `json:"test"`
	Input   string `json:"input,omitempty"` // what it looked at
	Outcome string `json:"outcome"`         // of the tests but the last: "go on"
}

// Trace is Decide with every test it made.
func (rt *Router) Trace(r *http.Request) Trace {
	var t Trace
	rt.judge(r, &t)
	return t
}

// String reads like a page.
func (t Trace) String() string {
	var b strings.Builder
	for _, s := range t.Steps {
		fmt.Fprintf(&b, "%s: %s", s.Test, s.Outcome)
		if s.Input != "" {
			fmt.Fprintf(&b, " (%s)", s.Input)
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "so: %s\n", t.Decision.summary())
	return b.String()
}

func (d Decision) summary() string {
	b := string(d.Action)
	switch d.Action {
	case Refuse:
		b = fmt.Sprintf("%s with %d", b, d.Status)
	case Forward:
		b += " to " + d.Target
	}
	b += ", " + string(d.Reason)
	if d.Rule != "" {
		b += ", rule " + d.Rule
	}
	if d.StaleRisk {
		b += ", maybe stale"
	}
	return b
}

// The first three do nothing without a trace.

func (f *facts) triedRule(r *rule, failed string) {
	if f.trace == nil {
		return
	}
	s := Step{Test: "rule " + r.Name, Outcome: "matches"}
	if failed != "" {
		s.Input, s.Outcome = failed, "does not match"
	}
	f.trace.Steps = append(f.trace.Steps, s)
}

func (f *facts) triedTest(one *test, decided bool) {
	if f.trace == nil {
		return
	}
	s := Step{Test: one.name, Input: one.saw(f), Outcome: "go on"}
	if decided {
		s.Outcome = f.summary()
	}
	f.trace.Steps = append(f.trace.Steps, s)
}

func (f *facts) triedTarget(what string, ok bool) {
	if f.trace == nil {
		return
	}
	s := Step{Test: what, Input: f.Target, Outcome: "yes"}
	if !ok {
		s.Outcome = "no"
	}
	f.trace.Steps = append(f.trace.Steps, s)
}

func (f *facts) sawLoop() string {
	return fmt.Sprintf("%d times %s in CDN-Loop", countToken(f.r.Header["Cdn-Loop"], f.rt.opts.LoopToken), f.rt.opts.LoopToken)
}

func (f *facts) sawHop() string {
	switch h := f.hop; {
	case h != nil:
		return fmt.Sprintf("from %s to %s, number %d, epoch %d; here: %s", h.from, h.to, h.count, h.epoch, f.sawState())
	case f.hopRejected != "":
		return "ignored one: " + string(f.hopRejected)
	}
	return "none"
}

func (f *facts) sawMethod() string { return fmt.Sprintf("%.32s is a %s", f.r.Method, f.Intent) }

func (f *facts) sawState() string {
	switch {
	case f.primary == "":
		return fmt.Sprintf("primary unknown: %v", f.stateErr)
	case f.stateErr != nil:
		return fmt.Sprintf("primary %s, epoch %d, stale: %v", f.primary, f.Epoch, f.stateErr)
	}
	return fmt.Sprintf("primary %s, epoch %d", f.primary, f.Epoch)
}

func (f *facts) sawReadOnly() string {
	s := f.sawMethod() + fmt.Sprintf(", section %q ", f.section)
	if f.readOnly.Reason == "" {
		return s + "is writable"
	}
	s += fmt.Sprintf("is read-only: %.200s", f.readOnly.Reason)
	if f.allowReadOnly {
		s += "; a rule lets it pass"
	}
	return s
}

func (f *facts) sawForce() string {
	if values := f.r.Header[headerForce]; len(values) > 0 {
		return fmt.Sprintf("X-DC-Force of %d bytes, trusted: %t; a %s", len(values[0]), f.debug(headerForce) != "", f.Intent)
	}
	return "no X-DC-Force"
}

func (f *facts) sawAction() string {
	if f.attrs.action == "" {
		return "no rule has an action"
	}
	return fmt.Sprintf("rule %s: %s", f.attrs.actionRule, f.attrs.action)
}

func (f *facts) sawMode() string {
	return fmt.Sprintf("host %.100q: %s; session cookie or Authorization: %t", f.host, f.config.Mode, f.hasSession())
}

func (f *facts) sawBucket() string {
	source, key := f.rt.client(f.r)
	return fmt.Sprintf("by %s of %d bytes in bucket %d, share %d", source, len(key), f.rt.bucketOf(f.r, f.config.Salt), max(f.config.Share, 0))
}

func (f *facts) sawCookies() string {
	if stickydc.Present(f.r) {
		return "UseDC is there"
	}
	return "no UseDC"
}

func (f *facts) sawUpgrade() string {
	return fmt.Sprintf("upgrade: %t; policy of the host: %s, of the rules: %q", f.upgrade, f.config.Upgrade, f.attrs.upgrade)
}

func (f *facts) sawPool() string {
	dc := f.rt.opts.DC
	return fmt.Sprintf("%s: pooled %t, healthy %t; then %v", dc, f.rt.pooled(dc), f.rt.healthy(dc), f.rt.order)
}

func (f *facts) sawNothing() string { return "" }
