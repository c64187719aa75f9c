package wanobjectcache

import (
	"context"
	"errors"
)

// tagState is when a tag was purged last.
type tagState struct {
	purged, holdoff micros
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

// tagIn decodes a tag's record.
func (c *Cache) tagIn(item *StoreItem, now micros) (record, bool) {
	if !item.Found {
		return record{}, false
	}
	kind, ours := kindOf(item.Flags)
	r, valid := decodeRecord(item.Value)
	return r, ours && kind == kindTag && valid && r.kind == kindTag && !c.unbelievable(r.at, now) && !c.beforeEpoch(r.at)
}

// makeTag stores a tag that is purged now. Its hold-off is not that of a purge: nothing was changed now, and values that
// are loaded from now on are good.
func (c *Cache) makeTag(ctx context.Context, key string, item *StoreItem, now micros) tagState {
	r := record{kind: kindTag, at: now, span: micros(c.opts.MaxClockSkew.Microseconds()), payload: []byte(c.opts.DC)}
	next := StoreItem{Value: r.append(nil), Flags: kindTag.flags(), Token: item.Token}
	write := c.local.Add
	if item.Found {
		write = c.local.CAS
	}
	if err := write(ctx, key, next, tagLife); err != nil && !lostRace(err) {
		c.warn(ctx, WarningInfo{Kind: StoreFailed, Key: key, DC: c.opts.DC, Op: "make tag", Err: err})
	}
	return tagState{purged: now, holdoff: r.span}
}

// lostRace: somebody else was faster.
func lostRace(err error) bool { return errors.Is(err, ErrConflict) || errors.Is(err, ErrNotFound) }
