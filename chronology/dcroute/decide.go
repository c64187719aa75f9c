package dcroute

import (
	"net/http"
	"time"
)

// judge decides. It is pure but for reading the state's memory; trace nil = none.
func (rt *Router) judge(r *http.Request, trace *Trace) *verdict {
	return rt.judgeBy(rt.rules.Load(), r, trace)
}

func (rt *Router) judgeBy(rules *ruleSet, r *http.Request, trace *Trace) *verdict {
	f := &facts{rt: rt, r: r, verdict: verdict{rules: rules}, trace: trace}
	f.gather()
	for i := range tests {
		decided := tests[i].decides(f)
		f.triedTest(&tests[i], decided)
		if decided {
			break
		}
	}
	if f.Action == Forward {
		f.reach()
	}
	if trace != nil {
		trace.Decision = f.Decision
	}
	return &f.verdict
}

// test is one of those that may decide; saw is what it looked at.
type test struct {
	name    string
	decides func(*facts) bool
	saw     func(*facts) string
}

// tests are tried in this order, and the first that decides is the last.
var tests = [...]test{
	{"D1 loop", (*facts).loops, (*facts).sawLoop},
	{"D2 hop", (*facts).received, (*facts).sawHop},
	{"D3 purge", (*facts).purges, (*facts).sawMethod},
	{"D4 state", (*facts).blind, (*facts).sawState},
	{"D5 read-only", (*facts).gated, (*facts).sawReadOnly},
	{"D2 hop, after the gates", (*facts).arrived, (*facts).sawHop},
	{"D6 force", (*facts).forced, (*facts).sawForce},
	{"D7 no primary known", (*facts).orphaned, (*facts).sawState},
	{"D8 primary here", (*facts).home, (*facts).sawState},
	{"D9 write", (*facts).writes, (*facts).sawMethod},
	{"D10 rule", (*facts).ruled, (*facts).sawAction},
	{"D11 mode", (*facts).moded, (*facts).sawMode},
	{"D12 rollout", (*facts).waits, (*facts).sawBucket},
	{"D13 sticky", (*facts).sticks, (*facts).sawCookies},
	{"D14 upgrade", (*facts).upgrades, (*facts).sawUpgrade},
	{"D15 this DC is down", (*facts).evades, (*facts).sawPool},
	{"D16 default", (*facts).stays, (*facts).sawNothing},
}

func (f *facts) loops() bool {
	return countToken(f.r.Header["Cdn-Loop"], f.rt.opts.LoopToken) >= 2 && f.refuse(http.StatusLoopDetected, ReasonLoop, 0)
}

// received is about a request that another DC's router has sent here: whose state is newer?
func (f *facts) received() bool {
	switch h := f.hop; {
	case h == nil:
		return false
	case h.count > 1:
		return f.refuse(http.StatusLoopDetected, ReasonLoop, 0)
	case h.to != f.rt.opts.DC:
		return f.refuse(http.StatusMisdirectedRequest, ReasonHopMisdirected, 0)
	case f.primaryIsLocal:
		return false
	case h.epoch == 0: // not sent here because of the primary
		return f.Intent == Write && f.refuse(http.StatusLoopDetected, ReasonHopDisagree, 0)
	case f.primary == "" || h.epoch > f.Epoch:
		f.behind = true
		return f.Intent == Write && f.refuse(http.StatusServiceUnavailable, ReasonStateBehind, time.Second)
	case f.Epoch > h.epoch:
		return f.refuse(http.StatusMisdirectedRequest, ReasonHopStale, 0)
	}
	return f.refuse(http.StatusLoopDetected, ReasonHopDisagree, 0)
}

func (f *facts) purges() bool { return f.r.Method == "PURGE" && f.here(ReasonPurge) }

func (f *facts) blind() bool {
	return f.Intent == Write && (f.stateErr != nil || f.primary == "") && f.unavailable(ReasonStateUnknown)
}

func (f *facts) gated() bool {
	return f.Intent == Write && f.readOnly.Reason != "" && !f.allowReadOnly &&
		f.refuse(http.StatusServiceUnavailable, ReasonReadOnly, f.untilWritable())
}

