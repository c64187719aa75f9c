package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/multidc/multidc/chronology"
)

func conflicts() []test {
	return []test{
		{name: "fn runs again", run: conflictAgain, waits: true},
		{name: "of two first writes", run: conflictFirst, waits: true},
		{name: "fn's error at the second run", run: conflictError, waits: true},
		{name: "ten times", run: conflictTen, waits: true},
	}
}

// lockWait is how long an Update that begins within the fn of another one is waited for. In a store that locks it cannot
// end before that one does.
const lockWait = time.Second

// rival is an Update that begins while another one runs fn.
type rival struct {
	err chan error
	// between: it has ended while that fn ran.
	between bool
}

// rival appends to the value of a key, and returns when that is done or the store appears to lock.
func (s *subject) rival(t *testing.T, key, text string) *rival {
	t.Helper()
	r := &rival{err: make(chan error, 1)}
	go func() {
		r.err <- s.Update(t.Context(), key, life, func(old []byte) ([]byte, error) { return append(old, text...), nil })
	}()
	select {
	case err := <-r.err:
		r.between = true
		r.err <- err
	case <-time.After(lockWait):
	}
	return r
}

func (r *rival) end(t *testing.T) {
	t.Helper()
	if err := <-r.err; err != nil {
		t.Errorf("the Update that came between: %v", err)
	}
}

// An Update that came between is in the value, and fn has seen it.
func conflictAgain(t *testing.T, s *subject) {
	key := s.key("a")
	s.put(t, key, "0", life)
	s.conflict(t, key, "0")
}

func conflictFirst(t *testing.T, s *subject) {
	s.conflict(t, s.key("a"), "")
}

// conflict has one Update begin within another: what they append must be there in the order in which they were done.
func (s *subject) conflict(t *testing.T, key, before string) {
	t.Helper()
	var olds []string
	var other *rival
	err := s.Update(t.Context(), key, life, func(old []byte) ([]byte, error) {
		olds = append(olds, string(old))
		if other == nil {
			other = s.rival(t, key, "r")
		}
		return append(old, 'u'), nil
	})
	if err != nil {
		t.Errorf("Update: %v", err)
	}
	if other == nil {
		t.Fatal("fn did not run")
	}
	other.end(t)
	first, again := []string{before}, []string{before, before + "r"}
	got, _ := s.get(t, key)
	switch text := string(got); {
	case slices.Equal(olds, again) && text == before+"ru": // as in a store that finds conflicts
	case slices.Equal(olds, first) && text == before+"ur" && !other.between: // as in one that locks
	default:
		t.Errorf("fn was given %q and the value is %q in the end; another Update, of which it had to know, came between: %t",
			olds, text, other.between)
	}
}

// The second run may see a reason to fail that the first one did not.
func conflictError(t *testing.T, s *subject) {
	key, refusal := s.key("a"), errors.New("fn refuses")
	s.put(t, key, "0", life)
	var other *rival
	runs := 0
	err := s.Update(t.Context(), key, life, func(old []byte) ([]byte, error) {
		if runs++; runs > 1 {
			return nil, refusal
		}
		other = s.rival(t, key, "r")
		return append(old, 'u'), nil
	})
	if other == nil {
		t.Fatal("fn did not run")
	}
	other.end(t)
	if !other.between {
		return
	}
	if !errors.Is(err, refusal) || runs != 2 {
		t.Errorf("Update: got %v after %d runs of fn, want the error of the second", err, runs)
	}
	s.expect(t, key, "0r")
}

func conflictTen(t *testing.T, s *subject) {
	const most = 10
	key, want := s.key("a"), ""
	between, runs := true, 0
	var all []*rival
	err := s.Update(t.Context(), key, life, func(old []byte) ([]byte, error) {
		runs++
		if between && runs <= 2*most {
			other := s.rival(t, key, fmt.Sprint(runs, " "))
			want += fmt.Sprint(runs, " ")
			all, between = append(all, other), other.between
		}
		return append(old, 'u'), nil
	})
	for _, other := range all {
		other.end(t)
	}
	if !between { // it locks, or was too slow to tell
		return
	}
	if !errors.Is(err, chronology.ErrContended) || runs != most {
		t.Errorf("another Update came between each time: got %v after %d runs of fn, want ErrContended after %d", err, runs, most)
	}
	s.expect(t, key, want)
}
