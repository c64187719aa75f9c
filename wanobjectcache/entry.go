package wanobjectcache

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/multidc/multidc/wanobjectcache/internal/wirekey"
)

// entry is one key of a call, and what was found there.
type entry[V any] struct {
	base string
	wire string
	tags []string // wire keys

	err      error // its server, or one of a tag's, did not answer
	state    State
	there    bool // something lies there, which token replaces: also what cannot be used
	token    any
	tomb     bool // it is a tombstone
	readAt   micros
	purgedAt micros // the newest purge, of the key or a tag

	knownPurge micros // likewise, without tags that were not there: whoever meets such a tag at the same time may share a load

	version[V]
}

// version is a value that was found, or loaded.
type version[V any] struct {
	usable   bool // there is one
	value    V
	negative bool // "no such thing"
	capped   bool // the data may be old: what is made of it must not be kept for long
	interim  bool // loaded while the key was purged
	asOf     micros
	loadedAt micros
	logical  time.Duration // TTL; 0 = none
	left     time.Duration // of it, by the tags too; negative = stale since then
}

// typ are the kinds of wire keys.
const (
	typValue   = wirekey.Value
	typTag     = wirekey.Tag
	typMutex   = wirekey.Mutex
	typInterim = wirekey.Interim
)

// entryOf makes the keys of an id.
func (g *Group[K, V]) entryOf(id K) (*entry[V], error) {
	e := new(entry[V])
	return e, g.fillEntry(e, id)
}

func (g *Group[K, V]) fillEntry(e *entry[V], id K) error {
	wire, err := g.keys.wire(id, typValue)
	if err != nil {
		return fmt.Errorf("wanobjectcache: group %s, id %.100v: %w", g.name, id, err)
	}
	*e = entry[V]{base: baseOf(wire), wire: wire}
	if g.opts.Tags == nil {
		return nil
	}
	tags := g.opts.Tags(id)
	if len(tags) > maxTags {
		return fmt.Errorf("wanobjectcache: group %s, id %.100v: %d tags are more than %d", g.name, id, len(tags), maxTags)
	}
	for _, tag := range tags {
		key, err := tagKey(g.cache.opts.Keyspace, tag)
		if err != nil {
			return fmt.Errorf("wanobjectcache: group %s, id %.100v: %w", g.name, id, err)
		}
		if wire := wireKey(key, typTag); !slices.Contains(e.tags, wire) {
			e.tags = append(e.tags, wire)
		}
	}
	return nil
}

// reading is one GetMulti: the keys that are asked for, each once.
type reading struct {
	keys  []string
	items []StoreItem
	first int            // so many stand first, and are not in at
	at    map[string]int // nil as long as there is one key
}

// readings are used again: most have one key.
var readings = sync.Pool{New: func() any { return new(reading) }}

// mostKept is how many keys a reading may have had that is used again.
const mostKept = 1024

// free forgets what was read.
func (r *reading) free() {
	if cap(r.keys) > mostKept {
		return
	}
	clear(r.keys)
	clear(r.items)
	r.keys, r.items, r.at, r.first = r.keys[:0], r.items[:0], nil, 0
	readings.Put(r)
}

func (r *reading) want(key string) {
	if len(r.keys) == 0 {
		r.keys = append(r.keys, key)
		return
	}
	if r.at == nil {
		r.at = map[string]int{}
		if r.first == 0 {
			r.at[r.keys[0]] = 0
		}
	}
	if _, ok := r.at[key]; !ok {
		r.at[key] = len(r.keys)
		r.keys = append(r.keys, key)
	}
}

// find is item for a key that may not have been asked for.
func (r *reading) find(key string) *StoreItem {
	if r.at == nil {
		return nil
	}
	if at, ok := r.at[key]; ok {
		return &r.items[at]
	}
	return nil
}

func (r *reading) item(key string) *StoreItem {
	if r.at == nil {
		return &r.items[0]
	}
	return &r.items[r.at[key]]
}

// ask reads; what a server did not answer is in the items.
func (c *Cache) ask(ctx context.Context, r *reading) {
	r.items = slices.Grow(r.items[:0], len(r.keys))[:len(r.keys)]
	if err := c.local.GetMulti(ctx, r.keys, r.items); err != nil {
		c.markUnanswered(ctx, r, err)
	}
}

// markUnanswered: an error without an item that has it concerns them all. Once the context has ended that is why, whatever
// the servers are blamed for.
func (c *Cache) markUnanswered(ctx context.Context, r *reading, err error) {
	if why := ended(ctx); why != nil {
		for i := range r.items {
			if r.items[i].Err != nil {
				r.items[i].Err = why
			}
		}
		err = why
	}
	if !slices.ContainsFunc(r.items, func(i StoreItem) bool { return i.Err != nil }) {
		for i := range r.items {
			r.items[i] = StoreItem{Err: err}
		}
	}
	if ctx.Err() == nil {
		c.warn(ctx, WarningInfo{Kind: StoreFailed, DC: c.opts.DC, Op: "read", Err: err})
	}
}

// readAll reads the state of several entries with one GetMulti.
func (g *Group[K, V]) readAll(ctx context.Context, list []*entry[V]) {
	c, now := g.cache, g.cache.now()
	r := readings.Get().(*reading)
	defer r.free()
	r.keys = slices.Grow(r.keys, len(list)+1)
	for _, e := range list { // distinct already, and none is a tag's
		r.keys = append(r.keys, e.wire)
	}
	r.first = len(list)
	for _, e := range list {
		for _, tag := range e.tags {
			r.want(tag)
		}
	}
	c.wantEpoch(ctx, r)
	c.ask(ctx, r)
	c.noteEpoch(r)
	tags := c.tagsOf(ctx, r, now, tagsIn(list))
	for i, e := range list {
		g.judge(ctx, e, &r.items[i], tags, now)
	}
}

