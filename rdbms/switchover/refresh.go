package switchover

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// flight is one fetch, which several callers may wait for.
type flight struct {
	done      chan struct{}
	err       error
	abandoned bool // the caller that led it went away: its failure says nothing to the others
}

// Refresh reads the document now, or joins the read that is under way. ErrUnavailable: the store could not be
// read; ErrNotFound: it has no document; ErrInvalid: it has one that may not be held. Whatever was held before
// stays then.
func (s *State) Refresh(ctx context.Context) error { return s.refresh(ctx, false) }

// refresh with anew set is not content with a read that began before the call: a hint may be younger.
func (s *State) refresh(ctx context.Context, anew bool) error {
	for {
		s.mu.Lock()
		f := s.flight
		if f == nil {
			f = &flight{done: make(chan struct{}), abandoned: true}
			s.flight = f
			s.mu.Unlock()
			return s.lead(ctx, f)
		}
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			return fmt.Errorf("switchover: waiting for a read of the state: %w", context.Cause(ctx))
		case <-f.done:
		}
		if !anew && !f.abandoned {
			return f.err
		}
		anew = false // the next one began after the call
	}
}

// lead does the fetch in the caller's own goroutine. If the caller goes away another one leads anew.
func (s *State) lead(ctx context.Context, f *flight) error {
	defer func() { // also when the store panics
		s.mu.Lock()
		s.flight = nil
		s.mu.Unlock()
		close(f.done)
	}()
	if err := s.talk(ctx); err != nil {
		return err
	}
	defer s.hush()
	_, _, err := s.load(ctx)
	f.err, f.abandoned = err, err != nil && ctx.Err() != nil
	return err
}

// talk waits until nobody else of this State talks to the store, so that no read that began before a write is
// taken for newer than it.
func (s *State) talk(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return fmt.Errorf("switchover: waiting for the store: %w", context.Cause(ctx))
	case s.talking <- struct{}{}:
		return nil
	}
}

func (s *State) hush() { <-s.talking }

// load reads the document, holds it if it may be held, and returns what is held then and the revision.
func (s *State) load(ctx context.Context) (v *view, rev string, err error) {
	timed, cancel := context.WithTimeout(ctx, s.opts.FetchTimeout)
	defer cancel()
	start := time.Now()
	raw, rev, err := s.store.Load(timed)
	switch {
	case errors.Is(err, ErrNotFound):
		err = fmt.Errorf("switchover: reading the state: %w", err)
	case err != nil:
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if err == nil || errors.Is(err, ErrNotFound) {
		s.saw(rev)
	}
	if err == nil {
		v, err = s.accept(ctx, raw, start)
	}
	if ctx.Err() == nil { // else the caller failed, not the store
		s.note(ctx, err)
	}
	return v, rev, err
}

// accept holds the document, read at start, if it is valid after the one held before.
func (s *State) accept(ctx context.Context, raw []byte, start time.Time) (*view, error) {
	held := s.view.Load()
	if held != nil && held.raw == string(raw) {
		next := held.confirmed(start)
		s.hold(ctx, held, next)
		return next, nil
	}
	doc, err := Parse(raw)
	if err == nil && held != nil {
		err = doc.Validate(&held.doc)
	}
	if err != nil {
		if s.opts.Events.OnRejected != nil {
			s.opts.Events.OnRejected(ctx, RejectInfo{Err: err})
		}
		return nil, err
	}
	next := newView(doc, raw, start)
	s.hold(ctx, held, next)
	return next, nil
}

// hold makes next what requests see, and tells whom it concerns.
func (s *State) hold(ctx context.Context, held, next *view) {
	s.tellFence(ctx) // it may have tripped with nobody looking
	s.view.Store(next)
	if held == nil || held.doc.Epoch != next.doc.Epoch {
		s.signal()
	}
	s.tellFence(ctx)
	if held == nil || held.canonical != next.canonical {
		s.tellChange(ctx, held, next)
	}
	hint(s.renewed)
}

func (s *State) tellChange(ctx context.Context, held, next *view) {
	s.opts.Logger.InfoContext(ctx, "switchover: state changed", "epoch", next.doc.Epoch, "primary", next.doc.Primary, "by", next.doc.Updated.By)
	s.wake()
	if s.opts.Events.OnChanged == nil {
		return
	}
	info := ChangeInfo{New: next.doc.clone()}
	if held != nil {
		info.Old = held.doc.clone()
	}
	s.opts.Events.OnChanged(ctx, info)
}

// tellFence tells of the fence if it is not as it was last told.
func (s *State) tellFence(ctx context.Context) {
	s.telling.Lock()
	defer s.telling.Unlock()
	v := s.view.Load()
	if v == nil || s.isStale(v) == s.fenced {
		return
	}
	s.fenced = !s.fenced
	s.signal()
	info := FenceInfo{Fenced: s.fenced, Age: time.Since(v.readAt)}
	if s.fenced {
		info.Cause = s.lastError()
		s.opts.Logger.WarnContext(ctx, "switchover: state is stale, writes are refused", "age", info.Age, "error", info.Cause)
	} else {
		s.opts.Logger.InfoContext(ctx, "switchover: state was read again, writes are allowed again")
	}
	if s.opts.Events.OnFenced != nil {
		s.opts.Events.OnFenced(ctx, info)
	}
}

func (s *State) saw(rev string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = rev
}

// note remembers how the last read ended, and logs each new kind of failure once.
func (s *State) note(ctx context.Context, err error) {
	s.mu.Lock()
	before := s.lastErr
	s.lastErr, s.lastAt = err, time.Now()
	s.mu.Unlock()
	switch {
	case err != nil && (before == nil || before.Error() != err.Error()):
		s.opts.Logger.WarnContext(ctx, "switchover: state not read", "error", err)
	case err == nil && before != nil:
		s.opts.Logger.InfoContext(ctx, "switchover: state is read again")
	}
}

func (s *State) lastError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lastErr
}
