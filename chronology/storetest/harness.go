package storetest

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/multidc/multidc/chronology"
)

// Harness connects a [chronology.Store] with its conformance suite. New is required.
type Harness struct {
	// New makes a store, or a client of one, for one test alone; what must be closed goes into t.Cleanup. It need not be
	// empty.
	New func(t *testing.T) chronology.Store
	// Break is called with a store of New: from now on calls of it get no answer, or are refused. nil = that cannot be. It
	// is called while no Update is under way, and while one runs fn.
	Break func(t *testing.T, s chronology.Store)
}

// TestStore is the conformance suite of chronology.Store.
func TestStore(t *testing.T, h Harness) {
	t.Run("read", func(t *testing.T) { h.run(t, reads()) })
	t.Run("update", func(t *testing.T) { h.run(t, updates()) })
	t.Run("conflict", func(t *testing.T) { h.run(t, conflicts()) })
	t.Run("expiry", func(t *testing.T) { h.run(t, expiries()) })
	t.Run("context", func(t *testing.T) { h.run(t, contexts()) })
	t.Run("concurrency", func(t *testing.T) { h.run(t, races()) })
	if h.Break != nil {
		t.Run("lost", func(t *testing.T) { h.run(t, losses()) })
	}
}

type test struct {
	name  string
	run   func(*testing.T, *subject)
	waits bool // for values to expire, or for an Update that a lock holds up
}

// run runs the tests of one subject; those that wait do it side by side.
func (h Harness) run(t *testing.T, tests []test) {
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			s := newSubject(t, h)
			if tc.waits {
				t.Parallel()
			}
			tc.run(t, s)
		})
	}
}

// subject is a store under test, with keys that no other test has.
type subject struct {
	chronology.Store

	h      Harness
	prefix string
}

func newSubject(t *testing.T, h Harness) *subject {
	t.Helper()
	return &subject{Store: h.New(t), h: h, prefix: "storetest:" + rand.Text() + "/v1/"}
}

// life is the TTL of what the suite leaves behind on servers that others use too.
const life = time.Minute

// patience is for what must happen on however busy a machine.
const patience = 15 * time.Second

// key is one on the wire, which has no spaces.
func (s *subject) key(name string) string { return s.prefix + strings.ReplaceAll(name, " ", "-") }

// put is an Update that does not look at what is there.
func (s *subject) put(t *testing.T, key, value string, ttl time.Duration) {
	t.Helper()
	err := s.Update(t.Context(), key, ttl, func([]byte) ([]byte, error) { return []byte(value), nil })
	if err != nil {
		t.Fatalf("Update: %v", err)
	}
}

var errLeave = errors.New("fn leaves the value")

// seen is what fn is given. The value stays: fn fails.
func (s *subject) seen(t *testing.T, key string) (old []byte) {
	t.Helper()
	err := s.Update(t.Context(), key, life, func(given []byte) ([]byte, error) {
		old = given
		return nil, errLeave
	})
	if !errors.Is(err, errLeave) {
		t.Fatalf("Update whose fn fails: got %v, want fn's error", err)
	}
	return old
}

func (s *subject) get(t *testing.T, key string) (value []byte, ok bool) {
	t.Helper()
	value, ok, err := s.Get(t.Context(), key)
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	return value, ok
}

// expect is for what both Get and fn are given.
func (s *subject) expect(t *testing.T, key, want string) {
	t.Helper()
	if got, ok := s.get(t, key); !ok || string(got) != want {
		t.Errorf("Get: ok is %t and the value %s, want %s", ok, brief(got), brief([]byte(want)))
	}
	if old := s.seen(t, key); old == nil || string(old) != want {
		t.Errorf("fn is given %s, want %s", brief(old), brief([]byte(want)))
	}
}

func (s *subject) expectNone(t *testing.T, key string) {
	t.Helper()
	if got, ok := s.get(t, key); ok || len(got) > 0 {
		t.Errorf("Get: ok is %t and the value %s, want none", ok, brief(got))
	}
	if old := s.seen(t, key); old != nil {
		t.Errorf("fn is given %s, want nil", brief(old))
	}
}

// brief is a value as a message shows it.
func brief(value []byte) string {
	switch {
	case value == nil:
		return "nil"
	case len(value) > 60:
		return fmt.Sprintf("%q… (%d bytes)", bytes.Clone(value[:60]), len(value))
	}
	return fmt.Sprintf("%q", value)
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !so(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}
