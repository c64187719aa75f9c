package storetest_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/wanobjectcache"
	"github.com/multidc/multidc/wanobjectcache/storetest"
)

// pool is a store of several servers in this process, the first of which can be cut off. It is as strict about keys as
// memcached.
type pool struct {
	servers []*wanobjectcache.Memory
	isCut   atomic.Bool
}

func newPool(servers int) *pool {
	p := &pool{}
	for range servers {
		p.servers = append(p.servers, wanobjectcache.NewMemory(nil))
	}
	return p
}

var errCut = fmt.Errorf("%w: server 0 is cut off", wanobjectcache.ErrUnavailable)

func (p *pool) server(key string) (*wanobjectcache.Memory, error) {
	if notPrintable := strings.IndexFunc(key, func(r rune) bool { return r < '!' || r > '~' }); len(key) > 250 || notPrintable >= 0 {
		return nil, fmt.Errorf("malformed key %q", key)
	}
	h := fnv.New32a()
	h.Write([]byte(key))
	n := int(h.Sum32()) % len(p.servers)
	if n == 0 && p.isCut.Load() {
		return nil, errCut
	}
	return p.servers[n], nil
}

func (p *pool) GetMulti(ctx context.Context, keys []string, out []wanobjectcache.StoreItem) error {
	var errs []error
	for i, key := range keys {
		s, err := p.server(key)
		if err == nil {
			err = s.GetMulti(ctx, keys[i:i+1], out[i:i+1])
		}
		if err != nil {
			out[i] = wanobjectcache.StoreItem{Err: err}
			if !slices.Contains(errs, err) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

func (p *pool) Add(ctx context.Context, key string, item wanobjectcache.StoreItem, ttl time.Duration) error {
	s, err := p.server(key)
	if err != nil {
		return err
	}
	return s.Add(ctx, key, item, ttl)
}

func (p *pool) CAS(ctx context.Context, key string, item wanobjectcache.StoreItem, ttl time.Duration) error {
	s, err := p.server(key)
	if err != nil {
		return err
	}
	return s.CAS(ctx, key, item, ttl)
}

func (p *pool) Set(ctx context.Context, key string, item wanobjectcache.StoreItem, ttl time.Duration) error {
	s, err := p.server(key)
	if err != nil {
		return err
	}
	return s.Set(ctx, key, item, ttl)
}

// The suite passes on stores that do all that their harness says.
func TestPool(t *testing.T) {
	for _, servers := range []int{1, 3} {
		t.Run(strconv.Itoa(servers), func(t *testing.T) {
			all := newPool(servers)
			h := storetest.Harness{
				New: func(testing.TB) wanobjectcache.Store { return all },
				Caps: storetest.Caps{
					Shared:    true,
					OneServer: servers == 1,
					Break: func(testing.TB) (s wanobjectcache.Store, cut, repair func()) {
						p := newPool(servers)
						return p, func() { p.isCut.Store(true) }, func() { p.isCut.Store(false) }
					},
				},
			}
			t.Run("in real time", func(t *testing.T) {
				t.Parallel()
				storetest.TestStore(t, h)
			})
			inBubble := h
			inBubble.New = func(testing.TB) wanobjectcache.Store { return newPool(servers) }
			inBubble.Caps.Shared = false
			inBubble.Run, inBubble.Advance = synctest.Test, time.Sleep
			t.Run("in a bubble", func(t *testing.T) { storetest.TestStore(t, inBubble) })
		})
	}
}
