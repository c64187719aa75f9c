package rdbms

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/multidc/multidc/internal/breaker"
	"github.com/multidc/multidc/internal/freshness"
)

// reading brings one read to a server: it picks, waits for a required position, borrows a connection, and moves on once if
// that breaks. Its use:
//
//	for r.next() {
//		err := … on r.lease.conn …
//		if r.served(err) {
//			return …
//		}
//	}
//	return r.err
type reading struct {
	cluster *Cluster
	ctx     context.Context //nolint:containedctx // it lives as long as one call
	call    *call
	lease   *lease
	once    bool // it may write, so it is not run again

	snapshot *snapshot
	group    *group
	need     need
	lagged   bool             // what is read is degraded
	behind   bool             // by the policy: what is read lacks the required position
	begun    time.Time        // the statement, for the latency
	tried    map[string]error // what failed, by server
	barred   []*host
	moved    bool // a statement was sent, and its connection broke
	holding  bool // the lease was held before: its session stays
	err      error
}

// need is what the request requires, as of when the read looked.
type need struct {
	requirement

	pinned  *host
	fits    bool // pinned was chosen for this requirement
	reached mask
	barred  mask
}

func (c *Cluster) read(ctx context.Context, l *lease) reading {
	return reading{cluster: c, ctx: ctx, call: callOf(ctx), lease: l, holding: l.held()}
}

// next returns true when the lease has a connection to read from.
func (r *reading) next() bool {
	if r.err != nil {
		return false
	}
	for r.err == nil {
		if r.cluster.isClosed() {
			r.err = fmt.Errorf("rdbms: cluster %s: %w", r.cluster.name, ErrClosed)
			return false
		}
		if r.holding {
			r.err = r.onHeld()
		} else if again, err := r.reach(); again {
			continue
		} else {
			r.err = err
		}
		if r.err == nil {
			r.tell()
			return true
		}
	}
	return false
}

// served takes the statement's outcome. It returns true if there is an answer; else the read moves on, or has failed.
func (r *reading) served(err error) bool {
	h := r.lease.server.host
	now := time.Now()
	fault := r.cluster.judgeError(r.ctx, r.lease, err, now)
	if err == nil {
		h.latency.add(now, now.Sub(r.begun))
		return true
	}
	if fault != faultTransport && fault != faultServer || r.holding || r.moved || r.once {
		if r.err = r.cluster.outward(r.lease, fault, err); r.once {
			r.err = maybeRan(r.err)
		}
		return false
	}
	r.moved = true
	r.failed(h, err)
	r.lease.release()
	return false
}

// failed keeps a server out of the rest of the read, and of the request.
func (r *reading) failed(h *host, err error) {
	if r.tried == nil {
		r.tried = map[string]error{}
	}
	r.tried[h.name] = hideBadConn(h.name, err)
	r.barred = append(r.barred, h)
	r.call.scope.with(r.cluster, func(s *requestState) { s.bar(h) })
}

// reach picks a server and borrows a connection of it. again asks for another try.
func (r *reading) reach() (again bool, err error) {
	now := time.Now()
	r.cluster.budget.read(now)
	server, err := r.choose(now)
	if err != nil {
		return false, err
	}
	if !server.breaker.Admit(now) && !server.primary {
		r.barred = append(r.barred, server.host)
		return true, nil
	}
	if err := r.lease.borrow(r.ctx, server); err != nil {
		return r.notBorrowed(server, err)
	}
	if !r.still(server) {
		server.breaker.Cancelled(now)
		r.lease.release()
		return true, nil
	}
	if len(r.tried) > 0 {
		r.event(ReadMoved, server, r.tried[r.barred[len(r.barred)-1].name])
	}
	return false, nil
}

func (r *reading) notBorrowed(server *server, err error) (again bool, _ error) {
	switch {
	case r.ctx.Err() != nil:
		server.breaker.Cancelled(time.Now())
		return false, r.ctx.Err()
	case errors.Is(err, errPoolClosed): // it was removed since the snapshot: look at the new one
		r.barred = append(r.barred, server.host)
		return true, nil
	}
	r.cluster.failure(server.host, time.Now())
	r.failed(server.host, err)
	return true, nil
}

// still reports whether what the server was picked for holds now that the connection is there: borrowing takes time, and
// a new connection may lead to a server that was restarted since its position was read.
func (r *reading) still(server *server) bool {
	if r.call.limited && !server.primary {
		newest := server // by now there may be news: a wait for the pool must not age the server
		if s := r.cluster.view.Load().byHost(server.host); s != nil {
			newest = s
		}
		if l := newest.lag(time.Now()); !l.Known || l.Value > r.call.staleness {
			return false
		}
	}
	if server.primary {
		return r.cluster.view.Load().primary.host == server.host
	}
	if r.need.position == "" || r.behind {
		return true
	}
	mark := server.applied.Load()
	if mark != nil && !server.connector.connectedSince(mark.ended) && r.cluster.includes(mark.text, r.need.position) {
		return true
	}
	if r.cluster.askApplied(r.ctx, r.lease, r.need.position) {
		return true
	}
	r.unpin(server.host)
	return false
}

