package storetest

import (
	"errors"
	"fmt"
	"strconv"
	"testing"
)

func updates() []test {
	return []test{
		{name: "fn is given what is there", run: updateOld},
		{name: "fn's error leaves the value", run: updateError},
		{name: "other keys stay", run: updateOthers},
	}
}

func updateOld(t *testing.T, s *subject) {
	key, runs := s.key("a"), 0
	for i := range 10 {
		want := "0123456789"[:i]
		err := s.Update(t.Context(), key, life, func(old []byte) ([]byte, error) {
			runs++
			if (old == nil) != (i == 0) || string(old) != want {
				t.Errorf("fn number %d is given %s, want %s", i, brief(old), brief([]byte(want)))
			}
			return fmt.Append(old, i), nil
		})
		if err != nil {
			t.Fatalf("Update number %d: %v", i, err)
		}
	}
	if runs != 10 {
		t.Errorf("fn ran %d times in 10 Updates that nobody came between", runs)
	}
	s.expect(t, key, "0123456789")
}

// updateError: also when fn has written into what it was given, and returns a value beside its error.
func updateError(t *testing.T, s *subject) {
	refusal := errors.New("fn refuses")
	for _, there := range []bool{false, true} {
		key := s.key(strconv.FormatBool(there))
		if there {
			s.put(t, key, "value", life)
		}
		runs := 0
		err := s.Update(t.Context(), key, life, func(old []byte) ([]byte, error) {
			runs++
			copy(old, "XXXXX")
			return []byte("late"), refusal
		})
		if !errors.Is(err, refusal) || runs != 1 {
			t.Errorf("Update: got %v after %d runs of fn, want fn's error after one", err, runs)
		}
		if there {
			s.expect(t, key, "value")
		} else {
			s.expectNone(t, key)
		}
	}
}

func updateOthers(t *testing.T, s *subject) {
	s.put(t, s.key("a"), "of a", life)
	s.put(t, s.key("b"), "of b", life)
	s.put(t, s.key("a"), "of a again", life)
	s.expect(t, s.key("a"), "of a again")
	s.expect(t, s.key("b"), "of b")
	s.expectNone(t, s.key("c"))
}
