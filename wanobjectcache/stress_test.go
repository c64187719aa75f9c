package wanobjectcache_test

import (
	"context"
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/multidc/multidc/wanobjectcache"
)

// Guarantee 3 with real goroutines: who starts after a purge has returned never gets a load from before it, also if the
// cache loses what it has at any time.
func TestReadersAfterPurges(t *testing.T) {
	const keys, rounds = 4, 1500
	memory := wanobjectcache.NewMemory(nil)
	cache, err := wanobjectcache.New(memory, &wanobjectcache.Options{Freshness: wanobjectcache.Unreplicated, LockWait: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	var rows, purged [keys]atomic.Int64
	load := func(_ context.Context, id int) (int64, error) {
		v := rows[id].Load()
		for range rand.IntN(5) {
			runtime.Gosched()
		}
		return v, nil
	}
	g, err := wanobjectcache.NewGroup(cache, "g", &wanobjectcache.GroupOptions[int, int64]{
		TTL: time.Hour, Load: load, StaleIfError: time.Minute,
		Tags: func(id int) []wanobjectcache.Tag { return []wanobjectcache.Tag{wanobjectcache.Tag(strconv.Itoa(id))} },
	})
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() {
			for range rounds {
				id := rand.IntN(keys)
				least := purged[id].Load()
				var v int64
				var err error
				switch rand.IntN(3) {
				case 0:
					v, err = g.GetWith(t.Context(), id, func(ctx context.Context) (int64, error) { return load(ctx, id) })
				case 1:
					var all map[int]int64
					all, err = g.GetMany(t.Context(), []int{id})
					v = all[id]
				default:
					v, err = g.Get(t.Context(), id)
				}
				if v < least || err != nil {
					t.Errorf("key %d: got %d after the purge of %d: %v", id, v, least, err)
				}
			}
		})
	}
	for id := range keys {
		work.Go(func() { // one writer for each key
			for range rounds / 4 {
				v := rows[id].Add(1)
				var err error
				if rand.IntN(2) == 0 {
					_, err = g.Delete(t.Context(), id)
				} else {
					_, err = cache.PurgeTags(t.Context(), wanobjectcache.Tag(strconv.Itoa(id)))
				}
				purged[id].Store(v)
				if err != nil {
					t.Error(err)
				}
				if rand.IntN(4) == 0 {
					memory.Evict(wire("g:"+strconv.Itoa(id), "v"))
				}
			}
		})
	}
	work.Wait()
	if err := cache.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
