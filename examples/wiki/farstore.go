package main

import (
	"context"
	"fmt"
	"time"

	"github.com/multidc/multidc/wanobjectcache"
)

// farStore is the embedded cache of the other datacenter: whatever it is asked crosses the link.
type farStore struct {
	wanobjectcache.Store

	dbs *embedded
}

func (s farStore) cross(ctx context.Context) error {
	if s.dbs.link(ctx).Link == "cut" {
		return fmt.Errorf("%w: the link is cut", wanobjectcache.ErrUnavailable)
	}
	return nil
}

func (s farStore) GetMulti(ctx context.Context, keys []string, out []wanobjectcache.StoreItem) error {
	err := s.cross(ctx)
	if err == nil {
		return s.Store.GetMulti(ctx, keys, out)
	}
	for i := range out {
		out[i] = wanobjectcache.StoreItem{Err: err}
	}
	return err
}

func (s farStore) Add(ctx context.Context, key string, item wanobjectcache.StoreItem, ttl time.Duration) error {
	if err := s.cross(ctx); err != nil {
		return err
	}
	return s.Store.Add(ctx, key, item, ttl)
}

func (s farStore) CAS(ctx context.Context, key string, item wanobjectcache.StoreItem, ttl time.Duration) error {
	if err := s.cross(ctx); err != nil {
		return err
	}
	return s.Store.CAS(ctx, key, item, ttl)
}

func (s farStore) Set(ctx context.Context, key string, item wanobjectcache.StoreItem, ttl time.Duration) error {
	if err := s.cross(ctx); err != nil {
		return err
	}
	return s.Store.Set(ctx, key, item, ttl)
}
