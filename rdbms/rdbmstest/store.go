package rdbmstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/multidc/multidc/rdbms/switchover"
)

// StoreHarness connects a [switchover.Store] with its conformance suite.
type StoreHarness struct {
	// New makes a store without a document, for one test alone, and returns what opens clients of it: each call a
	// client of its own, as another process would have. What must be closed goes into tb.Cleanup.
	New func(tb testing.TB) (open func() switchover.Store)

	// NoWatch: the store is no switchover.Watcher.
	NoWatch bool

	// Updates is how many updates each of two competing writers makes; 0 = 1,000.
	Updates int
}

// TestStore is the conformance suite of switchover.Store and, unless the harness says NoWatch, of
// switchover.Watcher.
func TestStore(t *testing.T, h StoreHarness) {
	if h.Updates == 0 {
		h.Updates = 1000
	}
	for _, tc := range []struct {
		name string
		run  func(*testing.T, StoreHarness)
	}{
		{"an empty store", storeEmpty},
		{"create and replace", storeReplace},
		{"a conflict writes nothing", storeConflict},
		{"any bytes", storeAnyBytes},
		{"a context that has ended", storeEnded},
		{"a context that ends during a write", storeEnding},
		{"one creator", storeOneCreator},
		{"no lost update", storeNoLostUpdate},
		{"lost answers", storeLostAnswers},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.run(t, h) })
	}
	if !h.NoWatch {
		t.Run("watch", func(t *testing.T) { testWatcher(t, h) })
	}
}

func storeEmpty(t *testing.T, h StoreHarness) {
	s := h.New(t)()
	if raw, rev, err := s.Load(t.Context()); !errors.Is(err, switchover.ErrNotFound) || len(raw) > 0 || rev != "" {
		t.Errorf("Load = %q, revision %q, %v; want nothing and ErrNotFound", raw, rev, err)
	}
	if _, err := s.CompareAndSwap(t.Context(), []byte("x"), "no such revision"); !errors.Is(err, switchover.ErrConflict) {
		t.Errorf("a write over a revision that never was: %v, want ErrConflict", err)
	}
}

func storeReplace(t *testing.T, h StoreHarness) {
	open := h.New(t)
	a, b := open(), open()
	rev := ""
	for _, text := range []string{"one", "two", "three", "two"} {
		before := rev
		rev = swap(t, a, text, rev)
		if rev == "" || rev == before {
			t.Errorf("revision of %q is %q, that before it %q", text, rev, before)
		}
		expect(t, b, text, rev)
	}
}

func storeConflict(t *testing.T, h StoreHarness) {
	open := h.New(t)
	a, b := open(), open()
	first := swap(t, a, "first", "")
	second := swap(t, b, "second", first)
	for _, old := range []string{"", first, "no such revision"} {
		if rev, err := a.CompareAndSwap(t.Context(), []byte("late"), old); !errors.Is(err, switchover.ErrConflict) || rev != "" {
			t.Errorf("a write over revision %q = %q, %v; want ErrConflict", old, rev, err)
		}
	}
	expect(t, a, "second", second)
}

func storeAnyBytes(t *testing.T, h StoreHarness) {
	s := h.New(t)()
	rev := ""
	for _, raw := range [][]byte{
		[]byte("\x00\xff\n\r\n\t \"'\\%s"),
		bytes.Repeat([]byte{0xfe}, 64<<10),
		[]byte("{}\n"),
	} {
		rev = swap(t, s, string(raw), rev)
		expect(t, s, string(raw), rev)
		raw[0] = 'X' // a store that kept the caller's slice would now hold something else
		if got, _, err := s.Load(t.Context()); err != nil || bytes.Equal(got, raw) {
			t.Errorf("the store holds the caller's own slice, or %v", err)
		}
	}
}

func storeEnded(t *testing.T, h StoreHarness) {
	s := h.New(t)()
	rev := swap(t, s, "before", "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.CompareAndSwap(ctx, []byte("after"), rev); err == nil || errors.Is(err, switchover.ErrUnknownOutcome) {
		t.Errorf("CompareAndSwap with an ended context: %v, want an error, and a known outcome", err)
	}
	if _, _, err := s.Load(ctx); err == nil || errors.Is(err, switchover.ErrNotFound) {
		t.Errorf("Load with an ended context: %v, want its error", err)
	}
	expect(t, s, "before", rev)
}

// A write is done, or not done, or its outcome is unknown; nothing else may be claimed whenever the caller leaves.
func storeEnding(t *testing.T, h StoreHarness) {
	s := h.New(t)()
	rev := swap(t, s, "0", "")
	for i := range 100 {
		text := strconv.Itoa(i + 1)
		ctx, cancel := context.WithCancel(t.Context())
		var left sync.WaitGroup
		left.Go(func() {
			for range rand.IntN(2000) { //nolint:gosec // a moment of no fixed length, within that of a write
				if ctx.Err() != nil {
					return
				}
			}
			cancel()
		})
		_, err := s.CompareAndSwap(ctx, []byte(text), rev)
		left.Wait()
		cancel()
		raw, now, loadErr := s.Load(t.Context())
		if loadErr != nil {
			t.Fatal(loadErr)
		}
		if written := string(raw) == text; !errors.Is(err, switchover.ErrUnknownOutcome) && written != (err == nil) {
			t.Fatalf("CompareAndSwap returned %v, yet written is %t", err, written)
		}
		rev = now
	}
}

