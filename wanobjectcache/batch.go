package wanobjectcache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// GetMany returns the values of ids: those that were found. The error is about the ids whose value could not be loaded; the
// others are in the map all the same. It returns when ctx ends, also if a loader does not heed that.
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
// read with one request to each cache server; with LoadMany what is missing is loaded by one call. An id without a key, and
// two ids with one key, are refused with the whole call, before anything is read.
func (g *Group[K, V]) FetchMany(ctx context.Context, ids []K) ([]Result[K, V], error) {
	if err := g.checkLoader(); err != nil {
		return nil, err
	}
	ids, list, err := g.entriesOf(ids)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	began := g.cache.moment()
	g.readAll(ctx, list)
	g.readInterims(ctx, list)
	results := make([]Result[K, V], len(ids))
	if g.opts.LoadMany != nil {
		err = g.resolveTogether(ctx, ids, list, results)
	} else {
		err = g.resolveEach(ctx, ids, list, results)
	}
	for i := range results {
		g.tellFetch(ctx, list[i], results[i].Outcome, began, results[i].Err)
	}
	return results, err
}

// resolveEach is for groups that load one by one.
func (g *Group[K, V]) resolveEach(ctx context.Context, ids []K, list []*entry[V], results []Result[K, V]) error {
	var others []int
	for i, e := range list {
		if e.state == Fresh { // no goroutine for a hit
			results[i] = g.hit(ctx, ids[i], e, g.dice(e))
		} else {
			others = append(others, i)
		}
	}
	errs := make([]error, len(others))
	few(len(others), func(j int) {
		i := others[j]
		if results[i], errs[j] = g.resolve(ctx, ids[i], list[i], loader[V]{}); errs[j] != nil {
			results[i].Err = errs[j]
		}
	})
	return several(slices.DeleteFunc(errs, func(err error) bool { return err == nil }))
}

// resolveTogether loads what is missing by one call of LoadMany: without locks, and without joining others' loads.
func (g *Group[K, V]) resolveTogether(ctx context.Context, ids []K, list []*entry[V], results []Result[K, V]) error {
	var missing, early []int
	for i, e := range list {
		if e.state == Fresh {
			how := HitGood
			if g.dice(e) {
				how, early = HitRefresh, append(early, i)
			}
			results[i] = g.serve(ctx, ids[i], e, &e.version, how, nil)
		} else if r, ok := g.standIn(ctx, ids[i], e); ok {
			results[i] = r
		} else {
			missing = append(missing, i)
		}
	}
	if len(early) > 0 {
		g.refreshTogether(ctx, pick(ids, early))
	}
	if len(missing) == 0 {
		return nil
	}
	b := g.loadApart(ctx, pick(ids, missing), pick(list, missing))
	if b.panicked != nil {
		panic(b.panicked)
	}
	var failed []string
	for j, i := range missing {
		if results[i] = g.batchResult(ctx, ids[i], list[i], b, j); b.err != nil && results[i].Outcome != HitFallback {
			failed = append(failed, list[i].base)
		}
	}
	switch len(failed) {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("wanobjectcache: load %s: %w", failed[0], b.err)
	}
	return fmt.Errorf("wanobjectcache: load %s and %d more: %w", failed[0], len(failed)-1, b.err)
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

// batch is what one call of LoadMany came to.
type batch[V any] = answer[[]version[V]]

// loadApart is loadTogether for a caller who waits no longer than ctx lasts.
func (g *Group[K, V]) loadApart(ctx context.Context, ids []K, list []*entry[V]) batch[V] {
	if err := ended(ctx); err != nil {
		return batch[V]{err: err}
	}
	ctx, cancel := g.cache.untilClosed(ctx)
	defer cancel()
	unseen := func(late batch[V]) { g.tellPanic(ctx, list[0].base, late.panicked) }
	return apart(ctx, g.cache, unseen, func(ctx context.Context) ([]version[V], error) { return g.loadTogether(ctx, ids, list) })
}

// loadTogether loads and stores several ids. A panic of LoadMany goes on.
func (g *Group[K, V]) loadTogether(ctx context.Context, ids []K, list []*entry[V]) ([]version[V], error) {
	keys := make([]string, len(list))
	for i, e := range list {
		keys[i] = e.base
	}
	got, age := measured(withoutPrevious(ctx), g, keys, func(ctx context.Context) (map[K]V, error) {
		return g.opts.LoadMany(ctx, slices.Clone(ids)) // it may sort them
	})
	if got.panicked != nil {
		panic(got.panicked)
	}
	if got.err != nil && !errors.Is(got.err, ErrNotFound) {
		return nil, got.err
	}
	var silent []string // about these
	versions := make([]version[V], len(ids))
	for i, id := range ids {
		v, there := got.value[id]
		versions[i] = version[V]{usable: true, value: v, negative: !there}
		if !there && got.err == nil {
			silent = append(silent, keys[i])
		}
	}
	g.warnMissing(ctx, silent, len(ids))
	few(len(ids), func(i int) {
		f := &flight[V]{entry: list[i], ctx: ctx, ttl: func(v V) time.Duration { return g.ttlFor(ids[i], v) }}
		e := list[i]
		if ctx.Err() != nil { // nobody waits any more: a server that hangs must not hold Close
			e = &entry[V]{base: e.base, state: Unknown}
		}
		g.fill(f, e, &versions[i], age) //nolint:contextcheck // the flight has it
	})
	return versions, nil
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
	return g.serve(ctx, id, e, &b.value[j], MissCompute, nil)
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
		b := guarded(ctx, func(ctx context.Context) ([]version[V], error) { return g.loadTogether(ctx, loading, entries) })
		g.tellPanic(ctx, entries[0].base, b.panicked)
		for _, e := range entries {
			g.tellFetch(ctx, e, RenewCompute, began, b.err)
		}
	})
}
