package sim_test

import (
	"sync"
	"testing"
	"time"

	"github.com/multidc/multidc/internal/sim"
)

// version and register are the smallest thing that must converge: the last write wins, by clock and then by DC.
type version struct {
	at    time.Time
	dc    string
	value int
}

type register struct {
	mu sync.Mutex
	v  version
}

func (r *register) merge(v version) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if v.at.After(r.v.at) || v.at.Equal(r.v.at) && v.dc > r.v.dc {
		r.v = v
	}
}

func (r *register) get() version {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.v
}

// The test that the package comment shows.
func TestLastWriteWins(t *testing.T) {
	sim.Run(t, []string{"a", "b"}, func(t *testing.T, w *sim.World) {
		w.Skew("b", 3*time.Second) // the clocks disagree, and messages overtake each other
		w.Link("a", "b").Set(sim.Weather{Delay: 80 * time.Millisecond, Jitter: 200 * time.Millisecond})
		a, b := &register{}, &register{}
		var writers sync.WaitGroup
		write := func(dc string, own, other *register, link *sim.Link) {
			for i := range 10 {
				w.Pause(dc, time.Second)
				v := version{at: w.Now(dc), dc: dc, value: i}
				own.merge(v)
				link.Send(func() { other.merge(v) })
			}
		}
		writers.Go(func() { write("a", a, b, w.Link("a", "b")) })
		writers.Go(func() { write("b", b, a, w.Link("b", "a")) })
		writers.Wait()
		time.Sleep(time.Minute) // all messages have arrived
		if a.get() != b.get() {
			t.Errorf("diverged: a has %v, b has %v", a.get(), b.get())
		}
	})
}

// A simulation that cannot find the bug is worth nothing: without the DC's name as the tie-break, and with
// clocks so coarse that ties happen, some of the seeds must diverge.
func TestFindsWhatTheTieBreakIsFor(t *testing.T) {
	diverged := 0
	sim.Run(t, []string{"a", "b"}, func(t *testing.T, w *sim.World) {
		var mu sync.Mutex
		has := map[string]version{}
		merge := func(in string, v version) {
			mu.Lock()
			defer mu.Unlock()
			if !v.at.Before(has[in].at) { // who comes last wins a tie
				has[in] = v
			}
		}
		var writers sync.WaitGroup
		for _, way := range [][2]string{{"a", "b"}, {"b", "a"}} {
			w.Link(way[0], way[1]).Set(sim.Weather{Delay: 10 * time.Millisecond})
			writers.Go(func() {
				w.Pause(way[0], 4*time.Second)
				v := version{at: w.Now(way[0]).Truncate(time.Second), dc: way[0]}
				merge(way[0], v)
				w.Link(way[0], way[1]).Send(func() { merge(way[1], v) })
			})
		}
		writers.Wait()
		time.Sleep(time.Second)
		mu.Lock()
		defer mu.Unlock()
		if has["a"] != has["b"] {
			diverged++
		}
	})
	if diverged == 0 {
		t.Error("no seed showed the missing tie-break")
	}
}
