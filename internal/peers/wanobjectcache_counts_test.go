package peers

import (
	"bytes"
	"context"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/multidc/multidc/internal/testservers"
	"github.com/multidc/multidc/wanobjectcache"
	"github.com/multidc/multidc/wanobjectcache/memcached"
)

// counted counts the reads of a store.
type counted struct {
	wanobjectcache.Store

	mu    sync.Mutex
	reads []int // how many keys each was for
}

func (c *counted) GetMulti(ctx context.Context, keys []string, out []wanobjectcache.StoreItem) error {
	c.mu.Lock()
	c.reads = append(c.reads, len(keys))
	c.mu.Unlock()
	return c.Store.GetMulti(ctx, keys, out)
}

// wiretap counts the read commands that go to each server.
type wiretap struct {
	mu    sync.Mutex
	reads map[string]int // by address
}

func (w *wiretap) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	return &tapped{conn, w, addr}, err
}

// tapped is a connection of gomemcache's: a command begins with a Write, though a long one needs several.
type tapped struct {
	net.Conn

	to   *wiretap
	addr string
}

func (t *tapped) Write(b []byte) (int, error) {
	if bytes.HasPrefix(b, []byte("gets ")) {
		t.to.mu.Lock()
		t.to.reads[t.addr]++
		t.to.mu.Unlock()
	}
	return t.Conn.Write(b)
}

// take is how many went to each of these since it was last called.
func (w *wiretap) take(addrs []string) (reads []int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, addr := range addrs {
		reads = append(reads, w.reads[addr])
	}
	clear(w.reads)
	return reads
}

// 10,000 cold ids are read by one command to each server and loaded by one call, and then are hits.
func TestWANObjectCacheColdBatch(t *testing.T) {
	t.Parallel()
	const n = 10_000
	addrs := testservers.Vars(t, "MEMCACHED_A")[:2]
	tap := &wiretap{reads: map[string]int{}}
	store := &counted{Store: pooled(t, addrs, func(o *memcached.Options) { o.Dial = tap.dial })}
	r := newRig(t, 100, store, nil)
	for _, what := range []string{"cold", "warm"} {
		store.reads = nil
		values, err := r.group.GetMany(t.Context(), upTo(n))
		if err != nil || len(values) != n {
			t.Fatalf("%s: %d values: %v", what, len(values), err)
		}
		if loads := r.loaded(); !slices.Equal(loads, []int{n}) {
			t.Errorf("%s: the loader was called for %d ids, want one call for all", what, loads)
		}
		if len(store.reads) != 1 {
			t.Errorf("%s: %d reads, of %d keys, want one", what, len(store.reads), store.reads)
		}
		if reads := tap.take(addrs); !slices.Equal(reads, []int{1, 1}) {
			t.Errorf("%s: %d commands to the servers, want one to each", what, reads)
		}
	}
}

// A hit costs at most three allocations above gomemcache's Get of the same item, on a real server, too.
func TestWANObjectCacheAllocationsOfAHit(t *testing.T) {
	addrs := testservers.Vars(t, "MEMCACHED_A")[:1]
	r, raw := newRig(t, 1<<10, pooled(t, addrs), nil), rawClient(t, addrs)
	items := r.warm(t, raw, upTo(1))
	many := turns{calls: 1000}
	few, _ := many.allocated(t, rawGet(raw, items[0]))
	ours, _ := many.allocated(t, hit(t.Context(), r))
	t.Logf("%v allocations, gomemcache has %v", ours, few)
	if ours > few+3 {
		t.Errorf("%v allocations, want at most 3 above the %v of gomemcache", ours, few)
	}
}
