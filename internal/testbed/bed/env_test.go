package bed

import (
	"slices"
	"testing"
)

// A bed within a bed hides the outer one's servers, and not what the tests are told.
func TestEnviron(t *testing.T) {
	s := &Set{vars: map[string]string{Prefix + "MARIADB_A": "inner"}}
	got := s.Environ([]string{"PATH=/bin", Prefix + "MARIADB_A=outer", Prefix + "KAFKA_A=outer", Prefix + "REQUIRE=1", Prefix + "SEED=3", Prefix + "SEEDS=10000"})
	want := []string{"PATH=/bin", Prefix + "REQUIRE=1", Prefix + "SEED=3", Prefix + "SEEDS=10000", Prefix + "MARIADB_A=inner"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
