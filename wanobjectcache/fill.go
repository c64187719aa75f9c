package wanobjectcache

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/multidc/multidc/internal/freshness"
)

// draft is a record that is about to be stored.
type draft struct {
	record record
	facts  Facts
	began  moment        // of the load; zero = unknown
	ttl    time.Duration // as the group says, before the age is judged
	err    error         // why it could not be stored
}

// fill stores what a load gave, so that it can neither undo a purge nor outlive its age. It completes v.
func (g *Group[K, V]) fill(f *flight[V], e *entry[V], v *version[V], loaded age) {
	d := draft{record: record{kind: kindValue, negative: v.negative}, facts: loaded.facts, began: loaded.began, ttl: g.ttlOf(f, v)}
	ctx := context.WithoutCancel(f.ctx) // what was loaded is kept, also if nobody waits any more
	fill := FillFailed
	if e.state == Unknown {
		g.judgeDraft(&d)
	} else {
		fill = g.store(ctx, f, e, v, &d)
		g.tellFill(ctx, e, &d, fill)
	}
	g.stamp(v, &d)
	v.capped = d.record.capped || doubtful(fill) || e.state == Unknown || d.ttl < 0 && g.isDoubtful(d)
}

func (g *Group[K, V]) store(ctx context.Context, f *flight[V], e *entry[V], v *version[V], d *draft) Fill {
	if !v.negative && d.ttl >= 0 {
		if d.record.payload, d.err = g.codec.Append(nil, v.value); d.err != nil {
			g.judgeDraft(d)
			return g.failed(ctx, e, d, "encode", d.err)
		}
	}
	fill := g.judgeDraft(d)
	switch {
	case !fill.stored():
		return fill
	case g.isCut(f):
		return FillPurged
	case e.tomb:
		return g.fillInterim(ctx, e, d)
	default:
		return g.write(ctx, e, d, fill)
	}
}

// isDoubtful judges the age of what is not to be stored: what is made of it may be.
func (g *Group[K, V]) isDoubtful(d draft) bool {
	d.ttl = cappedTTL
	return g.judgeDraft(&d) != FillStored
}

// stored: by its age it may be.
func (f Fill) stored() bool { return f == FillStored || f == FillCapped }

// doubtful reports whether what is made of a loaded value must not be kept for long.
func doubtful(f Fill) bool {
	switch f {
	case FillStored, FillUncacheable, FillFailed:
		return false
	}
	return true
}

// ttlOf is how long the group would keep a value; negative = not at all.
func (g *Group[K, V]) ttlOf(f *flight[V], v *version[V]) time.Duration {
	if v.negative {
		if g.opts.NegativeTTL == 0 {
			return -1
		}
		return g.opts.NegativeTTL
	}
	return f.ttl(v.value)
}

// judgeDraft judges the age, and stamps the record, as of now.
func (g *Group[K, V]) judgeDraft(d *draft) Fill {
	now, started, gen := g.cache.opts.Now(), time.Time{}, time.Duration(0)
	if !d.began.wall.IsZero() {
		gen = g.cache.since(d.began)
		started = now.Add(-gen)
	}
	facts := d.facts
	facts.Since = g.dataSince(d, now)
	fill, logical := judgeAge(facts, now, started, d.ttl, g.cache.opts.MaxReadLag)
	d.record.at, d.record.gen = microsOf(now), genOf(gen)
	d.record.capped, d.record.span = fill == FillCapped, 0
	if logical != Indefinite {
		d.record.span = micros(max(logical.Microseconds(), 1))
	}
	return fill
}

// stamp tells the version what its record says.
func (g *Group[K, V]) stamp(v *version[V], d *draft) {
	v.asOf, v.loadedAt, v.logical, v.left = d.record.at, d.record.loadedAt(), d.record.span.duration(), d.record.span.duration()
	if d.record.span == 0 {
		v.left = Indefinite
	}
}

