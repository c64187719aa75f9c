package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/multidc/multidc/chronology"
)

func losses() []test {
	return []test{
		{name: "no answer", run: lostAnswer},
		{name: "no answer to a write", run: lostWrite},
	}
}

// hurry is how long a caller of a store that does not answer waits.
const hurry = 200 * time.Millisecond

// lostAnswer: it is not known what is there.
func lostAnswer(t *testing.T, s *subject) {
	there, absent := s.key("there"), s.key("absent")
	s.put(t, there, "value", life)
	s.h.Break(t, s.Store)
	for range 3 { // some find out at the first request, some later
		for name, key := range map[string]string{"what was there": there, "what never was": absent} {
			var value []byte
			var ok bool
			err := returns(t, "Get", func(ctx context.Context) (err error) {
				value, ok, err = s.Get(ctx, key)
				return err
			})
			if err == nil || ok || len(value) > 0 {
				t.Errorf("Get of %s, without an answer: %s, %t, %v, want an error", name, brief(value), ok, err)
			}
			ran := false
			err = returns(t, "Update", func(ctx context.Context) error {
				return s.Update(ctx, key, life, func([]byte) ([]byte, error) {
					ran = true
					return []byte("late"), nil
				})
			})
			notDone(t, "Update of "+name, err)
			if ran {
				t.Errorf("Update of %s: fn ran, and nothing was read", name)
			}
		}
	}
}

// lostWrite: the value was read, and the answer to the write does not come. It may have happened.
func lostWrite(t *testing.T, s *subject) {
	key := s.key("a")
	s.put(t, key, "value", life)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	runs := 0
	err := s.Update(ctx, key, life, func(old []byte) ([]byte, error) {
		if runs++; runs == 1 {
			s.h.Break(t, s.Store)
			time.AfterFunc(hurry, cancel)
		}
		return append(old, 'x'), nil
	})
	notDone(t, "Update whose write gets no answer", err)
	if runs != 1 {
		t.Errorf("fn ran %d times, and nothing was read after the first", runs)
	}
}

// notDone: an error, and none that says for certain that the value stays.
func notDone(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil || errors.Is(err, chronology.ErrContended) {
		t.Errorf("%s: got %v, want another error", what, err)
	}
}

// returns is what a call says, which returns soon after its context ends.
func returns(t *testing.T, what string, call func(context.Context) error) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), hurry)
	defer cancel()
	said := make(chan error, 1)
	go func() { said <- call(ctx) }()
	select {
	case err := <-said:
		return err
	case <-time.After(patience):
		t.Fatalf("%s has not returned %v after its context ended", what, patience)
		return nil
	}
}
