package wanobjectcache

import (
	"context"
	"errors"
	"math"
)

// tagState is when a tag was purged last.
type tagState struct {
	purged, holdoff micros
	made            bool // it was not there: nobody has purged it now
	unknown         bool // its server did not answer: values with it count as purged now, and nobody is told when
}

// tagsOf finds the states of tags in a reading. A tag that is not there was never purged, or was lost: it is made, and
// counts as purged now.
func (c *Cache) tagsOf(ctx context.Context, r *reading, now micros, keys []string) map[string]tagState {
	if len(keys) == 0 {
		return nil
	}
	states := make(map[string]tagState, len(keys))
	for _, key := range keys {
		if _, known := states[key]; known {
			continue
		}
		item := r.item(key)
		if item.Err != nil {
			states[key] = tagState{purged: now, unknown: true}
			continue
		}
		if t, ok := c.tagIn(item, now); ok {
			states[key] = tagState{purged: t.at, holdoff: t.span}
			continue
		}
		states[key] = c.makeTag(ctx, key, item, now)
	}
	return states
}

// tagIn decodes a tag's record, if it is not older than the epoch.
func (c *Cache) tagIn(item *StoreItem, now micros) (record, bool) {
	r, ok := c.readTag(item, now)
	return r, ok && !c.beforeEpoch(r.at)
}

// readTag decodes a tag's record.
func (c *Cache) readTag(item *StoreItem, now micros) (record, bool) {
	if !item.Found {
		return record{}, false
	}
	kind, ours := kindOf(item.Flags)
	r, valid := decodeRecord(item.Value)
	r.span = min(r.span, math.MaxInt64-r.at)
	return r, ours && kind == kindTag && valid && r.kind == kindTag && !c.unbelievable(r.at, now)
}

// makeTag stores a tag that is purged now. Its hold-off is not that of a purge: nothing was changed now, and values that
// are loaded from now on are good.
func (c *Cache) makeTag(ctx context.Context, key string, item *StoreItem, now micros) tagState {
	r := record{kind: kindTag, at: now, span: micros(c.opts.MaxClockSkew.Microseconds()), payload: []byte(c.opts.DC)}
	if old, ok := c.readTag(item, now); ok { // before the epoch: the hold-off of a purge stands, as a tombstone does
		r.at = max(now, old.at)
		r.span = max(r.span, old.at+old.span-r.at)
	}
	next := StoreItem{Value: r.append(nil), Flags: kindTag.flags(), Token: item.Token}
	write := c.local.Add
	if item.Found {
		write = c.local.CAS
	}
	if err := write(ctx, key, next, tagLife); err != nil && !lostRace(err) {
		c.warn(ctx, WarningInfo{Kind: StoreFailed, Key: baseOf(key), DC: c.opts.DC, Op: "make tag", Err: err})
	}
	return tagState{purged: r.at, holdoff: r.span, made: !item.Found}
}

// lostRace: somebody else was faster.
func lostRace(err error) bool { return errors.Is(err, ErrConflict) || errors.Is(err, ErrNotFound) }
