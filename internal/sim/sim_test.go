package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// inBubble plays a scenario in fair weather between a and b.
func inBubble(t *testing.T, f func(t *testing.T, w *World, there *Link)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := New(t, 1, "a", "b")
		f(t, w, w.Link("a", "b"))
	})
}

// log is what arrived, in order.
type log[T any] struct {
	mu  sync.Mutex
	got []T
}

func (l *log[T]) add(v T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.got = append(l.got, v)
}

func (l *log[T]) all() []T {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.got)
}

func TestSendTakesTheDelay(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *World, there *Link) {
		there.Set(Weather{Delay: time.Second})
		start, arrived := time.Now(), make(chan time.Duration, 1)
		there.Send(func() { arrived <- time.Since(start) })
		if took := <-arrived; took != time.Second {
			t.Errorf("the message took %v, want 1s", took)
		}
	})
}

func TestOrderIsKeptWithoutJitterOnly(t *testing.T) {
	arrivals := func(weather Weather) []int {
		var got log[int]
		inBubble(t, func(_ *testing.T, _ *World, there *Link) {
			there.Set(weather)
			for i := range 100 {
				there.Send(func() { got.add(i) })
			}
			time.Sleep(time.Minute)
		})
		return got.all()
	}
	if got := arrivals(Weather{Delay: time.Second}); len(got) != 100 || !slices.IsSorted(got) {
		t.Errorf("without jitter 100 messages arrived as %v, want 0 to 99 in order", got)
	}
	if got := arrivals(Weather{Delay: time.Second, Jitter: time.Second}); len(got) != 100 || slices.IsSorted(got) {
		t.Errorf("with jitter 100 messages arrived as %v, want all, and some overtaken", got)
	}
}

func TestLossIsAShare(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *World, there *Link) {
		there.Set(Weather{Loss: 0.25})
		var got atomic.Int32
		for range 1000 {
			there.Send(func() { got.Add(1) })
		}
		time.Sleep(time.Second)
		if n := got.Load(); n < 690 || n > 810 {
			t.Errorf("of 1,000 messages at a loss of 0.25 arrived %d, want about 750", n)
		}
	})
}

func TestACutLosesWhatIsOnTheWay(t *testing.T) {
	inBubble(t, func(t *testing.T, w *World, there *Link) {
		there.Set(Weather{Delay: time.Second})
		var got log[string]
		send := func(s string) { there.Send(func() { got.add(s) }) }
		send("before, arrives in time")
		time.Sleep(1500 * time.Millisecond)
		send("on the way at the cut")
		time.Sleep(500 * time.Millisecond)
		w.Partition("a", "b")
		send("during the cut")
		time.Sleep(100 * time.Millisecond)
		w.Heal("a", "b")
		send("after the heal")
		time.Sleep(time.Minute)
		if want := []string{"before, arrives in time", "after the heal"}; !slices.Equal(got.all(), want) {
			t.Errorf("arrived: %q, want %q", got.all(), want)
		}
	})
}

func TestCall(t *testing.T) {
	mine := errors.New("the handler's own")
	never := func() error { panic("must not run") }
	for _, tc := range []struct {
		name     string
		prepare  func(w *World)
		deadline time.Duration
		handle   func() error
		want     []error
		took     time.Duration
	}{
		{"there and back", func(*World) {}, 0, func() error { return nil }, []error{nil}, 3 * time.Second},
		{"the handler's error comes back", func(*World) {}, 0, func() error { return mine }, []error{mine}, 3 * time.Second},
		{"a cut is told at once", func(w *World) { w.Partition("a", "b") }, 0, never, []error{ErrCut}, 0},
		{"a lost request", func(w *World) { w.Link("a", "b").Set(Weather{Loss: 1}) }, 0, never,
			[]error{ErrNoAnswer}, 30 * time.Second},
		{"a lost answer, the caller's deadline", func(w *World) { w.Link("b", "a").Set(Weather{Loss: 1}) }, 5 * time.Second,
			func() error { return nil }, []error{ErrNoAnswer, context.DeadlineExceeded}, 5 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *World, there *Link) {
				there.Set(Weather{Delay: time.Second})
				w.Link("b", "a").Set(Weather{Delay: 2 * time.Second})
				tc.prepare(w)
				ctx := t.Context()
				if tc.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tc.deadline)
					defer cancel()
				}
				start := time.Now()
				err := there.Call(ctx, tc.handle)
				for _, want := range tc.want {
					if !errors.Is(err, want) {
						t.Errorf("Call = %v, want %v", err, want)
					}
				}
				if took := time.Since(start); took != tc.took {
					t.Errorf("Call took %v, want %v", took, tc.took)
				}
			})
		})
	}
}

func TestCallWithAnEndedContextSendsNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *World, there *Link) {
		gone := errors.New("gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(gone)
		err := there.Call(ctx, func() error { t.Error("it ran"); return nil })
		if !errors.Is(err, gone) || errors.Is(err, ErrNoAnswer) {
			t.Errorf("Call = %v, want only the context's cause: the outcome is known", err)
		}
		time.Sleep(time.Minute)
	})
}

func TestSkew(t *testing.T) {
	inBubble(t, func(t *testing.T, w *World, _ *Link) {
		clock := w.Clock("b")
		w.Skew("b", -time.Hour)
		if got := w.Now("a").Sub(clock()); got != time.Hour {
			t.Errorf("a is ahead of b by %v, want 1h", got)
		}
		before := clock()
		w.Skew("b", time.Hour)
		time.Sleep(time.Second)
		if got := clock().Sub(before); got != 2*time.Hour+time.Second {
			t.Errorf("b's clock went on by %v over a step of 2 h and a second, want 2h0m1s", got)
		}
	})
}

// The same seed gives the same dice, whatever order the links are used in; another seed gives others.
func TestSeedsReplay(t *testing.T) {
	throw := func(seed uint64, order ...string) string {
		w := New(t, seed, "a", "b", "c")
		got := map[string][]float64{}
		for _, to := range order {
			got[to] = append(got[to], w.Link("a", to).dice.Float64())
		}
		return fmt.Sprint(got, w.Rand("x").Uint64())
	}
	one, again, other := throw(7, "b", "b", "c"), throw(7, "b", "c", "b"), throw(8, "b", "b", "c")
	if one != again {
		t.Errorf("seed 7 threw %s, then %s", one, again)
	}
	if one == other {
		t.Error("seeds 7 and 8 threw the same dice")
	}
}

func TestRandKeepsItsStream(t *testing.T) {
	w := New(t, 3, "a")
	twin := rand.New(rand.NewPCG(0, 0))
	*twin = *New(t, 3, "a").Rand("client")
	for i := range 3 {
		w.Rand("somebody else").Uint64()
		if got, want := w.Rand("client").Uint64(), twin.Uint64(); got != want {
			t.Errorf("draw %d of the stream is %d, want %d", i, got, want)
		}
	}
}

func TestSeedsFromTheEnvironment(t *testing.T) {
	for _, tc := range []struct {
		seed, seeds string
		first, last uint64
		why         string
	}{
		{"", "", 1, defaultSeeds, ""},
		{"", "10000", 1, 10000, ""},
		{"42", "10000", 42, 42, ""},
		{"18446744073709551615", "", 1<<64 - 1, 1<<64 - 1, ""},
		{"x", "", 0, 0, "is not a seed"},
		{"", "0", 0, 0, "how many seeds"},
		{"", "-1", 0, 0, "how many seeds"},
	} {
		env := map[string]string{seedVar: tc.seed, seedsVar: tc.seeds}
		first, last, err := seeds(func(name string) string { return env[name] })
		if first != tc.first || last != tc.last || (err == nil) != (tc.why == "") {
			t.Errorf("%s=%q %s=%q: %d to %d, %v", seedVar, tc.seed, seedsVar, tc.seeds, first, last, err)
		}
		if err != nil && !strings.Contains(err.Error(), tc.why) {
			t.Errorf("error %v does not say %q", err, tc.why)
		}
	}
}