// unpin lets the request read elsewhere: what it has read from the server is not there any more.
func (r *reading) unpin(h *host) {
	r.call.scope.with(r.cluster, func(state *requestState) {
		if p := state.pinOf(r.group.name); p.host == h {
			p.host = nil
		}
	})
}

// choose returns the server to read from, after the wait that it may need.
func (r *reading) choose(now time.Time) (*server, error) {
	r.snapshot, r.lagged, r.behind = r.cluster.view.Load(), false, false
	primary := r.snapshot.primary
	if !r.snapshot.replicas {
		return primary, r.notYet(primary)
	}
	r.look()
	found := r.find(now)
	if found.server == nil {
		return r.unasked(now)
	}
	r.lagged = found.lagged
	if found.server.primary || r.need.asOf.IsZero() || r.need.reached.has(found.server.index) {
		return found.server, nil
	}
	if r.need.position == "" { // there is nothing to wait for
		r.lagged = r.lagged || found.rank >= rankOwnDegraded
		return found.server, nil
	}
	return r.wait(found, now)
}

// notYet: a cluster without replicas has one server to try, once.
func (r *reading) notYet(primary *server) error {
	if r.tried[primary.name] != nil {
		return r.none()
	}
	return nil
}

// look finds what the request requires.
func (r *reading) look() {
	r.group = r.snapshot.groupOf(r.call.groups)
	r.need = need{}
	if s := r.call.scope; s != nil {
		r.cluster.catchUp(r.ctx, s)
		s.with(r.cluster, func(state *requestState) { r.need = state.need(r.snapshot, r.group.name) })
	}
	for _, h := range r.barred {
		if s := r.snapshot.byHost(h); s != nil {
			r.need.barred = r.need.barred.with(s.index)
		}
	}
}

// find picks, or stays with the server that the request reads already.
func (r *reading) find(now time.Time) choice {
	w := r.wish(r.group)
	if c, ok := r.pinned(&w, now); ok {
		return c
	}
	c := w.pick(now, r.cluster.random)
	if c.server == nil && r.group.name != "" {
		if r.cluster.opts.StrictGroup {
			return c
		}
		generic := r.wish(r.snapshot.groups[""])
		if c = generic.pick(now, r.cluster.random); c.server != nil {
			r.event(ReadGroup, c.server, nil)
		}
	}
	if c.server != nil {
		r.pin(&c, &w, now)
	}
	return c
}

func (r *reading) wish(g *group) wish {
	w := wish{
		group: g, limited: r.call.limited, staleness: r.call.staleness,
		required: !r.need.asOf.IsZero(), reached: r.need.reached, barred: r.need.barred,
		localOnly: r.cluster.opts.NoRemoteReads, halfOpen: !r.snapshot.watched,
	}
	if w.required {
		now := r.cluster.opts.Now()
		w.positionAge = max(0, now.Sub(r.need.asOf))
		w.touched, w.touchAge = !r.need.touched.IsZero(), max(0, now.Sub(r.need.touched))
	}
	return w
}

// pinned returns the server that the request reads the group from, if it serves this read too.
func (r *reading) pinned(w *wish, now time.Time) (choice, bool) {
	s := r.snapshot.byHost(r.need.pinned)
	if s == nil || w.unusable(s, now) {
		return choice{}, false
	}
	lag := s.lag(now)
	if w.limited && (!lag.Known || lag.Value > w.staleness) {
		return choice{}, false
	}
	behind := w.required && !s.primary && !w.reached.has(s.index) && (r.need.position != "" || !lag.Known || lag.Value > w.positionAge+positionSlack)
	lacks := w.lacksTouch(s, lag)
	if (behind || lacks) && !r.need.fits {
		return choice{}, false
	}
	c := choice{server: s, lagged: !s.fresh(now) || lacks}
	if behind || c.lagged {
		c.rank = rankOwnDegraded
	}
	return c, true
}

