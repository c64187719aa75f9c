package switchover_test

import (
	"context"
	"sync"
	"testing"

	"github.com/multidc/multidc/rdbms/switchover"
)

// twoDCs is a document of two healthy DCs, a the primary.
func twoDCs() switchover.Doc {
	return switchover.Doc{Primary: "a", DCs: map[string]switchover.DC{"a": {Pooled: true}, "b": {Pooled: true}}}
}

func newState(tb testing.TB, store switchover.Store, opts *switchover.Options) *switchover.State {
	tb.Helper()
	if opts == nil {
		opts = &switchover.Options{DC: "a", By: "test"}
	}
	s, err := switchover.New(store, opts)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func refresh(tb testing.TB, s *switchover.State) {
	tb.Helper()
	if err := s.Refresh(tb.Context()); err != nil {
		tb.Fatal(err)
	}
}

// run runs s until the function it returns is called, or the test ends.
func run(tb testing.TB, s *switchover.State) (stop func()) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Run(ctx); err != nil {
			tb.Error("Run:", err)
		}
	})
	stop = func() { cancel(); wg.Wait() }
	tb.Cleanup(stop)
	return stop
}

func update(tb testing.TB, s *switchover.State, change func(*switchover.Doc)) switchover.Doc {
	tb.Helper()
	doc, err := s.Update(tb.Context(), func(d *switchover.Doc) error { change(d); return nil })
	if err != nil {
		tb.Fatal("Update:", err)
	}
	return doc
}
