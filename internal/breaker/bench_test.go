package breaker

import (
	"testing"
	"time"
)

// What a pick over 16 servers asks of their breakers: one of them is open, one just came back.
func BenchmarkPick16(b *testing.B) {
	var servers [16]Breaker
	now := time.Now()
	for range inARow {
		servers[0].Failure(now)
	}
	servers[1].gate.Store(-instant(now))
	b.ReportAllocs()
	for b.Loop() {
		weigh(&servers, now)
	}
}

// weigh stands alone because nothing is inlined into the body of b.Loop.
func weigh(servers *[16]Breaker, now time.Time) (sum float64) {
	for i := range servers {
		if servers[i].State(now) == Closed {
			sum += servers[i].Weight(now)
		}
	}
	return sum
}

func BenchmarkSuccess(b *testing.B) {
	var server Breaker
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		server.Success(now)
	}
}

func BenchmarkSuccessParallel(b *testing.B) {
	var server Breaker
	b.RunParallel(func(pb *testing.PB) {
		now := time.Now()
		for pb.Next() {
			server.Success(now)
		}
	})
}
