package rdbmstest_test

import (
	"path/filepath"
	"testing"

	"github.com/multidc/multidc/rdbms/rdbmstest"
	"github.com/multidc/multidc/rdbms/switchover"
)

func TestMemoryStore(t *testing.T) {
	t.Parallel()
	rdbmstest.TestStore(t, rdbmstest.StoreHarness{New: func(testing.TB) func() switchover.Store {
		m := switchover.NewMemory(switchover.Doc{})
		return func() switchover.Store { return m }
	}})
}

func TestFileStore(t *testing.T) {
	t.Parallel()
	rdbmstest.TestStore(t, rdbmstest.StoreHarness{New: func(tb testing.TB) func() switchover.Store {
		tb.Helper()
		path := filepath.Join(tb.TempDir(), "state.json")
		return func() switchover.Store { return switchover.NewFile(path) }
	}})
}
