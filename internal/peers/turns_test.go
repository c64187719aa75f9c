package peers

import (
	"math"
	"runtime"
	"slices"
	"testing"
	"time"
)

// turns is how jobs are measured beside each other: by turns, so that what else the machine is at meets all alike.
type turns struct {
	calls  int          // of one job, before it is the next one's turn
	settle func() error // after each turn, while no clock runs: awaits what the calls have left behind. nil = nothing
}

// fastest runs the jobs as long as more says so. It returns how long a call of each takes, of the fastest tenth of its turns.
func (t turns) fastest(tb testing.TB, more func() bool, jobs ...func() error) []time.Duration {
	tb.Helper()
	took := make([][]time.Duration, len(jobs))
	for more() {
		for i, job := range jobs {
			began := time.Now()
			for range t.calls {
				if err := job(); err != nil {
					tb.Fatal(err)
				}
			}
			took[i] = append(took[i], time.Since(began)/time.Duration(t.calls))
			t.rest(tb)
		}
	}
	low := make([]time.Duration, len(jobs))
	for i, all := range took {
		slices.Sort(all)
		low[i] = all[len(all)/10]
	}
	return low
}

func (t turns) rest(tb testing.TB) {
	tb.Helper()
	if t.settle == nil {
		return
	}
	if err := t.settle(); err != nil {
		tb.Fatal(err)
	}
}

// allocated is what a call of a job allocates: how often, and how many bytes.
func (t turns) allocated(tb testing.TB, job func() error) (count, bytes float64) {
	tb.Helper()
	t.rest(tb)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range t.calls {
		if err := job(); err != nil {
			tb.Fatal(err)
		}
	}
	t.rest(tb)
	runtime.ReadMemStats(&after)
	calls := uint64(t.calls)
	return math.Floor(float64(after.Mallocs-before.Mallocs) / float64(calls)), float64((after.TotalAlloc - before.TotalAlloc) / calls)
}

// compare reports how long do takes, also as a multiple of base, how many allocations more it makes, and with -benchmem
// what it allocates.
func (t turns) compare(b *testing.B, base, do func() error) {
	b.Helper()
	took := t.fastest(b, b.Loop, base, do)
	few, _ := t.allocated(b, base)
	allocs, bytes := t.allocated(b, do)
	b.ReportMetric(0, "ns/op") // of both, which says nothing
	b.ReportMetric(float64(took[1].Nanoseconds()), "ns")
	b.ReportMetric(float64(took[1])/float64(took[0]), "ratio")
	b.ReportMetric(allocs-few, "more-allocs")
	b.ReportMetric(allocs, "allocs/op")
	b.ReportMetric(bytes, "B/op")
}

// compare does so by turns of 100 calls.
func compare(b *testing.B, base, do func() error) {
	b.Helper()
	turns{calls: 100}.compare(b, base, do)
}
