package purgelog_test

import (
	"testing"

	"github.com/multidc/multidc/internal/testservers"
	"github.com/multidc/multidc/wanobjectcache"
	"github.com/multidc/multidc/wanobjectcache/memcached"
	"github.com/multidc/multidc/wanobjectcache/purgelog"
)

// Case Nd, on memcached: one of three servers hangs, and comes back with what it had.
func TestMemcachedDownDuringReplay(t *testing.T) {
	t.Parallel()
	testservers.Shared(t, "kafka")
	k, topic := kafkaOf(t, "KAFKA_A"), newName()
	k.create(topic, 1)
	servers := testservers.Memcached(t)
	pool, err := memcached.New(map[string]string{
		"one": servers.Vars("MEMCACHED_B")[0], "two": servers.Vars("MEMCACHED_B")[1], "three": servers.Vars("MEMCACHED_A")[0],
	}, nil)
	must(t, err)
	t.Cleanup(pool.Close)
	a := newDC(t, "a", wanobjectcache.NewMemory(nil), newLog(t, "KAFKA_A", topic))
	b := newDC(t, "b", pool, nil)
	ids := upTo(300)
	b.set("old", ids...)
	options := purgelog.ApplierOptions{DC: "b", Group: topic, FirstRun: true}
	sources := map[string]purgelog.Source{"a": source(t, "KAFKA_A_VIA_B", topic)}
	applier := b.apply(sources, options)
	applier.caughtUp()

	one := servers.Server("memcached-b-1")
	one.Pause()
	t.Cleanup(one.Resume)
	a.delete(ids...)
	eventually(t, "what does not answer is parked", func() bool {
		s := applier.a.Explain(t.Context()).Sources[0]
		return s.Known && s.Parked > 0 && int(s.Behind) == s.Parked
	})
	parked := applier.a.Explain(t.Context()).Sources[0].Parked
	applier.stop()
	if parked < 50 || parked > 150 {
		t.Errorf("%d of 300 are parked, want about a third", parked)
	}
	at := int(k.committed(topic, topic))
	results, _ := b.group.PeekMany(t.Context(), ids)
	first := len(ids)
	for i, r := range results {
		if r.State == wanobjectcache.Unknown {
			first = min(first, i)
		} else if r.State != wanobjectcache.Purged {
			t.Errorf("%d is %v though its server works", i, r.State)
		}
	}
	if at != first {
		t.Errorf("committed %d, want %d, the first that is parked", at, first)
	}

	one.Resume()
	if b.fresh(ids...) == 0 {
		t.Error("the server came back without its values: the test shows nothing")
	}
	options.FirstRun = false
	applier = b.apply(sources, options)
	applier.caughtUp()
	if n := b.fresh(ids...); n != 0 {
		t.Errorf("%d values are left", n)
	}
}
