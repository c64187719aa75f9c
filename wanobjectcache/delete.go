package wanobjectcache

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// Delete purges ids in every DC: call it in the transaction that changes the data, as the last thing before COMMIT, so that
// nothing is left in the cache if the process dies in between. For the hold-off after it a key refuses what is loaded, for
// a replica may still show what was there before; what is loaded then is kept for moments only.
//
// It returns when this DC has confirmed and the purge log, if there is one, has accepted; what of these failed is a
// *DeliveryError. The other DCs go on in the background: the Delivery tells of them. So does everything when ctx ends first,
// even before the call: that error is the cause of ctx, and the purge is sent all the same.
func (g *Group[K, V]) Delete(ctx context.Context, ids ...K) (*Delivery, error) {
	c := g.cache
	if c.closed.Load() {
		return nil, ErrClosed
	}
	bases, keys, err := g.keysOf(ids)
	if err != nil {
		return nil, err
	}
	cut := func() {
		for _, group := range c.enrolled() {
			group.cut(bases)
		}
	}
	at := c.now()
	tombstone := record{kind: kindTombstone, at: at, span: micros(c.holdoff.Microseconds()), payload: []byte(c.opts.DC)}.append(nil)
	p := purge{op: OpDelete, bases: bases, keys: keys, at: at, cut: cut, send: func(ctx context.Context, s Store, key string) error {
		return s.Set(ctx, key, StoreItem{Value: tombstone, Flags: kindTombstone.flags()}, c.holdoff)
	}}
	return c.purge(ctx, p)
}

// keysOf makes the keys of ids, of each distinct one. Unlike a read, a purge does without their tags.
func (g *Group[K, V]) keysOf(ids []K) (bases, keys []string, err error) {
	bases, keys = make([]string, 0, len(ids)), make([]string, 0, len(ids))
	var taken map[string]K // by base key
	if len(ids) > 1 {
		taken = make(map[string]K, len(ids))
	}
	for _, id := range ids {
		key, err := g.keys.wire(id, typValue)
		if err != nil {
			return nil, nil, fmt.Errorf("wanobjectcache: group %s, id %.100v: %w", g.name, id, err)
		}
		base := baseOf(key)
		if other, there := taken[base]; there {
			if other != id {
				return nil, nil, fmt.Errorf("%w: %s", ErrKeyCollision, base)
			}
			continue
		}
		if taken != nil {
			taken[base] = id
		}
		bases, keys = append(bases, base), append(keys, key)
	}
	return bases, keys, nil
}

// PurgeTags purges in every DC all values that have one of the tags. It returns as [Group.Delete] does. A tag's time never
// goes back, whoever purges it and however late that arrives.
func (c *Cache) PurgeTags(ctx context.Context, tags ...Tag) (*Delivery, error) {
	if c.closed.Load() {
		return nil, ErrClosed
	}
	bases, keys := make([]string, len(tags)), make([]string, len(tags))
	for i, tag := range tags {
		base, err := tagKey(c.opts.Keyspace, tag)
		if err != nil {
			return nil, fmt.Errorf("wanobjectcache: tag %.100q: %w", string(tag), err)
		}
		bases[i], keys[i] = base, wireKey(base, typTag)
	}
	cut := func() {
		for _, group := range c.enrolled() {
			group.cutTags(keys)
		}
	}
	at := c.now()
	p := purge{op: OpTag, bases: bases, keys: keys, at: at, cut: cut, send: func(ctx context.Context, s Store, key string) error {
		return c.raiseTag(ctx, s, key, at, micros(c.holdoff.Microseconds()))
	}}
	return c.purge(ctx, p)
}

// mostRounds is how often a read and a write that depends on it are tried against others who write.
const mostRounds = 10

// raiseTag lets a tag's time, and the end of its hold-off, be at least these.
func (c *Cache) raiseTag(ctx context.Context, s Store, key string, at, holdoff micros) error {
	for range mostRounds {
		var item [1]StoreItem
		if err := s.GetMulti(ctx, []string{key}, item[:]); err != nil {
			return err
		}
		old, there := c.readTag(&item[0], c.now())
		next := record{kind: kindTag, at: at, span: holdoff, payload: []byte(c.opts.DC)}
		if there {
			next.at = max(at, old.at)
			next.span = max(at+holdoff, old.at+old.span) - next.at
			if next.at == old.at && next.span == old.span {
				return nil
			}
		}
		write := s.Add
		if item[0].Found {
			write = s.CAS
		}
		err := write(ctx, key, StoreItem{Value: next.append(nil), Flags: kindTag.flags(), Token: item[0].Token}, tagLife)
		if !lostRace(err) {
			return err
		}
	}
	return fmt.Errorf("%w: %d times", ErrConflict, mostRounds)
}

