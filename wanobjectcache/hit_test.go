package wanobjectcache_test

import (
	"context"
	"testing"
	"time"

	"github.com/multidc/multidc/wanobjectcache"
)

// frozen answers each read with one item, and allocates nothing.
type frozen struct{ item wanobjectcache.StoreItem }

func (f *frozen) GetMulti(_ context.Context, _ []string, out []wanobjectcache.StoreItem) error {
	for i := range out {
		out[i] = f.item
	}
	return nil
}

func (f *frozen) Add(_ context.Context, _ string, item wanobjectcache.StoreItem, _ time.Duration) error {
	item.Found, item.Token = true, f
	f.item = item
	return nil
}

func (f *frozen) CAS(context.Context, string, wanobjectcache.StoreItem, time.Duration) error {
	return wanobjectcache.ErrConflict
}

func (f *frozen) Set(context.Context, string, wanobjectcache.StoreItem, time.Duration) error {
	return nil
}

// A hit costs at most three allocations above the store's and the codec's.
func TestAllocationsOfAHit(t *testing.T) {
	store := &frozen{}
	cache, err := wanobjectcache.New(store, &wanobjectcache.Options{Freshness: wanobjectcache.Unreplicated})
	if err != nil {
		t.Fatal(err)
	}
	g, err := wanobjectcache.NewGroup(cache, "user", &wanobjectcache.GroupOptions[int64, []byte]{
		TTL:  time.Hour,
		Load: func(context.Context, int64) ([]byte, error) { return nil, wanobjectcache.ErrUnsupported },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if _, err := g.Set(ctx, 1, []byte("value"), wanobjectcache.SetOptions{}); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(1000, func() {
		if v, err := g.Get(ctx, 123456); err != nil || len(v) != 5 {
			t.Fatal(v, err)
		}
	}); n > 3 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkHit(b *testing.B) {
	cache, err := wanobjectcache.New(wanobjectcache.NewMemory(nil), &wanobjectcache.Options{Freshness: wanobjectcache.Unreplicated})
	if err != nil {
		b.Fatal(err)
	}
	g, err := wanobjectcache.NewGroup(cache, "user", &wanobjectcache.GroupOptions[int64, []byte]{
		TTL:  time.Hour,
		Load: func(context.Context, int64) ([]byte, error) { return make([]byte, 1024), nil },
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := g.Get(b.Context(), 1); err != nil {
			b.Fatal(err)
		}
	}
}
