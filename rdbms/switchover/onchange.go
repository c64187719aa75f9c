package switchover

import (
	"context"
	"sync/atomic"
)

// subscriber is one function given to OnChange. What it is told next is the view at that moment: the slot for
// what is pending is State.view itself.
type subscriber struct {
	call    func(old, now Doc)
	wake    chan struct{}
	stopped atomic.Bool
	told    *view // what it was told last; nil = nothing. Only one goroutine at a time serves it
}

// OnChange has call told of every document that differs from the one before, the first time with the one that
// was loaded and a zero old one. It is called while Run runs, in order, never concurrently with itself; what
// comes while it works is merged: the next call gets the latest document, and as old the one it was told last.
// So a slow function delays neither readers nor other functions, but the end of Run.
// After stop no new call begins, but one may be under way.
func (s *State) OnChange(call func(old, now Doc)) (stop func()) {
	sub := &subscriber{call: call, wake: make(chan struct{}, 1)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subs[sub] = struct{}{}
	if s.runs != nil && !s.runs.ending {
		run := s.runs
		run.Go(func() { sub.serve(run.ctx, s) })
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		sub.stopped.Store(true)
		delete(s.subs, sub)
		hint(sub.wake)
	}
}

func (s *State) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for sub := range s.subs {
		hint(sub.wake)
	}
}

func (sub *subscriber) serve(ctx context.Context, s *State) {
	for ctx.Err() == nil && !sub.stopped.Load() {
		now := s.view.Load()
		if now != nil && (sub.told == nil || sub.told.canonical != now.canonical) {
			sub.tell(now)
			continue
		}
		select {
		case <-ctx.Done():
		case <-sub.wake:
		}
	}
}

func (sub *subscriber) tell(now *view) {
	var old Doc
	if sub.told != nil {
		old = sub.told.doc.clone()
	}
	sub.told = now
	sub.call(old, now.doc.clone())
}
