package rdbms

import (
	"fmt"
	"time"
)

// onHeld reads on a connection that the caller holds. Its server cannot be changed, but what was asked for holds.
func (r *reading) onHeld() error {
	r.snapshot = r.cluster.view.Load()
	r.group = r.snapshot.groupOf(r.call.groups)
	s, now := r.heldServer(), time.Now()
	if err := r.heldBound(s, now); err != nil {
		return err
	}
	r.lagged = !s.fresh(now)
	if r.call.scope == nil || s.primary {
		return nil
	}
	r.look()
	if w := r.wish(r.group); w.lacksTouch(s, s.lag(now)) {
		r.lagged = true
	}
	if r.need.position == "" || r.need.reached.has(s.index) {
		return nil
	}
	if _, err := r.wait(choice{server: s, lagged: r.lagged}, now); err != nil {
		return err
	}
	r.snapshot = r.cluster.view.Load()
	return r.heldBound(r.heldServer(), time.Now()) // the wait took time
}

// heldServer is the server of the connection as it is known now.
func (r *reading) heldServer() *server {
	if s := r.snapshot.byHost(r.lease.server.host); s != nil {
		return s
	}
	removed := *r.lease.server // what was known of it only ages, and it is the primary no more
	removed.primary = false
	return &removed
}

// heldBound keeps an explicit bound: the connection cannot lead elsewhere.
func (r *reading) heldBound(s *server, now time.Time) error {
	if lag := s.lag(now); r.call.limited && (!lag.Known || lag.Value > r.call.staleness) {
		return fmt.Errorf("%w: cluster %s: the connection leads to %s, whose lag is %v, not at most %v", ErrTooStale, r.cluster.name, s.name, lag, r.call.staleness)
	}
	return nil
}
