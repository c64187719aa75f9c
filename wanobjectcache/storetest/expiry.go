package storetest

import (
	"fmt"
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/multidc/multidc/wanobjectcache"
)

const day = 24 * time.Hour

func expiries(h Harness) []test {
	tests := []test{
		{name: "a negative ttl", run: expireAtOnce},
		{name: "a long ttl", run: expireLate},
		{name: "an expired item", run: expired, waits: true},
		{name: "an expired item that nobody read", run: expiredUnseen, waits: true},
		{name: "a write replaces the time", run: expireRenewed, waits: true},
	}
	if h.Advance != nil {
		tests = append(tests, test{name: "the moment", run: expireMoment}, test{name: "31 days", run: expireMonth})
	}
	return tests
}

// The write happens, under its own conditions, and the item is gone; -1 ns is not rounded to 0, which is for ever.
func expireAtOnce(t *testing.T, s *subject) {
	for i, ttl := range []time.Duration{-1, -time.Second, -40 * day, math.MinInt64} {
		key := s.key(strconv.Itoa(i))
		must(t, "Add", s.Add(t.Context(), key, text("added"), ttl))
		s.expectNone(t, key)
		must(t, "Set of nothing", s.Set(t.Context(), key, text("set"), ttl))
		s.expectNone(t, key)

		s.set(t, key, "there")
		refused(t, "Add over something", s.Add(t.Context(), key, text("added"), ttl), wanobjectcache.ErrConflict)
		s.expect(t, key, "there")
		token := s.token(t, key)
		must(t, "CAS", s.CAS(t.Context(), key, with("swapped", token), ttl))
		s.expectNone(t, key)
		refused(t, "CAS of what is gone", s.CAS(t.Context(), key, with("swapped", token), ttl), wanobjectcache.ErrNotFound)

		s.set(t, key, "there")
		must(t, "Set", s.Set(t.Context(), key, text("set"), ttl))
		s.expectNone(t, key)
	}
}

// Servers take numbers above 30 days for a date, and dates may have 32 bits.
func expireLate(t *testing.T, s *subject) {
	for _, ttl := range []time.Duration{
		0, 30*day - time.Second, 30 * day, 30*day + time.Second, 31 * day, 365 * day, 30 * 365 * day, 100 * 365 * day,
		math.MaxInt64 - 1, math.MaxInt64,
	} {
		key := s.key(ttl.String())
		for what, write := range map[string]func() error{
			"Add": func() error { return s.Add(t.Context(), key, text("value"), ttl) },
			"Set": func() error { return s.Set(t.Context(), key, text("value"), ttl) },
			"CAS": func() error { return s.CAS(t.Context(), key, with("value", s.token(t, key)), ttl) },
		} {
			if what == "Add" {
				s.remove(t, key)
			} else {
				s.set(t, key, "before")
			}
			must(t, what, write())
			if got := s.get(t, key); !got.Found || string(got.Value) != "value" {
				t.Errorf("%s with a TTL of %v: found is %t afterwards, with the value %q", what, ttl, got.Found, got.Value)
			}
		}
		s.remove(t, key)
	}
}

// An item that has expired is as if it had never been there.
func expired(t *testing.T, s *subject) {
	var keys []string
	tokens := map[string]any{}
	for _, w := range s.writes(t) {
		key := s.key(w.name)
		written := time.Now()
		w.write(key, s.short())
		tokens[key] = s.young(t, key, written, s.short())
		keys = append(keys, key)
	}
	fraction := s.key("a fraction of a second")
	must(t, "Set", s.Set(t.Context(), fraction, text("value"), 100*time.Millisecond))
	s.set(t, s.key("stays"), "value")

	keys = append(keys, fraction)
	s.outlive(t, s.short(), keys)
	for _, key := range keys {
		if tokens[key] != nil {
			refused(t, "CAS of "+key, s.CAS(t.Context(), key, with("late", tokens[key]), life), wanobjectcache.ErrNotFound)
		}
		s.expectNone(t, key)
		must(t, "Add over "+key, s.Add(t.Context(), key, text("new"), life))
		s.expect(t, key, "new")
	}
	s.expect(t, s.key("stays"), "value")
}

// That does not need somebody who reads and finds it expired.
func expiredUnseen(t *testing.T, s *subject) {
	added, swapped := s.key("added"), s.key("swapped")
	for _, key := range []string{added, swapped} {
		must(t, "Set", s.Set(t.Context(), key, text("value"), s.short()))
	}
	token := s.get(t, swapped).Token
	add := func() bool {
		err := s.Add(t.Context(), added, text("new"), life)
		if err != nil {
			refused(t, "Add", err, wanobjectcache.ErrConflict)
		}
		return err == nil
	}
	if s.h.Advance == nil {
		eventually(t, "an Add takes the place of an item with a TTL of "+s.short().String(), add)
	} else {
		s.h.Advance(s.short())
		if !add() {
			t.Error("an expired item refuses an Add")
		}
		refused(t, "CAS", s.CAS(t.Context(), swapped, with("late", token), life), wanobjectcache.ErrNotFound)
	}
	s.expect(t, added, "new")
}

