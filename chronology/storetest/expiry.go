package storetest

import (
	"errors"
	"testing"
	"time"
)

func expiries() []test {
	return []test{
		{name: "expired", run: expired, waits: true},
		{name: "expired and not read", run: expiredUnread, waits: true},
		{name: "an update replaces the time", run: expireRenewed, waits: true},
	}
}

const (
	short = 2 * time.Second
	// certain is how much of short even a clock has that ticks once a second.
	certain = time.Second
)

// What has expired is as if it had never been there.
func expired(t *testing.T, s *subject) {
	first, second, fraction, stays := s.key("over nothing"), s.key("over something"), s.key("a fraction of a second"), s.key("stays")
	s.put(t, stays, "value", life)
	s.put(t, second, "before", life)
	for _, key := range []string{first, second} {
		written := time.Now()
		s.put(t, key, "value", short)
		got, ok := s.get(t, key)
		if passed := time.Since(written); (!ok || string(got) != "value") && passed < certain {
			t.Errorf("with a TTL of %v: ok is %t and the value %s after %v", short, ok, brief(got), passed)
		}
	}
	s.put(t, fraction, "value", 100*time.Millisecond)

	for _, key := range []string{first, second, fraction} {
		eventually(t, "a value expires", func() bool { _, ok := s.get(t, key); return !ok })
		s.expectNone(t, key)
		s.put(t, key, "new", life)
		s.expect(t, key, "new")
	}
	s.expect(t, stays, "value")
}

// That does not need a Get which finds it expired.
func expiredUnread(t *testing.T, s *subject) {
	key := s.key("a")
	s.put(t, key, "value", short)
	eventually(t, "fn is no longer given what has expired", func() bool { return s.seen(t, key) == nil })
	s.expectNone(t, key)
}

// The last Update that wrote decides, whichever time is the longer one.
func expireRenewed(t *testing.T, s *subject) {
	longer, shorter, leftLong, leftShort := s.key("longer"), s.key("shorter"), s.key("left long"), s.key("left short")
	leave := func(key string, ttl time.Duration) {
		if err := s.Update(t.Context(), key, ttl, func([]byte) ([]byte, error) { return []byte("late"), errLeave }); !errors.Is(err, errLeave) {
			t.Fatalf("Update whose fn fails: got %v, want fn's error", err)
		}
	}
	s.put(t, longer, "first", short)
	s.put(t, longer, "second", life)
	s.put(t, leftLong, "second", life)
	leave(leftLong, short)
	s.put(t, shorter, "first", life)
	s.put(t, shorter, "second", short)
	s.put(t, leftShort, "second", short)
	leave(leftShort, life)

	for what, key := range map[string]string{
		"a shorter time replaces a longer one": shorter, "fn's error leaves the time": leftShort,
	} {
		eventually(t, what, func() bool { _, ok := s.get(t, key); return !ok })
	}
	s.expect(t, longer, "second")
	s.expect(t, leftLong, "second")
}
