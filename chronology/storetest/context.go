package storetest

import (
	"context"
	"errors"
	"testing"
	"time"
)

func contexts() []test {
	return []test{
		{name: "cancelled", run: contextCancelled},
		{name: "a deadline that has passed", run: contextPassed},
		{name: "cancelled by fn", run: contextCancelledByFn},
	}
}

func contextCancelled(t *testing.T, s *subject) {
	testEnded(t, s, context.Canceled, func(ctx context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		return ctx, cancel
	})
}

func contextPassed(t *testing.T, s *subject) {
	testEnded(t, s, context.DeadlineExceeded, func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithDeadline(ctx, time.Now().Add(-time.Second))
	})
}

// testEnded: nothing was asked, so nothing is known to be missing; and nothing is written.
func testEnded(t *testing.T, s *subject, want error, end func(context.Context) (context.Context, context.CancelFunc)) {
	t.Helper()
	ctx, cancel := end(t.Context())
	defer cancel()
	there, absent := s.key("there"), s.key("absent")
	s.put(t, there, "value", life)
	for _, key := range []string{there, absent} {
		if value, ok, err := s.Get(ctx, key); !errors.Is(err, want) || ok || len(value) > 0 {
			t.Errorf("Get: got %s, %t, %v, want %v", brief(value), ok, err, want)
		}
		err := s.Update(ctx, key, life, func([]byte) ([]byte, error) { return []byte("late"), nil })
		if !errors.Is(err, want) {
			t.Errorf("Update: got %v, want %v", err, want)
		}
	}
	s.expect(t, there, "value")
	s.expectNone(t, absent)
}

// An Update that is told as done is done, even if its context has ended meanwhile.
func contextCancelledByFn(t *testing.T, s *subject) {
	for _, name := range []string{"over nothing", "over something"} {
		key := s.key(name)
		if name == "over something" {
			s.put(t, key, "value", life)
		}
		ctx, cancel := context.WithCancel(t.Context())
		err := s.Update(ctx, key, life, func([]byte) ([]byte, error) {
			cancel()
			return []byte("new"), nil
		})
		cancel()
		if got, ok := s.get(t, key); err == nil && (!ok || string(got) != "new") {
			t.Errorf("Update returned nil; then Get: ok is %t and the value %s, want new", ok, brief(got))
		}
	}
}
