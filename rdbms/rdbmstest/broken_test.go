package rdbmstest_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/multidc/multidc/rdbms/rdbmstest"
	"github.com/multidc/multidc/rdbms/switchover"
)

const brokenVar = "MULTIDC_RDBMSTEST_BROKEN"

// broken are stores with one mistake each, by the test of the suite that must find it.
var broken = map[string]func(switchover.Store) switchover.Store{
	"an_empty_store":                       func(s switchover.Store) switchover.Store { return emptyDocument{s} },
	"a_conflict_writes_nothing":            func(s switchover.Store) switchover.Store { return lastWins{s} },
	"any_bytes":                            func(s switchover.Store) switchover.Store { return trims{s} },
	"a_context_that_has_ended":             func(s switchover.Store) switchover.Store { return ignoresContext{s} },
	"no_lost_update":                       func(s switchover.Store) switchover.Store { return racy{s} },
	"watch/a_change_by_another_client":     func(s switchover.Store) switchover.Store { return deaf{s} },
	"watch/a_revision_that_is_old_already": func(s switchover.Store) switchover.Store { return forgetful{s} },
}

type emptyDocument struct{ switchover.Store }

func (s emptyDocument) Load(ctx context.Context) ([]byte, string, error) {
	raw, rev, err := s.Store.Load(ctx)
	if errors.Is(err, switchover.ErrNotFound) {
		err = nil
	}
	return raw, rev, err
}

type lastWins struct{ switchover.Store }

func (s lastWins) CompareAndSwap(ctx context.Context, raw []byte, _ string) (string, error) {
	_, rev, _ := s.Load(ctx)
	return s.Store.CompareAndSwap(ctx, raw, rev)
}

type trims struct{ switchover.Store }

func (s trims) CompareAndSwap(ctx context.Context, raw []byte, rev string) (string, error) {
	return s.Store.CompareAndSwap(ctx, bytes.TrimSpace(raw), rev)
}

type ignoresContext struct{ switchover.Store }

func (s ignoresContext) CompareAndSwap(ctx context.Context, raw []byte, rev string) (string, error) {
	return s.Store.CompareAndSwap(context.WithoutCancel(ctx), raw, rev)
}

// racy compares, and swaps later.
type racy struct{ switchover.Store }

func (s racy) CompareAndSwap(ctx context.Context, raw []byte, rev string) (string, error) {
	if _, now, _ := s.Load(ctx); now != rev {
		return "", switchover.ErrConflict
	}
	<-time.After(time.Millisecond) // long enough that a busy machine lets another client in between
	return lastWins(s).CompareAndSwap(ctx, raw, rev)
}

type deaf struct{ switchover.Store }

func (s deaf) Watch(ctx context.Context, _ string) (<-chan struct{}, error) {
	hints := make(chan struct{})
	context.AfterFunc(ctx, func() { close(hints) })
	return hints, nil
}

// forgetful watches from now on, whatever revision it is given.
type forgetful struct{ switchover.Store }

func (s forgetful) Watch(ctx context.Context, _ string) (<-chan struct{}, error) {
	_, rev, _ := s.Load(ctx)
	return s.Store.(switchover.Watcher).Watch(ctx, rev)
}

// TestBroken is what TestSuiteFindsBrokenStores runs: the suite over a store with a mistake.
func TestBroken(t *testing.T) {
	mistake, chosen := broken[os.Getenv(brokenVar)]
	if !chosen {
		mistake = func(s switchover.Store) switchover.Store { return s } // and without one it passes
	}
	rdbmstest.TestStore(t, rdbmstest.StoreHarness{Updates: 100, New: func(testing.TB) func() switchover.Store {
		m := switchover.NewMemory(switchover.Doc{})
		return func() switchover.Store { return wrapped{mistake(m), m} }
	}})
}

// wrapped has a broken store's ability to watch, or the memory's.
type wrapped struct {
	switchover.Store

	memory *switchover.Memory
}

func (w wrapped) Watch(ctx context.Context, rev string) (<-chan struct{}, error) {
	if own, ok := w.Store.(switchover.Watcher); ok {
		return own.Watch(ctx, rev)
	}
	return w.memory.Watch(ctx, rev)
}

// The suite can fail: each mistake is found, by the test that is about it.
func TestSuiteFindsBrokenStores(t *testing.T) {
	t.Parallel()
	for test := range broken {
		t.Run(test, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestBroken$/^"+pattern(test)+"$", "-test.v")
			cmd.Env = append(os.Environ(), brokenVar+"="+test)
			out, err := cmd.CombinedOutput()
			if failed := (*exec.ExitError)(nil); !errors.As(err, &failed) || !bytes.Contains(out, []byte("--- FAIL: TestBroken/"+test)) {
				t.Errorf("the mistake was not found: %v\n%s", err, out)
			}
		})
	}
}

// pattern anchors each element of a subtest's name.
func pattern(test string) string {
	return string(bytes.ReplaceAll([]byte(test), []byte("/"), []byte("$/^")))
}
