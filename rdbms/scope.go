package rdbms

import (
	"context"
	"sync"
	"time"

	"github.com/multidc/multidc/internal/freshness"
)

// scope is the state of one request, for all clusters. Its lock is the request's own.
type scope struct {
	recorder freshness.Recorder

	mu        sync.Mutex
	phase     Phase
	first     requestState // the inline place of the first cluster: most requests use one
	more      []*requestState
	capturing chan struct{} // of one place, see beginCapture; nil = nobody did yet
}

// requestState is what a request did with one cluster, guarded by its scope's lock.
type requestState struct {
	cluster  *Cluster
	required requirement
	pins     [8]pin // of the groups that the request reads
	pinned   int
	overflow []pin

	wrote    bool      // it committed something
	commits  int       // so often
	taken    int       // so many of them are in required
	wroteOn  []*host   // the servers that took the others
	wroteAt  time.Time // of the newest commit
	captured mark      // what it committed, as of the last look
	touched  time.Time // likewise, if no position came of it
	failed   error     // why the position of a commit could not be read
	pending  int       // transactions under way that have written

	barred   []*host // failed this request
	served   []string
	worst    Lag
	read     bool // worst has a value
	lagged   bool
	violated [2]bool // by kind
}

// pin is where a request reads a group. Host nil is free.
type pin struct {
	group   string
	host    *host
	version int // of the requirement that it was chosen for
}

// requirement is what a request's reads must include.
type requirement struct {
	position  string    // "" = touch only
	asOf      time.Time // zero = nothing is required
	touched   time.Time // the newest asOf that came without a position: no position says that it is reached
	wait      time.Duration
	onTimeout TimeoutPolicy
	version   int     // rises whenever position or asOf change: what was decided for an older one is void
	outcome   outcome // of the one wait
	memo      []reachedMemo
}

// outcome is how the one wait for a required position ended; later statements follow it.
type outcome int

const (
	outcomeNone outcome = iota
	outcomeReached
	outcomeTimedOut
)

// reachedMemo remembers a comparison, which is dearer than a pick.
type reachedMemo struct {
	host    *host
	mark    *appliedMark
	reached bool
}

// beginCapture waits until nobody else of the request reads a position, as long as ctx allows. Without an error it must be
// followed by endCapture.
func (s *scope) beginCapture(ctx context.Context) error {
	s.mu.Lock()
	if s.capturing == nil {
		s.capturing = make(chan struct{}, 1)
	}
	place := s.capturing
	s.mu.Unlock()
	select {
	case place <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *scope) endCapture() { <-s.capturing }

func (s *scope) phaseNow() Phase {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.phase
}

// of returns the request's state of a cluster; the caller holds the lock.
func (s *scope) of(c *Cluster) *requestState {
	if s.first.cluster == c {
		return &s.first
	}
	if s.first.cluster == nil {
		s.first.cluster = c
		return &s.first
	}
	for _, state := range s.more {
		if state.cluster == c {
			return state
		}
	}
	state := &requestState{cluster: c}
	s.more = append(s.more, state)
	return state
}

// with runs f on the request's state of a cluster. It does nothing without a scope.
func (s *scope) with(c *Cluster, f func(*requestState)) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s.of(c))
}

// pinOf returns the place of a group's pin, a free one if the group has none yet.
func (r *requestState) pinOf(group string) *pin {
	for i := range r.pinned {
		if r.pins[i].group == group {
			return &r.pins[i]
		}
	}
	for i := range r.overflow {
		if r.overflow[i].group == group {
			return &r.overflow[i]
		}
	}
	if r.pinned < len(r.pins) {
		r.pinned++
		r.pins[r.pinned-1].group = group
		return &r.pins[r.pinned-1]
	}
	r.overflow = append(r.overflow, pin{group: group})
	return &r.overflow[len(r.overflow)-1]
}

// bar keeps a server that failed out of the rest of the request.
func (r *requestState) bar(h *host) {
	for _, b := range r.barred {
		if b == h {
			return
		}
	}
	r.barred = append(r.barred, h)
}

// note remembers what a read was served by.
func (r *requestState) note(name string, lag Lag, lagged bool) {
	r.lagged = r.lagged || lagged
	if !r.read {
		r.read, r.worst = true, lag
	}
	r.worst = worse(r.worst, lag)
	for _, s := range r.served {
		if s == name {
			return
		}
	}
	r.served = append(r.served, name)
}

// set changes what the request's reads must include.
func (q *requirement) set(position string, asOf time.Time) {
	q.position, q.asOf = position, asOf
	q.version++
	q.outcome = outcomeNone
	q.memo = q.memo[:0]
}
