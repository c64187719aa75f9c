package backoff

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/quick"
	"testing/synctest"
	"time"
)

func TestWaitDoublesUpToMax(t *testing.T) {
	p := Policy{First: time.Second, Max: 30 * time.Second}
	for failures, want := range map[int]time.Duration{
		-1: time.Second, 0: time.Second, 1: time.Second,
		2: 2 * time.Second, 3: 4 * time.Second, 5: 16 * time.Second,
		6: 30 * time.Second, 7: 30 * time.Second, math.MaxInt: 30 * time.Second,
	} {
		if got := p.Wait(failures); got != want {
			t.Errorf("Wait(%d) = %v, want %v", failures, got, want)
		}
	}
}

func TestWaitEdges(t *testing.T) {
	for _, tc := range []struct {
		name     string
		p        Policy
		failures int
		want     time.Duration
	}{
		{"the zero policy never waits", Policy{}, math.MaxInt, 0},
		{"no Max: always First", Policy{First: time.Second}, 9, time.Second},
		{"a Max below First counts as First", Policy{First: time.Second, Max: time.Millisecond}, 9, time.Second},
		{"doubling does not overflow", Policy{First: 3, Max: math.MaxInt64}, 1000, math.MaxInt64},
	} {
		if got := tc.p.Wait(tc.failures); got != tc.want {
			t.Errorf("%s: got %v, want %v", tc.name, got, tc.want)
		}
	}
}

// The dumb twin multiplies in floating point; bounds and growth hold for any policy.
func TestBaseAgainstTwin(t *testing.T) {
	agrees := func(first, most uint32, failures uint8) bool {
		p := Policy{First: time.Duration(first), Max: time.Duration(most)}
		n := max(int(failures), 1)
		twin := math.Min(float64(first)*math.Pow(2, float64(n-1)), float64(max(first, most)))
		return float64(p.base(n)) == twin
	}
	if err := quick.Check(agrees, nil); err != nil {
		t.Error(err)
	}
}

func TestSpreadStaysInside(t *testing.T) {
	p := Policy{First: time.Second, Max: time.Second, Spread: 0.2}
	if low, high := p.spread(time.Second, 0), p.spread(time.Second, 1); low != 800*time.Millisecond || high != 1200*time.Millisecond {
		t.Errorf("spread of 1 s by 0.2 is [%v, %v], want [800ms, 1.2s]", low, high)
	}
	seen := map[time.Duration]bool{}
	for range 100 {
		wait := p.Wait(1)
		seen[wait] = true
		if wait < 800*time.Millisecond || wait > 1200*time.Millisecond {
			t.Fatalf("wait %v is outside ±20 %% of 1 s", wait)
		}
	}
	if len(seen) < 50 {
		t.Errorf("100 waits took only %d values: processes would come back together", len(seen))
	}
}

func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, start := Policy{First: time.Second, Max: time.Minute}, time.Now()
		if err := p.Sleep(t.Context(), 3); err != nil || time.Since(start) != 4*time.Second {
			t.Errorf("Sleep = %v after %v, want nil after 4s", err, time.Since(start))
		}
		gone := errors.New("the caller went away")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(gone) })
		start = time.Now()
		if err := p.Sleep(ctx, 9); !errors.Is(err, gone) || time.Since(start) != time.Second {
			t.Errorf("Sleep = %v after %v, want the cause after 1s", err, time.Since(start))
		}
	})
}