// fillInterim keeps a value that was loaded while the key was purged, for those who come in the next moments.
func (g *Group[K, V]) fillInterim(ctx context.Context, e *entry[V], d *draft) Fill {
	life := max(interimLife, g.opts.StaleWhileLocked)
	d.record.span = micros(life.Microseconds())
	item := StoreItem{Value: d.record.append(nil), Flags: kindValue.flags()}
	if err := g.cache.local.Set(ctx, wireKey(e.base, typInterim), item, life); err != nil {
		return g.failed(ctx, e, d, "store interim", err)
	}
	return FillInterim
}

// write adds a value where there was nothing, or replaces what was read before the load: if a purge came since, neither
// succeeds.
func (g *Group[K, V]) write(ctx context.Context, e *entry[V], d *draft, fill Fill) Fill {
	if !e.there {
		return g.add(ctx, e, d, fill)
	}
	err := g.cache.local.CAS(ctx, e.wire, StoreItem{Value: d.record.append(nil), Flags: kindValue.flags(), Token: e.token}, g.life(d))
	switch {
	case err == nil:
		return fill
	case errors.Is(err, ErrConflict):
		return FillConflict
	case errors.Is(err, ErrNotFound): // it has expired meanwhile, or was removed: time has passed
		if fill = g.judgeDraft(d); !fill.stored() {
			return fill
		}
		return g.add(ctx, e, d, fill)
	}
	return g.failed(ctx, e, d, "store", err)
}

func (g *Group[K, V]) life(d *draft) time.Duration {
	logical := Indefinite
	if d.record.span > 0 {
		logical = d.record.span.duration()
	}
	return physicalTTL(logical, g.opts.StaleWhileLocked, g.opts.StaleIfError)
}

// add stores a value where there is none. The store does not know how old the data is by the time that this arrives: if it
// took so long that a purge may have come and gone, the value is taken back.
func (g *Group[K, V]) add(ctx context.Context, e *entry[V], d *draft, fill Fill) Fill {
	item := StoreItem{Value: d.record.append(nil), Flags: kindValue.flags()}
	err := g.cache.local.Add(ctx, e.wire, item, g.life(d))
	if errors.Is(err, ErrConflict) {
		return FillConflict
	}
	if err != nil {
		fill = g.failed(ctx, e, d, "store", err)
	}
	arrived := err == nil || errors.Is(err, ErrUnknownOutcome)
	if arrived && !d.record.capped && g.tooLate(d) {
		d.err = nil
		return g.takeBack(ctx, e, d, item.Value)
	}
	return fill
}

// dataSince is Facts.Since, as both clocks have it: since the load began neither may have stood still, or been set back.
func (g *Group[K, V]) dataSince(d *draft, now time.Time) time.Time {
	if d.began.wall.IsZero() || d.facts.Since.IsZero() {
		return d.facts.Since
	}
	since := now.Add(-g.cache.since(d.began) - elapsed(d.facts.Since, d.began.wall))
	if d.facts.Since.Before(since) {
		return d.facts.Since
	}
	return since
}

func (g *Group[K, V]) tooLate(d *draft) bool {
	now := g.cache.opts.Now()
	return d.facts.Lag+elapsed(g.dataSince(d, now), now) > g.cache.opts.MaxReadLag
}

// takeBack removes a value that came too late, if it is still the one.
func (g *Group[K, V]) takeBack(ctx context.Context, e *entry[V], d *draft, value []byte) Fill {
	var err error
	for range 2 {
		r := reading{keys: []string{e.wire}}
		g.cache.ask(ctx, &r)
		item := r.items[0]
		if err = item.Err; err != nil {
			continue
		}
		if !item.Found || !bytes.Equal(item.Value, value) {
			return FillTakenBack // by somebody else
		}
		err = g.cache.local.CAS(ctx, e.wire, StoreItem{Value: value, Flags: item.Flags, Token: item.Token}, -time.Second)
		if err == nil || lostRace(err) {
			return FillTakenBack
		}
	}
	g.cache.warn(ctx, WarningInfo{Kind: FenceFailed, Group: g.name, Key: e.base, DC: g.cache.opts.DC, Op: "take back", Err: err})
	d.err = err
	return FillFailed
}

func (g *Group[K, V]) failed(ctx context.Context, e *entry[V], d *draft, op string, err error) Fill {
	g.cache.warn(ctx, WarningInfo{Kind: StoreFailed, Group: g.name, Key: e.base, DC: g.cache.opts.DC, Op: op, Err: err})
	d.err = err
	return FillFailed
}

