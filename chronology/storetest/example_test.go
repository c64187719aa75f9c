package storetest_test

import (
	"testing"

	"github.com/multidc/multidc/chronology"
	"github.com/multidc/multidc/chronology/storetest"
)

// In a test file this is the body of a test.
func ExampleTestStore() {
	_ = func(t *testing.T) {
		storetest.TestStore(t, storetest.Harness{
			New: func(*testing.T) chronology.Store { return chronology.NewMemory(0) },
		})
	}
}
