package storetest_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/multidc/multidc/chronology"
	"github.com/multidc/multidc/chronology/storetest"
)

const brokenVar = "MULTIDC_CHRONOLOGY_STORETEST_BROKEN"

// mistake is what one store does wrong, and the test of the suite that must find it.
type mistake struct {
	test, name string
	wrong      func(*optimist) chronology.Store
	waits      bool // the suite waits in vain
}

func (m mistake) id() string { return m.test + ": " + m.name }

// TestBroken is what TestSuiteFindsBrokenStores runs: the suite over a store with a mistake. Without one it passes.
func TestBroken(t *testing.T) {
	wrong := func(s *optimist) chronology.Store { return s }
	for _, m := range mistakes {
		if m.id() == os.Getenv(brokenVar) {
			wrong = m.wrong
		}
	}
	inner := map[chronology.Store]*optimist{}
	storetest.TestStore(t, storetest.Harness{
		New: func(*testing.T) chronology.Store {
			o := &optimist{items: map[string]versioned{}, attempts: 10}
			s := wrong(o)
			inner[s] = o
			return s
		},
		Break: func(_ *testing.T, s chronology.Store) { inner[s].silent.Store(true) },
	})
}

// The suite can fail: each mistake is found, by the test that is about it.
func TestSuiteFindsBrokenStores(t *testing.T) {
	t.Parallel()
	var waiting sync.WaitGroup
	t.Cleanup(waiting.Wait)
	for _, m := range mistakes {
		if m.waits {
			waiting.Go(func() { m.mustBeFound(t) })
			continue
		}
		t.Run(m.id(), func(t *testing.T) {
			t.Parallel()
			m.mustBeFound(t)
		})
	}
}

func (m mistake) mustBeFound(t *testing.T) {
	t.Helper()
	test := strings.ReplaceAll(m.test, " ", "_")
	pattern := "^TestBroken$/^" + strings.ReplaceAll(test, "/", "$/^") + "$"
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0], "-test.run="+pattern, "-test.v")
	cmd.Env = append(os.Environ(), brokenVar+"="+m.id())
	out, err := cmd.CombinedOutput()
	if failed := (*exec.ExitError)(nil); !errors.As(err, &failed) || !bytes.Contains(out, []byte("--- FAIL: TestBroken/"+test)) ||
		bytes.Contains(out, []byte("panic:")) {
		t.Errorf("%s: the mistake was not found: %v\n%s", m.id(), err, out)
	}
}
