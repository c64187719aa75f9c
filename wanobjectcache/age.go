package wanobjectcache

import "time"

const (
	// cappedTTL is how long a value may live at most that is built on old data, or on data whose age is not known.
	cappedTTL = 30 * time.Second
	// startSlack: a snapshot that was a little younger than allowed when the load began would be too old when it is
	// tried again. Better not to store it than to have it at the limit.
	startSlack = 200 * time.Millisecond
)

// judgeAge decides whether what was made of data with the facts f may be stored now, and for how long. started is when
// the load began, zero if that is not known.
func judgeAge(f Facts, now, started time.Time, ttl, maxReadLag time.Duration) (fill Fill, logical time.Duration) {
	lag, snapLag := max(f.Lag, 0), elapsed(f.Since, now)
	switch {
	case ttl < 0:
		return FillUncacheable, 0
	case f.Pending:
		return FillPending, 0
	case snapLag > maxReadLag:
		return refuseOrCap(snapLag, 0, now, started, ttl, maxReadLag)
	case f.Unknown || f.silent || lag > maxReadLag:
		return capped(ttl)
	case lag > maxReadLag-snapLag:
		return refuseOrCap(snapLag, lag, now, started, ttl, maxReadLag)
	default:
		return FillStored, ttl
	}
}

// refuseOrCap: data that was too old already when the load began is refused, as there is newer data to read. If it grew
// old because the loader is slow, or perhaps so, to refuse it would mean never to store that loader's values.
func refuseOrCap(snapLag, lag time.Duration, now, started time.Time, ttl, maxReadLag time.Duration) (Fill, time.Duration) {
	if !started.IsZero() && snapLag-elapsed(started, now) > maxReadLag-lag-startSlack {
		return FillOld, 0
	}
	return capped(ttl)
}

func capped(ttl time.Duration) (Fill, time.Duration) { return FillCapped, min(ttl, cappedTTL) }

// elapsed is the time from one moment, if it is known, to now: the larger of what the monotonic clock and the wall clock
// say, since the former stands still while a virtual machine is suspended. What lies ahead is 0 ago, not less.
func elapsed(from, now time.Time) time.Duration {
	if from.IsZero() {
		return 0
	}
	return max(now.Sub(from), now.Round(0).Sub(from), 0)
}

// physicalTTL is how long the store keeps a record, so that it can still answer when it is stale; 0 = for ever.
// memcached counts whole seconds.
func physicalTTL(logical, staleWhileLocked, staleIfError time.Duration) time.Duration {
	if logical == Indefinite {
		return 0
	}
	kept, more := max(logical, 0), max(staleWhileLocked, staleIfError, 0)
	if more > Indefinite-time.Second-kept {
		return Indefinite.Truncate(time.Second)
	}
	return max((kept + more + time.Second - 1).Truncate(time.Second), time.Second)
}
