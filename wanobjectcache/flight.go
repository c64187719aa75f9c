package wanobjectcache

import (
	"context"
	"time"

	"github.com/multidc/multidc/internal/freshness"
)

// flight is a load under way in this process, which others who want the same key may join.
type flight[V any] struct {
	entry    *entry[V] // as it was read when it began
	load     func(context.Context) (V, error)
	once     bool            // it ends with the call that began it
	refresh  bool            // nobody waits for it
	ctx      context.Context //nolint:containedctx // of the load: it outlives the call
	cancel   context.CancelFunc
	ttl      func(V) time.Duration
	lockWait time.Duration

	older   *flight[V]    // which this one has replaced in the table: purges concern it too
	waiters int           // guarded by the group's lock
	cut     bool          // a purge came: nobody joins it any more, and it stores nothing
	left    bool          // nobody waits for its result any more
	alone   bool          // who began it has left
	gone    chan struct{} // closed when who began it has left, and its loader with him
	done    chan struct{}

	result landed[V] // when done
}

// landed is what a flight came to.
type landed[V any] struct {
	version[V]

	outcome  Outcome // for who began it
	err      error
	absent   error // what the loader said if there is no such thing
	panicked *PanicError
	facts    freshness.Facts // that were reported while it ran,
	reported bool            // if any were
}

// loading is the chain of the flights that a context is in: a loader that reads its own key must not wait for itself.
type loading struct {
	flight any
	outer  *loading
}

type loadingKey struct{}

func loadingOf(ctx context.Context) *loading {
	l, _ := ctx.Value(loadingKey{}).(*loading)
	return l
}

func (l *loading) has(flight any) bool {
	for ; l != nil; l = l.outer {
		if l.flight == flight {
			return true
		}
	}
	return false
}

// mostJoins is how many flights a caller joins in a row before it loads itself.
const mostJoins = 3

// board joins the flight of a key that is fit for the caller, or begins one. Fit is one that is not cut, and
// that began when the newest purge that the caller knows of had happened.
func (g *Group[K, V]) board(e *entry[V], l *loading, alone bool, begin func() *flight[V]) (f *flight[V], joined bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f := g.flights[e.base]; f != nil && !alone && !f.cut && !f.left && g.knows(f, e) && !l.has(f) {
		f.waiters++
		return f, true
	}
	f = begin()
	f.waiters = 1
	f.older = g.flights[e.base]
	g.flights[e.base] = f
	return f, false
}

// knows reports whether a flight began when a purge had happened: it has seen this one, or began surely later. A later purge
// that it has seen does not tell, when that was stamped by another clock.
func (g *Group[K, V]) knows(f *flight[V], e *entry[V]) bool {
	return e.knownPurge == f.entry.purgedAt || e.knownPurge == f.entry.knownPurge || g.after(f.entry.readAt, e.knownPurge)
}

// leave is the end of a wait. The last one to leave cancels the load; so does who began it, if its loader is the call's
// own.
func (g *Group[K, V]) leave(f *flight[V], began bool) {
	g.mu.Lock()
	var missed *PanicError // of a load that has landed in this moment
	if began {
		f.alone, missed = true, f.result.panicked
	}
	if f.waiters--; f.waiters == 0 || began && f.once {
		f.left = true
		f.cancel()
	}
	if began && f.once {
		close(f.gone)
	}
	g.mu.Unlock()
	g.tellPanic(f.ctx, f.entry.base, missed)
}

// land publishes a flight's result and takes it out of the table.
func (g *Group[K, V]) land(f *flight[V], r landed[V]) {
	g.mu.Lock()
	g.takeOut(f)
	f.result = r
	close(f.done)
	unseen := f.refresh || f.alone
	g.mu.Unlock()
	if unseen {
		g.tellPanic(f.ctx, f.entry.base, r.panicked)
	}
}

// takeOut takes a flight out of the table, where those that it has replaced stay.
func (g *Group[K, V]) takeOut(f *flight[V]) {
	head := g.flights[f.entry.base]
	if head == f {
		if g.flights[f.entry.base] = f.older; f.older == nil {
			delete(g.flights, f.entry.base)
		}
		return
	}
	for ; head != nil; head = head.older {
		if head.older == f {
			head.older = f.older
			return
		}
	}
}

// tellPanic is for a panic when the call that began the load is not there any more to see it.
func (g *Group[K, V]) tellPanic(ctx context.Context, base string, p *PanicError) {
	if p != nil {
		g.cache.warn(context.WithoutCancel(ctx), WarningInfo{Kind: LoaderPanicked, Group: g.name, Key: base, Op: "load", Err: p})
	}
}

// isCut reports whether a purge has come since the flight began.
func (g *Group[K, V]) isCut(f *flight[V]) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return f.cut
}

// cut detaches the flights of keys that are purged.
func (g *Group[K, V]) cut(bases []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, base := range bases {
		for f := g.flights[base]; f != nil; f = f.older {
			f.cut = true
		}
	}
}

// cutTags detaches the flights that depend on tags that are purged.
func (g *Group[K, V]) cutTags(tags []string) {
	purged := make(map[string]bool, len(tags))
	for _, tag := range tags {
		purged[tag] = true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, f := range g.aloft() {
		for _, tag := range f.entry.tags {
			if purged[tag] {
				f.cut = true
			}
		}
	}
}

// aloft lists all flights.
func (g *Group[K, V]) aloft() (all []*flight[V]) {
	for _, f := range g.flights {
		for ; f != nil; f = f.older {
			all = append(all, f)
		}
	}
	return all
}

// await waits for a flight, for as long as the caller may: in a loader no longer than LockWait. It does not arrive if the
// caller has to load himself.
func (g *Group[K, V]) await(ctx context.Context, f *flight[V], began bool) (r landed[V], arrived bool, err error) {
	defer func() {
		if !arrived {
			g.leave(f, began)
		}
	}()
	var patience <-chan time.Time
	if !began && loadingOf(ctx) != nil {
		timer := time.NewTimer(g.cache.opts.LockWait)
		defer timer.Stop()
		patience = timer.C
	}
	select {
	case <-f.done:
		select {
		case <-f.gone: // it was cut off
			return r, false, nil
		default:
			return f.result, true, nil
		}
	case <-f.gone:
		return r, false, nil
	case <-patience:
		return r, false, nil
	case <-ctx.Done():
		return r, false, ended(ctx)
	}
}
