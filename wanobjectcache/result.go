package wanobjectcache

import "time"

// Result is what a call knows about one id.
type Result[K comparable, V any] struct {
	ID       K
	Value    V
	Found    bool    // there is a value
	Stale    bool    // it was served although it was out of date
	State    State   // of the record when it was read
	Outcome  Outcome // how the value was come by; "" from Peek
	AsOf     time.Time
	TTL      time.Duration // what is left; negative = stale since then; without meaning for Absent and Unknown
	PurgedAt time.Time     // the newest purge of the key or one of its tags; zero = none
	Err      error         // of this id; with HitFallback that of the load

	absent error // what the loader said if there is no such thing; nil = the cache knew
}

// State is what the cache had for a key.
type State string

// The states.
const (
	Absent  State = "absent"  // nothing that can be used
	Fresh   State = "fresh"   // a value, or "no such thing", that is good
	Stale   State = "stale"   // one that has expired, or that a tag purge has hit
	Purged  State = "purged"  // a tombstone: Delete was called within the hold-off
	Unknown State = "unknown" // the cache server did not answer
)

// Outcome is how a call came by a value.
type Outcome string

// The outcomes.
const (
	HitGood      Outcome = "hit.good"      // from the cache
	HitRefresh   Outcome = "hit.refresh"   // from the cache, and a load in the background has begun
	HitVolatile  Outcome = "hit.volatile"  // a moment old: it was loaded after the last purge
	HitStale     Outcome = "hit.stale"     // out of date, while another loads: GroupOptions.StaleWhileLocked
	HitFallback  Outcome = "hit.fallback"  // out of date, because the load failed: GroupOptions.StaleIfError
	MissJoined   Outcome = "miss.joined"   // by a load that was under way in this process
	MissWaited   Outcome = "miss.waited"   // by another process's load
	MissCompute  Outcome = "miss.compute"  // by an own load
	RenewCompute Outcome = "renew.compute" // in events: by a load in the background
)

// Fill is what became of an attempt to store a value.
type Fill string

// The fills.
const (
	FillStored      Fill = "stored"
	FillCapped      Fill = "capped"          // for 30 s at most: the data may be old, or its age is not known
	FillInterim     Fill = "interim"         // for a moment: the key was purged within the hold-off
	FillUncacheable Fill = "uncacheable"     // a negative TTL
	FillPending     Fill = "refused.pending" // it saw writes that are not committed
	FillOld         Fill = "refused.old"     // the data was too old already when the load began
	FillPurged      Fill = "refused.purged"  // the key was purged meanwhile
	FillConflict    Fill = "conflict"        // somebody else stored, or purged, first
	FillTakenBack   Fill = "taken back"      // it came too late, and was removed again
	FillFailed      Fill = "failed"          // the store refused, or did not answer
)