// How long an item lives is said by the last write alone.
func expireRenewed(t *testing.T, s *subject) {
	renew := func(what string, first, second time.Duration) (set, swapped string) {
		set, swapped = s.key(what+" by Set"), s.key(what+" by CAS")
		for _, key := range []string{set, swapped} {
			must(t, "Set", s.Set(t.Context(), key, text("first"), first))
		}
		must(t, "Set", s.Set(t.Context(), set, text("second"), second))
		if old := s.get(t, swapped); old.Found { // else a slow machine has let it expire
			must(t, "CAS", s.CAS(t.Context(), swapped, with("second", old.Token), second))
		}
		return set, swapped
	}
	longerSet, longerSwapped := renew("longer", life, 2*life)
	endlessSet, endlessSwapped := renew("endless", life, 0)
	shorterSet, shorterSwapped := renew("shorter", life, s.short())
	endingSet, endingSwapped := renew("ending", 0, s.short())
	refused(t, "Add", s.Add(t.Context(), longerSet, text("late"), s.short()), wanobjectcache.ErrConflict)
	s.outlive(t, s.short(), []string{shorterSet, shorterSwapped, endingSet, endingSwapped})
	for _, key := range []string{longerSet, longerSwapped, endlessSet, endlessSwapped} {
		s.expect(t, key, "second")
		if s.h.Advance == nil {
			s.remove(t, key)
		}
	}
	if s.h.Advance != nil {
		s.h.Advance(life)
		for _, key := range []string{longerSet, longerSwapped, endlessSet, endlessSwapped} {
			s.expect(t, key, "second")
		}
	}
}

// expireMoment looks just before the first moment at which the item may be gone, and just after the last at which it may
// be there, from several moments between two ticks of a coarse clock.
func expireMoment(t *testing.T, s *subject) {
	const hair = 10 * time.Millisecond
	for _, ttl := range []time.Duration{100 * time.Millisecond, time.Second, 1500 * time.Millisecond, 3 * time.Second, 11 * time.Second} {
		earliest, latest := s.lives(ttl)
		for phase := range 10 {
			for _, w := range s.writes(t) {
				s.h.Advance(time.Duration(phase) * 100 * time.Millisecond)
				key := s.key(fmt.Sprint(w.name, ttl, phase))
				w.write(key, ttl)
				passed := max(earliest-hair, 0)
				s.h.Advance(passed)
				if earliest > 0 && !s.get(t, key).Found {
					t.Errorf("%s: TTL %v: gone after %v already", w.name, ttl, passed)
				}
				s.h.Advance(latest + hair - passed)
				if s.get(t, key).Found {
					t.Errorf("%s: TTL %v: still there after %v", w.name, ttl, latest+hair)
				}
			}
		}
	}
}

func expireMonth(t *testing.T, s *subject) {
	for _, ttl := range []time.Duration{30*day + time.Second, 31 * day, 400 * day} {
		key := s.key(ttl.String())
		must(t, "Set", s.Set(t.Context(), key, text("value"), ttl))
		s.h.Advance(ttl - 2*time.Second)
		s.expect(t, key, "value")
		s.h.Advance(3 * time.Second)
		s.expectNone(t, key)
	}
}

type write struct {
	name  string
	write func(key string, ttl time.Duration)
}

// writes are the three ways to store an item with a TTL.
func (s *subject) writes(t *testing.T) []write {
	t.Helper()
	return []write{
		{"Set", func(key string, ttl time.Duration) { must(t, "Set", s.Set(t.Context(), key, text("value"), ttl)) }},
		{"Add", func(key string, ttl time.Duration) { must(t, "Add", s.Add(t.Context(), key, text("value"), ttl)) }},
		{"CAS", func(key string, ttl time.Duration) {
			s.set(t, key, "before")
			must(t, "CAS", s.CAS(t.Context(), key, with("value", s.token(t, key)), ttl))
		}},
	}
}

// short is a TTL to outlive: 2 s of a coarse clock, of which one is certain.
func (s *subject) short() time.Duration {
	switch {
	case s.h.Advance != nil:
		return 10 * time.Second
	case s.h.Caps.CoarseClock:
		return 2 * time.Second
	default:
		return 500 * time.Millisecond
	}
}

// lives is how long an item lives at least, and at most.
func (s *subject) lives(ttl time.Duration) (earliest, latest time.Duration) {
	if !s.h.Caps.CoarseClock {
		return ttl, ttl
	}
	latest = (ttl + time.Second - 1).Truncate(time.Second)
	return latest - time.Second, latest
}

// young returns the token of an item that was just written: it is there, unless the machine was so slow that it may have
// expired. Then there is none.
func (s *subject) young(t *testing.T, key string, written time.Time, ttl time.Duration) any {
	t.Helper()
	got := s.get(t, key)
	earliest, _ := s.lives(ttl)
	if passed := time.Since(written); !got.Found && passed < earliest {
		t.Errorf("%s is gone after %v, with a TTL of %v", key, passed, ttl)
	}
	return got.Token
}

// outlive returns when keys that were just written with the TTL have expired. Real time sets no limit: a busy server's
// clock may be late.
func (s *subject) outlive(t *testing.T, ttl time.Duration, keys []string) {
	t.Helper()
	gone := func() bool {
		for _, got := range s.getMulti(t, keys) {
			if got.Found {
				return false
			}
		}
		return true
	}
	if s.h.Advance == nil {
		eventually(t, "items with a TTL of "+ttl.String()+" expire", gone)
		return
	}
	s.h.Advance(ttl)
	if !gone() {
		t.Fatalf("items with a TTL of %v are still there after it", ttl)
	}
}

// eventually waits until something is so, for 15 s at most.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(15 * time.Second); !so(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}
