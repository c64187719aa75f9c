package rdbms

import (
	"sync"
	"sync/atomic"
	"time"
)

// budget is the token bucket of the reads that go to the primary without having asked for it: a share of the recent
// reads of this process, at least one a second, two seconds' worth at once. A primary that took all the reads of its
// lost replicas would fall too.
type budget struct {
	begun time.Time // what seconds are counted from
	share float64   // negative = none

	seconds [budgetWindow + 1]readCount // a ring

	mu     sync.Mutex
	tokens float64
	last   time.Time
}

// budgetWindow is over how many seconds the rate of reads is averaged.
const budgetWindow = 10

type readCount struct{ second, reads atomic.Int64 }

// read counts one. It is on the way of every read, so it takes no lock; a count lost between two goroutines that begin
// the same second does not matter.
func (b *budget) read(now time.Time) {
	second := b.second(now)
	at := &b.seconds[second%int64(len(b.seconds))]
	if old := at.second.Load(); old != second && at.second.CompareAndSwap(old, second) {
		at.reads.Store(0)
	}
	at.reads.Add(1)
}

// take reports whether one more read may go to the primary.
func (b *budget) take(now time.Time) bool {
	if b.share < 0 {
		return false
	}
	refill := max(1, b.share*b.rate(now))
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.last.IsZero():
		b.tokens, b.last = refill, now
	case now.After(b.last): // who has waited comes with an older time: the same second must not fill it twice
		b.tokens += refill * now.Sub(b.last).Seconds()
		b.last = now
	}
	b.tokens = min(b.tokens, 2*refill)
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// rate is the reads per second of the last full seconds.
func (b *budget) rate(now time.Time) float64 {
	var sum int64
	second := b.second(now)
	for i := range b.seconds {
		if at := b.seconds[i].second.Load(); second-budgetWindow <= at && at < second {
			sum += b.seconds[i].reads.Load()
		}
	}
	return float64(sum) / budgetWindow
}

// second counts by the monotonic clock, from 1.
func (b *budget) second(now time.Time) int64 { return int64(max(0, now.Sub(b.begun))/time.Second) + 1 }
