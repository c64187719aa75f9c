package breaker

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/quick"
	"time"
)

// twin is the deliberately dumb breaker: it remembers every attempt since it closed, and works in words.
type twin struct {
	state    string // closed, open, trying
	until    time.Time
	closedAt time.Time
	attempts []attempt
	wait     time.Duration // before spreading
}

type attempt struct {
	at     time.Time
	failed bool
}

func (w *twin) stateAt(now time.Time) State {
	switch {
	case w.state == "closed":
		return Closed
	case now.Before(w.until):
		return Open
	}
	return HalfOpen
}

func (w *twin) admit(now time.Time) bool {
	if w.stateAt(now) == HalfOpen {
		w.state, w.until = "trying", now.Add(2*time.Second)
		return true
	}
	return w.state == "closed"
}

func (w *twin) success(now time.Time) {
	switch w.state {
	case "closed":
		w.attempts = append(w.attempts, attempt{now, false})
	case "trying":
		*w = twin{state: "closed", closedAt: now}
	}
}

// failure returns the wait that begins; 0 if none does.
func (w *twin) failure(now time.Time) time.Duration {
	switch w.state {
	case "closed":
		w.attempts = append(w.attempts, attempt{now, true})
		if !w.threeInARow() && !w.halfFailed(now) {
			return 0
		}
		w.wait = time.Second
	case "trying":
		w.wait = min(2*w.wait, 30*time.Second)
	default:
		return 0
	}
	w.state = "open"
	return w.wait
}

func (w *twin) threeInARow() bool {
	n := len(w.attempts)
	return n >= 3 && w.attempts[n-1].failed && w.attempts[n-2].failed && w.attempts[n-3].failed
}

func (w *twin) halfFailed(now time.Time) bool {
	all, failed := 0, 0
	for _, a := range w.attempts {
		if int(now.Sub(base)/time.Second)-int(a.at.Sub(base)/time.Second) < 10 {
			all++
			if a.failed {
				failed++
			}
		}
	}
	return all >= 20 && float64(failed)/float64(all) >= 0.5
}

func (w *twin) weight(now time.Time) float64 {
	switch {
	case w.stateAt(now) == Open:
		return 0
	case w.stateAt(now) == HalfOpen:
		return 0.1
	case w.closedAt.IsZero() || now.Sub(w.closedAt) > 5*time.Second:
		return 1
	}
	return 0.1 + 0.9*now.Sub(w.closedAt).Seconds()/5
}

// Whatever happens in whatever order, both agree at every step. The twin takes the spread of a wait from the breaker,
// once that was seen to be within ±20 %.
func TestAgainstTwin(t *testing.T) {
	opened := 0 // steps
	agrees := func(seed uint64, failing uint8) bool {
		random, b, w, now := rand.New(rand.NewPCG(seed, 0)), &Breaker{}, &twin{state: "closed"}, time.Now()
		for step := range 500 {
			now = now.Add(time.Duration(random.IntN(1 + []int{0, 1e6, 1e9, 3e9}[random.IntN(4)])))
			what, same := playOne(random, failing, b, w, now)
			if !same || b.State(now) != w.stateAt(now) || !near(b.Weight(now), w.weight(now)) {
				t.Logf("seed %d, failing %d, step %d (%s): %v, twin %v; weight %v, twin %v; wait %v",
					seed, failing, step, what, b.State(now), w.stateAt(now), b.Weight(now), w.weight(now), b.RetryIn(now))
				return false
			}
			if w.state == "open" {
				opened++
			}
		}
		return true
	}
	if err := quick.Check(agrees, &quick.Config{MaxCount: 500}); err != nil {
		t.Error(err)
	}
	if opened < 1000 {
		t.Errorf("open in only %d steps: the check would be empty", opened)
	}
}

// playOne does one thing to both, and reports whether they answered alike; of 256 outcomes, failing fail.
func playOne(random *rand.Rand, failing uint8, b *Breaker, w *twin, now time.Time) (what string, same bool) {
	switch random.IntN(8) {
	case 0, 1:
		return "admit", b.Admit(now) == w.admit(now)
	case 2:
		b.Cancelled(now)
		if w.state == "trying" {
			w.state, w.until = "open", now
		}
		return "cancelled", true
	}
	if uint8(random.IntN(256)) >= failing {
		b.Success(now)
		w.success(now)
		return "success", true
	}
	b.Failure(now)
	wait := w.failure(now)
	if wait == 0 {
		return "failure", true
	}
	got := b.RetryIn(now)
	w.until = now.Add(got)
	return "opens", got >= wait*8/10-1 && got <= wait*12/10
}

func near(a, b float64) bool { return a-b < 1e-6 && b-a < 1e-6 }

// Of many who ask at the same instant one is let through, and all who report meanwhile leave a state that is one.
func TestOneIsLetThrough(t *testing.T) {
	b, now := &Breaker{}, start
	for round := range 50 {
		for b.State(now) == Closed {
			b.Failure(now)
		}
		now = now.Add(b.RetryIn(now))
		var group sync.WaitGroup
		var admitted atomic.Int32
		for range 8 {
			group.Go(func() {
				if b.Admit(now) {
					admitted.Add(1)
				}
			})
		}
		group.Wait()
		if n := admitted.Load(); n != 1 {
			t.Fatalf("round %d: %d were let through", round, n)
		}
		for range 8 {
			group.Go(func() { b.Success(now) })
			group.Go(func() { b.Weight(now) })
		}
		group.Wait()
		if b.State(now) != Closed {
			t.Fatalf("round %d: %v after the success", round, b.State(now))
		}
	}
}

// No attempt is lost when all cores count.
func TestWindowCountsAll(t *testing.T) {
	var w window
	var group sync.WaitGroup
	at := instant(start)
	for range 8 {
		group.Go(func() {
			for i := range 40_000 { // some 35,000 a second, which one word can hold
				w.add(at+int64(i%9)*int64(time.Second), i%2 == 0)
			}
		})
	}
	group.Wait()
	if failed, all := w.sum(at + int64(8*time.Second)); failed != 160_000 || all != 320_000 {
		t.Errorf("%d of %d failed, want 160000 of 320000", failed, all)
	}
}

// A full second halves its counts; the share stays.
func TestWindowOverflows(t *testing.T) {
	var w window
	for i := range 3 * most {
		w.add(instant(start), i%4 == 0)
	}
	failed, all := w.sum(instant(start))
	if all < most/2 || all > most || failed < all/4-10 || failed > all/4+10 {
		t.Errorf("%d of %d failed, want a quarter", failed, all)
	}
}
