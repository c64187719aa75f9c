package storetest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/multidc/multidc/wanobjectcache"
)

func limits(h Harness) []test {
	tests := []test{
		{name: "a large value", run: largeValue},
		{name: "a context that has ended", run: endedContext},
		{name: "a deadline that has passed", run: passedDeadline},
	}
	if h.Caps.MaxValue > 0 {
		tests = append(tests, test{name: "a value that is too large", run: tooLarge})
	}
	return tests
}

func largeValue(t *testing.T, s *subject) {
	size := 2 << 20
	if s.h.Caps.MaxValue > 0 {
		size = s.h.Caps.MaxValue - 300
	}
	first, second := strings.Repeat("0123456789abcde", size/15), strings.Repeat("ABCDEFG", size/7)
	key := s.key("a")
	must(t, "Add", s.Add(t.Context(), key, text(first), life))
	s.expect(t, key, first)
	must(t, "CAS", s.CAS(t.Context(), key, with(second, s.token(t, key)), life))
	s.expect(t, key, second)
	must(t, "Set", s.Set(t.Context(), key, text(first), life))
	s.expect(t, key, first)
	s.remove(t, key)
}

// Nothing is sent: what was there stays, its token too.
func tooLarge(t *testing.T, s *subject) {
	key := s.key("a")
	s.set(t, key, "small")
	token := s.token(t, key)
	for _, size := range []int{s.h.Caps.MaxValue + 1, 2 * s.h.Caps.MaxValue, 2<<20 + s.h.Caps.MaxValue} {
		large := strings.Repeat("x", size)
		refused(t, "Set", s.Set(t.Context(), key, text(large), life), wanobjectcache.ErrTooLarge)
		refused(t, "CAS", s.CAS(t.Context(), key, with(large, token), life), wanobjectcache.ErrTooLarge)
		refused(t, "Add", s.Add(t.Context(), s.key("b"), text(large), life), wanobjectcache.ErrTooLarge)
		s.expect(t, key, "small")
		s.expectNone(t, s.key("b"))
	}
	must(t, "CAS", s.CAS(t.Context(), key, with("next", token), life))
}

func endedContext(t *testing.T, s *subject) {
	testEnded(t, s, context.Canceled, func(ctx context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		return ctx, cancel
	})
}

func passedDeadline(t *testing.T, s *subject) {
	testEnded(t, s, context.DeadlineExceeded, func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithDeadline(ctx, time.Now().Add(-time.Second))
	})
}

// testEnded: nothing was asked, so nothing is known to be absent; nothing was sent, so that is no unknown outcome.
func testEnded(t *testing.T, s *subject, want error, end func(context.Context) (context.Context, context.CancelFunc)) {
	t.Helper()
	ctx, cancel := end(t.Context())
	defer cancel()
	there, absent := s.key("there"), s.key("absent")
	s.set(t, there, "value")
	token := s.token(t, there)

	keys := []string{there, absent}
	out := []wanobjectcache.StoreItem{{}, {Value: []byte("old"), Found: true}}
	refused(t, "GetMulti", s.GetMulti(ctx, keys, out), want)
	for i, got := range out {
		if got.Found || len(got.Value) > 0 || !errors.Is(got.Err, wanobjectcache.ErrUnavailable) {
			t.Errorf("%s: %+v, want ErrUnavailable", keys[i], got)
		}
	}
	for what, err := range map[string]error{
		"Set": s.Set(ctx, there, text("late"), life),
		"CAS": s.CAS(ctx, there, with("late", token), life),
		"Add": s.Add(ctx, absent, text("late"), life),
	} {
		refused(t, what, err, want)
		if errors.Is(err, wanobjectcache.ErrUnknownOutcome) {
			t.Errorf("%s: got %v, yet nothing was sent", what, err)
		}
	}
	s.expect(t, there, "value")
	s.expectNone(t, absent)
	must(t, "CAS", s.CAS(t.Context(), there, with("next", token), life))
}
