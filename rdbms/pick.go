package rdbms

import (
	"time"

	"github.com/multidc/multidc/internal/breaker"
)

// wish is what one read asks for, as the pick sees it.
type wish struct {
	group *group

	limited   bool // by an explicit staleness
	staleness time.Duration

	required    bool          // a position
	positionAge time.Duration // how long ago it was written
	reached     mask          // the servers known to have it
	touched     bool          // something without a position, too
	touchAge    time.Duration

	barred    mask // failed already
	localOnly bool
	halfOpen  bool // nobody probes: a read tries a server whose breaker is due
}

// rank is how good a server is for a read: the smaller the better.
type rank uint8

// Class A is rank 0, class B the tiers of the other DCs, class C what is degraded.
const (
	rankOwnDegraded    rank = 0xf0
	rankRemoteDegraded rank = 0xf1
	rankNone           rank = 0xff
)

func (r rank) class() string {
	switch {
	case r == 0:
		return "A"
	case r < rankOwnDegraded:
		return "B"
	case r < rankNone:
		return "C"
	}
	return ""
}

// choice is what a pick found.
type choice struct {
	server *server // nil = none
	rank   rank
	lagged bool // it is degraded by more than the required position
}

// positionSlack is added to the age of a required position when it is compared with lags, which may be too large by
// the interval between two heartbeats.
const positionSlack = time.Second

// judge ranks one server for a read. lagged tells a degraded server that is so for more than the position's sake.
func (w *wish) judge(s *server, now time.Time) (r rank, lagged bool) {
	if w.unusable(s, now) || s.tier > 0 && w.localOnly {
		return rankNone, false
	}
	fresh, stale, behind, lacks := s.fresh(now), false, false, false
	if w.limited || w.required {
		lag := s.lag(now)
		stale = w.limited && (!lag.Known || lag.Value > w.staleness)
		behind = w.required && !s.primary && !w.reached.has(s.index) && (!lag.Known || lag.Value > w.positionAge+positionSlack)
		lacks = w.lacksTouch(s, lag)
	}
	if fresh && !stale && !behind && !lacks {
		return min(rank(min(s.tier, 0xef)), rankOwnDegraded-1), false
	}
	if w.limited && (stale || !fresh) {
		return rankNone, false // explicit staleness is never served by what may be older
	}
	if s.tier == 0 {
		return rankOwnDegraded, !fresh || lacks
	}
	return rankRemoteDegraded, !fresh || lacks
}

// lacksTouch: it may be older than what has no position, and so cannot be waited for.
func (w *wish) lacksTouch(s *server, lag Lag) bool {
	return w.touched && !s.primary && (!lag.Known || lag.Value > w.touchAge+positionSlack)
}

// unusable: it failed, or is taken out of use.
func (w *wish) unusable(s *server, now time.Time) bool {
	if s.config.Drained || w.barred.has(s.index) {
		return true
	}
	state := s.breaker.State(now)
	return state == breaker.Open || state == breaker.HalfOpen && !w.halfOpen
}

// candidate is a member as one pick sees it.
type candidate struct {
	*server

	rank   rank
	lagged bool
	weight float64
}

// inlineCandidates is up to how many members a pick needs no memory.
const inlineCandidates = 64

// pick chooses a server. It reads the snapshot and the servers' atomics, and nothing else; random gives numbers in [0, 1).
func (w *wish) pick(now time.Time, random func() float64) choice {
	if !w.limited && !w.required && w.barred == 0 {
		if s := w.group.pickNear(now, random); s != nil {
			return choice{server: s}
		}
	}
	var inline [inlineCandidates]candidate
	found, best := inline[:0], rankNone
	for _, m := range w.group.members {
		r, lagged := w.judge(m.server, now)
		if r > best || r == rankNone {
			continue
		}
		if r < best {
			best, found = r, found[:0]
		}
		found = append(found, candidate{m.server, r, lagged, m.weight * m.breaker.Weight(now)})
	}
	found = w.keepReached(found)
	c := draw(found, best >= rankOwnDegraded, now, random)
	if c == nil {
		return choice{rank: rankNone}
	}
	return choice{server: c.server, rank: c.rank, lagged: c.lagged}
}

// pickNear is the pick when nothing is asked for and nothing is wrong: of class A two are drawn before they are judged. If
// one of them does not pass, all members are.
func (g *group) pickNear(now time.Time, random func() float64) *server {
	if len(g.near) == 0 {
		return nil
	}
	first := drawOne(g.near, g.nearWeight, -1, random)
	a := &g.near[first]
	if !a.well(now) {
		return nil
	}
	if len(g.near) == 1 {
		return a.server
	}
	b := &g.near[drawOne(g.near, g.nearWeight-a.weight, first, random)]
	if !b.well(now) {
		return nil
	}
	if mean := g.nearWeight / float64(len(g.near)); cheaper(b.server, a.server, b.weight/mean, a.weight/mean, now) {
		return b.server
	}
	return a.server
}

// well: its breaker is closed since long enough, and it is as fresh as when the snapshot was made.
func (s *server) well(now time.Time) bool {
	return s.breaker.State(now) == breaker.Closed && s.breaker.Weight(now) == 1 && s.fresh(now)
}

// keepReached leaves only those that have the required position, if there are any.
func (w *wish) keepReached(found []candidate) []candidate {
	if !w.required || w.reached == 0 {
		return found
	}
	kept := 0
	for i := range found {
		if found[i].primary || w.reached.has(found[i].index) {
			found[kept], found[i] = found[i], found[kept]
			kept++
		}
	}
	if kept == 0 {
		return found
	}
	return found[:kept]
}

// draw draws two by weight and takes the better: of fresh ones the faster, of degraded ones the less stale.
func draw(found []candidate, degraded bool, now time.Time, random func() float64) *candidate {
	switch len(found) {
	case 0:
		return nil
	case 1:
		return &found[0]
	}
	sum := 0.0
	for i := range found {
		sum += found[i].weight
	}
	first := drawOne(found, sum, -1, random)
	second := drawOne(found, sum-found[first].weight, first, random)
	a, b := &found[first], &found[second]
	if degraded {
		if worse(a.lag(now), b.lag(now)) == a.lag(now) && a.lag(now) != b.lag(now) {
			return b
		}
		return a
	}
	if mean := sum / float64(len(found)); cheaper(b.server, a.server, b.weight/mean, a.weight/mean, now) {
		return b
	}
	return a
}

// drawOne draws by weight, without the one at except.
func drawOne(found []candidate, sum float64, except int, random func() float64) int {
	at, last := random()*sum, -1
	for i := range found {
		if i == except {
			continue
		}
		last = i
		if at -= found[i].weight; at < 0 {
			break
		}
	}
	return last
}

// cheaper reports whether a statement is expected to end sooner on b than on a, by more than a tenth. The weights are
// relative to the mean.
func cheaper(b, a *server, weightB, weightA float64, now time.Time) bool {
	latencyA, latencyB := a.latency.now(now), b.latency.now(now)
	switch { // what is not known is no reason, neither for nor against
	case latencyA == 0 && latencyB == 0:
		latencyA, latencyB = 1, 1
	case latencyA == 0:
		latencyA = latencyB
	case latencyB == 0:
		latencyB = latencyA
	}
	return latencyB*b.queue(weightB) < 0.9*latencyA*a.queue(weightA)
}

// queue is how many statements one more would share the server with, itself included. The weight counts here only, so
// that idle servers which are equally fast share exactly by weight.
func (s *server) queue(relativeWeight float64) float64 {
	return 1 + float64(s.inFlight.Load())/max(relativeWeight, 0.01)
}
