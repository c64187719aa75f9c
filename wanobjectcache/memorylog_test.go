package wanobjectcache_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/multidc/multidc/wanobjectcache"
)

var _ wanobjectcache.PurgeLog = (*wanobjectcache.MemoryPurgeLog)(nil)

func purge(key string) wanobjectcache.Purge {
	return wanobjectcache.Purge{
		Op: wanobjectcache.OpDelete, Key: key, Time: time.UnixMicro(1549343530000001), Holdoff: 11 * time.Second, Origin: "a",
	}
}

func TestMemoryPurgeLog(t *testing.T) {
	log := wanobjectcache.NewMemoryPurgeLog()
	if got := log.From(0); got != nil {
		t.Errorf("an empty log has %v", got)
	}
	batch := []wanobjectcache.Purge{purge("a"), purge("b")}
	for _, purges := range [][]wanobjectcache.Purge{batch, nil, {purge("c")}} {
		if err := log.Append(t.Context(), purges); err != nil {
			t.Fatal(err)
		}
	}
	batch[0].Key = "changed by the caller"
	log.From(0)[1].Key = "changed by a reader"
	for n, want := range map[int]string{-1: "abc", 0: "abc", 1: "bc", 2: "c", 3: "", 4: ""} {
		var keys []string
		for _, p := range log.From(n) {
			keys = append(keys, p.Key)
			if p != purge(p.Key) {
				t.Errorf("the log has %+v, want %+v", p, purge(p.Key))
			}
		}
		if got := strings.Join(keys, ""); got != want {
			t.Errorf("From(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestMemoryPurgeLogOfAnEndedContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	log := wanobjectcache.NewMemoryPurgeLog()
	if err := log.Append(ctx, []wanobjectcache.Purge{purge("a")}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
	if got := log.From(0); got != nil {
		t.Errorf("the log has %v all the same", got)
	}
}

// Appends at once are all kept, each batch in one piece; a reader sees only whole ones.
func TestMemoryPurgeLogOfManyWriters(t *testing.T) {
	const writers, batches = 8, 100
	log := wanobjectcache.NewMemoryPurgeLog()
	var all sync.WaitGroup
	for writer := range writers {
		all.Go(func() {
			key := strconv.Itoa(writer)
			for range batches {
				if err := log.Append(t.Context(), []wanobjectcache.Purge{purge(key), purge(key)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for n := 0; n < 2*writers*batches; {
		purges := log.From(n)
		if len(purges)%2 != 0 {
			t.Fatalf("a batch was seen in part: %d purges after the first %d", len(purges), n)
		}
		for i := 0; i < len(purges); i += 2 {
			if purges[i] != purges[i+1] {
				t.Fatalf("a batch was torn: %v, %v", purges[i], purges[i+1])
			}
		}
		n += len(purges)
	}
	all.Wait()
}
