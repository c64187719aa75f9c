package chronology

import "context"

// Events are told what happens; nil ones are left out. They run in the request: do not wait in them.
type Events struct {
	OnKept     func(context.Context, KeptInfo)     // a write was remembered, and cookies were set
	OnHole     func(context.Context, HoleInfo)     // the protection is weaker than promised
	OnRejected func(context.Context, RejectedInfo) // a cookie, header or token was ignored
}

// KeptInfo is of Events.OnKept.
type KeptInfo struct {
	Mode     Mode
	Clusters []string // that were written
	Position bool     // the position cookie was set
	Sticky   bool     // the sticky cookie was set, or was there already
}

// HoleInfo is of Events.OnHole.
type HoleInfo struct {
	Kind    Hole
	Cluster string // "" = all
	Err     error
}

// RejectedInfo is of Events.OnRejected.
type RejectedInfo struct {
	Source  Source
	Reason  Rejection
	Cluster string // with RejectedCluster its hash, in hex
}

// Mode is where positions are kept.
type Mode string

// The modes.
const (
	StoreMode  Mode = "store"
	TokenMode  Mode = "token"
	StickyMode Mode = "sticky"
)

// Hole is a way in which the protection is weaker than promised.
type Hole string

// The holes.
const (
	HoleStoreRead    Hole = "store-read"    // the store did not answer: nothing is required
	HoleIndexBehind  Hole = "index-behind"  // the store lost a write, or all: what it has is required
	HoleStoreWrite   Hole = "store-write"   // the store did not take a write: only the sticky cookie protects
	HoleCapture      Hole = "capture"       // a position could not be read: a limit of the lag protects
	HoleAfterHeaders Hole = "after-headers" // a write came when the headers had gone
	HoleNoRoom       Hole = "no-room"       // a position was too long: a limit of the lag protects, or nothing
	HoleRequire      Hole = "require"       // a cluster refused a position
)

// Source is where a position came from.
type Source string

// The sources.
const (
	FromCookie Source = "cookie"
	FromHeader Source = "header"
	FromToken  Source = "token" // WithToken and Resume
)

// Rejection is why something was ignored.
type Rejection string

// The rejections.
const (
	RejectedForm    Rejection = "form"
	RejectedVersion Rejection = "version"
	RejectedKey     Rejection = "key"
	RejectedMAC     Rejection = "mac"
	RejectedOld     Rejection = "old"
	RejectedFuture  Rejection = "future"
	RejectedCluster Rejection = "cluster" // of an entry: there is no such cluster here
)

func (p *Protector) hole(ctx context.Context, kind Hole, cluster string, err error) {
	p.opts.Logger.WarnContext(ctx, "chronology: own writes may be missed", "hole", string(kind), "cluster", cluster, "error", err)
	if on := p.opts.Events.OnHole; on != nil {
		on(ctx, HoleInfo{Kind: kind, Cluster: cluster, Err: err})
	}
}

func (p *Protector) rejected(ctx context.Context, from Source, why Rejection, cluster string) {
	p.opts.Logger.DebugContext(ctx, "chronology: ignored", "source", string(from), "reason", string(why), "cluster", cluster)
	if on := p.opts.Events.OnRejected; on != nil {
		on(ctx, RejectedInfo{Source: from, Reason: why, Cluster: cluster})
	}
}
