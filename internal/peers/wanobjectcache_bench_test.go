package peers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/multidc/multidc/internal/testservers"
	"github.com/multidc/multidc/wanobjectcache"
	"github.com/multidc/multidc/wanobjectcache/memcached"
)

// BenchmarkWANObjectCacheHit is a hit of 1 KiB, as a multiple of gomemcache's Get of the very same item. At most 1.10, and
// 3 allocations more.
func BenchmarkWANObjectCacheHit(b *testing.B) {
	onServers(b, func(b *testing.B, addrs []string) {
		b.Helper()
		r, raw := newRig(b, 1<<10, pooled(b, addrs), nil), rawClient(b, addrs)
		items := r.warm(b, raw, upTo(1))
		compare(b, rawGet(raw, items[0]), hit(b.Context(), r))
	})
}

func rawGet(raw *memcache.Client, want *memcache.Item) func() error {
	return func() error {
		item, err := raw.Get(want.Key)
		if err == nil && len(item.Value) != len(want.Value) {
			err = fmt.Errorf("got %d bytes", len(item.Value))
		}
		return err
	}
}

func hit(ctx context.Context, r *rig) func() error {
	return func() error {
		v, err := r.group.Get(ctx, 1)
		if err == nil && len(v) != r.size {
			err = fmt.Errorf("got %d bytes", len(v))
		}
		return err
	}
}

// BenchmarkWANObjectCacheGetMany is 100 hits of 1 KiB at once, as a multiple of one GetMulti of the very same items. At
// most 1.25.
func BenchmarkWANObjectCacheGetMany(b *testing.B) {
	onServers(b, func(b *testing.B, addrs []string) {
		b.Helper()
		const n = 100
		r, raw := newRig(b, 1<<10, pooled(b, addrs), nil), rawClient(b, addrs)
		r.warm(b, raw, upTo(n))
		keys, ids := r.keys(upTo(n)), upTo(n)
		turns{calls: 10}.compare(b, func() error {
			found, err := raw.GetMulti(keys)
			return all(n, len(found), err)
		}, func() error {
			found, err := r.group.GetMany(b.Context(), ids)
			return all(n, len(found), err)
		})
		if loads := r.loaded(); len(loads) != 1 {
			b.Errorf("the loader was called for %d ids: not all were hits", loads)
		}
	})
}

func all(want, got int, err error) error {
	if err == nil && got != want {
		err = fmt.Errorf("got %d of %d", got, want)
	}
	return err
}

// onServers runs a benchmark on one server and on two.
func onServers(b *testing.B, run func(*testing.B, []string)) {
	b.Helper()
	addrs := testservers.Vars(b, "MEMCACHED_A")
	b.Run("one server", func(b *testing.B) { run(b, addrs[:1]) })
	b.Run("two servers", func(b *testing.B) { run(b, addrs[:2]) })
}

// BenchmarkWANObjectCacheDelete is a Delete, as a multiple of a raw Set of the same tombstone. With a DC that does not
// answer at most 1.25: what is sent there goes on while Delete returns, and competes for the processors with the Deletes
// that follow it.
func BenchmarkWANObjectCacheDelete(b *testing.B) {
	for _, c := range []struct {
		name string
		of   func(*testing.B) string // the address of the other DC's server
	}{
		{"no other DC", nil},
		{"other DC answers", answering},
		{"other DC refuses", refusing},
		{"other DC swallows", swallowing},
	} {
		b.Run(c.name, func(b *testing.B) {
			addrs := testservers.Vars(b, "MEMCACHED_A")[:1]
			remote := map[string]wanobjectcache.Store{}
			if c.of != nil {
				remote["b"] = pooled(b, []string{c.of(b)}, func(o *memcached.Options) { *o = memcached.Options{AllowPlaintext: true} })
			}
			benchDelete(b, newRig(b, 1<<10, pooled(b, addrs), remote), rawClient(b, addrs))
		})
	}
}

func benchDelete(b *testing.B, r *rig, raw *memcache.Client) {
	b.Helper()
	if _, err := r.group.Delete(b.Context(), 1); err != nil {
		b.Fatal(err)
	}
	tombstone, err := raw.Get(r.keys(upTo(1))[0])
	if err != nil {
		b.Fatal(err)
	}
	tombstone.Expiration = 11
	var sent []*wanobjectcache.Delivery
	turns{calls: 100, settle: func() error {
		for _, d := range sent {
			_ = d.Wait(b.Context()) // its error is that the other DC is dead
		}
		sent = sent[:0]
		return nil
	}}.compare(b, func() error { return raw.Set(tombstone) }, func() error {
		d, err := r.group.Delete(b.Context(), 1)
		sent = append(sent, d)
		return err
	})
}

// answering is the address of a server that works.
func answering(b *testing.B) string {
	b.Helper()
	return testservers.Vars(b, "MEMCACHED_B")[0]
}

// refusing is an address where nobody listens.
func refusing(b *testing.B) string {
	b.Helper()
	l := listening(b)
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	return l.Addr().String()
}

// swallowing is an address of somebody who takes whatever is sent, and never answers: the connections are never accepted.
func swallowing(b *testing.B) string {
	b.Helper()
	l := listening(b)
	b.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

func listening(b *testing.B) net.Listener {
	b.Helper()
	l, err := new(net.ListenConfig).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	return l
}

// BenchmarkWANObjectCacheReplay is a replay of 500 purges, each of which has a value to replace by a tombstone, as a
// multiple of 500 raw Sets, one after the other, which put the values there. At most 0.5.
func BenchmarkWANObjectCacheReplay(b *testing.B) {
	const n = 500
	addrs := testservers.Vars(b, "MEMCACHED_A")[:1]
	r, raw := newRig(b, 8, pooled(b, addrs), nil), rawClient(b, addrs)
	values := r.warm(b, raw, upTo(n))
	turns{calls: 1}.compare(b, func() error {
		for _, item := range values {
			if err := raw.Set(item); err != nil {
				return err
			}
		}
		return nil
	}, func() error { return errors.Join(r.cache.Replay(b.Context(), r.purges(values))...) })
	for _, item := range values {
		if found, err := raw.Get(item.Key); err != nil || found.Flags == item.Flags {
			b.Fatalf("%s is no tombstone: %v", item.Key, err)
		}
	}
}

// purges are those of these items, as a log gives them when it is read at once.
func (r *rig) purges(items []*memcache.Item) []wanobjectcache.Purge {
	purges := make([]wanobjectcache.Purge, len(items))
	now := time.Now()
	for i, item := range items {
		purges[i] = wanobjectcache.Purge{
			Op: wanobjectcache.OpDelete, Key: item.Key, Time: now, Holdoff: r.cache.Holdoff(), Origin: "b",
		}
	}
	return purges
}