// untilWritable is in whole seconds, rounded up: who comes back then must not be too early.
func (f *facts) untilWritable() time.Duration {
	left := f.readOnly.Until.Sub(f.rt.opts.Now())
	if f.readOnly.Until.IsZero() || left <= 0 {
		return f.rt.opts.RetryAfter
	}
	return (min(left, 120*time.Second) + time.Second - 1).Truncate(time.Second) // limited first: "for ages" would overflow
}

// arrived: whoever sent it here, it is not sent on.
func (f *facts) arrived() bool { return f.hop != nil && f.here(ReasonHop) }

func (f *facts) forced() bool {
	if f.Intent == Write {
		return false
	}
	dc := f.debug(headerForce)
	return dc != "" && f.rt.known(dc) && f.to(dc, ReasonForce)
}

func (f *facts) orphaned() bool { return f.primary == "" && f.here(ReasonStateUnknown) }

func (f *facts) home() bool { return f.primaryIsLocal && f.here(ReasonLocalIsPrimary) }

func (f *facts) writes() bool { return f.Intent == Write && f.to(f.primary, ReasonWrite) }

func (f *facts) ruled() bool {
	if f.attrs.action != RulePrimary {
		return false
	}
	f.Rule = f.attrs.actionRule
	return f.to(f.primary, ReasonRule)
}

func (f *facts) moded() bool {
	f.config = f.rt.steer(f.r.Context(), f.host, f.config)
	switch f.config.Mode {
	case ModeLocal:
		return false
	case ModeLocalAnon:
		return f.hasSession() && f.to(f.primary, ReasonSession)
	}
	return f.to(f.primary, ReasonHostMode)
}

func (f *facts) hasSession() bool {
	_, cookie := f.rt.session(f.r)
	return cookie || len(f.r.Header["Authorization"]) > 0
}

func (f *facts) waits() bool {
	if f.config.Share >= maxShare {
		return false
	}
	return (f.config.Share <= 0 || f.rt.bucketOf(f.r, f.config.Salt) >= f.config.Share) && f.to(f.primary, ReasonRollout)
}

func (f *facts) upgrades() bool {
	policy := f.config.Upgrade
	if f.attrs.upgrade != "" {
		policy = f.attrs.upgrade
	}
	if !f.upgrade || policy != UpgradePrimary {
		return false
	}
	if f.attrs.upgrade != "" {
		f.Rule = f.attrs.upRule
	}
	return f.to(f.primary, ReasonUpgrade)
}

func (f *facts) evades() bool {
	if f.rt.up(f.rt.opts.DC) {
		return false
	}
	for _, dc := range f.rt.order {
		if dc != f.rt.opts.DC && f.rt.up(dc) {
			return f.to(dc, ReasonLocalDown)
		}
	}
	return f.here(ReasonNoneUp)
}

func (rt *Router) up(dc string) bool { return rt.pooled(dc) && rt.healthy(dc) }

func (f *facts) stays() bool { return f.here(ReasonDefault) }

// reach is whether a request that is to be forwarded can be. A write is never answered by another DC instead.
func (f *facts) reach() {
	_, ok := f.rt.opts.Upstreams[f.Target]
	f.triedTarget("upstream", ok)
	if !ok {
		f.unavailable(ReasonNoRoute)
		return
	}
	if f.Target != f.primary {
		return
	}
	ok = f.rt.healthy(f.primary)
	f.triedTarget("primary healthy", ok)
	switch {
	case ok:
	case f.Intent == Read && !f.rt.opts.NoReadFallback:
		f.here(ReasonPrimaryDown)
		f.StaleRisk = true
	default:
		f.unavailable(ReasonPrimaryDown)
	}
}

// These four return true: it is decided.

func (f *facts) to(dc string, why Reason) bool {
	if dc == f.rt.opts.DC {
		return f.here(why)
	}
	f.Action, f.Target, f.Reason = Forward, dc, why
	return true
}

func (f *facts) here(why Reason) bool {
	f.Action, f.Target, f.Reason = Local, f.rt.opts.DC, why
	return true
}

func (f *facts) unavailable(why Reason) bool {
	return f.refuse(http.StatusServiceUnavailable, why, f.rt.opts.RetryAfter)
}

func (f *facts) refuse(status int, why Reason, retryAfter time.Duration) bool {
	f.Action, f.Target, f.Reason, f.Status, f.RetryAfter = Refuse, "", why, status, retryAfter
	return true
}
