package purgelog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/internal/kafkalog"
	"github.com/multidc/multidc/wanobjectcache"
)

// fakePartition hands out what it is given, and notes what is finished.
type fakePartition struct {
	batches chan kafkalog.Batch
	mu      sync.Mutex
	done    []uint64
}

func (p *fakePartition) Next(ctx context.Context) (kafkalog.Batch, error) {
	select {
	case b := <-p.batches:
		return b, nil
	case <-ctx.Done():
		return kafkalog.Batch{}, ctx.Err()
	}
}

func (p *fakePartition) Done(seq uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done = append(p.done, seq)
}

func (p *fakePartition) finished() []uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(slices.Values(p.done))
}

// fakeCache has a server that is down, and notes when it is asked.
type fakeCache struct {
	mu      sync.Mutex
	down    func(key string) bool
	noEpoch bool
	replays []time.Duration // since began
	largest int             // replay
	epochs  []time.Time
	began   time.Time
}

var errDown = errors.New("down")

func (c *fakeCache) Replay(_ context.Context, purges []wanobjectcache.Purge) []error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.replays = append(c.replays, time.Since(c.began))
	c.largest = max(c.largest, len(purges))
	errs := make([]error, len(purges))
	for i, p := range purges {
		if c.down != nil && c.down(p.Key) {
			errs[i] = errDown
		}
	}
	return errs
}

func (c *fakeCache) RaiseEpoch(_ context.Context, t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.noEpoch {
		return errDown
	}
	c.epochs = append(c.epochs, t)
	return nil
}

func (c *fakeCache) Holdoff() time.Duration { return 11 * time.Second }

func (c *fakeCache) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

// bench is a source whose partition is a fake, in a bubble.
type bench struct {
	t     *testing.T
	cache *fakeCache
	s     *source
	p     *fakePartition
	gaps  []GapInfo
	seq   uint64
}

func inBubble(t *testing.T, o ApplierOptions, test func(*bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, cache: &fakeCache{began: time.Now()}, p: &fakePartition{batches: make(chan kafkalog.Batch)}}
		o.DC = "b"
		o.Events.OnGap = func(_ context.Context, g GapInfo) { b.gaps = append(b.gaps, g) }
		a, err := newApplier(b.cache, map[string]Source{"a": {Brokers: []string{"h:1"}, AllowPlaintext: true}}, &o)
		if err != nil {
			t.Fatal(err)
		}
		b.s = a.sources[0]
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			b.s.apply(ctx, b.p, 0)
		}()
		test(b)
		cancel()
		<-ended
		if in, full := b.s.room.state(); in != 0 || full {
			t.Errorf("%d places are still taken: %v", in, full)
		}
	})
}

func (b *bench) message(key int) kafkalog.Message {
	b.seq++
	_, value, err := encode(purgeOf(key, 0, 11*time.Second))
	if err != nil {
		b.t.Fatal(err)
	}
	return kafkalog.Message{Seq: b.seq, Value: value}
}

// give hands out messages, and waits until they are worked on.
func (b *bench) give(keys ...int) {
	var messages []kafkalog.Message
	for _, key := range keys {
		messages = append(messages, b.message(key))
	}
	b.p.batches <- kafkalog.Batch{Messages: messages}
	synctest.Wait()
}

func (b *bench) wantDone(seqs ...uint64) {
	b.t.Helper()
	synctest.Wait()
	if got := b.p.finished(); !slices.Equal(got, seqs) {
		b.t.Errorf("finished %v, want %v", got, seqs)
	}
}

func isKey(n int) func(string) bool {
	return func(key string) bool { return key == fmt.Sprintf("WANCache:default:g:%d|#|v", n) }
}

func TestParksAndGoesOn(t *testing.T) {
	inBubble(t, ApplierOptions{}, func(b *bench) {
		b.cache.down = isKey(2)
		b.give(1, 2, 3)
		b.wantDone(1, 3)
		b.give(2, 4) // the key is parked already: its first message stands for both
		b.wantDone(1, 3, 4, 5)
		if in, _ := b.s.room.state(); in != 1 {
			t.Errorf("%d keys are parked, want 1", in)
		}
		b.cache.set(func() { b.cache.down = nil })
		time.Sleep(time.Minute)
		b.wantDone(1, 2, 3, 4, 5)
	})
}

