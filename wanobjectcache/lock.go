package wanobjectcache

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"time"
)

// lock is how an attempt to take a key's lock ended.
type lock[V any] struct {
	held    bool
	secret  []byte
	token   any
	arrived bool // nothing is to be loaded: candidate has come meanwhile, or will do
	outcome Outcome

	entry     *entry[V] // as of the second read: all that follows goes by it
	candidate version[V]
}

// How long a wait for another process's lock sleeps between two looks.
const (
	pollFirst = 20 * time.Millisecond
	pollMost  = 250 * time.Millisecond
)

// takeLock takes the lock on a key, and reads again: what somebody else stored since the first read needs no load. Without
// the lock it waits for what its owner stores, up to LockWait.
func (g *Group[K, V]) takeLock(f *flight[V]) lock[V] {
	c := g.cache
	l := lock[V]{secret: secret(), entry: f.entry, candidate: f.entry.version}
	ctx := context.WithoutCancel(f.ctx) // a lock that was taken must be seen, and released
	deadline := time.Now().Add(f.lockWait)
	defer func() {
		if p := recover(); p != nil { // of a codec, in the second read
			g.release(f, l)
			panic(p)
		}
	}()
	for pause := pollFirst; f.ctx.Err() == nil; pause = min(pause*3/2, pollMost) {
		err := c.local.Add(ctx, wireKey(f.entry.base, typMutex), StoreItem{Value: l.secret, Flags: kindMutex.flags()}, mutexLife)
		mutex := g.readAgain(ctx, f, &l)
		switch {
		case g.hasArrived(f, &l):
			g.release(f, l)
			l.arrived, l.outcome = true, MissWaited
			return l
		case l.held:
			return l
		case mutex.Err != nil || l.entry.state == Unknown:
			return l // the servers do not answer: nobody waits for them
		case err != nil && !errors.Is(err, ErrConflict):
			c.warn(f.ctx, WarningInfo{Kind: StoreFailed, Group: g.name, Key: f.entry.base, DC: c.opts.DC, Op: "lock", Err: err})
			return l
		case !mutex.Found && err == nil:
			return l // it was lost at once
		case g.servable(l.entry, &l.candidate):
			l.arrived, l.outcome = true, HitStale
			return l
		case time.Until(deadline) <= 0 || !sleep(f.ctx, min(spread(pause, c.opts.Rand()), time.Until(deadline))):
			return l
		}
	}
	return l
}

func secret() []byte {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // it never fails
	return b
}

// spread is d ± 20 %.
func spread(d time.Duration, dice float64) time.Duration {
	return d + time.Duration((dice-0.5)*0.4*float64(d))
}

// sleep returns false if ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// readAgain reads everything about the key, the lock included, at once.
func (g *Group[K, V]) readAgain(ctx context.Context, f *flight[V], l *lock[V]) StoreItem {
	c, now := g.cache, g.cache.now()
	e := &entry[V]{base: f.entry.base, wire: f.entry.wire, tags: f.entry.tags}
	mutex, interim := wireKey(e.base, typMutex), wireKey(e.base, typInterim)
	r := reading{}
	r.want(e.wire)
	r.want(mutex)
	r.want(interim)
	for _, tag := range e.tags {
		r.want(tag)
	}
	c.ask(ctx, &r)
	m := *r.item(mutex)
	l.held = m.Found && bytes.Equal(m.Value, l.secret) // also if the answer to Add was lost
	l.token = m.Token
	g.judge(ctx, e, r.item(e.wire), c.tagsOf(ctx, &r, now, e.tags), now)
	l.entry, l.candidate = e, e.version
	if e.state == Purged {
		l.candidate = g.interim(ctx, e, r.item(interim))
	}
	return m
}

// hasArrived reports whether the second read found what makes a load needless.
func (g *Group[K, V]) hasArrived(f *flight[V], l *lock[V]) bool {
	e, v := l.entry, &l.candidate
	if e.state == Fresh { // but for one that a GetWith wants anew
		return f.entry.state != Fresh || v.asOf != f.entry.asOf
	}
	return v.usable && g.after(v.loadedAt, e.purgedAt) && v.asOf >= f.entry.readAt
}

// release gives the lock up, whoever waits in another process goes on at once. If it has run out it may be another's.
func (g *Group[K, V]) release(f *flight[V], l lock[V]) {
	if !l.held {
		return
	}
	ctx := context.WithoutCancel(f.ctx) // also if nobody waits any more
	err := g.cache.local.CAS(ctx, wireKey(f.entry.base, typMutex), StoreItem{Value: l.secret, Flags: kindMutex.flags(), Token: l.token}, -time.Second)
	if err != nil && !lostRace(err) {
		g.cache.warn(ctx, WarningInfo{Kind: StoreFailed, Group: g.name, Key: f.entry.base, DC: g.cache.opts.DC, Op: "unlock", Err: err})
	}
}
