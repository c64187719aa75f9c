package switchover_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childVar); path != "" {
		childWrites(path)
		return
	}
	goleak.VerifyTestMain(m)
}
