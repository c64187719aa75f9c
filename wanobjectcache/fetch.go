package wanobjectcache

import (
	"cmp"
	"context"
	"time"

	"github.com/multidc/multidc/internal/freshness"
)

// fetch is Get: it reads what the cache has, and decides whether that will do.
func (g *Group[K, V]) fetch(ctx context.Context, id K, l loader[V]) (Result[K, V], error) {
	if l.with == nil {
		if err := g.checkLoader(); err != nil {
			return Result[K, V]{ID: id}, err
		}
	}
	if g.cache.closed.Load() {
		return Result[K, V]{ID: id}, ErrClosed
	}
	e, err := g.entryOf(id)
	if err != nil {
		return Result[K, V]{ID: id}, err
	}
	began := g.cache.moment()
	g.readOne(ctx, e)
	if e.state == Purged {
		g.readInterims(ctx, []*entry[V]{e})
	}
	r, err := g.resolve(ctx, id, e, l)
	g.tellFetch(ctx, e, r.Outcome, began, cmp.Or(err, r.Err))
	return r, err
}

func (g *Group[K, V]) tellFetch(ctx context.Context, e *entry[V], how Outcome, began moment, err error) {
	if on := g.cache.opts.Events.OnFetch; on != nil {
		on(ctx, FetchInfo{Group: g.name, Key: e.base, Outcome: how, Took: g.cache.since(began), Err: err})
	}
}

func (g *Group[K, V]) readOne(ctx context.Context, e *entry[V]) {
	var one [1]*entry[V]
	one[0] = e
	g.readAll(ctx, one[:])
}

// resolve serves an entry that was read, the interim value of a purged one too, or loads.
func (g *Group[K, V]) resolve(ctx context.Context, id K, e *entry[V], l loader[V]) (Result[K, V], error) {
	if e.state == Fresh {
		won := g.dice(e)
		if !won || !l.once {
			return g.hit(ctx, id, e, won), nil
		}
	}
	if e.state != Fresh { // else a GetWith has won: it loads
		if r, ok := g.standIn(ctx, id, e); ok {
			return r, nil
		}
	}
	return g.boardAndWait(ctx, id, e, l)
}

// standIn serves what needs no load now: it is very new, or loading it failed a moment ago.
func (g *Group[K, V]) standIn(ctx context.Context, id K, e *entry[V]) (r Result[K, V], ok bool) {
	candidate := &e.version
	if !candidate.usable {
		return r, false
	}
	if g.after(candidate.loadedAt, e.purgedAt) && candidate.age(e.readAt) < g.recent() {
		return g.serve(ctx, id, e, candidate, HitVolatile, nil), true
	}
	if err, resting := g.cache.resting.of(e.wire, time.Now()); resting && g.fallback(candidate) {
		return g.serve(ctx, id, e, candidate, HitFallback, err), true
	}
	return r, false
}

// hit serves a good value, and has it loaded anew in the background if the dice say so.
func (g *Group[K, V]) hit(ctx context.Context, id K, e *entry[V], won bool) Result[K, V] {
	if !won {
		return g.serve(ctx, id, e, &e.version, HitGood, nil)
	}
	g.refresh(ctx, id, e)
	return g.serve(ctx, id, e, &e.version, HitRefresh, nil)
}

// dice decides whether a good value is loaded anew before it has to be: the more surely the less time is left, and now
// and then because many want it.
func (g *Group[K, V]) dice(e *entry[V]) (won bool) {
	now, roll := e.readAt, g.cache.opts.Rand
	if e.logical > 0 {
		if p := expiringChance(e.left, g.opts.LowTTL, e.logical); p > 0 && roll() < p {
			return true
		}
	}
	p := popularChance(e.age(now), g.opts.AgeNew, g.opts.HotTTR)
	return p > 0 && roll() < p
}

// interim is the value that was loaded while the key was purged, if it was after the newest purge, and after what this
// client has written.
func (g *Group[K, V]) interim(ctx context.Context, e *entry[V], item *StoreItem) (none version[V]) {
	kind, ours := kindOf(item.Flags)
	if item.Err != nil || !item.Found || !ours || kind != kindValue {
		return none
	}
	r, valid := decodeRecord(item.Value)
	if !valid || r.kind != kindValue || g.cache.unbelievable(r.at, e.readAt) || g.cache.beforeEpoch(r.at) {
		return none
	}
	v, err := g.decode(r, e.readAt)
	if err != nil {
		g.cache.warn(ctx, WarningInfo{Kind: Undecodable, Group: g.name, Key: e.base, Op: "read interim", Err: err})
		return none
	}
	if !g.after(v.loadedAt, e.purgedAt) || beforeOwnWrite(ctx, v.loadedAt) {
		return none
	}
	v.interim, v.capped = true, true
	return v
}

