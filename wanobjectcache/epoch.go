package wanobjectcache

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// epoch is the time before which everything that is stored in this DC counts as absent: what it may have missed is not
// known any more. It is a record of the DC's own store, which every process reads now and then.
type epoch struct {
	at   atomic.Int64 // micros; as last read, it never falls
	next atomic.Int64 // when it is read again, nanoseconds since the cache was made
}

// How often a process reads the epoch, with what it reads anyway: when it was answered, and when not.
const (
	epochEvery = 5 * time.Second
	epochRetry = time.Second
)

var epochKey = wireKey(epochBase, typTag)

// wantEpoch adds the epoch to a reading if it is due. What nobody waits for is not answered.
func (c *Cache) wantEpoch(ctx context.Context, r *reading) {
	now := int64(time.Since(c.made))
	if due := c.epoch.next.Load(); now >= due && ctx.Err() == nil && c.epoch.next.CompareAndSwap(due, now+int64(epochEvery)) {
		r.want(epochKey)
	}
}

// noteEpoch takes the epoch out of a reading. One that is missing, or cannot be read, changes nothing.
func (c *Cache) noteEpoch(r *reading) {
	item := r.find(epochKey)
	if item != nil && item.Err != nil {
		c.epoch.next.Store(int64(time.Since(c.made) + epochRetry))
	}
	if item == nil || item.Err != nil || !item.Found {
		return
	}
	if kind, ours := kindOf(item.Flags); !ours || kind != kindTag {
		return
	}
	if e, valid := decodeRecord(item.Value); valid && e.kind == kindTag {
		c.liftEpoch(e.at)
	}
}

func (c *Cache) liftEpoch(at micros) {
	for {
		old := c.epoch.at.Load()
		if int64(at) <= old || c.epoch.at.CompareAndSwap(old, int64(at)) {
			return
		}
	}
}

// beforeEpoch reports whether a record counts as absent.
func (c *Cache) beforeEpoch(at micros) bool { return int64(at) < c.epoch.at.Load() }

// RaiseEpoch makes everything in this DC that was stored before t count as absent: for when purges were lost. It never goes
// back, and refuses a time beyond the hold-off and a minute from now, which would turn the cache off. Other processes of the
// DC follow within 5 s of their next read.
func (c *Cache) RaiseEpoch(ctx context.Context, t time.Time) error {
	if c.closed.Load() {
		return ErrClosed
	}
	if limit := c.opts.Now().Add(c.holdoff + futureLimit); t.After(limit) {
		return fmt.Errorf("wanobjectcache: epoch %v is later than %v: nothing could be cached until then", t, limit)
	}
	at := microsOf(t)
	for range mostRounds {
		read := reading{keys: []string{epochKey}}
		c.ask(ctx, &read)
		item := read.items[0]
		if item.Err != nil {
			return fmt.Errorf("wanobjectcache: raising the epoch: %w", item.Err)
		}
		if old, valid := decodeRecord(item.Value); item.Found && valid && old.kind == kindTag && old.at >= at {
			c.liftEpoch(old.at)
			return nil
		}
		write := c.local.Add
		if item.Found {
			write = c.local.CAS
		}
		r := record{kind: kindTag, at: at, payload: []byte(c.opts.DC)}
		err := write(ctx, epochKey, StoreItem{Value: r.append(nil), Flags: kindTag.flags(), Token: item.Token}, tagLife)
		switch {
		case err == nil:
			c.liftEpoch(at)
			return nil
		case !lostRace(err):
			return fmt.Errorf("wanobjectcache: raising the epoch: %w", err)
		}
	}
	return fmt.Errorf("wanobjectcache: raising the epoch: %w: %d times", ErrConflict, mostRounds)
}
