package rdbms

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/multidc/multidc/internal/freshness"
)

// writtenTimeout bounds the question for the position of a commit.
const writtenTimeout = time.Second

// wrote remembers a commit of a scope on a server, and tells of it.
func (c *Cluster) wrote(ctx context.Context, h *host) {
	call, asOf := callOf(ctx), c.opts.Now()
	call.scope.with(c, func(state *requestState) {
		state.wrote, state.wroteAt = true, latest(state.wroteAt, asOf)
		state.commits++
		if !slices.Contains(state.wroteOn, h) {
			state.wroteOn = append(state.wroteOn, h)
		}
	})
	freshness.Record(ctx, freshness.Facts{WroteAt: asOf})
	if on := c.opts.Events.OnWrote; on != nil {
		on(ctx, WriteInfo{Cluster: c.name, Server: h.name, Phase: call.phaseNow(), AsOf: asOf})
	}
}

// catchUp reads the position of what the scope has committed since the last time, so that its reads include it.
// A goroutine of the same request that finds it under way waits for it.
func (c *Cluster) catchUp(ctx context.Context, s *scope) {
	if !c.dirty(s) {
		return
	}
	if s.beginCapture(ctx) != nil {
		return // the caller has no time left to read anything
	}
	defer s.endCapture()
	if c.dirty(s) {
		c.capture(ctx, s)
	}
}

// dirty reports whether something that the scope has committed is not required yet. It stays so until the position is
// there, or others of the request would go ahead without.
func (c *Cluster) dirty(s *scope) (dirty bool) {
	s.with(c, func(state *requestState) { dirty = state.commits != state.taken })
	return dirty
}

// capture reads the position after the time: so the position includes all that was committed by then. If it cannot be
// read the time alone is required.
func (c *Cluster) capture(ctx context.Context, s *scope) {
	commits, hosts := 0, []*host(nil)
	s.with(c, func(state *requestState) { // what is committed during the question may not be in it
		commits, hosts, state.wroteOn = state.commits, state.wroteOn, nil
	})
	asOf := c.opts.Now()
	position, err := c.written(ctx, hosts)
	s.with(c, func(state *requestState) {
		if state.failed = err; err != nil {
			state.wroteOn = append(hosts, state.wroteOn...)
		}
		if err == nil || ctx.Err() == nil { // else the caller has no time, which says nothing of the primary: the next one asks
			state.taken = commits
		}
		if state.touched = asOf; position != "" {
			state.touched = time.Time{} // it includes what could not be read before
		}
		state.captured = c.merge(state.captured, mark{position, asOf})
		q := &state.required
		m := c.merge(mark{q.position, q.asOf}, mark{position, asOf})
		q.set(m.position, m.asOf)
	})
}

// mark is a position and the time by which everything before was in it. Position "" is a touch: the time alone.
type mark struct {
	position string
	asOf     time.Time // zero = nothing
}

// merge returns what includes both. Of two that cannot be merged the newer counts.
func (c *Cluster) merge(a, b mark) mark {
	if a.asOf.IsZero() {
		return b
	}
	if b.asOf.IsZero() {
		return a
	}
	m := mark{asOf: latest(a.asOf, b.asOf)}
	switch {
	case a.position == "":
		m.position = b.position
	case b.position == "":
		m.position = a.position
	default:
		merged, err := c.engine.Merge(a.position, b.position)
		if err == nil {
			m.position = merged
		} else if m.position = b.position; a.asOf.After(b.asOf) {
			m.position = a.position
		}
	}
	return m
}

// written reads a position with everything that the servers have committed; "" if there is nobody to wait for, or no
// positions.
func (c *Cluster) written(ctx context.Context, hosts []*host) (position string, err error) {
	if !c.view.Load().replicas {
		return "", nil
	}
	ctx, cancel := context.WithTimeout(ctx, writtenTimeout)
	defer cancel()
	for _, h := range hosts {
		one, f, err := c.writtenOn(ctx, h)
		if f == faultTransport { // the connection broke, maybe with the commit's: another one tells
			one, _, err = c.writtenOn(ctx, h)
		}
		if err != nil {
			return "", fmt.Errorf("rdbms: cluster %s: reading the position of a commit: %w", c.name, err)
		}
		position = c.merge(mark{position, c.base}, mark{one, c.base}).position
	}
	return position, nil
}

// writtenOn asks the server that took a commit. It may not be the primary any more, and the new one does not know which
// of what it has is meant: it names what it writes itself.
func (c *Cluster) writtenOn(ctx context.Context, h *host) (string, fault, error) {
	var l lease
	if s := c.view.Load().byHost(h); s == nil || s.primary {
		if err := c.borrowPrimary(ctx, &l); err != nil {
			return "", faultNone, err
		}
	} else if err := l.borrow(ctx, s); err != nil {
		return "", faultNone, hideBadConn(s.name, err)
	}
	defer l.release()
	position, err := c.engine.Written(ctx, l.conn)
	f, err := c.answered(ctx, &l, err)
	return position, f, err
}
