package wanobjectcache_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/multidc/multidc/wanobjectcache"
)

// A CAS succeeds on what its token was given for, and on nothing else.
func ExampleMemory() {
	ctx := context.Background()
	m := wanobjectcache.NewMemory(&wanobjectcache.MemoryOptions{MaxBytes: 1 << 20})
	_ = m.Set(ctx, "key", wanobjectcache.StoreItem{Value: []byte("first")}, time.Minute)

	out := make([]wanobjectcache.StoreItem, 2)
	_ = m.GetMulti(ctx, []string{"key", "other key"}, out)
	fmt.Printf("%s, %t\n", out[0].Value, out[1].Found)

	swap := wanobjectcache.StoreItem{Value: []byte("second"), Token: out[0].Token}
	fmt.Println(m.CAS(ctx, "key", swap, time.Minute))
	fmt.Println(errors.Is(m.CAS(ctx, "key", swap, time.Minute), wanobjectcache.ErrConflict))

	m.Evict("key") // as a cache server may do at any time
	fmt.Println(errors.Is(m.CAS(ctx, "key", swap, time.Minute), wanobjectcache.ErrNotFound))
	m.Flush() // as a restart does
	// Output:
	// first, false
	// <nil>
	// true
	// true
}

// Who has applied n purges asks for those from there on.
func ExampleMemoryPurgeLog() {
	log := wanobjectcache.NewMemoryPurgeLog()
	applied := 0
	for _, key := range []string{"WANCache:default:user:41|#|v", "WANCache:default:user:42|#|v"} {
		purge := wanobjectcache.Purge{Op: wanobjectcache.OpDelete, Key: key, Time: time.Now(), Holdoff: 11 * time.Second, Origin: "a"}
		if err := log.Append(context.Background(), []wanobjectcache.Purge{purge}); err != nil {
			fmt.Println(err)
		}
		for _, p := range log.From(applied) {
			fmt.Println(p.Op, p.Key) // into Cache.Replay of another DC
			applied++
		}
	}
	// Output:
	// delete WANCache:default:user:41|#|v
	// delete WANCache:default:user:42|#|v
}
