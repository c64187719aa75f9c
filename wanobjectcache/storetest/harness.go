package storetest

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/multidc/multidc/wanobjectcache"
)

// Harness connects a [wanobjectcache.Store] with its conformance suite. New is required.
type Harness struct {
	// New makes a client of the store, for one test alone; what must be closed goes into tb.Cleanup. It need not be empty.
	New func(tb testing.TB) wanobjectcache.Store
	// Advance lets that much time pass for the store, and returns when it has. nil = the suite really waits.
	Advance func(time.Duration)
	// Run runs each test; nil = as it is. It is synctest.Test for a store that takes its time from package time.
	Run func(t *testing.T, test func(*testing.T))

	Caps Caps
}

// Caps are what one store can do and another cannot.
type Caps struct {
	// CoarseClock: the store's clock ticks once a second. A TTL is rounded up to n whole seconds then, and the item lives
	// between n - 1 and n of them.
	CoarseClock bool
	// MaxValue: a value larger than this is ErrTooLarge; one that is 300 bytes smaller, to leave room for its key, is
	// stored. 20,000 at least; 0 = the store takes values of 2 MiB.
	MaxValue int
	// Shared: all that New returns are clients of the same servers. Some of those who compete get one of their own.
	Shared bool

	// Break makes a store that can lose a server, nil = there is none. cut makes the server unreachable, with or without
	// an answer, and returns when it is; repair brings it back, with or without its items.
	Break func(tb testing.TB) (s wanobjectcache.Store, cut, repair func())
	// OneServer: with it Break's store loses all keys; else some, and keeps the others.
	OneServer bool
}

// TestStore is the conformance suite of wanobjectcache.Store.
func TestStore(t *testing.T, h Harness) {
	t.Run("read", func(t *testing.T) { h.run(t, reads()) })
	t.Run("add", func(t *testing.T) { h.run(t, adds()) })
	t.Run("cas", func(t *testing.T) { h.run(t, swaps()) })
	t.Run("set", func(t *testing.T) { h.run(t, sets()) })
	t.Run("expiry", func(t *testing.T) { h.run(t, expiries(h)) })
	t.Run("limits", func(t *testing.T) { h.run(t, limits(h)) })
	t.Run("concurrency", func(t *testing.T) { h.run(t, races()) })
	if h.Caps.Break != nil {
		t.Run("lost", func(t *testing.T) { h.run(t, losses()) })
	}
}

type test struct {
	name  string
	run   func(*testing.T, *subject)
	waits bool // for items to expire
}

// run runs the tests of one subject; those that really wait do it side by side.
func (h Harness) run(t *testing.T, tests []test) {
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if tc.waits && h.Advance == nil && h.Run == nil {
				t.Parallel()
			}
			test := func(t *testing.T) { tc.run(t, newSubject(t, h)) }
			if h.Run == nil {
				test(t)
				return
			}
			h.Run(t, test)
		})
	}
}

// subject is a store under test, with keys that no other test has.
type subject struct {
	wanobjectcache.Store

	h      Harness
	prefix string
}

func newSubject(t *testing.T, h Harness) *subject {
	t.Helper()
	return &subject{Store: h.New(t), h: h, prefix: "WANCache:storetest:" + rand.Text() + ":"}
}

// life is the TTL of what the suite leaves behind on servers that others use too.
const life = time.Minute

// key is one on the wire, which has no spaces.
func (s *subject) key(name string) string {
	return s.prefix + strings.ReplaceAll(name, " ", "-") + "|#|v"
}

func text(value string) wanobjectcache.StoreItem {
	return wanobjectcache.StoreItem{Value: []byte(value)}
}

// with is text in place of what a token was given for.
func with(value string, token any) wanobjectcache.StoreItem {
	return wanobjectcache.StoreItem{Value: []byte(value), Token: token}
}

func (s *subject) get(t *testing.T, key string) wanobjectcache.StoreItem {
	t.Helper()
	return s.getMulti(t, []string{key})[0]
}

func (s *subject) getMulti(t *testing.T, keys []string) []wanobjectcache.StoreItem {
	t.Helper()
	out := make([]wanobjectcache.StoreItem, len(keys))
	if err := s.GetMulti(t.Context(), keys, out); err != nil {
		t.Fatalf("GetMulti of %d keys: %v", len(keys), err)
	}
	for i, key := range keys {
		if err := out[i].Err; err != nil {
			t.Fatalf("GetMulti returned nil, yet %s has the error %v", key, err)
		}
	}
	return out
}

func (s *subject) set(t *testing.T, key, value string) {
	t.Helper()
	must(t, "Set", s.Set(t.Context(), key, text(value), life))
}

// token is that of an item which must be there.
func (s *subject) token(t *testing.T, key string) any {
	t.Helper()
	item := s.get(t, key)
	if !item.Found {
		t.Fatalf("%s is not there", key)
	}
	return item.Token
}

// remove is how wanobjectcache does it: the seam has no other way.
func (s *subject) remove(t *testing.T, key string) {
	t.Helper()
	must(t, "Set with a negative TTL", s.Set(t.Context(), key, text(""), -time.Second))
}

func (s *subject) expect(t *testing.T, key, value string) {
	t.Helper()
	if got := s.get(t, key); !got.Found || !bytes.Equal(got.Value, []byte(value)) {
		t.Errorf("found is %t and the value %s, want %s", got.Found, brief(got.Value), brief([]byte(value)))
	}
}

func (s *subject) expectNone(t *testing.T, key string) {
	t.Helper()
	if got := s.get(t, key); got.Found {
		t.Errorf("%s is found, with the value %s", key, brief(got.Value))
	}
}

func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func refused(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
