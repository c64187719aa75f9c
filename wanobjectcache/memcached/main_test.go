package memcached

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if order, ok := os.LookupEnv(herdVariable); ok {
		os.Exit(joinHerd(order))
	}
	goleak.VerifyTestMain(m)
}
