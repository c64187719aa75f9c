package rdbms

import (
	"context"
	"slices"
	"time"

	"github.com/multidc/multidc/internal/freshness"
)

// call is what a context asks of the statements under it. It never changes: each With… function puts a changed copy
// into a new context, so that a statement finds everything with one look.
type call struct {
	scope     *scope
	limited   bool // by staleness
	staleness time.Duration
	groups    []string
	primary   bool

	onTimeout TimeoutPolicy // "" = as required, else as Options say
	wait      time.Duration // 0 = likewise

	exempt bool // phase is set, and holds instead of the scope's
	phase  Phase
}

type callKey struct{}

var plainCall call

func callOf(ctx context.Context) *call {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c
	}
	return &plainCall
}

func withCall(ctx context.Context, change func(*call)) context.Context {
	c := *callOf(ctx)
	change(&c)
	return context.WithValue(ctx, callKey{}, &c)
}

// WithScope gives a request its scope: what it wrote, what it must see, and which servers it reads. Call it once for
// each request; a context that has a scope is returned as it is. Without a scope every read is on its own. It may be
// shared by the goroutines of one request, and serves all clusters.
func WithScope(ctx context.Context) context.Context {
	if callOf(ctx).scope != nil {
		return ctx
	}
	s := new(scope)
	return freshness.With(withCall(ctx, func(c *call) { c.scope = s }), &s.recorder)
}

// WithMaxStaleness bounds how old the data of the reads under ctx may be: a server is read only if its lag, an upper
// bound, is known to be at most d. If no replica is fresh enough the primary is read, within Options.PrimaryShare, or the
// read fails with ErrTooStale. 0 or less asks for the primary. Of nested bounds the narrowest wins.
func WithMaxStaleness(ctx context.Context, d time.Duration) context.Context {
	return withCall(ctx, func(c *call) {
		d = max(d, 0)
		if !c.limited || d < c.staleness {
			c.limited, c.staleness = true, d
		}
	})
}

// WithGroup sends the reads under ctx to the servers of the first of these groups that exists, see Server.Groups; if none
// does, to those without a group. No names undo an outer WithGroup.
func WithGroup(ctx context.Context, names ...string) context.Context {
	return withCall(ctx, func(c *call) { c.groups = slices.Clone(names) })
}

// WithPrimary sends the reads under ctx to the primary.
func WithPrimary(ctx context.Context) context.Context {
	return withCall(ctx, func(c *call) { c.primary = true })
}

// WithOnTimeout says what the reads under ctx do when no server reaches the required position within wait; "" is
// Options.OnTimeout, and wait 0 is Options.Wait, negative is not to wait, and 10 s is the most. A policy that does not
// exist is OnTimeoutError: what was misspelt shows.
func WithOnTimeout(ctx context.Context, policy TimeoutPolicy, wait time.Duration) context.Context {
	if policy.check() != nil {
		policy = OnTimeoutError
	}
	return withCall(ctx, func(c *call) { c.onTimeout, c.wait = policy, wait })
}

// WithPhase says what the statements under ctx may do, instead of the phase of the request. PhaseAny exempts them.
func WithPhase(ctx context.Context, phase Phase) context.Context {
	return withCall(ctx, func(c *call) { c.exempt, c.phase = true, phase })
}

// wantsPrimary: the author of the statement asked for the primary.
func (c *call) wantsPrimary() bool { return c.primary || c.limited && c.staleness == 0 }

// phaseNow is the phase that holds for a statement.
func (c *call) phaseNow() Phase {
	if c.exempt {
		return c.phase
	}
	if c.scope != nil {
		return c.scope.phaseNow()
	}
	return PhaseAny
}