func TestRetriesFrom100MillisecondsTo5Seconds(t *testing.T) {
	inBubble(t, ApplierOptions{}, func(b *bench) {
		b.cache.down = isKey(1)
		b.give(1)
		time.Sleep(time.Minute)
		synctest.Wait()
		at := b.cache.replays
		for i, want := range []time.Duration{
			100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond,
			1600 * time.Millisecond, 3200 * time.Millisecond, 5 * time.Second, 5 * time.Second,
		} {
			if got := at[i+1] - at[i]; got < want*8/10 || got > want*12/10 {
				t.Errorf("try %d came after %v, want %v ± 20 %%", i+1, got, want)
			}
		}
	})
}

func TestFullParkingStopsReading(t *testing.T) {
	inBubble(t, ApplierOptions{MaxParked: 2}, func(b *bench) {
		b.cache.down = func(string) bool { return true }
		b.give(1, 2, 3)
		select {
		case b.p.batches <- kafkalog.Batch{Messages: []kafkalog.Message{b.message(4)}}:
			t.Fatal("reading went on")
		case <-time.After(time.Minute):
		}
		if in, full := b.s.room.state(); in != 3 || !full {
			t.Errorf("%d are parked, full: %v", in, full)
		}
		b.cache.set(func() { b.cache.down = nil })
		b.p.batches <- kafkalog.Batch{Messages: []kafkalog.Message{b.message(5)}}
		b.wantDone(1, 2, 3, 5)
	})
}

func TestParkedIsRetriedInParts(t *testing.T) {
	inBubble(t, ApplierOptions{}, func(b *bench) {
		b.cache.down = func(string) bool { return true }
		for i := range 3 {
			var keys []int
			for k := range 400 {
				keys = append(keys, 400*i+k)
			}
			b.give(keys...)
		}
		b.cache.set(func() { b.cache.down = nil })
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(b.p.finished()); n != 1200 || b.cache.largest != together {
			t.Errorf("%d are finished, in parts of up to %d", n, b.cache.largest)
		}
	})
}

// Case Nc, for each kind of gap: the epoch covers what is lost, and the gap is finished when that is done, not before.
func TestGapIsFinishedByTheEpoch(t *testing.T) {
	inBubble(t, ApplierOptions{}, func(b *bench) {
		b.cache.noEpoch = true
		until := time.Now().Add(-time.Minute)
		b.p.batches <- kafkalog.Batch{Gap: &kafkalog.Gap{Kind: kafkalog.Retention, Partition: 7, From: 3, To: 9, Until: until, Seq: 50}}
		b.give(1)
		b.wantDone(1) // others are not held up
		if want := (GapInfo{DC: "a", Partition: 7, From: 3, To: 9, Until: until, Kind: GapRetention}); len(b.gaps) != 1 || b.gaps[0] != want {
			t.Errorf("told %+v, want %+v", b.gaps, want)
		}
		b.cache.set(func() { b.cache.noEpoch = false })
		time.Sleep(time.Minute)
		b.wantDone(1, 50)
		if want := until.Add(11 * time.Second); len(b.cache.epochs) != 1 || !b.cache.epochs[0].Equal(want) {
			t.Errorf("epochs %v, want %v", b.cache.epochs, want)
		}
	})
}

// A message stamped by a clock that is ahead must not have the cache refuse the epoch for good.
func TestGapDoesNotReachIntoTheFuture(t *testing.T) {
	inBubble(t, ApplierOptions{}, func(b *bench) {
		b.p.batches <- kafkalog.Batch{Gap: &kafkalog.Gap{Kind: kafkalog.Skipped, Until: time.Now().Add(time.Hour), Seq: 1}}
		b.wantDone(1)
		if want := time.Now().Add(11 * time.Second); !b.cache.epochs[0].Equal(want) {
			t.Errorf("epoch %v, want %v", b.cache.epochs[0], want)
		}
	})
}

func TestProgressIsToldEvery10Seconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []ProgressInfo
		a, err := newApplier(&fakeCache{}, map[string]Source{"b": {Brokers: []string{"h:1"}}}, &ApplierOptions{
			DC: "b", Events: Events{OnProgress: func(_ context.Context, p ProgressInfo) { told = append(told, p) }},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 35*time.Second)
		defer cancel()
		a.sources[0].reportProgress(ctx)
		if len(told) != 3 {
			t.Errorf("told %d times in 35 s, want 3", len(told))
		}
		for _, p := range told {
			if p.Known || p.Behind != 0 || p.Err == "" || p.DC != "b" { // nobody was asked
				t.Errorf("told %+v, want not known", p)
			}
		}
	})
}