func tagsIn[V any](list []*entry[V]) (tags []string) {
	for _, e := range list {
		tags = append(tags, e.tags...)
	}
	return tags
}

// judge finds what an entry's item means, together with its tags.
func (g *Group[K, V]) judge(ctx context.Context, e *entry[V], item *StoreItem, tags map[string]tagState, now micros) {
	*e = entry[V]{base: e.base, wire: e.wire, tags: e.tags, readAt: now, state: Absent}
	if item.Err != nil {
		e.state, e.err = Unknown, item.Err
		return
	}
	if item.Found {
		e.there, e.token = true, item.Token
		g.judgeFound(ctx, e, item, now)
	}
	for _, key := range e.tags {
		t := tags[key]
		if !t.unknown {
			e.purgedAt = max(e.purgedAt, t.purged)
		}
		if !t.unknown && !t.made {
			e.knownPurge = max(e.knownPurge, t.purged)
		}
		if e.usable && (t.unknown || t.made || t.purged+t.holdoff >= e.asOf) {
			e.left = min(e.left, min(between(now, t.purged), -time.Microsecond))
		}
	}
	if e.usable {
		if e.state = Fresh; e.left <= 0 {
			e.state = Stale
		}
	}
}

func (g *Group[K, V]) judgeFound(ctx context.Context, e *entry[V], item *StoreItem, now micros) {
	kind, ours := kindOf(item.Flags)
	r, valid := decodeRecord(item.Value)
	if ours && kind == kindTombstone { // it is one, also if it cannot be read
		purged := now
		if valid && r.kind == kindTombstone {
			purged = r.at
		}
		e.state, e.tomb, e.purgedAt, e.knownPurge = Purged, true, purged, purged
		e.left = min(between(now, purged), -time.Microsecond)
		return
	}
	if !ours || kind != kindValue || !valid || r.kind != kindValue || g.cache.unbelievable(r.at, now) || g.cache.beforeEpoch(r.at) {
		return
	}
	v, err := g.decode(r, now)
	if err != nil {
		g.cache.warn(ctx, WarningInfo{Kind: Undecodable, Group: g.name, Key: e.base, Op: "read", Err: err})
		return
	}
	e.version = v
}

// unbelievable: stamped too far in the future.
func (c *Cache) unbelievable(at, now micros) bool {
	return between(at, now) < -futureLimit-c.opts.MaxClockSkew
}

func (g *Group[K, V]) decode(r record, now micros) (v version[V], err error) {
	v = version[V]{usable: true, negative: r.negative, capped: r.capped, asOf: r.at, loadedAt: r.loadedAt(), logical: r.span.duration()}
	v.left = Indefinite
	if r.span > 0 {
		v.left = v.logical - max(between(r.at, now), 0)
	}
	if !r.negative {
		v.value, err = g.codec.Decode(r.payload)
	}
	return v, err
}

// between is the time from a to b.
func between(a, b micros) time.Duration { return (b - a).duration() }

// duration saturates.
func (m micros) duration() time.Duration {
	const most = micros(math.MaxInt64 / int64(time.Microsecond))
	return time.Duration(min(max(m, -most), most)) * time.Microsecond
}

// age is how long ago the value was stored.
func (v *version[V]) age(now micros) time.Duration { return between(v.asOf, now) }

// result is what a call returns of an entry.
func (e *entry[V]) result() (found, stale bool, asOf, purgedAt time.Time) {
	return e.usable && !e.negative, e.usable && e.left <= 0, e.asOf.time(), e.purgedAt.time()
}

// PeekMany is Peek for several ids: one result for each distinct id, in the order of their first occurrence. The error
// joins those of the ids whose server did not answer; the other results are good all the same. Ids that FetchMany refuses
// are refused here, too.
func (g *Group[K, V]) PeekMany(ctx context.Context, ids []K) ([]Result[K, V], error) {
	ids, list, err := g.entriesOf(ids)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	g.readAll(ctx, list)
	results := make([]Result[K, V], len(ids))
	var errs []error
	for i, e := range list {
		results[i] = peeked(ids[i], e)
		if e.err != nil {
			results[i].Err = g.wrap("read", e, e.err)
			errs = append(errs, results[i].Err)
		}
	}
	return results, several(errs)
}

func peeked[K comparable, V any](id K, e *entry[V]) Result[K, V] {
	r := Result[K, V]{ID: id, Value: e.value, State: e.state, TTL: e.left}
	r.Found, r.Stale, r.AsOf, r.PurgedAt = e.result()
	return r
}

// entriesOf makes the entries of ids, of each distinct one, in the order of their first occurrence.
func (g *Group[K, V]) entriesOf(ids []K) (distinct []K, list []*entry[V], err error) {
	if g.cache.closed.Load() {
		return nil, nil, ErrClosed
	}
	taken := make(map[string]int, len(ids)) // by base key
	distinct, list = make([]K, 0, len(ids)), make([]*entry[V], 0, len(ids))
	slab := make([]entry[V], len(ids))
	for _, id := range ids {
		e := &slab[len(list)]
		if err := g.fillEntry(e, id); err != nil {
			return nil, nil, err
		}
		if at, there := taken[e.base]; there {
			if distinct[at] != id {
				return nil, nil, fmt.Errorf("%w: %s", ErrKeyCollision, e.base)
			}
			continue
		}
		taken[e.base] = len(list)
		distinct, list = append(distinct, id), append(list, e)
	}
	return distinct, list, nil
}
