package wanobjectcache

import (
	"context"
	"time"
)

// Events are called as things happen, from the goroutine that noticed: return soon, and do not
// panic: nobody recovers it. Nil fields are legal.
type Events struct {
	OnFetch   func(context.Context, FetchInfo)   // for each id of a Get, and for each load in the background
	OnLoad    func(context.Context, LoadInfo)    // after each call of a loader
	OnFill    func(context.Context, FillInfo)    // after each attempt to store
	OnPurge   func(context.Context, PurgeInfo)   // for each call of Delete or PurgeTags and each DC, when its result is known
	OnWarning func(context.Context, WarningInfo) // what is also logged
}

// FetchInfo goes with Events.OnFetch.
type FetchInfo struct {
	Group, Key string
	Outcome    Outcome
	Took       time.Duration
	Err        error
}

// LoadInfo goes with Events.OnLoad.
type LoadInfo struct {
	Group string
	Keys  []string
	Facts Facts
	Took  time.Duration
	Err   error
}

// FillInfo goes with Events.OnFill.
type FillInfo struct {
	Group, Key string
	Fill       Fill
	TTL        time.Duration // logical
	Size       int           // of the record
	Err        error         // with FillFailed
}

// PurgeInfo goes with Events.OnPurge.
type PurgeInfo struct {
	Op     PurgeOp
	Keys   []string
	Result DCResult
	Logged bool // by Options.PurgeLog, when the result was known: it is asked at the same time as the DCs
}

// WarningInfo goes with Events.OnWarning.
type WarningInfo struct {
	Kind           Warning
	Group, Key, DC string
	Op             string
	Err            error
}

// Warning is a kind of warning.
type Warning string

// The warnings.
const (
	StoreFailed    Warning = "store failed"       // a cache server did not do what it was asked for
	RefreshDropped Warning = "refresh dropped"    // Options.MaxRefreshes loads are under way in the background
	AgeUnreported  Warning = "age unreported"     // a loader told nothing of its data's age; once for each group
	Undecodable    Warning = "undecodable record" // treated as absent
	LoaderPanicked Warning = "loader panicked"    // and nobody was waiting
	FenceFailed    Warning = "fence failed"       // a value that came too late could not be taken back
	IDMissing      Warning = "id missing"         // LoadMany said nothing about some ids; Key is the first of them, Err tells how many
)
