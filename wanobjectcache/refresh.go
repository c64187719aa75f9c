package wanobjectcache

import (
	"context"
	"sync"
	"time"
)

// refresh loads a key in the background.
func (g *Group[K, V]) refresh(ctx context.Context, id K, e *entry[V]) {
	g.inPlace(ctx, e.base, func(ctx context.Context) { g.renew(ctx, id, e) })
}

// inPlace runs f in the background for RefreshTimeout at most, if there is a place; else it is dropped.
func (g *Group[K, V]) inPlace(ctx context.Context, what string, f func(context.Context)) {
	c := g.cache
	select {
	case c.refreshes <- struct{}{}:
	default:
		c.warn(ctx, WarningInfo{Kind: RefreshDropped, Group: g.name, Key: what, Op: "refresh"})
		return
	}
	if !c.inBackground(func() {
		defer func() { <-c.refreshes }()
		ctx, cancel := c.untilClosed(context.WithoutCancel(ctx))
		defer cancel()
		ctx, cancel = context.WithTimeout(ctx, c.opts.RefreshTimeout)
		defer cancel()
		defer func() {
			if p := recover(); p != nil { // of a codec, or of a function in the options: nobody else could recover it
				g.tellPanic(ctx, what, panicOf(p))
			}
		}()
		f(ctx)
	}) {
		<-c.refreshes
	}
}

// renew reads anew, takes nothing for good, and loads without lock: others are served from the cache meanwhile.
func (g *Group[K, V]) renew(ctx context.Context, id K, old *entry[V]) {
	e := &entry[V]{base: old.base, wire: old.wire, tags: old.tags}
	began := g.cache.moment()
	g.readOne(ctx, e)
	if e.state == Unknown || e.state == Purged {
		return
	}
	if _, resting := g.cache.resting.of(e.wire, time.Now()); resting && g.fallback(&e.version) {
		return
	}
	f, joined := g.board(e, nil, false, func() *flight[V] {
		f := g.prepare(ctx, id, e, loader[V]{once: true})
		f.refresh = true
		return f
	})
	if joined {
		g.leave(f, false)
		return
	}
	stop := context.AfterFunc(ctx, func() { g.leave(f, true) }) // who has joined loads himself then
	g.fly(f)
	stop()
	g.tellFetch(ctx, e, RenewCompute, began, f.result.err)
}

// maxResting is how many keys are remembered whose load has failed.
const maxResting = 1024

// resting are the keys that are not loaded for a while, because that failed and a stale value answers instead.
type resting struct {
	mu   sync.Mutex
	keys map[string]rest
}

type rest struct {
	until time.Time
	err   error
}

func (r *resting) of(key string, now time.Time) (error, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	one, ok := r.keys[key]
	return one.err, ok && now.Before(one.until)
}

func (r *resting) add(key string, one rest, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.keys == nil {
		r.keys = map[string]rest{}
	}
	if len(r.keys) >= maxResting {
		for k, old := range r.keys {
			if now.After(old.until) {
				delete(r.keys, k)
			}
		}
	}
	if len(r.keys) < maxResting {
		r.keys[key] = one
	}
}

// rest lets a key alone after its load has failed, if there is something else to serve.
func (g *Group[K, V]) rest(e *entry[V], candidate *version[V], err error) {
	if g.opts.RetryAfter > 0 && g.fallback(candidate) {
		now := time.Now()
		g.cache.resting.add(e.wire, rest{now.Add(g.opts.RetryAfter), err}, now)
	}
}
