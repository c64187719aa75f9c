package switchover

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/multidc/multidc/internal/backoff"
)

// hintGap is the least time from one read for a hint to the next.
const hintGap = 100 * time.Millisecond

// children are the goroutines of one Run.
type children struct {
	sync.WaitGroup

	ctx    context.Context //nolint:containedctx // it is the life of the Run that they belong to
	ending bool            // no more may be added
}

// Run keeps the state fresh: it reads at once, then every Options.Poll and whenever the store's watch says so,
// sooner after a failure; trips the fence on time; calls the functions given to OnChange. It returns nil when
// ctx has ended and those functions have returned, and an error only if another Run is under way.
func (s *State) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer s.end(c, cancel)
	c.Go(func() { s.guardFence(ctx) })
	if s.watcher != nil {
		c.Go(func() { s.watch(ctx) })
	}
	s.poll(ctx)
	return nil
}

func (s *State) begin(ctx context.Context) (*children, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.runs != nil {
		return nil, errors.New("switchover: this State is run already: one Run is enough for all its users")
	}
	s.runs = &children{ctx: ctx}
	for sub := range s.subs {
		s.runs.Go(func() { sub.serve(ctx, s) })
	}
	return s.runs, nil
}

func (s *State) end(c *children, cancel func()) {
	s.mu.Lock()
	c.ending = true
	s.mu.Unlock()
	cancel()
	c.Wait()
	s.mu.Lock()
	s.runs = nil
	s.mu.Unlock()
}

// retry is how soon a failed read, and a lost watch, are tried again.
func (s *State) retry() backoff.Policy {
	return backoff.Policy{First: s.opts.Poll / 20, Max: s.opts.Poll, Spread: 0.1}
}

func (s *State) poll(ctx context.Context) {
	for failures := 0; ; {
		wait := s.opts.Poll - time.Duration(rand.Float64()*float64(s.opts.Poll)/10) //nolint:gosec // it parts crowds
		if err := s.refresh(ctx, false); err == nil {
			failures = 0
		} else {
			failures++
			wait = min(wait, s.retry().Wait(failures))
		}
		if !pause(ctx, wait) {
			return
		}
	}
}

// watch keeps a watch open. Each new one begins at the revision read last, so nothing is missed in between.
func (s *State) watch(ctx context.Context) {
	for failures := 1; ; failures++ {
		opened := time.Now()
		s.follow(ctx)
		if time.Since(opened) > s.opts.Poll {
			failures = 1
		}
		if s.retry().Sleep(ctx, failures) != nil {
			return
		}
	}
}

// follow reads at each hint, until the watch is lost or the store cannot be read.
func (s *State) follow(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	hints, err := s.watcher.Watch(ctx, s.lastSeen())
	if err != nil {
		cancel()
		return
	}
	defer func() { // the watcher has ended when this returns
		cancel()
		for range hints {
		}
	}()
	for range hints {
		if err := s.refresh(ctx, true); errors.Is(err, ErrUnavailable) {
			return // the hint is not spent: the next watch gives it again
		}
		if !pause(ctx, hintGap) {
			return
		}
	}
}

func (s *State) lastSeen() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

// guardFence tells of the fence at the moment it trips.
func (s *State) guardFence(ctx context.Context) {
	for {
		var trips <-chan time.Time // nil, so never, while there is nothing to trip
		if v := s.view.Load(); v != nil && s.opts.MaxStale > 0 && !s.isStale(v) {
			trips = time.After(s.opts.MaxStale - time.Since(v.readAt) + 1)
		}
		select {
		case <-ctx.Done():
			return
		case <-s.renewed:
		case <-trips:
		}
		s.tellFence(ctx)
	}
}

// pause waits, and tells whether ctx is still alive.
func pause(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
