package wanobjectcache

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/multidc/multidc/internal/freshness"
)

// prepare makes the flight of a load that is about to begin. It goes on when the call that began it ends, as long as
// somebody waits, and sees that call's values.
func (g *Group[K, V]) prepare(ctx context.Context, id K, e *entry[V], l loader[V]) *flight[V] {
	f := &flight[V]{
		entry: e, load: l.with, once: l.once, lockWait: g.cache.opts.LockWait,
		ttl:  func(v V) time.Duration { return g.ttlFor(id, v) },
		gone: make(chan struct{}), done: make(chan struct{}),
	}
	if f.load == nil {
		f.load = func(ctx context.Context) (V, error) { return g.load(ctx, id, e.base) }
	}
	f.ctx, f.cancel = g.cache.untilClosed(context.WithoutCancel(ctx))
	f.ctx = context.WithValue(f.ctx, loadingKey{}, &loading{f, loadingOf(ctx)})
	f.ctx = withoutPrevious(f.ctx)
	return f
}

// errExited is what others get of a loader that has ended its goroutine.
var errExited = errors.New("the loader has not returned: it has called runtime.Goexit, as testing.T.FailNow does")

// fly is a flight from its lock to its end.
func (g *Group[K, V]) fly(f *flight[V]) {
	r := landed[V]{outcome: MissCompute, err: errExited}
	defer func() {
		if p := recover(); p != nil { // of a codec, or of a function in the options
			r.panicked = panicOf(p)
			r.err = r.panicked
		}
		f.cancel()
		g.land(f, r)
	}()
	if f.entry.state == Unknown {
		r = g.loadAndStore(f, f.entry, f.entry.version)
		return
	}
	if f.refresh {
		r = g.loadAndStore(f, f.entry, f.entry.version)
		r.outcome = RenewCompute
		return
	}
	lock := g.takeLock(f)
	if lock.arrived {
		r = landed[V]{version: lock.candidate, outcome: lock.outcome}
		return
	}
	defer g.release(f, lock)
	r = g.loadAndStore(f, lock.entry, lock.candidate)
}

// loadAndStore runs the loader and stores what it gives.
func (g *Group[K, V]) loadAndStore(f *flight[V], e *entry[V], candidate version[V]) (r landed[V]) {
	r.outcome = MissCompute
	if r.err = ended(f.ctx); r.err != nil {
		return r // nobody waits for it
	}
	got, age := g.run(f, candidate)
	r.facts, r.reported, r.panicked, r.err = age.told, age.reported, got.panicked, got.err
	if got.err != nil && !errors.Is(got.err, ErrNotFound) {
		if got.panicked == nil && f.ctx.Err() == nil {
			g.rest(e, &candidate, got.err)
		}
		return r
	}
	r.version = version[V]{usable: true, value: got.value, negative: got.err != nil}
	r.absent, r.err = got.err, nil
	g.fill(f, e, &r.version, age)
	return r
}

// answer is what a loader returned.
type answer[T any] struct {
	value    T
	err      error
	panicked *PanicError // it is err, too
}

// age is what is known of how old the data is that a load read.
type age struct {
	began    moment
	facts    Facts
	told     freshness.Facts // what was reported while it ran,
	reported bool            // if anything was
}

// run calls the loader of a flight.
func (g *Group[K, V]) run(f *flight[V], candidate version[V]) (answer[V], age) {
	ctx := f.ctx
	if candidate.usable && !candidate.negative {
		ctx = context.WithValue(ctx, previousKey{}, previous[V]{candidate.value, candidate.asOf.time()})
	}
	return measured(ctx, g, []string{f.entry.base}, f.load)
}

// measured calls a loader, with a recorder of its own.
func measured[K comparable, V, T any](ctx context.Context, g *Group[K, V], keys []string, load func(context.Context) (T, error)) (answer[T], age) {
	var recorder freshness.Recorder
	ctx = freshness.With(ctx, &recorder)
	a := age{began: g.cache.moment()}
	before := g.opts.Freshness(ctx) // not after: a lag may have fallen meanwhile
	got := inTime(ctx, g.cache, g.opts.LoadTimeout, func(late answer[T]) { g.tellPanic(ctx, keys[0], late.panicked) }, load)
	a.told, a.reported = recorder.Facts()
	a.facts = before.with(a.told, a.reported).readFrom(a.began.wall)
	if a.facts.silent && got.err == nil {
		g.warnSilent(ctx, keys[0])
	}
	if on := g.cache.opts.Events.OnLoad; on != nil {
		on(ctx, LoadInfo{Group: g.name, Keys: keys, Facts: a.facts, Took: g.cache.since(a.began), Err: got.err})
	}
	return got, a
}

// warnSilent says, once, that nobody tells how old the group's data is.
func (g *Group[K, V]) warnSilent(ctx context.Context, key string) {
	if g.warnedAge.CompareAndSwap(false, true) {
		g.cache.warn(ctx, WarningInfo{Kind: AgeUnreported, Group: g.name, Key: key, Op: "load"})
	}
}

// inTime calls a loader, and waits no longer than timeout; 0 = without end.
func inTime[T any](ctx context.Context, c *Cache, timeout time.Duration, dropped func(answer[T]), load func(context.Context) (T, error)) answer[T] {
	if timeout == 0 {
		return guarded(ctx, load)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, ErrLoadTimeout)
	defer cancel()
	return apart(ctx, c, dropped, load)
}

// apart calls a loader in a goroutine of its own, and waits no longer than its context lasts. One that does not heed that is
// left to itself, and what it gives is dropped.
func apart[T any](ctx context.Context, c *Cache, dropped func(answer[T]), load func(context.Context) (T, error)) answer[T] {
	answers, left := make(chan answer[T]), make(chan struct{})
	defer close(left)
	if !c.inBackground(func() {
		a := answer[T]{err: errExited}
		defer func() {
			select {
			case answers <- a:
			case <-left:
				dropped(a)
			}
		}()
		a = guarded(ctx, load)
	}) {
		return answer[T]{err: ErrClosed}
	}
	select {
	case a := <-answers:
		return a
	case <-ctx.Done():
		return answer[T]{err: ended(ctx)}
	}
}

// guarded turns a panic into an error. One that comes after the end of the context also says why that has ended.
func guarded[T any](ctx context.Context, load func(context.Context) (T, error)) (a answer[T]) {
	defer func() {
		if p := recover(); p != nil {
			a.panicked = panicOf(p)
			a.err = a.panicked
		}
	}()
	a.value, a.err = load(ctx)
	for _, why := range []error{ctx.Err(), context.Cause(ctx)} {
		if a.err != nil && why != nil && !errors.Is(a.err, why) {
			a.err = fmt.Errorf("%w: %w", why, a.err)
		}
	}
	return a
}

// panicOf keeps one that is a PanicError already: of a load inside a load.
func panicOf(p any) *PanicError {
	if p, ok := p.(*PanicError); ok {
		return p
	}
	return &PanicError{Value: p, Stack: debug.Stack()}
}

// previous is the value that a load replaces.
type previous[V any] struct {
	value V
	asOf  time.Time
}

type previousKey struct{}

// withoutPrevious hides that of an enclosing load.
func withoutPrevious(ctx context.Context) context.Context {
	return context.WithValue(ctx, previousKey{}, nil)
}

// Previous returns, inside a loader of one id, the value that it is about to replace, and when that was stored. There is
// none for a new or purged key, and none in LoadMany.
func Previous[V any](ctx context.Context) (v V, asOf time.Time, ok bool) {
	p, ok := ctx.Value(previousKey{}).(previous[V])
	return p.value, p.asOf, ok
}
