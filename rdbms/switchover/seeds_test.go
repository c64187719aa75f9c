package switchover_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/multidc/multidc/internal/sim"
	"github.com/multidc/multidc/rdbms/switchover"
)

// flaky is one process's way to the store: slow, failing for a while, losing answers.
type flaky struct {
	*switchover.Memory

	mu   sync.Mutex
	rng  *rand.Rand
	good time.Time // when a read last began that was answered
}

// weather draws what happens to one call; the mutex is for the generator only.
func (f *flaky) weather() (before, after time.Duration, lost bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	lost = f.rng.IntN(4) == 0
	return time.Duration(f.rng.IntN(1500)) * time.Millisecond, time.Duration(f.rng.IntN(1500)) * time.Millisecond, lost
}

func (f *flaky) Load(ctx context.Context) ([]byte, string, error) {
	start := time.Now()
	before, after, lost := f.weather()
	if err := travel(ctx, before); err != nil || lost {
		return nil, "", errors.Join(errDown, err)
	}
	raw, rev, err := f.Memory.Load(ctx)
	if late := travel(ctx, after); err != nil || late != nil {
		return nil, "", errors.Join(err, late)
	}
	f.mu.Lock()
	f.good = start
	f.mu.Unlock()
	return raw, rev, nil
}

func (f *flaky) CompareAndSwap(ctx context.Context, raw []byte, rev string) (string, error) {
	start := time.Now()
	before, after, lost := f.weather()
	if err := travel(ctx, before); err != nil {
		return "", err // it had not left
	}
	newRev, err := f.Memory.CompareAndSwap(context.WithoutCancel(ctx), raw, rev)
	if late := travel(ctx, after); late != nil || lost {
		return "", errors.Join(switchover.ErrUnknownOutcome, late)
	}
	if err == nil {
		f.mu.Lock()
		f.good = start
		f.mu.Unlock()
	}
	return newRev, err
}

func (f *flaky) lastGood() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.good
}

func travel(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// world is what the processes of one seed have seen together.
type world struct {
	mu      sync.Mutex
	primary map[uint64]string // by its epoch
}

// Two processes in each DC, an operator in each, a store that all of them reach badly and for a while not at
// all: no process ever sees an epoch fall, one epoch has one primary everywhere, and whoever was not answered
// for MaxStale takes no writes.
func TestSeeds(t *testing.T) {
	sim.Run(t, []string{"a", "b"}, func(t *testing.T, w *sim.World) {
		m := switchover.NewMemory(twoDCs())
		seen := &world{primary: map[uint64]string{}}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		var all sync.WaitGroup
		for i := range 4 {
			dc := []string{"a", "b"}[i%2]
			store := &flaky{Memory: m, rng: w.Rand(fmt.Sprint("store", i))}
			s := newState(t, store, &switchover.Options{DC: dc})
			all.Go(func() {
				if err := s.Run(ctx); err != nil {
					t.Error(err)
				}
			})
			all.Go(func() { observe(ctx, t, s, store, seen) })
			if i < 2 {
				all.Go(func() { operate(ctx, t, s, w.Rand("operator"+dc)) })
			}
		}
		outages := w.Rand("outages")
		for range 2 {
			_ = travel(ctx, time.Duration(outages.IntN(50))*time.Second)
			m.Fail(errDown)
			_ = travel(ctx, time.Duration(outages.IntN(50))*time.Second)
			m.Fail(nil)
		}
		all.Wait()
		if len(seen.primary) == 0 {
			t.Error("no process ever loaded the state: this seed proves nothing")
		}
	})
}

func observe(ctx context.Context, t *testing.T, s *switchover.State, store *flaky, seen *world) {
	t.Helper()
	var highest uint64
	for travel(ctx, 310*time.Millisecond) == nil {
		dc, epoch, err := s.Primary(ctx)
		if dc == "" {
			continue
		}
		if epoch < highest {
			t.Errorf("epoch fell from %d to %d", highest, epoch)
		}
		highest = epoch
		seen.see(t, dc, epoch)
		quiet := time.Since(store.lastGood())
		if fenced := errors.Is(err, switchover.ErrStale); quiet > 30*time.Second && !fenced {
			t.Errorf("not answered for %v, and takes writes", quiet)
		}
	}
}

func (seen *world) see(t *testing.T, dc string, epoch uint64) {
	t.Helper()
	seen.mu.Lock()
	defer seen.mu.Unlock()
	if other := seen.primary[epoch]; other != "" && other != dc {
		t.Errorf("epoch %d has two primaries, %s and %s", epoch, other, dc)
	}
	seen.primary[epoch] = dc
}

// operate moves the primary, or makes something read-only, and checks what it is told of it.
func operate(ctx context.Context, t *testing.T, s *switchover.State, rng *rand.Rand) {
	t.Helper()
	for travel(ctx, time.Duration(rng.IntN(20))*time.Second) == nil {
		to, move := []string{"a", "b"}[rng.IntN(2)], rng.IntN(2) == 0
		doc, err := s.Update(ctx, func(d *switchover.Doc) error {
			if move {
				d.Primary = to
				return nil
			}
			d.Sections = map[string]string{"s4": fmt.Sprint("reason ", rng.IntN(3))}
			return nil
		})
		if err == nil && move && doc.Primary != to {
			t.Errorf("Update to %s returned a document of %s", to, doc.Primary)
		}
		if current, _, _ := s.Current(); err == nil && current.Epoch < doc.Epoch {
			t.Errorf("Update wrote epoch %d, the state holds %d", doc.Epoch, current.Epoch)
		}
	}
}
