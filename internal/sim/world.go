package sim

import (
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/multidc/multidc/internal/dcname"
)

// World is a set of DCs, a link in each direction between every two of them, and a clock in each.
// It is safe for concurrent use.
type World struct {
	tb    testing.TB
	seed  uint64
	dcs   []string
	links map[direction]*Link

	mu    sync.Mutex
	skew  map[string]time.Duration
	rands map[string]*rand.Rand
}

type direction struct{ from, to string }

// New makes a World of the DCs named, at fair weather: nothing is delayed or lost and all clocks agree.
// Most tests want [Run], which calls it. A bad, doubled or missing name fails the test.
func New(tb testing.TB, seed uint64, dcs ...string) *World {
	tb.Helper()
	w := &World{
		tb: tb, seed: seed, dcs: slices.Clone(dcs),
		links: map[direction]*Link{},
		skew:  map[string]time.Duration{},
		rands: map[string]*rand.Rand{},
	}
	if len(dcs) == 0 {
		tb.Fatal("sim: a world needs a DC")
	}
	for i, dc := range dcs {
		if err := dcname.Check(dc); err != nil {
			tb.Fatal("sim: ", err)
		}
		if slices.Contains(dcs[:i], dc) {
			tb.Fatalf("sim: DC %q is named twice", dc)
		}
		w.connect(dc, dcs[:i])
	}
	return w
}

func (w *World) connect(dc string, others []string) {
	for _, other := range others {
		there, back := w.newLink(dc, other), w.newLink(other, dc)
		there.reverse, back.reverse = back, there
	}
}

func (w *World) newLink(from, to string) *Link {
	l := &Link{dice: w.stream("link " + from + " " + to)}
	w.links[direction{from, to}] = l
	return l
}

// Seed returns the seed this world was made from.
func (w *World) Seed() uint64 { return w.seed }

// DCs returns the names of the DCs, in the order given.
func (w *World) DCs() []string { return slices.Clone(w.dcs) }

// Link returns the one-way link between two different DCs. An unknown pair fails the test.
func (w *World) Link(from, to string) *Link {
	w.tb.Helper()
	l := w.links[direction{from, to}]
	if l == nil {
		w.tb.Fatalf("sim: there is no link from %q to %q among the DCs %q", from, to, w.dcs)
	}
	return l
}

// Partition cuts the links between two DCs, in both directions.
func (w *World) Partition(a, b string) {
	w.tb.Helper()
	w.Link(a, b).Cut()
	w.Link(b, a).Cut()
}

// Heal ends a partition between two DCs; the weather of their links stays as it was set.
func (w *World) Heal(a, b string) {
	w.tb.Helper()
	w.Link(a, b).Heal()
	w.Link(b, a).Heal()
}

// Now is the time that the DC's clock shows: the world's time plus the DC's skew. Like a stamp read from
// shared data it has no monotonic part.
func (w *World) Now(dc string) time.Time {
	w.mustKnow(dc)
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.skew[dc]).Round(0)
}

// Clock returns Now of one DC as a function, for the Now option of the packages.
func (w *World) Clock(dc string) func() time.Time {
	w.mustKnow(dc)
	return func() time.Time { return w.Now(dc) }
}

// Skew sets how far the DC's clock is ahead of the world's (behind, if negative), from now on: a clock step.
func (w *World) Skew(dc string, ahead time.Duration) {
	w.mustKnow(dc)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.skew[dc] = ahead
}

func (w *World) mustKnow(dc string) {
	w.tb.Helper()
	if !slices.Contains(w.dcs, dc) {
		w.tb.Fatalf("sim: there is no DC %q among %q", dc, w.dcs)
	}
}

// Rand returns the random stream of that name, the same one at every call: one for each actor of a scenario,
// so that their interleaving does not change their choices. One stream is for one goroutine at a time.
func (w *World) Rand(actor string) *rand.Rand {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.rands[actor]
	if r == nil {
		r = w.stream("actor " + actor)
		w.rands[actor] = r
	}
	return r
}

// stream derives an independent random stream from the seed.
func (w *World) stream(name string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(name))
	return rand.New(rand.NewPCG(w.seed, h.Sum64())) //nolint:gosec // a seed must replay
}

// Pause sleeps a random time below most, drawn from the actor's stream: what people and networks do between
// two steps of a scenario.
func (w *World) Pause(actor string, most time.Duration) {
	time.Sleep(time.Duration(w.Rand(actor).Int64N(int64(most))))
}
