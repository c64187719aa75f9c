package storetest

import (
	"testing"
	"time"

	"github.com/multidc/multidc/wanobjectcache"
)

func adds() []test {
	return []test{
		{name: "where nothing is", run: addNew},
		{name: "where something is", run: addConflict},
		{name: "after a removal", run: addRemoved},
	}
}

func addNew(t *testing.T, s *subject) {
	must(t, "Add", s.Add(t.Context(), s.key("a"), wanobjectcache.StoreItem{Value: []byte("value"), Flags: 7}, life))
	s.expectItem(t, s.key("a"), "value", 7)
}

// Anything refuses an Add: an empty value does, the same value, and one that was added or swapped in.
func addConflict(t *testing.T, s *subject) {
	key := s.key("a")
	tryAdd := func(there string, flags uint32) {
		t.Helper()
		for _, value := range []string{there, "other", ""} {
			refused(t, "Add over "+there, s.Add(t.Context(), key, wanobjectcache.StoreItem{Value: []byte(value), Flags: 9}, life),
				wanobjectcache.ErrConflict)
			s.expectItem(t, key, there, flags)
		}
	}
	must(t, "Add", s.Add(t.Context(), key, wanobjectcache.StoreItem{Flags: 1}, life))
	tryAdd("", 1)
	must(t, "Set", s.Set(t.Context(), key, wanobjectcache.StoreItem{Value: []byte("set"), Flags: 2}, 0))
	tryAdd("set", 2)
	token := s.token(t, key)
	must(t, "CAS", s.CAS(t.Context(), key, wanobjectcache.StoreItem{Value: []byte("swapped"), Flags: 3, Token: token}, life))
	tryAdd("swapped", 3)
}

func addRemoved(t *testing.T, s *subject) {
	key := s.key("a")
	s.set(t, key, "first")
	s.remove(t, key)
	must(t, "Add", s.Add(t.Context(), key, text("second"), life))
	s.expect(t, key, "second")
}

func swaps() []test {
	return []test{
		{name: "what is there", run: casCurrent},
		{name: "a token twice", run: casTwice},
		{name: "an older token", run: casOlder},
		{name: "an item that is gone", run: casGone},
		{name: "an item that came anew", run: casAnew},
		{name: "a token that others tried to spoil", run: casUnspoilt},
		{name: "no token", run: casNoToken},
	}
}

func casCurrent(t *testing.T, s *subject) {
	key := s.key("a")
	s.set(t, key, "first")
	s.set(t, s.key("b"), "first")
	swap := wanobjectcache.StoreItem{Value: []byte("second, longer"), Flags: 7, Token: s.token(t, key)}
	must(t, "CAS", s.CAS(t.Context(), key, swap, life))
	s.expectItem(t, key, "second, longer", 7)
	s.expectItem(t, s.key("b"), "first", 0)
}

func casTwice(t *testing.T, s *subject) {
	key := s.key("a")
	s.set(t, key, "first")
	token, again := s.token(t, key), s.token(t, key)
	must(t, "CAS", s.CAS(t.Context(), key, with("second", token), life))
	refused(t, "CAS with the token again", s.CAS(t.Context(), key, with("third", token), life), wanobjectcache.ErrConflict)
	refused(t, "CAS with another token of the same", s.CAS(t.Context(), key, with("third", again), life), wanobjectcache.ErrConflict)
	s.expect(t, key, "second")
	must(t, "CAS with a new token", s.CAS(t.Context(), key, with("third", s.token(t, key)), life))
}

// It does not matter whether the value is another one: it was stored anew.
func casOlder(t *testing.T, s *subject) {
	key := s.key("a")
	s.set(t, key, "same")
	token := s.token(t, key)
	s.set(t, key, "same")
	refused(t, "CAS after a Set", s.CAS(t.Context(), key, with("late", token), life), wanobjectcache.ErrConflict)

	token = s.token(t, key)
	must(t, "CAS", s.CAS(t.Context(), key, with("same", s.token(t, key)), life))
	refused(t, "CAS after a CAS", s.CAS(t.Context(), key, with("late", token), life), wanobjectcache.ErrConflict)
	refused(t, "CAS that would remove", s.CAS(t.Context(), key, with("", token), -time.Second), wanobjectcache.ErrConflict)
	s.expect(t, key, "same")
}

func casGone(t *testing.T, s *subject) {
	key := s.key("a")
	s.set(t, key, "value")
	token := s.token(t, key)
	s.remove(t, key)
	refused(t, "CAS", s.CAS(t.Context(), key, with("late", token), life), wanobjectcache.ErrNotFound)
	s.expectNone(t, key)
}

func casAnew(t *testing.T, s *subject) {
	key := s.key("a")
	s.set(t, key, "same")
	token := s.token(t, key)
	s.remove(t, key)
	must(t, "Add", s.Add(t.Context(), key, text("same"), life))
	refused(t, "CAS", s.CAS(t.Context(), key, with("late", token), life), wanobjectcache.ErrConflict)
	s.expect(t, key, "same")
}

// Reads, and writes that were refused, have changed nothing: so the token is still good.
func casUnspoilt(t *testing.T, s *subject) {
	key := s.key("a")
	s.set(t, key, "zeroth")
	old := s.token(t, key)
	s.set(t, key, "first")
	token := s.token(t, key)
	refused(t, "Add", s.Add(t.Context(), key, text("late"), life), wanobjectcache.ErrConflict)
	refused(t, "CAS with an older token", s.CAS(t.Context(), key, with("late", old), life), wanobjectcache.ErrConflict)
	s.set(t, s.key("b"), "another key")
	s.getMulti(t, []string{s.key("b"), key, s.key("c")})
	must(t, "CAS", s.CAS(t.Context(), key, with("second", token), life))
	s.expect(t, key, "second")
}

// Whoever forgot the token must not overwrite anything.
func casNoToken(t *testing.T, s *subject) {
	key := s.key("a")
	s.set(t, key, "value")
	if err := s.CAS(t.Context(), key, text("late"), life); err == nil {
		t.Error("CAS without a token: got nil, want an error")
	}
	s.expect(t, key, "value")
}

func sets() []test {
	return []test{{name: "over anything", run: setAnything}}
}

func setAnything(t *testing.T, s *subject) {
	for i, value := range []string{"first", "second, longer", "", "third", "third"} {
		item := wanobjectcache.StoreItem{Value: []byte(value), Flags: uint32(i), Token: "not looked at"}
		must(t, "Set", s.Set(t.Context(), s.key("a"), item, life))
		s.expectItem(t, s.key("a"), value, uint32(i))
	}
	s.expectNone(t, s.key("b"))
}

func (s *subject) expectItem(t *testing.T, key, value string, flags uint32) {
	t.Helper()
	s.expect(t, key, value)
	if got := s.get(t, key); got.Flags != flags {
		t.Errorf("flags are %d, want %d", got.Flags, flags)
	}
}
