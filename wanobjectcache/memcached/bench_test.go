package memcached

import (
	"strings"
	"testing"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/multidc/multidc/internal/testservers"
	"github.com/multidc/multidc/wanobjectcache"
)

// A hit of 1 KiB, and gomemcache's Get of the same.
func BenchmarkGet(b *testing.B) {
	store, raw, keys := benched(b, 1)
	out := make([]wanobjectcache.StoreItem, 1)
	b.Run("raw", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := raw.Get(keys[0]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("store", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := store.GetMulti(b.Context(), keys, out); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// 100 hits of 1 KiB in one read.
func BenchmarkGetMulti100(b *testing.B) {
	store, raw, keys := benched(b, 100)
	out := make([]wanobjectcache.StoreItem, len(keys))
	b.Run("raw", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if found, err := raw.GetMulti(keys); err != nil || len(found) != len(keys) {
				b.Fatal(len(found), err)
			}
		}
	})
	b.Run("store", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := store.GetMulti(b.Context(), keys, out); err != nil || !out[99].Found {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkSet(b *testing.B) {
	store, raw, keys := benched(b, 1)
	value := []byte(strings.Repeat("x", 1024))
	b.Run("raw", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := raw.Set(&memcache.Item{Key: keys[0], Value: value, Expiration: 11}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("store", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := store.Set(b.Context(), keys[0], wanobjectcache.StoreItem{Value: value}, 11e9); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// benched are a store and a plain client of one server, where these keys are.
func benched(b *testing.B, n int) (*Store, *memcache.Client, []string) {
	b.Helper()
	addr, keys := testservers.Vars(b, "MEMCACHED_A")[0], manyKeys(b, n)
	store, raw := open(b, patient(), addr), memcache.New(addr)
	b.Cleanup(func() { _ = raw.Close() })
	for _, key := range keys {
		set(b, store, key, strings.Repeat("x", 1024))
	}
	return store, raw, keys
}
