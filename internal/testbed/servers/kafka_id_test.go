package servers

import "testing"

// One random id in 64 would begin with "-", and Kafka would not start.
func TestClusterIDIsNoOption(t *testing.T) {
	for range 10_000 {
		if id := clusterID(); len(id) != 22 || id[0] == '-' {
			t.Fatalf("%q: want 22 characters, the first not -", id)
		}
	}
}
