package sim

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
)

// defaultSeeds is what ./test plays; ./test -long sets seedsVar to 10,000.
const defaultSeeds = 200

const (
	seedVar  = "MULTIDC_TEST_SEED"  // play this seed only
	seedsVar = "MULTIDC_TEST_SEEDS" // play the seeds 1 to this number
)

// Run plays scenario in the DCs named, once for every seed, each time in a new synctest bubble with a new
// [World]. It stops at the first seed that fails and logs how to replay it.
func Run(t *testing.T, dcs []string, scenario func(t *testing.T, w *World)) {
	t.Helper()
	first, last, err := seeds(os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	for seed := first; !t.Failed(); seed++ {
		play(t, seed, dcs, scenario)
		if seed == last { // not in the condition: last may be the largest number there is
			return
		}
	}
}

func play(t *testing.T, seed uint64, dcs []string, scenario func(t *testing.T, w *World)) {
	t.Helper()
	// Deferred, as a Fatal or a panic in the bubble unwinds this goroutine too.
	finished := false
	defer func() {
		if t.Failed() || !finished {
			t.Logf("seed %d failed; to play it alone: %s=%d go test -run '^%s$'", seed, seedVar, seed, t.Name())
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		scenario(t, New(t, seed, dcs...))
	})
	finished = true
}

// seeds reads the range to play from the environment.
func seeds(getenv func(string) string) (first, last uint64, err error) {
	if one := getenv(seedVar); one != "" {
		seed, err := strconv.ParseUint(one, 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("%s=%q is not a seed: want a number of at most 64 bits", seedVar, one)
		}
		return seed, seed, nil
	}
	many := getenv(seedsVar)
	if many == "" {
		return 1, defaultSeeds, nil
	}
	n, err := strconv.ParseUint(many, 10, 32)
	if err != nil || n == 0 {
		return 0, 0, fmt.Errorf("%s=%q: want how many seeds to play, 1 or more", seedsVar, many)
	}
	return 1, n, nil
}
