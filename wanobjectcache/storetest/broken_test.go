package storetest_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/wanobjectcache"
	"github.com/multidc/multidc/wanobjectcache/storetest"
)

const (
	brokenVar = "MULTIDC_STORETEST_BROKEN"
	maxValue  = 1 << 17
)

// mistake is what one store does wrong, and the test of the suite that must find it.
type mistake struct {
	test, name string
	wrong      func(wanobjectcache.Store) wanobjectcache.Store
	coarse     bool // the store has a coarse clock
	lose       bool // it is a pool that loses a server
	shared     bool // it has many clients
	real       bool // it is found in real time too
}

func (m mistake) id() string { return m.test + ": " + m.name }

func all() (out []mistake) {
	for _, some := range [][]mistake{brokenReads, brokenWrites, brokenTimes, brokenLimits, brokenRaces, brokenPools} {
		out = append(out, some...)
	}
	return out
}

// TestBroken is what TestSuiteFindsBrokenStores runs: the suite over a store with a mistake. Without one it passes.
func TestBroken(t *testing.T) {
	chosen := mistake{wrong: func(s wanobjectcache.Store) wanobjectcache.Store { return s }, lose: true}
	for _, m := range all() {
		if m.id() == os.Getenv(brokenVar) {
			chosen = m
		}
	}
	memory := func() wanobjectcache.Store {
		return wanobjectcache.NewMemory(&wanobjectcache.MemoryOptions{CoarseClock: chosen.coarse, MaxValue: maxValue})
	}
	if chosen.shared {
		one := memory()
		memory = func() wanobjectcache.Store { return one }
	}
	h := storetest.Harness{
		New:  func(testing.TB) wanobjectcache.Store { return chosen.wrong(memory()) },
		Caps: storetest.Caps{CoarseClock: chosen.coarse, MaxValue: maxValue, Shared: chosen.shared},
	}
	if chosen.lose {
		h.Caps.Break = func(testing.TB) (s wanobjectcache.Store, cut, repair func()) {
			p := newPool(3)
			return chosen.wrong(p), func() { p.isCut.Store(true) }, func() { p.isCut.Store(false) }
		}
	}
	if !chosen.real && !chosen.shared {
		h.Run, h.Advance = synctest.Test, time.Sleep
	}
	storetest.TestStore(t, h)
}

// The suite can fail: each mistake is found, by the test that is about it.
func TestSuiteFindsBrokenStores(t *testing.T) {
	t.Parallel()
	for _, m := range all() {
		t.Run(m.id(), func(t *testing.T) {
			t.Parallel()
			test := strings.ReplaceAll(m.test, " ", "_")
			pattern := "^TestBroken$/^" + strings.ReplaceAll(test, "/", "$/^") + "$"
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run="+pattern, "-test.v")
			cmd.Env = append(os.Environ(), brokenVar+"="+m.id())
			out, err := cmd.CombinedOutput()
			if failed := (*exec.ExitError)(nil); !errors.As(err, &failed) || !bytes.Contains(out, []byte("--- FAIL: TestBroken/"+test)) ||
				bytes.Contains(out, []byte("panic:")) {
				t.Errorf("the mistake was not found: %v\n%s", err, out)
			}
		})
	}
}
