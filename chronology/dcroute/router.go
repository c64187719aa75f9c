package dcroute

import (
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Router decides where requests are answered. It is for concurrent use.
type Router struct {
	opts  Options
	order []string // the DCs to try when this one is down

	state     PrimarySource
	readOnly  ReadOnlySource // nil = all is writable
	pool      PoolSource     // nil = all are pooled
	rollout   RolloutSource  // nil = the rule set alone
	refresher Refresher      // nil = there is nothing to do

	rules    atomic.Pointer[ruleSet]
	counts   [len(reasons)]atomic.Uint64
	words    map[Reason]string // X-DC of what is answered here: nearly all is
	badModes sync.Map          // modes of a RolloutSource that were logged

	driver
}

// New starts no goroutine and does no I/O. Errors name the field.
func New(state PrimarySource, opts *Options) (*Router, error) {
	if state == nil {
		return nil, errors.New("dcroute: New: no PrimarySource")
	}
	if opts == nil {
		opts = &Options{}
	}
	rt := &Router{opts: opts.copied(), state: state, words: map[Reason]string{}}
	if err := rt.opts.check(); err != nil {
		return nil, err
	}
	rt.opts.setDefaults()
	rt.order = rt.opts.Order
	if rt.order == nil {
		rt.order = slices.Sorted(maps.Keys(rt.opts.Upstreams))
	}
	rt.readOnly, _ = state.(ReadOnlySource)
	rt.pool, _ = state.(PoolSource)
	rt.rollout, _ = state.(RolloutSource)
	rt.refresher, _ = state.(Refresher)
	for _, reason := range reasons {
		rt.words[reason] = describe(rt.opts.DC, rt.opts.DC, reason)
	}
	if err := rt.SetRules(rt.opts.Rules); err != nil {
		return nil, err
	}
	if err := rt.prepare(); err != nil {
		return nil, err
	}
	return rt, nil
}

// SetRules replaces the rules at once; nil = all to the primary. Requests under way keep those they began with. A bad set
// is refused whole, and the rules stay as they are.
func (rt *Router) SetRules(rules *RuleSet) error {
	if rules == nil {
		rules = &RuleSet{}
	}
	compiled, err := compile(rules)
	if err != nil {
		return err
	}
	rt.rules.Store(compiled)
	return nil
}

// Decide tells what Middleware would do with a request. It changes nothing, and reads the state from memory.
func (rt *Router) Decide(r *http.Request) Decision { return rt.judge(r, nil).Decision }

// reasons are all there are, in the order of their counters.
var reasons = [...]Reason{
	ReasonLoop, ReasonHop, ReasonHopMisdirected, ReasonHopStale, ReasonHopDisagree, ReasonStateBehind, ReasonStaleRouter,
	ReasonPurge, ReasonStateUnknown, ReasonReadOnly, ReasonForce, ReasonLocalIsPrimary, ReasonWrite, ReasonRule, ReasonHostMode,
	ReasonSession, ReasonRollout, ReasonSticky, ReasonUpgrade, ReasonLocalDown, ReasonNoneUp, ReasonDefault, ReasonPrimaryDown,
	ReasonPrimaryUnreachable, ReasonUpstreamLost, ReasonUpstreamTimeout, ReasonNoRoute,
}

var counterOf = func() map[Reason]int {
	at := map[Reason]int{}
	for i, reason := range reasons {
		at[reason] = i
	}
	return at
}()

// count is for [Router.Explain]: one request ended so.
func (rt *Router) count(reason Reason) {
	if i, ok := counterOf[reason]; ok {
		rt.counts[i].Add(1)
	}
}

// known reports whether a DC is one of those that take part.
func (rt *Router) known(dc string) bool {
	_, ok := rt.opts.Upstreams[dc]
	return ok || dc == rt.opts.DC
}

func (rt *Router) healthy(dc string) bool { return rt.opts.Healthy == nil || rt.opts.Healthy(dc) }

func (rt *Router) pooled(dc string) bool { return rt.pool == nil || rt.pool.Pooled(dc) }

func (o *Options) copied() Options {
	c := *o
	c.Upstreams = maps.Clone(o.Upstreams)
	for dc, u := range c.Upstreams {
		u.Addrs = slices.Clone(u.Addrs)
		c.Upstreams[dc] = u
	}
	c.HopKeys = nil
	for _, key := range o.HopKeys {
		c.HopKeys = append(c.HopKeys, slices.Clone(key))
	}
	c.Order, c.SessionCookies = slices.Clone(o.Order), slices.Clone(o.SessionCookies)
	return c
}

func (o *Options) setDefaults() {
	if o.RetryAfter == 0 {
		o.RetryAfter = defaultRetryAfter
	}
	o.RetryAfter = max(o.RetryAfter, 0) // negative: no header
	o.StickyTTL = stickyTTL(o.StickyTTL)
	if o.ClientIP == nil {
		o.ClientIP = remoteAddr
	}
	if o.LoopToken == "" {
		o.LoopToken = defaultLoopToken
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// stickyTTL is in whole seconds, as a cookie's Max-Age is, and rather too long than too short.
func stickyTTL(ttl time.Duration) time.Duration {
	if ttl == 0 {
		return defaultStickyTTL
	}
	return (ttl + time.Second - 1).Truncate(time.Second)
}
