package rdbms

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Served is what the reads of a scope got so far.
type Served struct {
	Servers []string // that were read, in order of their first use
	Lag     Lag      // the worst of them, as of when each was read; unknown without any
	Lagged  bool     // a degraded server was used: over its MaxLag, of unknown lag, or without what was required
}

// Served tells what the reads of this scope got, for a footer or a header.
func (c *Cluster) Served(ctx context.Context) (s Served) {
	callOf(ctx).scope.with(c, func(state *requestState) {
		s = Served{Servers: slices.Clone(state.served), Lag: state.worst, Lagged: state.lagged}
	})
	return s
}

// MaxLag returns how far the worst replica is behind of those that serve reads without a group, as an upper bound. If one
// is unknown the error is ErrLagUnknown and names it.
func (c *Cluster) MaxLag(context.Context) (worst time.Duration, err error) {
	now := time.Now()
	for _, m := range c.view.Load().groups[""].members {
		l := m.lag(now)
		if !l.Known {
			return 0, fmt.Errorf("%w: cluster %s: server %s: %s", ErrLagUnknown, c.name, m.name, l.Why)
		}
		worst = max(worst, l.Value)
	}
	return worst, nil
}

// How long WaitForReplication waits.
const (
	replicationWait = time.Second // if ctx has no deadline
	mostReplication = time.Minute
	manyReplicas    = 5 // of so many one may be missing
)

// WaitForReplication waits until the replicas have what this scope has committed here: all that serve any reads, or all
// but one of five and more. Long jobs call it between batches, so that replicas keep up. It waits until ctx's deadline,
// 1 s without one, 60 s at most; then the error is ErrNotCaughtUp and names the replicas that lack it. If the scope wrote
// nothing it returns at once.
func (c *Cluster) WaitForReplication(ctx context.Context) error {
	if callOf(ctx).scope == nil {
		return errNoScope(c.name)
	}
	wrote, position, asOf, err := c.Positions().Captured(ctx)
	if err != nil || !wrote {
		return err
	}
	limit := mostReplication
	if _, ok := ctx.Deadline(); !ok {
		limit = replicationWait
	}
	waiting, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return c.awaitReplicas(waiting, position, asOf)
}

// awaitReplicas waits for all that serve reads, at the same time.
func (c *Cluster) awaitReplicas(ctx context.Context, position string, asOf time.Time) error {
	var replicas []*host
	view := c.view.Load()
	for _, s := range view.servers {
		if !s.primary && (genericWeight(s.config, false) > 0 || len(s.config.Groups) > 0) {
			replicas = append(replicas, s.host)
		}
	}
	has := make([]bool, len(replicas))
	var waits sync.WaitGroup
	for i, h := range replicas {
		waits.Go(func() { has[i] = c.awaitReplica(ctx, h, position, asOf) })
	}
	waits.Wait()
	var missing []string
	for i, h := range replicas {
		if !has[i] {
			missing = append(missing, h.name)
		}
	}
	if len(missing) == 0 || len(missing) == 1 && len(replicas) >= manyReplicas {
		return nil
	}
	if c.isClosed() {
		return fmt.Errorf("rdbms: cluster %s: %w", c.name, ErrClosed)
	}
	return errors.Join(fmt.Errorf("%w: cluster %s: what was committed is not known to be on %s", ErrNotCaughtUp, c.name, strings.Join(missing, ", ")), canceled(ctx))
}

// canceled is the cause if it was the caller who gave up, and not the time.
func canceled(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return context.Cause(ctx)
	}
	return nil
}

// awaitReplica waits until ctx ends for a replica to have a position, or if there is none to be as new as asOf.
func (c *Cluster) awaitReplica(ctx context.Context, h *host, position string, asOf time.Time) bool {
	if position != "" {
		if m := h.applied.Load(); m != nil && c.includes(m.text, position) {
			return true
		}
		return c.await(ctx, h, position, mostReplication)
	}
	tick := time.NewTicker(askMost)
	defer tick.Stop()
	for {
		s := c.view.Load().byHost(h)
		if s == nil {
			return true // it was taken out: nobody reads it
		}
		if l := s.lag(time.Now()); l.Known && l.Value <= c.opts.Now().Sub(asOf) {
			return true
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		case <-c.ended:
			return false
		}
	}
}