func (g *Group[K, V]) tellFill(ctx context.Context, e *entry[V], d *draft, fill Fill) {
	if fill == FillPending || fill == FillOld {
		g.cache.opts.Logger.InfoContext(ctx, "wanobjectcache: value not stored", "group", g.name, "key", e.base, "fill", string(fill))
	}
	if on := g.cache.opts.Events.OnFill; on != nil {
		ttl := Indefinite
		if d.record.span > 0 {
			ttl = d.record.span.duration()
		}
		on(ctx, FillInfo{Group: g.name, Key: e.base, Fill: fill, TTL: ttl, Size: recordHeader + len(d.record.payload), Err: d.err})
	}
}

// SetOptions go with [Group.Set].
type SetOptions struct {
	TTL         time.Duration // 0 = the group's; negative = do not store
	Facts       Facts         // of what was read; zero = nothing is said
	LoadStarted time.Time     // when reading began; zero = unknown
}

// Set stores a value that was read elsewhere, judged as one that a loader gave. Fill says what became of it; a refusal is
// no error. To change a value use Delete, and let it be loaded.
func (g *Group[K, V]) Set(ctx context.Context, id K, v V, o SetOptions) (Fill, error) {
	if g.cache.closed.Load() {
		return FillFailed, ErrClosed
	}
	e, err := g.entryOf(id)
	if err != nil {
		return FillFailed, err
	}
	d := g.draftOf(ctx, id, v, o)
	if d.record.payload, err = g.codec.Append(nil, v); err != nil {
		return FillFailed, g.wrap("encode", e, err)
	}
	if d.facts.silent {
		g.warnSilent(ctx, e.base)
	}
	g.readOne(ctx, e) // before the age is judged: what comes between is noticed then
	if e.state == Unknown {
		return FillFailed, g.wrap("set", e, e.err)
	}
	fill := g.judgeDraft(&d)
	switch {
	case !fill.stored():
	case e.tomb:
		fill = FillPurged
	default:
		fill = g.setOnce(ctx, e, &d, fill)
	}
	g.tellFill(ctx, e, &d, fill)
	return fill, g.wrap("set", e, d.err)
}

// draftOf is what Set is asked for.
func (g *Group[K, V]) draftOf(ctx context.Context, id K, v V, o SetOptions) draft {
	d := draft{record: record{kind: kindValue}, ttl: o.TTL}
	if d.ttl == 0 {
		d.ttl = g.ttlFor(id, v)
	}
	began := g.cache.moment() // at the latest
	if !o.LoadStarted.IsZero() {
		began.wall = o.LoadStarted
		d.began = began
	}
	d.facts = g.factsOf(ctx, o.Facts).readFrom(began.wall)
	return d
}

// setOnce is one attempt.
func (g *Group[K, V]) setOnce(ctx context.Context, e *entry[V], d *draft, fill Fill) Fill {
	if !e.there {
		return g.add(ctx, e, d, fill)
	}
	err := g.cache.local.CAS(ctx, e.wire, StoreItem{Value: d.record.append(nil), Flags: kindValue.flags(), Token: e.token}, g.life(d))
	switch {
	case err == nil:
		return fill
	case lostRace(err):
		return FillConflict
	}
	return g.failed(ctx, e, d, "set", err)
}

// factsOf merges what Freshness says, what the context's recorders have, and what the caller says.
func (g *Group[K, V]) factsOf(ctx context.Context, said Facts) Facts {
	f := g.opts.Freshness(ctx).with(freshness.Recorded(ctx))
	return f.with(freshness.Facts{Lag: said.Lag, Unknown: said.Unknown, Since: said.Since, Pending: said.Pending}, said != (Facts{}))
}

// ttlFor is the group's TTL for a value.
func (g *Group[K, V]) ttlFor(id K, v V) time.Duration {
	if g.opts.TTLFor != nil {
		if d := g.opts.TTLFor(id, v); d != 0 {
			return d
		}
	}
	return g.opts.TTL
}
