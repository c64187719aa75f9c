// Package freshness carries facts about how fresh what a request read is, from those who read databases and caches to
// those who keep the result for later.
//
// Package rdbms reports for each read, and wanobjectcache for each value that it hands out though it may be stale.
// wanobjectcache asks how long it may keep what a loader made, and the cdnpurge middleware how long edge caches may keep
// a page. They are siblings that do not import each other; the facts travel with the context.
//
// Who wants to know puts a [Recorder] into a context and works with that context. Recorders nest: what a loader reads
// inside a request concerns the value that it makes and the page, so a report reaches all recorders of its context.
// Whoever shares another's work (joined loads) reports that one's facts into its own context.
//
// Silence is not freshness: a recorder tells apart "read, and not behind" and "nothing was reported".
package freshness

import (
	"context"
	"sync"
	"time"
)

// Facts are about one read, or merged about several. Zero Facts say: read, with all that was committed.
type Facts struct {
	Lag     time.Duration // how far behind the source was: an upper bound
	Unknown bool          // how far behind is not known; Lag says nothing then
	Since   time.Time     // when the snapshot was taken that was read, or earlier; zero = not told
	Pending bool          // it saw writes that are not committed yet, and may never be
	WroteAt time.Time     // the newest write of this client that is known; zero = none
}

// Merge returns the facts of what was made out of both. It is commutative, associative and idempotent, and zero Facts
// change nothing.
func (f Facts) Merge(g Facts) Facts {
	return Facts{
		Lag:     max(f.Lag, g.Lag),
		Unknown: f.Unknown || g.Unknown,
		Since:   earlier(f.Since, g.Since),
		Pending: f.Pending || g.Pending,
		WroteAt: later(f.WroteAt, g.WroteAt),
	}
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// onlyWrite: news of a write, which says nothing about what was read.
func (f Facts) onlyWrite() bool {
	return f.Lag == 0 && !f.Unknown && f.Since.IsZero() && !f.Pending && !f.WroteAt.IsZero()
}

// Recorder merges what is reported. The zero Recorder is ready; it is safe for concurrent use and must not be copied.
type Recorder struct {
	mu    sync.Mutex
	facts Facts
	read  bool
}

// Facts returns what was reported so far, merged. Without any report of a read, read is false, and but for WroteAt the
// facts say nothing: how old the data is is unknown.
func (r *Recorder) Facts() (f Facts, read bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.facts, r.read
}

func (r *Recorder) add(f Facts) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.facts = r.facts.Merge(f)
	r.read = r.read || !f.onlyWrite()
}

// nested is a recorder in a context, and those around it.
type nested struct {
	recorder *Recorder
	outer    *nested
}

type key struct{}

func innermost(ctx context.Context) *nested {
	n, _ := ctx.Value(key{}).(*nested)
	return n
}

// With returns a context whose reports reach r, and all recorders that ctx has.
func With(ctx context.Context, r *Recorder) context.Context {
	return context.WithValue(ctx, key{}, &nested{r, innermost(ctx)})
}

// Recording reports whether ctx has a recorder: whether facts are worth finding out.
func Recording(ctx context.Context) bool { return innermost(ctx) != nil }

// Record reports what one read got to every recorder of ctx. Facts with nothing but WroteAt tell of a write, and do not
// count as a read. Without a recorder nothing is done.
func Record(ctx context.Context, f Facts) {
	for n := innermost(ctx); n != nil; n = n.outer {
		n.recorder.add(f)
	}
}

// Recorded returns the facts of the innermost recorder of ctx, as [Recorder.Facts] does, but WroteAt from all of them: a
// read concerns what is made from it, a write the whole request.
func Recorded(ctx context.Context) (f Facts, read bool) {
	n := innermost(ctx)
	if n == nil {
		return Facts{}, false
	}
	f, read = n.recorder.Facts()
	for n = n.outer; n != nil; n = n.outer {
		around, _ := n.recorder.Facts()
		f.WroteAt = later(f.WroteAt, around.WroteAt)
	}
	return f, read
}
