package rdbms

import (
	"context"
	"database/sql/driver"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/multidc/multidc/internal/breaker"
)

// How long a look at a server may take, and a round of them.
const (
	connectTimeout = time.Second
	probeTimeout   = 500 * time.Millisecond
	refreshTimeout = 2 * time.Second
)

// Run watches the servers until ctx ends, which is no error, or the cluster is closed. A second one is an error. A server
// that cannot be reached is no error either: Run goes on, and reads go elsewhere.
func (c *Cluster) Run(ctx context.Context) error {
	done, err := c.beginRun()
	if err != nil {
		return err
	}
	defer c.endRun(done)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.life, cancel)() //nolint:contextcheck // Close ends it too
	var watches sync.WaitGroup
	defer watches.Wait()
	defer cancel() // before they are awaited
	watched := map[*host]context.CancelFunc{}
	tick := time.NewTicker(time.Second) // nobody tells when ClusterReason changes
	defer tick.Stop()
	for {
		c.watchAll(ctx, watched, &watches)
		select {
		case <-ctx.Done():
			return nil
		case <-c.changed:
		case <-tick.C:
		}
		c.tellReadOnly(ctx)
	}
}

func (c *Cluster) beginRun() (chan struct{}, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return nil, fmt.Errorf("rdbms: cluster %s: %w", c.name, ErrClosed)
	case c.runs != nil:
		return nil, fmt.Errorf("rdbms: cluster %s: Run is under way already", c.name)
	}
	c.runs = make(chan struct{})
	c.publish()
	return c.runs, nil
}

func (c *Cluster) endRun(done chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.runs = nil
	c.publish()
	close(done)
}

// watchAll begins to watch what is new, and ends what is gone.
func (c *Cluster) watchAll(ctx context.Context, watched map[*host]context.CancelFunc, watches *sync.WaitGroup) {
	c.mu.Lock()
	now := map[*host]bool{}
	for _, h := range c.hosts {
		now[h] = true
	}
	c.mu.Unlock()
	maps.DeleteFunc(watched, func(h *host, cancel context.CancelFunc) bool {
		if !now[h] {
			cancel()
		}
		return !now[h]
	})
	for h := range now { // in random order
		if watched[h] == nil {
			ctx, cancel := context.WithCancel(ctx)
			watched[h] = cancel
			watches.Go(func() { c.watch(ctx, h) })
		}
	}
}

// watch probes one server again and again; while its breaker is open, only when that lets a try through.
func (c *Cluster) watch(ctx context.Context, h *host) {
	for ctx.Err() == nil {
		if h.breaker.Admit(time.Now()) {
			_ = c.probe(ctx, h, true) // recorded
		}
		select {
		case <-ctx.Done():
		case <-time.After(c.pause(h)):
		case <-h.kick:
		}
	}
}

// pause is how long to wait before the next look.
func (c *Cluster) pause(h *host) time.Duration {
	poll := c.pollOf(h.dc)
	poll += time.Duration((rand.Float64() - 0.5) * 0.4 * float64(poll)) //nolint:gosec // it parts crowds, and guards no secret
	if in := h.breaker.RetryIn(time.Now()); in > 0 {
		return in
	}
	return poll
}

// failure counts a failure of a server. If its breaker opens by that the monitor must know when to try again.
func (c *Cluster) failure(h *host, now time.Time) {
	before := h.breaker.State(now)
	h.breaker.Failure(now)
	if before == breaker.Closed && h.breaker.State(now) != before {
		h.look()
		c.tellServer(c.life, h)
	}
}

// Refresh looks at all servers once, for 2 s at most, and returns when it has. It is an error if no server answered:
// errors.Is finds each cause. Without [Cluster.Run] the lags are unknown 60 s after the last Refresh.
func (c *Cluster) Refresh(ctx context.Context) error {
	if c.isClosed() {
		return fmt.Errorf("rdbms: cluster %s: %w", c.name, ErrClosed)
	}
	ctx, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	c.mu.Lock()
	hosts := c.hosts
	c.mu.Unlock()
	errs := make([]error, len(hosts))
	var probes sync.WaitGroup
	for i, h := range hosts {
		probes.Go(func() {
			h.breaker.Admit(time.Now()) // if it is due, this look is the try
			errs[i] = c.probe(ctx, h, false)
		})
	}
	probes.Wait()
	c.tellReadOnly(ctx)
	failed := map[string]error{}
	for i, h := range hosts {
		if errs[i] != nil {
			failed[h.name] = hideBadConn(h.name, errs[i])
		}
	}
	if len(failed) < len(hosts) {
		return nil
	}
	return &ServersError{Cluster: c.name, Servers: failed, tried: true}
}

// look is what one probe found, and when.
type look struct {
	probe        Probe
	began, ended time.Time
}

func (l look) middle() time.Time { return l.began.Add(l.ended.Sub(l.began) / 2) }

// probe looks at a server and takes note of what it finds. recheck: before the server is taken out for its lag, the
// servers whose heartbeat it was measured by are looked at too.
func (c *Cluster) probe(ctx context.Context, h *host, recheck bool) error {
	found, err := c.lookAt(ctx, h)
	now := time.Now()
	switch {
	case err != nil && ctx.Err() != nil: // the caller's time was over, not the server's
		h.breaker.Cancelled(now)
		return err
	case err != nil:
		c.failure(h, now)
		c.update(h, func(r *record) { r.err = err })
	default:
		h.breaker.Success(now)
		c.observe(ctx, h, found, recheck)
	}
	c.tellServer(ctx, h)
	return err
}

