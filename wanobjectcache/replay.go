package wanobjectcache

import (
	"context"
	"fmt"
	"time"

	"github.com/multidc/multidc/wanobjectcache/internal/wirekey"
)

// Replay applies purges from a log to this DC: some may be old, some may have arrived already. What was stored after a
// purge's hold-off is left alone, so that it may be done any number of times. A purge stamped further ahead than clocks may
// differ, a minute and MaxClockSkew, counts as one of now. It returns one error for each purge; nil is "done, or not needed
// any more". What failed, or has an unknown outcome, is to be repeated.
func (c *Cache) Replay(ctx context.Context, purges []Purge) []error {
	errs := make([]error, len(purges))
	if c.closed.Load() {
		for i := range errs {
			errs[i] = ErrClosed
		}
		return errs
	}
	now := c.now()
	strictest := map[string]*replay{}
	var order []*replay
	for i, p := range purges {
		if errs[i] = p.check(); errs[i] != nil {
			continue
		}
		one := strictest[p.Key]
		if one == nil {
			one = &replay{op: p.Op, key: p.Key}
			strictest[p.Key] = one
			order = append(order, one)
		}
		at := microsOf(p.Time)
		if c.unbelievable(at, now) {
			at = now // by whatever clock: it was called before it came here
		}
		one.add(p, at, i)
	}
	c.replayAll(ctx, order)
	for _, one := range order {
		for _, i := range one.of {
			errs[i] = one.err
		}
	}
	return errs
}

// check returns what is wrong with a purge.
func (p *Purge) check() error {
	_, typ, ok := wirekey.Split(p.Key)
	switch {
	case ok && p.Op == OpDelete && typ == typValue, ok && p.Op == OpTag && typ == typTag:
	default:
		return fmt.Errorf("wanobjectcache: purge %q of %.300q: no such operation on such a key", string(p.Op), p.Key)
	}
	if p.Time.UnixMicro() <= 0 || p.Holdoff < 0 || p.Holdoff > maxHoldoff {
		return fmt.Errorf("wanobjectcache: purge of %s: time %v and hold-off %v cannot be", p.Key, p.Time, p.Holdoff)
	}
	return nil
}

// replay is the strictest of the purges of a key in one call.
type replay struct {
	op      PurgeOp
	key     string
	at, end micros // of the purge, of its hold-off
	origin  string
	of      []int // the purges that it stands for
	item    StoreItem
	err     error
}

func (r *replay) add(p Purge, at micros, i int) {
	if at >= r.at {
		r.at, r.origin = at, p.Origin
	}
	r.end = max(r.end, at+micros(p.Holdoff.Microseconds()))
	r.of = append(r.of, i)
}

// replayAll reads all keys at once, and does what is needed, some keys at a time.
func (c *Cache) replayAll(ctx context.Context, list []*replay) {
	if len(list) == 0 {
		return
	}
	var read reading
	for _, one := range list {
		read.want(one.key)
	}
	c.ask(ctx, &read)
	for _, one := range list {
		one.item = *read.item(one.key)
	}
	few(len(list), func(i int) { list[i].err = c.replayOne(ctx, list[i]) })
}

// replayOne does what is needed, again if somebody else changes the key meanwhile.
func (c *Cache) replayOne(ctx context.Context, one *replay) error {
	for range mostRounds {
		if one.item.Err != nil {
			return fmt.Errorf("wanobjectcache: replaying %s: %w", one.key, one.item.Err)
		}
		err := c.act(ctx, one, one.decide(c.now()))
		if err == nil {
			return nil
		}
		if !lostRace(err) {
			return fmt.Errorf("wanobjectcache: replaying %s: %w", one.key, err)
		}
		again := reading{keys: []string{one.key}}
		c.ask(ctx, &again)
		one.item = again.items[0]
	}
	return fmt.Errorf("wanobjectcache: replaying %s: %w: %d times", one.key, ErrConflict, mostRounds)
}

// action is what a replayed purge does to a key.
type action int

const (
	leave action = iota
	addTombstone
	replaceByTombstone
	takeAway
	raise // the tag's time
)

// decide is the table of what to do, by what was found and whether the hold-off is over.
func (r *replay) decide(now micros) action {
	found, valid := decodeRecord(r.item.Value)
	kind, ours := kindOf(r.item.Flags)
	switch {
	case r.op == OpTag && !r.item.Found && now >= r.end:
		return leave // its next reader makes it, later than this purge, and has no need of the hold-off
	case r.op == OpTag:
		return raise
	case !r.item.Found && now < r.end:
		return addTombstone
	case !r.item.Found:
		return leave
	case ours && kind == kindTombstone && (!valid || now >= r.end || found.at >= r.at):
		return leave
	case ours && kind == kindValue && valid && found.kind == kindValue && found.at >= r.end:
		return leave // stored when the hold-off was over
	case now < r.end:
		return replaceByTombstone
	}
	return takeAway
}

func (c *Cache) act(ctx context.Context, r *replay, a action) error {
	now := c.now()
	tombstone := record{kind: kindTombstone, at: r.at, span: r.end - r.at, payload: []byte(r.origin)}
	item := StoreItem{Value: tombstone.append(nil), Flags: kindTombstone.flags(), Token: r.item.Token}
	life := max(between(now, r.end), 0) + storeClock
	switch a {
	case addTombstone:
		return c.local.Add(ctx, r.key, item, life)
	case replaceByTombstone:
		return c.local.CAS(ctx, r.key, item, life)
	case takeAway:
		return c.local.CAS(ctx, r.key, StoreItem{Token: r.item.Token}, -time.Second)
	case raise:
		return c.raiseTag(ctx, c.local, r.key, r.at, r.end-r.at)
	case leave:
	}
	return nil
}