// purge is one call of Delete or PurgeTags.
type purge struct {
	op    PurgeOp
	bases []string
	keys  []string // their wire keys
	at    micros
	cut   func() // detaches the loads under way
	send  func(ctx context.Context, s Store, key string) error
}

// purge sends to all DCs and the log at the same time, and waits for the local DC and the log.
func (c *Cache) purge(ctx context.Context, p purge) (*Delivery, error) {
	if len(p.keys) == 0 {
		d := newDelivery(c.opts.DC, nil)
		d.set(0, nil, 0)
		return d, nil
	}
	p.cut()
	d := newDelivery(c.opts.DC, c.remotes)
	sending := context.WithoutCancel(ctx)
	var logged chan error
	if c.opts.PurgeLog != nil {
		logged = make(chan error, 1)
		if !c.inBackground(func() { logged <- c.log(sending, p, d) }) {
			return nil, ErrClosed
		}
	}
	for i, r := range c.remotes {
		if !c.inBackground(func() { c.sendTo(sending, p, d, i+1, r) }) {
			d.set(i+1, ErrClosed, 0)
		}
	}
	local := make(chan struct{}, 1)
	if !c.inBackground(func() {
		c.sendTo(sending, p, d, 0, &remote{dc: c.opts.DC, store: c.local})
		p.cut() // again: a load may have begun since, from what was there before
		local <- struct{}{}
	}) {
		d.set(0, ErrClosed, 0)
		return d, ErrClosed
	}
	var logErr error
	for waiting := local; waiting != nil || logged != nil; {
		select {
		case <-waiting: // its error is in the Delivery
			waiting = nil
		case logErr = <-logged:
			logged = nil
		case <-ctx.Done():
			return d, fmt.Errorf("wanobjectcache: purge: %w", ended(ctx))
		}
	}
	return d, d.failure(func(r DCResult) bool { return r.DC == c.opts.DC && r.Err != nil }, logErr)
}

func (c *Cache) log(ctx context.Context, p purge, d *Delivery) error {
	if c.opts.PurgeLog == nil {
		return nil
	}
	list := make([]Purge, len(p.keys))
	for i, key := range p.keys {
		list[i] = Purge{Op: p.op, Key: key, Time: p.at.time(), Holdoff: c.holdoff, Origin: c.opts.DC}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.life, cancel)() //nolint:contextcheck // Close ends it
	if err := c.opts.PurgeLog.Append(ctx, list); err != nil {
		return fmt.Errorf("%w: %w", ErrNotLogged, err)
	}
	d.setLogged()
	return nil
}

// sendTo purges the keys in one DC, and notes the result. A list may be as long as it likes, but a dead server is not waited
// for with each of its keys: the rest is not sent once a key had no answer within RemoteTimeout, or once the failures have
// kept all who send busy for so long.
func (c *Cache) sendTo(ctx context.Context, p purge, d *Delivery, at int, r *remote) {
	began, within := time.Now(), c.opts.RemoteTimeout
	var lost atomic.Int64 // time, by each of those who send, for keys that failed
	errs := make([]error, len(p.keys))
	few(len(p.keys), func(i int) {
		switch {
		case lost.Load() >= int64(within):
			errs[i] = unsent(within)
			return
		case c.life.Err() != nil: // Close waits no longer
			errs[i] = ErrClosed
			return
		}
		sent := time.Now()
		ctx, cancel := context.WithTimeout(ctx, within)
		defer cancel()
		err := r.send(ctx, p, p.keys[i])
		switch {
		case err == nil:
		case ctx.Err() != nil:
			lost.Add(int64(within))
			errs[i] = fmt.Errorf("not within Options.RemoteTimeout, %v: %w", within, err)
		default:
			lost.Add(int64(time.Since(sent)) / atATime)
			errs[i] = err
		}
	})
	first, err := failed(p.bases, errs)
	result := d.set(at, err, time.Since(began))
	if err != nil {
		c.warn(ctx, WarningInfo{Kind: StoreFailed, Key: first, DC: r.dc, Op: "purge", Err: err})
	}
	if on := c.opts.Events.OnPurge; on != nil {
		on(ctx, PurgeInfo{Op: p.op, Keys: p.bases, Result: result, Logged: d.Logged()})
	}
}

// send purges one key. A DC that does not answer is not given more than it can hold.
func (r *remote) send(ctx context.Context, p purge, key string) error {
	if r.sending != nil {
		select {
		case r.sending <- struct{}{}:
			defer func() { <-r.sending }()
		default:
			return ErrOverloaded
		}
	}
	return p.send(ctx, r.store, key)
}
