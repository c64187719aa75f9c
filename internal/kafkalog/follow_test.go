package kafkalog

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
)

// What is worked on when a partition is given away is waited for, also when that happens in the moment of a commit.
func TestFollowWaitsForWork(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			f, err := New(Options{Brokers: []string{"x:1"}, Topic: "t", Group: "g"})
			if err != nil {
				t.Fatal(err)
			}
			var working atomic.Bool
			ctx, cancel := context.WithTimeout(t.Context(), 3*commitEvery) // ends as a commit is due
			defer cancel()
			g := &kafka.Generation{Assignments: map[string][]kafka.PartitionAssignment{"t": {{ID: 0, Offset: 5}}}}
			f.follow(ctx, g, nil, func(ctx context.Context, _ *Partition) {
				working.Store(true)
				<-ctx.Done()
				time.Sleep(100 * time.Millisecond) // a Replay that is under way
				working.Store(false)
			})
			if working.Load() {
				t.Error("follow has returned, the work goes on")
			}
			synctest.Wait()
			time.Sleep(time.Second)
		})
	}
}
