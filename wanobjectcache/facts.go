package wanobjectcache

import (
	"context"
	"time"

	"github.com/multidc/multidc/internal/freshness"
)

// Facts are how old the data may be that was read.
type Facts struct {
	Lag     time.Duration // of the replica that was read: an upper bound
	Unknown bool          // nobody knows
	Since   time.Time     // when the snapshot was taken that was read; zero = just now
	Pending bool          // it includes writes of an open transaction, which may never be committed

	silent bool // nothing was said: under FromContext, until something is reported
}

// Unreplicated says that loaders read the only copy of the data: its lag is 0 unless something is reported.
func Unreplicated(context.Context) Facts { return Facts{} }

// FromContext says that only what is reported into the load's context counts, which scopes of package rdbms and [Report]
// do. A value about whose age nothing is reported is stored for 30 s at most.
func FromContext(context.Context) Facts { return Facts{silent: true} }

// Report tells the load in whose context it is called how old the data was that the loader has read, if that does not go
// through package rdbms.
func Report(ctx context.Context, f Facts) {
	freshness.Record(ctx, freshness.Facts{Lag: f.Lag, Unknown: f.Unknown, Since: f.Since, Pending: f.Pending})
}

// with are these facts and those of a recorder; read = it has some.
func (f Facts) with(told freshness.Facts, read bool) Facts {
	m := freshness.Facts{Lag: f.Lag, Unknown: f.Unknown, Since: f.Since, Pending: f.Pending}.Merge(told)
	return Facts{Lag: m.Lag, Unknown: m.Unknown, Since: m.Since, Pending: m.Pending, silent: f.silent && !read}
}

// readFrom: reading began at that moment, the data is from then at the latest.
func (f Facts) readFrom(began time.Time) Facts {
	if f.Since.IsZero() || f.Since.After(began) {
		f.Since = began
	}
	return f
}
