package rdbms

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Positions is a cluster as package chronology wants to see it: it says what a request wrote, and what its reads must
// include. All methods that take a context need one with a scope.
type Positions struct{ cluster *Cluster }

// Positions returns the view of the cluster that chronology's Cluster interface describes.
func (c *Cluster) Positions() *Positions { return &Positions{c} }

// Name is the cluster's name.
func (p *Positions) Name() string { return p.cluster.name }

// WriterDC is the DC of the primary, now.
func (p *Positions) WriterDC() string { return p.cluster.view.Load().primary.dc }

// Attach is [WithScope].
func (*Positions) Attach(ctx context.Context) context.Context { return WithScope(ctx) }

// Require makes the reads of the scope include position, which was true at asOf (by the clock of whoever wrote). An empty
// position is a touch: reads go to servers that are at most one second older than asOf, and never wait. wait is how long
// a read may wait for a server to reach the position: 0 is Options.Wait, negative not at all, 10 s the most. onTimeout is
// a [TimeoutPolicy], "" is Options.OnTimeout. A zero asOf is long ago. What was required before is required still. With an error nothing is
// required that was not: the position or the policy is malformed, or there is no scope.
func (p *Positions) Require(ctx context.Context, position string, asOf time.Time, wait time.Duration, onTimeout string) error {
	c, s := p.cluster, callOf(ctx).scope
	if s == nil {
		return errNoScope(c.name)
	}
	if err := TimeoutPolicy(onTimeout).check(); err != nil {
		return fmt.Errorf("rdbms: cluster %s: Require: %w", c.name, err)
	}
	if position == "" && asOf.IsZero() {
		return nil
	}
	if asOf.IsZero() {
		asOf = time.Unix(0, 0) // long ago: the position alone counts
	}
	if position != "" {
		if _, err := c.engine.Merge(position, position); err != nil {
			return fmt.Errorf("rdbms: cluster %s: Require: %w", c.name, err)
		}
	}
	s.with(c, func(state *requestState) {
		q := &state.required
		if position == "" {
			q.touched = latest(q.touched, asOf)
		}
		m := c.merge(mark{q.position, q.asOf}, mark{position, asOf})
		q.set(m.position, m.asOf)
		if wait != 0 {
			q.wait = min(wait, mostWait)
		}
		if onTimeout != "" {
			q.onTimeout = TimeoutPolicy(onTimeout)
		}
	})
	return nil
}

func errNoScope(cluster string) error {
	return errors.New("rdbms: cluster " + cluster + ": the context has no scope: call rdbms.WithScope once for each request")
}

// Captured tells whether the scope has committed something, and if so a position that includes it and the time by which
// that was read. An empty position is a touch: the server has no positions, there are no replicas, or, with an error, it
// could not be read. Without a commit all is zero.
func (p *Positions) Captured(ctx context.Context) (wrote bool, position string, asOf time.Time, err error) {
	c, s := p.cluster, callOf(ctx).scope
	if s == nil {
		return false, "", time.Time{}, errNoScope(c.name)
	}
	late := s.beginCapture(ctx)
	if late == nil {
		defer s.endCapture()
		again := false
		s.with(c, func(state *requestState) { again = state.commits != state.taken || state.failed != nil })
		if again {
			c.capture(ctx, s)
		}
	}
	s.with(c, func(state *requestState) {
		if wrote = state.wrote; wrote {
			position, asOf, err = state.captured.position, state.captured.asOf, state.failed
		}
		if wrote && late != nil {
			asOf, err = latest(asOf, state.wroteAt), late
		}
	})
	if err != nil {
		position = "" // what was read earlier lacks the last commit
	}
	return wrote, position, asOf, err
}

// Merge returns a position that includes both.
func (p *Positions) Merge(a, b string) (string, error) { return p.cluster.engine.Merge(a, b) }

// Lagged reports whether a read of the scope was served by a server that was degraded, or had not reached what was
// required.
func (p *Positions) Lagged(ctx context.Context) (lagged bool) {
	callOf(ctx).scope.with(p.cluster, func(state *requestState) { lagged = state.lagged })
	return lagged
}

// Reached reports whether everything required is known to be on some server of this DC. It does not wait, and asks no
// server.
func (p *Positions) Reached(ctx context.Context) (bool, error) {
	c, s := p.cluster, callOf(ctx).scope
	if s == nil {
		return false, errNoScope(c.name)
	}
	now, snap := time.Now(), c.view.Load()
	var n need
	s.with(c, func(state *requestState) { n = state.need(snap, "") })
	if n.asOf.IsZero() || !snap.replicas {
		return true, nil
	}
	for _, one := range snap.servers {
		if one.tier > 0 || one.primary {
			continue
		}
		if n.position != "" && !n.reached.has(one.index) {
			continue
		}
		if l := one.lag(now); n.touched.IsZero() || l.Known && l.Value <= c.opts.Now().Sub(n.touched) {
			return true, nil
		}
	}
	return false, nil
}

// Phase sets the phase of the whole scope, see [Phase].
func (*Positions) Phase(ctx context.Context, name string) {
	if s := callOf(ctx).scope; s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.phase = Phase(name)
	}
}

// need is what the request requires of a read of a group, as of a snapshot; the caller holds the scope's lock.
func (r *requestState) need(s *snapshot, group string) need {
	p := r.pinOf(group)
	n := need{requirement: r.required, pinned: p.host, fits: p.version == r.required.version}
	for _, h := range r.barred {
		if one := s.byHost(h); one != nil {
			n.barred = n.barred.with(one.index)
		}
	}
	n.touched = latest(n.touched, r.touched)
	if n.position == "" {
		return n
	}
	for _, one := range s.servers {
		if !one.primary && r.has(one.host) {
			n.reached = n.reached.with(one.index)
		}
	}
	return n
}

// has reports whether a server is known to have the required position. The comparison is made once for each news.
func (r *requestState) has(h *host) bool {
	mark := h.applied.Load()
	if mark == nil {
		return false
	}
	for i := range r.required.memo {
		if m := &r.required.memo[i]; m.host == h {
			if m.mark != mark {
				m.mark, m.reached = mark, r.cluster.includes(mark.text, r.required.position)
			}
			return m.reached
		}
	}
	reached := r.cluster.includes(mark.text, r.required.position)
	r.required.memo = append(r.required.memo, reachedMemo{h, mark, reached})
	return reached
}
