package purgelog_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/multidc/multidc/internal/testservers"
	"github.com/multidc/multidc/wanobjectcache"
	"github.com/multidc/multidc/wanobjectcache/purgelog"
)

func within(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick, late := time.NewTicker(10*time.Millisecond), time.After(40*time.Second)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("still not: %s", what)
		}
	}
}

// topics are the test's own, in one DC's Kafka.
type topics struct {
	t      testing.TB
	client *kafka.Client
}

func kafkaOf(tb testing.TB, variable string) topics {
	tb.Helper()
	transport := &kafka.Transport{DialTimeout: 2 * time.Second}
	tb.Cleanup(transport.CloseIdleConnections)
	return topics{tb, &kafka.Client{Addr: kafka.TCP(testservers.Var(tb, variable)), Transport: transport, Timeout: 10 * time.Second}}
}

func newName() string { return fmt.Sprintf("purgelog.%d", rand.Uint64()) }

// create makes a topic, as soon as its name is free.
func (k topics) create(topic string, partitions int) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for {
		answer, err := k.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{
			Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: partitions, ReplicationFactor: 1}},
		})
		must(k.t, err)
		if answer.Errors[topic] == nil {
			return
		}
	}
}

func (k topics) remove(topic string) {
	k.t.Helper()
	answer, err := k.client.DeleteTopics(context.Background(), &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	must(k.t, err)
	must(k.t, answer.Errors[topic])
}

// commit sets the position of a group that has no members, in partition 0.
func (k topics) commit(group, topic string, offset int64) {
	k.t.Helper()
	answer, err := k.client.OffsetCommit(context.Background(), &kafka.OffsetCommitRequest{
		GroupID: group, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{topic: {{Offset: offset}}},
	})
	must(k.t, err)
	must(k.t, answer.Topics[topic][0].Error)
}

func (k topics) committed(group, topic string) int64 {
	k.t.Helper()
	answer, err := k.client.OffsetFetch(context.Background(), &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: {0}}})
	must(k.t, err)
	return answer.Topics[topic][0].CommittedOffset
}

// dc is one DC: its store, its cache over it, and one group of values.
type dc struct {
	t     *testing.T
	store wanobjectcache.Store
	cache *wanobjectcache.Cache
	group *wanobjectcache.Group[int, string]
	ahead atomic.Int64 // of the clock
}

func newDC(t *testing.T, name string, store wanobjectcache.Store, log wanobjectcache.PurgeLog) *dc {
	t.Helper()
	d := &dc{t: t, store: store}
	var err error
	d.cache, err = wanobjectcache.New(store, &wanobjectcache.Options{
		DC: name, PurgeLog: log, Freshness: wanobjectcache.Unreplicated,
		Now: func() time.Time { return time.Now().Add(time.Duration(d.ahead.Load())) },
	})
	must(t, err)
	d.group, err = wanobjectcache.NewGroup(d.cache, "g", &wanobjectcache.GroupOptions[int, string]{TTL: time.Hour})
	must(t, err)
	t.Cleanup(func() { must(t, d.cache.Close(within(t, 10*time.Second))) })
	return d
}

func (d *dc) set(value string, ids ...int) {
	d.t.Helper()
	for _, id := range ids {
		if fill, err := d.group.Set(d.t.Context(), id, value, wanobjectcache.SetOptions{}); err != nil || fill != wanobjectcache.FillStored {
			d.t.Fatalf("set %d: %v, %v", id, fill, err)
		}
	}
}

func (d *dc) state(id int) wanobjectcache.State {
	d.t.Helper()
	r, err := d.group.Peek(d.t.Context(), id)
	must(d.t, err)
	return r.State
}

// count counts the ids that have a fresh value.
func (d *dc) fresh(ids ...int) (n int) {
	d.t.Helper()
	for _, id := range ids {
		if d.state(id) == wanobjectcache.Fresh {
			n++
		}
	}
	return n
}

func (d *dc) delete(ids ...int) {
	d.t.Helper()
	delivery, err := d.group.Delete(d.t.Context(), ids...)
	must(d.t, err)
	if !delivery.Logged() {
		d.t.Fatal("not logged")
	}
}

func upTo(n int) (ids []int) {
	for i := range n {
		ids = append(ids, i)
	}
	return ids
}

func newLog(tb testing.TB, variable, topic string) *purgelog.Log {
	tb.Helper()
	log, err := purgelog.NewLog(testservers.Vars(tb, variable), &purgelog.LogOptions{DC: "a", Topic: topic, Timeout: 10 * time.Second})
	must(tb, err)
	tb.Cleanup(func() { must(tb, log.Close(context.Background())) })
	return log
}

// applying is an applier that runs.
type applying struct {
	t    *testing.T
	a    *purgelog.Applier
	stop func()

	mu   sync.Mutex
	gaps []purgelog.GapInfo
	bad  []purgelog.BadMessageInfo
}

func (d *dc) apply(sources map[string]purgelog.Source, o purgelog.ApplierOptions) *applying {
	d.t.Helper()
	r := &applying{t: d.t}
	o.Events.OnGap = func(_ context.Context, g purgelog.GapInfo) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.gaps = append(r.gaps, g)
	}
	o.Events.OnBadMessage = func(_ context.Context, m purgelog.BadMessageInfo) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.bad = append(r.bad, m)
	}
	var err error
	r.a, err = purgelog.NewApplier(d.cache, sources, &o)
	must(d.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := r.a.Run(ctx); err != nil {
			d.t.Errorf("Run ended with %v", err)
		}
	})
	r.stop = func() { cancel(); running.Wait() }
	d.t.Cleanup(r.stop)
	return r
}

// caughtUp waits until nothing is left to apply, in any source.
func (r *applying) caughtUp() {
	r.t.Helper()
	eventually(r.t, "all is applied", func() bool {
		for _, s := range r.a.Explain(r.t.Context()).Sources {
			if !s.Known || s.Behind > 0 || s.Parked > 0 {
				return false
			}
		}
		return true
	})
}

func (r *applying) lost() []purgelog.GapInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.gaps
}
