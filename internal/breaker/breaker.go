// Package breaker keeps attempts away from a server that fails, and lets it come back slowly.
//
// A [Breaker] is a state machine for one server, without clock and goroutine: who uses it passes the time, as
// time.Now() gives it, and reports how each attempt ended.
//
//	closed     3 failures in a row, or half of at least 20 attempts in 10 s fail → open
//	open       nothing goes through; when its wait is over → half-open
//	half-open  Admit lets one attempt through, and until that ends nobody else (shown as open):
//	           it fails → open, for twice as long; it succeeds → closed, with 10 % of the weight, 100 % after 5 s
//
// The wait is 1 s, doubles up to 30 s, and is spread by ±20 %; a success ends the doubling.
//
// While the breaker is not closed, only the attempt that Admit let through decides. What was under way when it opened
// is ignored, however it ends: otherwise one outage would count once for every request that it hit. An admitted attempt
// that ends without an outcome is reported by Cancelled; one that never reports blocks the next for 2 s, no longer.
// An outcome carries no name: the first one after Admit is taken for that attempt's.
//
// Count what speaks about the server: a connection refused or lost, an answer that it is overloaded. An error of the
// one request is a Success, since the server answered; a caller who gave up is a Cancelled.
//
// All users so far want the same figures, so there is nothing to set.
package breaker

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/multidc/multidc/internal/backoff"
)

const (
	inARow      = 3 // so many failures without a success between them open
	minAttempts = 20
	tryTime     = 2 * time.Second // after so long without an outcome another attempt is let through
	rampTime    = 5 * time.Second
	rampStart   = 0.1
)

// waits are how long a breaker stays open.
var waits = backoff.Policy{First: time.Second, Max: 30 * time.Second, Spread: 0.2}

// State says what a breaker does with the next attempt.
type State int

// The states.
const (
	Closed   State = iota // attempts go through
	Open                  // none does: not before RetryIn, or while the one let through has not ended
	HalfOpen              // the next one that asks Admit goes through
)

// String is the state in a word or two.
func (s State) String() string { return [...]string{"closed", "open", "half-open"}[s] }

// Breaker is the state of one server. The zero Breaker is closed. It is safe for concurrent use, must not be copied, and
// allocates nothing. Only what changes the state takes a lock: Failure, and a Success while it is not closed.
type Breaker struct {
	gate   atomic.Int64 // see below
	streak atomic.Int32 // failures since the last success
	recent window       // while closed

	mu     sync.Mutex // held to open and to close
	opened int        // how often in a row, with no success between
}

// The gate is the whole state in one word, so that readers see it at one instant: 0 = closed; -t = closed since the
// instant t; t = open until then, and half-open from then on. Its last bit is set while an attempt is let through.
const tryBit = 1

func trying(gate int64) bool { return gate > 0 && gate&tryBit != 0 }

// State returns the state at now. It reads one word, and is inlined, as every pick asks it of every server.
func (b *Breaker) State(now time.Time) State {
	if b.gate.Load() <= 0 {
		return Closed
	}
	return b.ajar(now)
}

// ajar is State for the rare case; kept out of line, or State would be too long to be inlined.
//
//go:noinline
func (b *Breaker) ajar(now time.Time) State {
	switch gate := b.gate.Load(); {
	case gate <= 0:
		return Closed
	case gate > instant(now):
		return Open
	default:
		return HalfOpen
	}
}

// Admit reports whether an attempt may begin. Half-open, it lets one through, whose end must then be told by Success,
// Failure or Cancelled; until then, for 2 s at most, it refuses all others.
func (b *Breaker) Admit(now time.Time) bool {
	gate := b.gate.Load()
	if gate <= 0 {
		return true
	}
	at := instant(now)
	return gate <= at && b.gate.CompareAndSwap(gate, (at+int64(tryTime)-1)|tryBit)
}

// Success tells that the server answered.
func (b *Breaker) Success(now time.Time) {
	if b.gate.Load() > 0 {
		b.shut(instant(now))
		return
	}
	if b.streak.Load() != 0 { // a store each time would take the cache line from all other cores
		b.streak.Store(0)
	}
	b.recent.add(instant(now), false)
}

// Failure tells that the server did not answer, or not usefully.
func (b *Breaker) Failure(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at := instant(now)
	switch gate := b.gate.Load(); {
	case gate <= 0 && b.tooMany(at), trying(gate):
		b.opened++
		b.gate.Store((at + int64(waits.Wait(b.opened))) &^ tryBit)
	}
}

// tooMany counts a failure, and reports whether it is one too many.
func (b *Breaker) tooMany(at int64) bool {
	b.recent.add(at, true)
	if b.streak.Add(1) >= inARow {
		return true
	}
	failed, all := b.recent.sum(at)
	return all >= minAttempts && 2*failed >= all
}

// shut closes, if it is an attempt let through that succeeded.
func (b *Breaker) shut(at int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !trying(b.gate.Load()) {
		return
	}
	b.opened = 0
	b.streak.Store(0)
	b.recent.clear() // or the failures from before would open it again
	b.gate.Store(-at)
}

// Cancelled tells that an attempt ended without saying anything about the server. If it was the one let through, the
// next may go at once.
func (b *Breaker) Cancelled(now time.Time) {
	if gate := b.gate.Load(); trying(gate) {
		b.gate.CompareAndSwap(gate, instant(now)&^tryBit)
	}
}

// Weight returns the share of its usual load that the server should get: 1; after an outage from 0.1, when the breaker
// closes, to 1 in 5 s; 0.1 while it is half-open, 0 while it is open.
func (b *Breaker) Weight(now time.Time) float64 {
	if gate := b.gate.Load(); gate != 0 {
		return ramp(gate, now)
	}
	return 1
}

// ramp is Weight of one that was open at least once.
func ramp(gate int64, now time.Time) float64 {
	at := instant(now)
	switch {
	case gate > at:
		return 0
	case gate > 0:
		return rampStart
	}
	since := max(at+gate, 0)
	return min(rampStart+(1-rampStart)*float64(since)/float64(rampTime), 1)
}

// RetryIn returns the time until the next attempt may be let through; 0 if that is now.
func (b *Breaker) RetryIn(now time.Time) time.Duration {
	gate := b.gate.Load()
	if gate <= 0 {
		return 0
	}
	return time.Duration(max(gate-instant(now), 0))
}

// base lies so far back that instants are positive in a synctest bubble too: its clock starts in 2000, and its times have
// no monotonic part.
var base = time.Now().Add(-100 * 365 * 24 * time.Hour)

// instant is in nanoseconds.
func instant(t time.Time) int64 { return int64(t.Sub(base)) }
