package wanobjectcache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// GetMany returns the values of ids: those that were found. The error joins those of the ids whose value could not be
// loaded; the others are in the map all the same.
func (g *Group[K, V]) GetMany(ctx context.Context, ids []K) (map[K]V, error) {
	results, err := g.FetchMany(ctx, ids)
	values := make(map[K]V, len(results))
	for _, r := range results {
		if r.Found {
			values[r.ID] = r.Value
		}
	}
	return values, err
}

// FetchMany is Fetch for several ids: one result for each distinct id, in the order of their first occurrence. Everything is
// read with one request to each cache server; with LoadMany what is missing is loaded by one call.
func (g *Group[K, V]) FetchMany(ctx context.Context, ids []K) ([]Result[K, V], error) {
	if !g.canLoad() {
		return nil, fmt.Errorf("%w: group %s", ErrUnsupported, g.name)
	}
	ids, list, err := g.entriesOf(ids)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	began := g.cache.moment()
	g.readAll(ctx, list)
	results := make([]Result[K, V], len(ids))
	if g.opts.LoadMany != nil {
		g.resolveTogether(ctx, ids, list, results)
	} else {
		g.resolveEach(ctx, ids, list, results)
	}
	var errs []error
	for i := range results {
		if results[i].Err != nil && results[i].Outcome != HitFallback {
			errs = append(errs, results[i].Err)
		}
		g.tellFetch(ctx, list[i], results[i].Outcome, began, results[i].Err)
	}
	return results, errors.Join(errs...)
}

// resolveEach is for groups that load one by one.
func (g *Group[K, V]) resolveEach(ctx context.Context, ids []K, list []*entry[V], results []Result[K, V]) {
	var others []int
	for i, e := range list {
		if e.state == Fresh { // no goroutine for a hit
			results[i] = g.hit(ctx, ids[i], e, g.dice(e))
		} else {
			others = append(others, i)
		}
	}
	few(len(others), func(j int) {
		i := others[j]
		r, err := g.resolve(ctx, ids[i], list[i], loader[V]{})
		if results[i] = r; err != nil {
			results[i].Err = err
		}
	})
}

// resolveTogether loads what is missing by one call of LoadMany: without locks, and without joining others' loads.
func (g *Group[K, V]) resolveTogether(ctx context.Context, ids []K, list []*entry[V], results []Result[K, V]) {
	g.readInterims(ctx, list)
	var missing, early []int
	for i, e := range list {
		if e.state == Fresh {
			how := HitGood
			if g.dice(e) {
				how, early = HitRefresh, append(early, i)
			}
			results[i] = g.serve(ctx, ids[i], e, &e.version, how, nil)
		} else if r, ok := g.standIn(ctx, ids[i], e, &e.version); ok {
			results[i] = r
		} else {
			missing = append(missing, i)
		}
	}
	if len(early) > 0 {
		g.refreshTogether(ctx, pick(ids, early))
	}
	if len(missing) == 0 {
		return
	}
	b := g.loadTogether(ctx, pick(ids, missing), pick(list, missing))
	if b.panicked != nil {
		panic(b.panicked)
	}
	for j, i := range missing {
		results[i] = g.batchResult(ctx, ids[i], list[i], b, j)
	}
}

func pick[T any](list []T, indices []int) []T {
	picked := make([]T, len(indices))
	for j, i := range indices {
		picked[j] = list[i]
	}
	return picked
}

// readInterims reads what was loaded since the purges of those that are purged.
func (g *Group[K, V]) readInterims(ctx context.Context, list []*entry[V]) {
	var r reading
	for _, e := range list {
		if e.state == Purged {
			r.want(wireKey(e.base, typInterim))
		}
	}
	if len(r.keys) == 0 {
		return
	}
	g.cache.ask(ctx, &r)
	for _, e := range list {
		if e.state == Purged {
			e.version = g.interim(ctx, e, r.item(wireKey(e.base, typInterim)))
		}
	}
}

// batch is one call of LoadMany.
type batch[V any] struct {
	versions []version[V]
	err      error
	panicked *PanicError
}

// loadTogether loads and stores several ids.
func (g *Group[K, V]) loadTogether(ctx context.Context, ids []K, list []*entry[V]) (b batch[V]) {
	keys := make([]string, len(list))
	for i, e := range list {
		keys[i] = e.base
	}
	got, age := measured(withoutPrevious(ctx), g, keys, func(ctx context.Context) (map[K]V, error) { return g.opts.LoadMany(ctx, slices.Clone(ids)) }) // it may sort them
	if b.err, b.panicked = got.err, got.panicked; b.err != nil {
		return b
	}
	b.versions = make([]version[V], len(ids))
	few(len(ids), func(i int) {
		v, there := got.value[ids[i]]
		b.versions[i] = version[V]{usable: true, value: v, negative: !there}
		if !there {
			g.cache.warn(ctx, WarningInfo{Kind: IDMissing, Group: g.name, Key: keys[i], Op: "load"})
		}
		f := &flight[V]{entry: list[i], ctx: ctx, ttl: func(v V) time.Duration { return g.ttlFor(ids[i], v) }}
		e := list[i]
		if ctx.Err() != nil { // nobody waits any more: a server that hangs must not hold the call
			e = &entry[V]{base: e.base, state: Unknown}
		}
		g.fill(f, e, &b.versions[i], age) //nolint:contextcheck // the flight has it
	})
	return b
}

// batchResult is what an id got of a batch.
func (g *Group[K, V]) batchResult(ctx context.Context, id K, e *entry[V], b batch[V], j int) Result[K, V] {
	if b.err != nil {
		if ctx.Err() == nil {
			g.rest(e, &e.version, b.err)
		}
		if g.fallback(&e.version) {
			return g.serve(ctx, id, e, &e.version, HitFallback, b.err)
		}
		return Result[K, V]{ID: id, State: e.state, Outcome: MissCompute, Err: g.wrap("load", e, b.err)}
	}
	return g.serve(ctx, id, e, &b.versions[j], MissCompute, nil)
}

// refreshTogether loads in the background what is still good: one place for all.
func (g *Group[K, V]) refreshTogether(ctx context.Context, ids []K) {
	g.inPlace(ctx, fmt.Sprintf("%d ids", len(ids)), func(ctx context.Context) {
		began := g.cache.moment()
		ids, list, err := g.entriesOf(ids)
		if err != nil {
			return
		}
		g.readAll(ctx, list)
		var loading []K
		var entries []*entry[V]
		for i, e := range list {
			if e.state != Unknown && e.state != Purged {
				loading, entries = append(loading, ids[i]), append(entries, e)
			}
		}
		if len(loading) == 0 {
			return
		}
		b := g.loadTogether(ctx, loading, entries)
		g.tellPanic(ctx, entries[0].base, b.panicked)
		for _, e := range entries {
			g.tellFetch(ctx, e, RenewCompute, began, b.err)
		}
	})
}