// lookAt asks the engine, on the monitor's own connection. One look at a server at a time.
func (c *Cluster) lookAt(ctx context.Context, h *host) (found look, err error) {
	select {
	case h.looking <- struct{}{}:
		defer func() { <-h.looking }()
	case <-ctx.Done():
		return found, context.Cause(ctx)
	}
	connecting, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := h.watched.conn(connecting)
	if err != nil {
		return found, fmt.Errorf("connecting: %w", err)
	}
	defer func() {
		if err != nil {
			_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // in whatever state it is
		}
		_ = conn.Close()
	}()
	asking, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	found.began = time.Now()
	found.probe, err = c.engine.Probe(asking, conn)
	found.ended = time.Now()
	if err != nil {
		return found, fmt.Errorf("probing: %w", err)
	}
	return found, nil
}

// update changes the record of a server that is still there, and publishes it.
func (c *Cluster) update(h *host, change func(*record)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.records[h]; r != nil {
		change(r)
		c.publish()
	}
}

// observe takes note of a look.
func (c *Cluster) observe(ctx context.Context, h *host, found look, recheck bool) {
	c.mu.Lock()
	r := c.records[h]
	if r == nil {
		c.mu.Unlock()
		return
	}
	before := r.verdict
	warnings := c.book.note(h.name, observation{
		at: c.steady(found.middle()), identity: found.probe.Identity, serverID: found.probe.ServerID,
		beats: found.probe.Beats, problem: problemOf(found.probe),
	})
	r.at, r.probe, r.roundTrip, r.err = found.middle(), found.probe, found.ended.Sub(found.began), nil
	c.judgeAll()
	leaving := recheck && r.over(c.limitOf(h))
	c.mu.Unlock()
	if leaving {
		c.lookAtSources(ctx, h, found)
	}
	c.update(h, func(r *record) { r.in = r.decide(c.limitOf(h)) })

	for _, w := range warnings {
		c.warn(ctx, WarningInfo{Server: w.server, Kind: w.kind, Text: w.text})
	}
	if problem := problemOf(found.probe); problem != "" && c.byHeartbeat() {
		c.warn(ctx, WarningInfo{Server: h.name, Kind: WarnNoHeartbeat, Text: "lag unknown: " + string(problem)})
	}
	c.noteApplied(ctx, h, appliedMark{text: found.probe.Applied, identity: found.probe.Identity, began: found.began, ended: found.ended})
	demoted := found.probe.ReadOnly && !before.probe.ReadOnly
	restarted := !before.at.IsZero() && before.probe.Identity != found.probe.Identity
	if (demoted || restarted) && c.view.Load().primary.host == h {
		h.renew()
		c.tellReadOnly(ctx)
	}
}

// problemOf is why there are no heartbeat rows.
func problemOf(p Probe) LagReason {
	if len(p.Beats.Rows) > 0 || p.Lag.Known {
		return ""
	}
	return p.Lag.Why
}

// steady is time by a clock that began right and does not step.
func (c *Cluster) steady(t time.Time) time.Time { return c.base.Round(0).Add(t.Sub(c.base)) }

// judgeAll judges all servers by what is known; the caller holds the lock.
func (c *Cluster) judgeAll() {
	for i, h := range c.hosts {
		r := c.records[h]
		switch {
		case c.config.Servers[i].Name == c.config.Primary:
			r.judgement = judgement{class: known(0), bound: known(0)}
			if own := c.book.judge(h.name); c.byHeartbeat() {
				r.judgement.skew, r.judgement.notes, r.judgement.origins = own.skew, own.notes, own.origins
			}
		case r.at.IsZero():
			r.judgement = judgement{class: unknown(LagNotRead), bound: unknown(LagNotRead)}
		case c.byHeartbeat() || len(r.probe.Beats.Rows) > 0:
			r.judgement = c.book.judge(h.name)
		default:
			r.judgement = judgement{class: r.probe.Lag, bound: r.probe.Lag}
			if c.opts.LagFromReplicaStatus {
				r.judgement.bound = r.judgement.bound.aged(time.Second) // it tells whole seconds, rounded down
			}
		}
		if r.judgement.class.Known && !r.hysteresis.read && !r.at.IsZero() {
			r.in = r.decide(c.limitOf(h)) // it waited for a look at its origin
		}
	}
}

// byHeartbeat: the built-in engine reads heartbeats. Another may, or tells the lag itself.
func (c *Cluster) byHeartbeat() bool { return c.opts.Engine == nil && !c.opts.LagFromReplicaStatus }

// limitOf is a server's MaxLag; the caller holds the lock.
func (c *Cluster) limitOf(h *host) time.Duration {
	for i, one := range c.hosts {
		if one == h && c.config.Servers[i].MaxLag != 0 {
			return c.config.Servers[i].MaxLag
		}
	}
	return c.opts.MaxLag
}

// over reports whether the newest reading speaks against a server that is in.
func (r *record) over(limit time.Duration) bool {
	l := r.judgement.class
	return r.in && limit >= 0 && (!l.Known || l.Value > limit)
}

// decide counts the newest reading.
func (r *record) decide(limit time.Duration) bool {
	if limit < 0 {
		return true
	}
	return r.hysteresis.next(r.judgement.class, limit)
}

// lookAtSources looks again at those servers whose heartbeat the others are measured by: if that has stopped they are
// not behind.
func (c *Cluster) lookAtSources(ctx context.Context, but *host, since look) {
	c.mu.Lock()
	var sources []*host
	for _, name := range c.book.sources() {
		for _, h := range c.hosts {
			if r := c.records[h]; h.name == name && h != but && r.at.Before(since.began) && h.breaker.State(time.Now()) == breaker.Closed {
				sources = append(sources, h)
			}
		}
	}
	c.mu.Unlock()
	for _, h := range sources {
		_ = c.probe(ctx, h, false) // recorded
	}
}
