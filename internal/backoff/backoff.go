// Package backoff computes how long to wait before the next try of something that failed.
package backoff

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// Policy says how waits grow: First, then twice as long each time, up to Max, each spread by Spread, so that
// many processes that failed together do not come back together.
// The zero Policy never waits; a Policy is a value and safe for concurrent use.
type Policy struct {
	First  time.Duration // the wait after the first failure
	Max    time.Duration // no wait before spreading is longer; 0 = First
	Spread float64       // each wait is drawn evenly from ±Spread of itself; 0.2 is ±20 %, at most 1
}

// Wait returns the wait after so many failures in a row: 1 gives about First, 2 about twice that.
// failures below 1 count as 1.
func (p Policy) Wait(failures int) time.Duration {
	return p.spread(p.base(failures), rand.Float64()) //nolint:gosec // it parts crowds, and guards no secret
}

func (p Policy) base(failures int) time.Duration {
	wait, most := p.First, max(p.Max, p.First)
	for ; failures > 1 && 0 < wait && wait < most; failures-- {
		if wait > most/2 { // doubling would pass Max, or overflow
			return most
		}
		wait *= 2
	}
	return wait
}

// spread maps u in [0, 1) onto wait ± Spread.
func (p Policy) spread(wait time.Duration, u float64) time.Duration {
	return wait + time.Duration(p.Spread*(2*u-1)*float64(wait))
}

// Sleep waits as Wait says, or until ctx ends, and then returns the context's cause.
func (p Policy) Sleep(ctx context.Context, failures int) error {
	t := time.NewTimer(p.Wait(failures))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("backing off: %w", context.Cause(ctx))
	case <-t.C:
		return nil
	}
}
