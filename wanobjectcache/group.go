package wanobjectcache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Group is the values of one kind: how their keys are made, how they are loaded, how long they are good.
type Group[K comparable, V any] struct {
	cache *Cache
	name  string
	opts  GroupOptions[K, V]
	keys  keyer[K]
	codec Codec[V]

	mu      sync.Mutex
	flights map[string]*flight[V] // by base key

	warnedAge atomic.Bool // AgeUnreported was raised
}

// The defaults, as the fields of GroupOptions name them.
const (
	defaultRetryAfter = 5 * time.Second
	defaultLowTTL     = time.Minute
	defaultAgeNew     = time.Minute
	defaultHotTTR     = 15 * time.Minute
	maxTags           = 64
)

// NewGroup makes a group of a cache. name is the second part of every key, [A-Za-z0-9_-]{1,64}; groups with the same name
// share their keys, so that one can purge what the other loads.
func NewGroup[K comparable, V any](c *Cache, name string, options *GroupOptions[K, V]) (*Group[K, V], error) {
	if c == nil {
		return nil, errors.New("wanobjectcache: NewGroup needs a Cache")
	}
	var o GroupOptions[K, V]
	if options != nil {
		o = *options
	}
	g := &Group[K, V]{cache: c, name: name, flights: map[string]*flight[V]{}}
	if err := g.set(o); err != nil {
		return nil, fmt.Errorf("wanobjectcache: group %.100q: %w", name, err)
	}
	c.enroll(g)
	return g, nil
}

func (g *Group[K, V]) set(o GroupOptions[K, V]) (err error) {
	if err := checkName(g.name); err != nil {
		return fmt.Errorf("name: %w", err)
	}
	if o.TTL <= 0 {
		return errors.New("GroupOptions.TTL: say how long a value is good, or Indefinite")
	}
	if g.keys, err = keyerOf(g.cache.opts.Keyspace, g.name, o.Key); err != nil {
		return err
	}
	g.codec = codecOf(o.Codec)
	if o.Freshness == nil {
		o.Freshness = g.cache.opts.Freshness
	}
	for _, off := range []*time.Duration{&o.NegativeTTL, &o.StaleIfError, &o.StaleWhileLocked, &o.LoadTimeout} {
		*off = max(*off, 0)
	}
	o.RetryAfter = orDefault(o.RetryAfter, defaultRetryAfter)
	o.LowTTL = cmp.Or(o.LowTTL, min(defaultLowTTL, o.TTL))
	o.AgeNew, o.HotTTR = cmp.Or(o.AgeNew, defaultAgeNew), cmp.Or(o.HotTTR, defaultHotTTR)
	if g.cache.opts.MaxRefreshes < 0 {
		o.LowTTL, o.AgeNew = -1, -1
	}
	g.opts = o
	return nil
}

// GroupInfo is a group, as Explain shows it.
type GroupInfo struct {
	Name  string        `json:"name"`
	TTL   time.Duration `json:"ttl"`
	Loads int           `json:"loads"` // under way in this process
}

func (g *Group[K, V]) info() GroupInfo {
	g.mu.Lock()
	defer g.mu.Unlock()
	return GroupInfo{Name: g.name, TTL: g.opts.TTL, Loads: len(g.flights)}
}

// loader is what a call would load with. with nil is the group's own.
type loader[V any] struct {
	with func(context.Context) (V, error)
	once bool // it must not run after the call that brought it has returned
}

// Get returns the value of an id: from the cache, or by the group's loader. An error that wraps ErrNotFound is what the
// loader said, or, without the loader's own, what it said a while ago. An unreachable cache server is no error: the value is loaded then, and not stored.
func (g *Group[K, V]) Get(ctx context.Context, id K) (V, error) {
	r, err := g.fetch(ctx, id, loader[V]{})
	return g.found(r, err)
}

// GetWith is Get with this call's own loader, which runs while the call lasts and not after: what Get would load in the
// background it loads at once.
func (g *Group[K, V]) GetWith(ctx context.Context, id K, load func(context.Context) (V, error)) (V, error) {
	r, err := g.fetch(ctx, id, loader[V]{with: load, once: true})
	return g.found(r, err)
}

// Fetch is Get, and says how it came by the value. "No such thing" is no error here: Found is false.
func (g *Group[K, V]) Fetch(ctx context.Context, id K) (Result[K, V], error) {
	r, err := g.fetch(ctx, id, loader[V]{})
	if err != nil {
		r.Err = err
	}
	return r, err
}

// Peek says what the cache has, and loads nothing. An unreachable cache server is an error that wraps ErrUnavailable.
func (g *Group[K, V]) Peek(ctx context.Context, id K) (Result[K, V], error) {
	list, err := g.PeekMany(ctx, []K{id})
	if len(list) == 0 {
		return Result[K, V]{ID: id}, err
	}
	return list[0], err
}

func (g *Group[K, V]) found(r Result[K, V], err error) (V, error) {
	if err == nil && !r.Found {
		wire, _ := g.keys.wire(r.ID, typValue) // it was read there
		err = g.wrap("get", &entry[V]{base: baseOf(wire)}, cmp.Or(r.absent, ErrNotFound))
	}
	return r.Value, err
}

// checkLoader returns an error if the group has none.
func (g *Group[K, V]) checkLoader() error {
	if g.opts.Load == nil && g.opts.LoadMany == nil {
		return fmt.Errorf("%w: group %s: set GroupOptions.Load or LoadMany", ErrUnsupported, g.name)
	}
	return nil
}

// load is the group's own loader.
func (g *Group[K, V]) load(ctx context.Context, id K, base string) (v V, err error) {
	if g.opts.Load != nil {
		return g.opts.Load(ctx, id)
	}
	values, err := g.opts.LoadMany(ctx, []K{id})
	if err != nil && !errors.Is(err, ErrNotFound) {
		return v, err
	}
	v, there := values[id]
	switch {
	case there:
		return v, nil
	case err == nil:
		g.warnMissing(ctx, []string{base}, 1)
		return v, ErrNotFound
	}
	return v, err
}

// warnMissing: of so many ids LoadMany said nothing about these, not even by an error that wraps ErrNotFound.
func (g *Group[K, V]) warnMissing(ctx context.Context, bases []string, of int) {
	if len(bases) > 0 {
		err := fmt.Errorf("LoadMany said nothing about %d of %d ids", len(bases), of)
		g.cache.warn(ctx, WarningInfo{Kind: IDMissing, Group: g.name, Key: bases[0], Op: "load", Err: err})
	}
}

// wrap names the operation and the key, once.
func (g *Group[K, V]) wrap(op string, e *entry[V], err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("wanobjectcache: %s %s: %w", op, e.base, err)
}
