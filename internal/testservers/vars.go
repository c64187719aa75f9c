package testservers

import (
	"os"
	"strings"
	"testing"
)

const prefix = "MULTIDC_TEST_"

// Var returns the value of MULTIDC_TEST_<name>, for example of "MARIADB_A". Without it the test is skipped, or fails
// where servers are required.
func Var(tb testing.TB, name string) string {
	tb.Helper()
	value := os.Getenv(prefix + name)
	if value == "" {
		missing(tb, name)
	}
	return value
}

// Vars is Var of a comma separated list, for example "MEMCACHED_A".
func Vars(tb testing.TB, name string) []string {
	tb.Helper()
	return strings.Split(Var(tb, name), ",")
}

func missing(tb testing.TB, name string) {
	tb.Helper()
	const how = "%s%s is not set: run the test in a test bed (go run ./internal/testbed/cmd/testbed run -- …)"
	if os.Getenv(prefix+"REQUIRE") == "1" {
		tb.Fatalf(how, prefix, name)
	}
	tb.Skipf(how, prefix, name)
}
