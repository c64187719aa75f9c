package peers

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/multidc/multidc/wanobjectcache"
	"github.com/multidc/multidc/wanobjectcache/memcached"
)

// patience is a timeout that a busy machine does not reach.
const patience = 10 * time.Second

// pooled is a pool of these servers, with that patience unless something else is said.
func pooled(tb testing.TB, addrs []string, change ...func(*memcached.Options)) *memcached.Store {
	tb.Helper()
	servers := map[string]string{}
	for i, addr := range addrs {
		servers[fmt.Sprintf("mc%d", i)] = addr
	}
	o := memcached.Options{AllowPlaintext: true, Timeout: patience, ConnectTimeout: patience, MultiTimeout: patience}
	for _, c := range change {
		c(&o)
	}
	pool, err := memcached.New(servers, &o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(pool.Close)
	return pool
}

// rawClient is gomemcache on these servers.
func rawClient(tb testing.TB, addrs []string) *memcache.Client {
	tb.Helper()
	raw := memcache.New(addrs...)
	raw.Timeout = patience
	tb.Cleanup(func() { _ = raw.Close() })
	return raw
}

// rig is a cache, with a keyspace of its own and a group whose values are bytes, so that no codec counts.
type rig struct {
	store wanobjectcache.Store
	cache *wanobjectcache.Cache
	group *wanobjectcache.Group[int64, []byte]
	space string
	size  int // of the values

	mu    sync.Mutex
	loads []int // how many ids each call of the loader was for
}

func newRig(tb testing.TB, size int, store wanobjectcache.Store, remote map[string]wanobjectcache.Store) *rig {
	tb.Helper()
	r := &rig{store: store, space: rand.Text(), size: size}
	var err error
	r.cache, err = wanobjectcache.New(store, &wanobjectcache.Options{
		Freshness: wanobjectcache.Unreplicated, Keyspace: r.space, DC: "a", Remote: remote,
	})
	if err != nil {
		tb.Fatal(err)
	}
	closeAfter(tb, r.cache)
	r.group, err = wanobjectcache.NewGroup(r.cache, "user", &wanobjectcache.GroupOptions[int64, []byte]{TTL: time.Hour, LoadMany: r.load})
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func closeAfter(tb testing.TB, cache *wanobjectcache.Cache) {
	tb.Helper()
	tb.Cleanup(func() {
		if err := cache.Close(context.Background()); err != nil {
			tb.Error(err)
		}
	})
}

func (r *rig) load(_ context.Context, ids []int64) (map[int64][]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.loads = append(r.loads, len(ids))
	values := make(map[int64][]byte, len(ids))
	for _, id := range ids {
		values[id] = make([]byte, r.size)
	}
	return values, nil
}

// loaded is for how many ids each call of the loader was.
func (r *rig) loaded() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.loads
}

// upTo are the ids from 1 to n.
func upTo(n int) (ids []int64) {
	for id := range int64(n) {
		ids = append(ids, id+1)
	}
	return ids
}

// keys is where the values of ids lie on the servers.
func (r *rig) keys(ids []int64) (keys []string) {
	for _, id := range ids {
		keys = append(keys, fmt.Sprintf("WANCache:%s:user:%d|#|v", r.space, id))
	}
	return keys
}

// warm loads the ids, and lets the raw client have the very same items, on the servers where it looks for them.
func (r *rig) warm(tb testing.TB, raw *memcache.Client, ids []int64) (items []*memcache.Item) {
	tb.Helper()
	if values, err := r.group.GetMany(tb.Context(), ids); err != nil || len(values) != len(ids) {
		tb.Fatalf("%d values: %v", len(values), err)
	}
	keys := r.keys(ids)
	found := make([]wanobjectcache.StoreItem, len(keys))
	if err := r.store.GetMulti(tb.Context(), keys, found); err != nil {
		tb.Fatal(err)
	}
	for i, key := range keys {
		if !found[i].Found {
			tb.Fatalf("%s was not stored", key)
		}
		items = append(items, &memcache.Item{Key: key, Value: found[i].Value, Flags: found[i].Flags, Expiration: 3600})
		if err := raw.Set(items[i]); err != nil {
			tb.Fatal(err)
		}
	}
	return items
}