func storeOneCreator(t *testing.T, h StoreHarness) {
	open := h.New(t)
	const writers = 8
	won := make(chan string, writers)
	var all sync.WaitGroup
	for i := range writers {
		s := open()
		all.Go(func() {
			text := fmt.Sprintf("by %d", i)
			switch _, err := s.CompareAndSwap(t.Context(), []byte(text), ""); {
			case err == nil:
				won <- text
			case !errors.Is(err, switchover.ErrConflict):
				t.Errorf("writer %d: %v", i, err)
			}
		})
	}
	all.Wait()
	if len(won) != 1 {
		t.Fatalf("%d writers created the document, want 1", len(won))
	}
	if raw, _, err := open().Load(t.Context()); err != nil || string(raw) != <-won {
		t.Errorf("the store holds %q (%v), not the winner's", raw, err)
	}
}

// storeNoLostUpdate: every update adds one, so a lost one is missing at the end. The writers do not wait after a
// conflict: the closer they meet, the more a gap between compare and swap shows.
func storeNoLostUpdate(t *testing.T, h StoreHarness) {
	open := h.New(t)
	swap(t, open(), "0", "")
	var writers sync.WaitGroup
	for range 2 {
		s := open()
		writers.Go(func() {
			for range h.Updates {
				if err := addOne(t.Context(), s); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	if raw, _, err := open().Load(t.Context()); err != nil || string(raw) != strconv.Itoa(2*h.Updates) {
		t.Errorf("the store counted %q (%v) after %d updates", raw, err, 2*h.Updates)
	}
}

func addOne(ctx context.Context, s switchover.Store) error {
	for {
		raw, rev, err := s.Load(ctx)
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(string(raw))
		if err != nil {
			return err
		}
		if _, err := s.CompareAndSwap(ctx, []byte(strconv.Itoa(n+1)), rev); !errors.Is(err, switchover.ErrConflict) {
			return err
		}
	}
}

// storeLostAnswers: whatever became of a write whose answer is lost, the update happens once.
func storeLostAnswers(t *testing.T, h StoreHarness) {
	open := h.New(t)
	create(t, newState(t, open()))
	s := newState(t, &lossy{Store: open()})
	for i := range 20 {
		if err := raise(t.Context(), s, "x", i); err != nil {
			t.Fatalf("update %d: %v", i, err)
		}
		if doc, _, _ := s.Current(); doc.Epoch != uint64(2+i) {
			t.Fatalf("epoch %d after update %d, want %d", doc.Epoch, i, 2+i)
		}
	}
}

// lossy loses the answer of every other write, alternately of one that was done and of one that was not.
type lossy struct {
	switchover.Store

	n int
}

func (l *lossy) CompareAndSwap(ctx context.Context, raw []byte, rev string) (string, error) {
	l.n++
	switch l.n % 4 {
	case 1:
		_, err := l.Store.CompareAndSwap(ctx, raw, rev)
		return "", errors.Join(switchover.ErrUnknownOutcome, err)
	case 3:
		return "", switchover.ErrUnknownOutcome
	}
	return l.Store.CompareAndSwap(ctx, raw, rev)
}

func newState(tb testing.TB, s switchover.Store) *switchover.State {
	tb.Helper()
	state, err := switchover.New(s, &switchover.Options{DC: "a", By: "rdbmstest", FetchTimeout: 30 * time.Second})
	if err != nil {
		tb.Fatal(err)
	}
	return state
}

func create(tb testing.TB, s *switchover.State) {
	tb.Helper()
	_, err := s.Update(tb.Context(), func(d *switchover.Doc) error {
		d.Primary, d.DCs = "a", map[string]switchover.DC{"a": {Pooled: true}, "b": {Pooled: true}}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
}

// raise makes a section read-only for its i-th reason, which raises the epoch.
func raise(ctx context.Context, s *switchover.State, section string, i int) error {
	_, err := s.Update(ctx, func(d *switchover.Doc) error {
		if d.Sections == nil {
			d.Sections = map[string]string{}
		}
		d.Sections[section] = strconv.Itoa(i)
		return nil
	})
	return err
}

func swap(tb testing.TB, s switchover.Store, text, rev string) string {
	tb.Helper()
	rev, err := s.CompareAndSwap(tb.Context(), []byte(text), rev)
	if err != nil {
		tb.Fatalf("CompareAndSwap of %.20q: %v", text, err)
	}
	return rev
}

func expect(tb testing.TB, s switchover.Store, text, rev string) {
	tb.Helper()
	raw, got, err := s.Load(tb.Context())
	if err != nil || string(raw) != text || got != rev {
		tb.Errorf("Load = %.20q, revision %q, %v; want %.20q, revision %q", raw, got, err, text, rev)
	}
}
