package rdbmstest

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/multidc/multidc/rdbms/switchover"
)

// hintTimeout only ends a test that has failed; a good watch never takes so long.
const hintTimeout = 10 * time.Second

func testWatcher(t *testing.T, h StoreHarness) {
	for _, tc := range []struct {
		name string
		run  func(*testing.T, func() switchover.Store)
	}{
		{"a change by another client", watchChange},
		{"a revision that is old already", watchOld},
		{"a document that comes to be", watchCreation},
		{"nobody listens", watchCoalesces},
		{"the context ends", watchEnds},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.run(t, h.New(t)) })
	}
}

func watchChange(t *testing.T, open func() switchover.Store) {
	a := open()
	rev := swap(t, a, "1", "")
	hints := watch(t, open(), rev)
	for _, text := range []string{"2", "3"} {
		rev = swap(t, a, text, rev)
		awaitHint(t, hints)
	}
}

func watchOld(t *testing.T, open func() switchover.Store) {
	a := open()
	old := swap(t, a, "1", "")
	swap(t, a, "2", old)
	awaitHint(t, watch(t, open(), old))
}

func watchCreation(t *testing.T, open func() switchover.Store) {
	hints := watch(t, open(), "")
	swap(t, open(), "1", "")
	awaitHint(t, hints)
}

// Hints that nobody takes are one hint, and hold up no writer.
func watchCoalesces(t *testing.T, open func() switchover.Store) {
	a := open()
	rev := swap(t, a, "0", "")
	hints := watch(t, a, rev)
	for i := range 50 {
		rev = swap(t, a, strconv.Itoa(i+1), rev)
	}
	awaitHint(t, hints)
}

func watchEnds(t *testing.T, open func() switchover.Store) {
	s := open()
	rev := swap(t, s, "1", "")
	ctx, cancel := context.WithCancel(t.Context())
	hints, err := s.(switchover.Watcher).Watch(ctx, rev)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	awaitClose(t, hints)
}

// watch opens a watch that has ended when the test has.
func watch(t *testing.T, s switchover.Store, rev string) <-chan struct{} {
	t.Helper()
	w, ok := s.(switchover.Watcher)
	if !ok {
		t.Fatalf("%T is no switchover.Watcher: say so in StoreHarness.NoWatch", s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	hints, err := w.Watch(ctx, rev)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); awaitClose(t, hints) })
	return hints
}

func awaitHint(t *testing.T, hints <-chan struct{}) {
	t.Helper()
	select {
	case _, open := <-hints:
		if !open {
			t.Fatal("the watch was lost")
		}
	case <-time.After(hintTimeout):
		t.Fatalf("no hint within %v", hintTimeout)
	}
}

func awaitClose(t *testing.T, hints <-chan struct{}) {
	t.Helper()
	timeout := time.After(hintTimeout)
	for {
		select {
		case _, open := <-hints:
			if !open {
				return
			}
		case <-timeout:
			t.Fatalf("the watch is still open %v after its context ended", hintTimeout)
		}
	}
}