// pin lets later reads of the request go to the same server. A read with a narrower bound than others leaves the pin.
func (r *reading) pin(c *choice, w *wish, now time.Time) {
	scope := r.call.scope
	if scope == nil {
		return
	}
	scope.with(r.cluster, func(state *requestState) {
		p := state.pinOf(r.group.name)
		if p.host != nil && p.host != r.need.pinned { // another statement of the request was faster
			r.need.pinned, r.need.fits = p.host, p.version == r.need.version
			if other, ok := r.pinned(w, now); ok {
				*c = other
				return
			}
		}
		if old := r.snapshot.byHost(p.host); old != nil && r.call.limited && r.need.fits && !w.unusable(old, now) {
			return
		}
		p.host, p.version = c.server.host, r.need.version
	})
}

// unasked is what a read gets that no replica can serve as it demands: the primary within the budget, or an error.
func (r *reading) unasked(now time.Time) (*server, error) {
	if !r.call.limited {
		return nil, r.none()
	}
	if !r.cluster.opts.StrictStaleness {
		if p := r.toPrimary(now); p != nil {
			return p, nil
		}
	}
	if len(r.tried) > 0 && !r.spared(now) {
		return nil, r.none()
	}
	err := fmt.Errorf("%w: cluster %s: no server is known to be at most %v behind", ErrTooStale, r.cluster.name, r.call.staleness)
	for _, name := range slices.Sorted(maps.Keys(r.tried)) {
		err = fmt.Errorf("%w; %w", err, r.tried[name])
	}
	return nil, err
}

// spared reports whether a server was not tried for its age alone.
func (r *reading) spared(now time.Time) bool {
	w := r.wish(r.group)
	return slices.ContainsFunc(r.group.members, func(m member) bool {
		return !w.unusable(m.server, now) && (m.tier == 0 || !w.localOnly)
	})
}

// toPrimary returns the primary if one more read that did not ask for it may go there.
func (r *reading) toPrimary(now time.Time) *server {
	p := r.cluster.view.Load().primary // it may have moved while the read waited
	if s := r.snapshot.byHost(p.host); s != nil && r.need.barred.has(s.index) || p.config.Drained || p.breaker.State(now) == breaker.Open || !r.cluster.budget.take(now) {
		return nil
	}
	r.event(ReadPrimary, p, nil)
	return p
}

// none says why no server can be read.
func (r *reading) none() error {
	e := &ServersError{Cluster: r.cluster.name, Servers: r.tried, tried: len(r.tried) > 0}
	if r.group != nil {
		e.Group = r.group.name
	}
	if e.Servers == nil {
		e.Servers = map[string]error{}
	}
	now := time.Now()
	if r.group == nil {
		return e
	}
	for _, m := range r.group.members {
		if e.Servers[m.name] == nil {
			e.Servers[m.name] = m.whyNot(now, r.cluster.opts.NoRemoteReads)
		}
		if in := m.breaker.RetryIn(now); in > 0 && (e.RetryAfter == 0 || in < e.RetryAfter) {
			e.RetryAfter = in
		}
	}
	e.tried = e.tried || len(r.group.members) == 0
	return e
}

// whyNot says why a server is not tried.
func (s *server) whyNot(now time.Time, localOnly bool) error {
	switch {
	case s.config.Drained:
		return errors.New("drained")
	case s.tier > 0 && localOnly:
		return errors.New("in another DC")
	case s.breaker.State(now) != breaker.Closed:
		return fmt.Errorf("failed a moment ago, tried again in %v", s.breaker.RetryIn(now).Round(time.Millisecond))
	}
	return errors.New("failed in this request")
}

// tell records what is read for the request's footer, and for caches above.
func (r *reading) tell() {
	r.begun = time.Now()
	s := r.lease.server
	lag := s.lag(r.begun)
	r.lease.lag, r.lease.at = lag, r.begun
	if r.lagged {
		r.event(ReadLagged, s, nil)
	}
	r.call.scope.with(r.cluster, func(state *requestState) { state.note(s.name, lag, r.lagged) })
	r.cluster.report(r.ctx, lag, r.begun)
}

// report tells the recorders of a context what a read sees: data of this lag, as of since.
func (c *Cluster) report(ctx context.Context, lag Lag, since time.Time) {
	facts := freshness.Facts{Lag: lag.Value, Unknown: !lag.Known, Since: since}
	callOf(ctx).scope.with(c, func(state *requestState) {
		facts.Pending, facts.WroteAt = state.pending > 0, latest(state.required.asOf, state.wroteAt)
	})
	freshness.Record(ctx, facts)
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (r *reading) event(path ReadPath, s *server, err error) {
	if on := r.cluster.opts.Events.OnRead; on != nil {
		name := ""
		if r.group != nil {
			name = r.group.name
		}
		on(r.ctx, ReadInfo{Cluster: r.cluster.name, Group: name, Server: s.name, Path: path, Lag: s.lag(time.Now()), Err: err})
	}
}
