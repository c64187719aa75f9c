package purgelog_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/multidc/multidc/wanobjectcache"
)

// shards is a pool of servers, in memory, that can be down.
type shards struct {
	servers []*wanobjectcache.Memory
	isDown  []atomic.Bool
}

func newShards(n int) *shards {
	s := &shards{isDown: make([]atomic.Bool, n)}
	for range n {
		s.servers = append(s.servers, wanobjectcache.NewMemory(nil))
	}
	return s
}

func (s *shards) down(i int, is bool) { s.isDown[i].Store(is) }

// of is the server of an id's key.
func (s *shards) of(id int) int { return s.at(fmt.Sprintf("WANCache:default:g:%d|#|v", id)) }

func (s *shards) at(key string) int {
	base, _, _ := strings.Cut(key, "|#|")
	h := fnv.New32a()
	_, _ = h.Write([]byte(base))
	return int(h.Sum32()) % len(s.servers)
}

func (s *shards) server(key string) (wanobjectcache.Store, error) {
	i := s.at(key)
	if s.isDown[i].Load() {
		return nil, fmt.Errorf("%w: server %d", wanobjectcache.ErrUnavailable, i)
	}
	return s.servers[i], nil
}

func (s *shards) GetMulti(ctx context.Context, keys []string, out []wanobjectcache.StoreItem) error {
	var errs []error
	for i, key := range keys {
		server, err := s.server(key)
		if err == nil {
			err = server.GetMulti(ctx, keys[i:i+1], out[i:i+1])
		}
		if err != nil {
			out[i].Err = err
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (s *shards) Add(ctx context.Context, key string, item wanobjectcache.StoreItem, ttl time.Duration) error {
	server, err := s.server(key)
	if err != nil {
		return err
	}
	return server.Add(ctx, key, item, ttl)
}

func (s *shards) CAS(ctx context.Context, key string, item wanobjectcache.StoreItem, ttl time.Duration) error {
	server, err := s.server(key)
	if err != nil {
		return err
	}
	return server.CAS(ctx, key, item, ttl)
}

func (s *shards) Set(ctx context.Context, key string, item wanobjectcache.StoreItem, ttl time.Duration) error {
	server, err := s.server(key)
	if err != nil {
		return err
	}
	return server.Set(ctx, key, item, ttl)
}
