package storetest

import (
	"errors"
	"strconv"
	"testing"

	"github.com/multidc/multidc/wanobjectcache"
)

func losses() []test {
	return []test{{name: "a server", run: loseServer}}
}

// loseServer follows 100 keys through the loss of a server and its return.
func loseServer(t *testing.T, s *subject) {
	store, cut, repair := s.h.Caps.Break(t)
	s.Store = store
	keys := make([]string, 100)
	for i := range keys {
		keys[i] = s.key(strconv.Itoa(i))
		s.set(t, keys[i], strconv.Itoa(i))
	}
	before := s.getMulti(t, keys)

	cut()
	lost, kept := s.readLost(t, keys)
	if len(lost) == 0 {
		t.Fatal("a server is cut off, and all keys answer")
	}
	s.writeLost(t, keys[lost[0]], before[lost[0]].Token)
	if s.h.Caps.OneServer {
		if len(kept) > 0 {
			t.Errorf("the only server is cut off, and %d keys answer", len(kept))
		}
	} else {
		s.useKept(t, keys, kept, before)
	}

	repair()
	s.useRepaired(t, keys, lost)
}

// readLost tells the keys whose server does not answer from the others: a lost key is not an absent one, and the others
// are filled in all the same.
func (s *subject) readLost(t *testing.T, keys []string) (lost, kept []int) {
	t.Helper()
	out := make([]wanobjectcache.StoreItem, len(keys))
	for i := range out {
		out[i] = wanobjectcache.StoreItem{Value: []byte("old"), Found: true}
	}
	refused(t, "GetMulti", s.GetMulti(t.Context(), keys, out), wanobjectcache.ErrUnavailable)
	for i, got := range out {
		switch {
		case got.Err == nil && got.Found && string(got.Value) == strconv.Itoa(i) && got.Token != nil:
			kept = append(kept, i)
		case errors.Is(got.Err, wanobjectcache.ErrUnavailable) && !got.Found && len(got.Value) == 0:
			lost = append(lost, i)
		default:
			t.Errorf("key %d is neither there as before nor ErrUnavailable: found is %t, value %q, error %v",
				i, got.Found, got.Value, got.Err)
		}
	}
	return lost, kept
}

// writeLost: it is not known what is there; so nothing was done for certain, and nothing refused.
func (s *subject) writeLost(t *testing.T, key string, token any) {
	t.Helper()
	for what, err := range map[string]error{
		"Set": s.Set(t.Context(), key, text("late"), life),
		"Add": s.Add(t.Context(), key, text("late"), life),
		"CAS": s.CAS(t.Context(), key, with("late", token), life),
	} {
		if !errors.Is(err, wanobjectcache.ErrUnavailable) && !errors.Is(err, wanobjectcache.ErrUnknownOutcome) ||
			errors.Is(err, wanobjectcache.ErrConflict) || errors.Is(err, wanobjectcache.ErrNotFound) {
			t.Errorf("%s to a server that is cut off: got %v, want ErrUnavailable or ErrUnknownOutcome", what, err)
		}
	}
}

// useKept: who asks only for keys of other servers does not notice.
func (s *subject) useKept(t *testing.T, keys []string, kept []int, before []wanobjectcache.StoreItem) {
	t.Helper()
	if len(kept) < 3 {
		t.Fatalf("one server is cut off, and of %d keys only %d answer", len(keys), len(kept))
	}
	asked := make([]string, len(kept))
	for i, k := range kept {
		asked[i] = keys[k]
	}
	s.getMulti(t, asked)
	must(t, "CAS", s.CAS(t.Context(), asked[0], with("swapped", before[kept[0]].Token), life))
	s.expect(t, asked[0], "swapped")
	s.set(t, asked[1], "set")
	s.expect(t, asked[1], "set")
	s.remove(t, asked[2])
	must(t, "Add", s.Add(t.Context(), asked[2], text("added"), life))
	s.expect(t, asked[2], "added")
}

// useRepaired: the store finds the server again by itself. A write that was under way when it was lost may have come
// after all; so only the others' outcome is certain.
func (s *subject) useRepaired(t *testing.T, keys []string, lost []int) {
	t.Helper()
	asked := make([]string, len(lost))
	for i, k := range lost {
		asked[i] = keys[k]
	}
	eventually(t, "the repaired server answers", func() bool {
		return s.GetMulti(t.Context(), asked, make([]wanobjectcache.StoreItem, len(asked))) == nil
	})
	eventually(t, "the repaired server takes writes", func() bool {
		return s.Set(t.Context(), asked[len(asked)-1], text("repaired"), life) == nil
	})
	s.expect(t, asked[len(asked)-1], "repaired")
}
