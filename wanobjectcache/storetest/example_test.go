package storetest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/wanobjectcache"
	"github.com/multidc/multidc/wanobjectcache/storetest"
)

// In a test file this is the body of a test.
func ExampleTestStore() {
	_ = func(t *testing.T) {
		storetest.TestStore(t, storetest.Harness{
			New: func(testing.TB) wanobjectcache.Store {
				return wanobjectcache.NewMemory(&wanobjectcache.MemoryOptions{CoarseClock: true})
			},
			Run: synctest.Test, Advance: time.Sleep, // its time is that of package time
			Caps: storetest.Caps{CoarseClock: true},
		})
	}
}
