package dcroute

import (
	"context"
	"net/http"
	"strings"
	"time"
)

// verdict is a Decision with what the driver needs besides.
type verdict struct {
	Decision
	rules          *ruleSet // by which it was decided, also once more
	section        string
	readOnly       ReadOnlyInfo // with ReasonReadOnly; also when a read is in a read-only section. Reason "" = writable
	readOnlyErr    error
	stickyDomain   string
	nonWrite       bool // a nonwrite rule decided the intent
	allowReadOnly  bool
	hop            *hop    // a valid one; nil = none
	hopRejected    HopKind // "" = none was
	behind         bool    // a Refresh may help; the Decision is what holds if it does not
	upgrade        bool
	primaryIsLocal bool
}

// facts are what is known of a request, and what was decided so far.
type facts struct {
	verdict
	target
	rt       *Router
	r        *http.Request
	trace    *Trace // nil = none
	attrs    attributes
	config   HostConfig
	primary  string // "" = unknown
	stateErr error  // with a primary: stale
}

func (f *facts) gather() {
	o := &f.rt.opts
	f.Entry = o.DC
	f.look(f.r, f.rules, o.MatchPath)
	f.config = f.rules.of(f.host)
	f.stickyDomain = f.config.StickyDomain
	f.applyRules()
	f.upgrade = isUpgrade(f.r.Header)
	if f.hop, f.hopRejected = f.rt.openHop(f.r.Header[headerHop]); f.hop != nil {
		f.Entry = f.hop.from
	}
	f.askState()
	f.askReadOnly()
}

func (c *ruleSet) of(host string) HostConfig {
	if config, ok := lookupHost(c.hosts, host); ok {
		return config
	}
	return c.fallback
}

// applyRules settles the intent and the section.
func (f *facts) applyRules() {
	for i := range f.rules.rules {
		rule := &f.rules.rules[i]
		failed := rule.fails(f.r, &f.target)
		if failed == "" {
			f.attrs.add(rule)
		}
		f.triedRule(rule, failed)
	}
	f.Intent = Write
	if safe(f.r.Method) {
		f.Intent = Read
	}
	switch f.attrs.intent {
	case RuleWrite:
		f.Intent, f.Rule = Write, f.attrs.intentRule
	case RuleNonWrite:
		f.Intent, f.Rule, f.nonWrite = Read, f.attrs.intentRule, true
	}
	f.allowReadOnly = f.attrs.allow
	f.section = f.attrs.section
	if f.section == "" && f.rt.opts.Section != nil {
		f.section = f.rt.opts.Section(f.r)
	}
}

// safe methods do not write. QUERY is a GET with a body.
func safe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, "QUERY":
		return true
	}
	return false
}

func (f *facts) askState() {
	f.primary, f.Epoch, f.stateErr = f.rt.state.Primary(f.r.Context())
	if f.primary == "" {
		f.Epoch = 0
	}
	f.primaryIsLocal = f.primary == f.rt.opts.DC
}

// askReadOnly: what is not known counts as read-only, for handlers and the gate alike.
func (f *facts) askReadOnly() {
	if reason := f.debug(headerForceReadOnly); reason != "" {
		f.readOnly = ReadOnlyInfo{Reason: reason}
		return
	}
	if f.primary == "" {
		f.readOnly, f.readOnlyErr = ReadOnlyInfo{Reason: "the primary DC is not known"}, f.stateErr
		return
	}
	if f.rt.readOnly == nil {
		return
	}
	f.readOnly, f.readOnlyErr = f.readOnlyFor(f.section)
	if f.section == "" || f.readOnlyErr != nil {
		return
	}
	// The section is one reason, all being read-only another, which then is the one to tell.
	if all, err := f.readOnlyFor(""); all.Reason != "" {
		f.readOnly, f.readOnlyErr = all, err
	}
}

func (f *facts) readOnlyFor(section string) (ReadOnlyInfo, error) {
	reason, until, err := f.rt.readOnly.ReadOnlyFor(f.r.Context(), f.primary, section)
	if err != nil && reason == "" {
		reason, until = "it is not known whether this may be written", time.Time{}
	}
	if reason == "" {
		return ReadOnlyInfo{}, nil
	}
	return ReadOnlyInfo{Reason: reason, Section: section, Until: until}, err
}

// debug is a header that only some may send.
func (f *facts) debug(name string) string {
	values := f.r.Header[name]
	if len(values) == 0 || f.rt.opts.TrustDebug == nil || !f.rt.opts.TrustDebug(f.r) {
		return ""
	}
	return values[0]
}

// steer lets the state change the rollout of a host.
func (rt *Router) steer(ctx context.Context, host string, c HostConfig) HostConfig {
	if rt.rollout == nil {
		return c
	}
	mode, share, salt, ok := rt.rollout.Rollout(host)
	if !ok {
		return c
	}
	c.Share = share
	if salt != "" {
		c.Salt = salt
	}
	if mode != "" {
		c.Mode = Mode(mode)
	}
	if !isMode(c.Mode) {
		rt.complain(ctx, host, mode)
		c.Mode = ModePrimary
	}
	return c
}

// complain says it once, and not with every request.
func (rt *Router) complain(ctx context.Context, host, mode string) {
	if _, said := rt.badModes.LoadOrStore(mode, true); !said {
		rt.opts.Logger.WarnContext(ctx, "dcroute: the state has an unknown rollout mode: taken as primary", "host", host, "mode", mode)
	}
}

// isUpgrade as in RFC 9110, 7.8.
func isUpgrade(h http.Header) bool {
	return len(h["Upgrade"]) > 0 && h["Upgrade"][0] != "" && countToken(h["Connection"], "upgrade") > 0
}

// countToken counts an element of a comma-separated list, without regard to its parameters and to case.
func countToken(lines []string, token string) (n int) {
	for _, line := range lines {
		for line != "" {
			var element string
			element, line, _ = strings.Cut(line, ",")
			element, _, _ = strings.Cut(element, ";")
			if strings.EqualFold(strings.TrimSpace(element), token) {
				n++
			}
		}
	}
	return n
}