// beforeOwnWrite reports whether a value was loaded before what this client has written.
func beforeOwnWrite(ctx context.Context, loadedAt micros) bool {
	facts, _ := freshness.Recorded(ctx)
	return !facts.WroteAt.IsZero() && loadedAt <= microsOf(facts.WroteAt)
}

// after reports whether a load began surely after a purge.
func (g *Group[K, V]) after(loadedAt, purgedAt micros) bool {
	return loadedAt > purgedAt+micros(g.cache.opts.MaxClockSkew.Microseconds())
}

// recent is for how long a very new value is good for those who would load it anew: a random time, so that a crowd does
// not come back together.
func (g *Group[K, V]) recent() time.Duration {
	return recentLeast + time.Duration(g.cache.opts.Rand()*float64(recentMost-recentLeast))
}

// servable reports whether a candidate will do for who does not load.
func (g *Group[K, V]) servable(e *entry[V], candidate *version[V]) bool {
	return candidate.usable && (e.state == Purged || candidate.left.Abs() <= g.opts.StaleWhileLocked)
}

// fallback reports whether a candidate will do when the load fails.
func (g *Group[K, V]) fallback(candidate *version[V]) bool {
	return g.opts.StaleIfError > 0 && candidate.usable && candidate.left.Abs() <= g.opts.StaleIfError
}

// boardAndWait joins a load of the key, or begins one.
func (g *Group[K, V]) boardAndWait(ctx context.Context, id K, e *entry[V], l loader[V]) (Result[K, V], error) {
	candidate := &e.version
	nested := loadingOf(ctx)
	for round := 0; ; round++ {
		if err := ended(ctx); err != nil {
			return Result[K, V]{ID: id, State: e.state}, g.wrap("get", e, err)
		}
		// A loader that waits for others' loads, which may wait for it, does so once, and not for ever.
		alone := round >= mostJoins || nested != nil && (round > 0 || g.cache.opts.LockWait == 0)
		f, joined := g.board(e, nested, alone, func() *flight[V] {
			f := g.prepare(ctx, id, e, l)
			if nested != nil && round > 0 { // it has waited
				f.lockWait = 0
			}
			return f
		})
		if joined && g.servable(e, candidate) {
			g.leave(f, false)
			return g.serve(ctx, id, e, candidate, HitStale, nil), nil
		}
		if !joined && !g.cache.inBackground(func() { g.fly(f) }) {
			g.leave(f, true)
			g.land(f, landed[V]{err: ErrClosed})
			return Result[K, V]{ID: id}, ErrClosed
		}
		r, arrived, err := g.await(ctx, f, !joined)
		if err != nil {
			return Result[K, V]{ID: id, State: e.state}, g.wrap("get", e, err)
		}
		othersOnly := joined && r.err == nil && (e.state == Purged || r.interim) && beforeOwnWrite(ctx, r.loadedAt)
		if arrived && !othersOnly {
			return g.landedResult(ctx, id, e, candidate, r, joined)
		}
	}
}

// landedResult is what a call returns of a flight.
func (g *Group[K, V]) landedResult(ctx context.Context, id K, e *entry[V], candidate *version[V], r landed[V], joined bool) (Result[K, V], error) {
	if joined {
		if r.reported {
			freshness.Record(ctx, r.facts) // of the load that was shared
		}
		r.outcome = MissJoined
	}
	if r.panicked != nil && !joined {
		panic(r.panicked)
	}
	if r.err != nil {
		if g.fallback(candidate) {
			return g.serve(ctx, id, e, candidate, HitFallback, r.err), nil
		}
		return Result[K, V]{ID: id, State: e.state, Outcome: r.outcome}, g.wrap("load", e, r.err)
	}
	result := g.serve(ctx, id, e, &r.version, r.outcome, nil)
	result.absent = r.absent
	return result, nil
}

// serve makes the result, and tells the recorders of the context if it is not fresh beyond doubt: what is made of it must
// not be kept for long.
func (g *Group[K, V]) serve(ctx context.Context, id K, e *entry[V], v *version[V], how Outcome, err error) Result[K, V] {
	stale := v.usable && v.left <= 0 && !v.interim && how != HitVolatile
	uncertain := stale || v.capped || how == HitVolatile || how == HitStale || how == HitFallback || e.state == Purged || e.state == Unknown
	if uncertain {
		freshness.Record(ctx, freshness.Facts{Unknown: true})
	}
	return Result[K, V]{
		ID: id, Value: v.value, Found: v.usable && !v.negative, Stale: stale, State: e.state, Outcome: how,
		AsOf: v.asOf.time(), TTL: v.left, PurgedAt: e.purgedAt.time(), Err: err,
	}
}
