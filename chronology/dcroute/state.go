package dcroute

import (
	"context"
	"time"
)

// PrimarySource says who is the primary. It and the abilities beside it answer from memory, but for Refresh:
// *switchover.State (package rdbms/switchover) has them all, and so has [Memory].
type PrimarySource interface {
	// Primary returns the primary DC, and an epoch that rises exactly when that changes. An error with an empty dc is
	// "unknown"; with a dc, the last one known, but that may be old: good for reads and not for writes.
	Primary(ctx context.Context) (dc string, epoch uint64, err error)
}

// ReadOnlySource says what may not be written; without it everything may.
type ReadOnlySource interface {
	// ReadOnlyFor returns why a section of the application is read-only in a DC, and until when; section "" is all of it.
	// An empty reason is writable; with an error it is not known, and writes are refused.
	ReadOnlyFor(ctx context.Context, dc, section string) (reason string, until time.Time, err error)
}

// PoolSource says whether a DC takes clients; without it every DC does.
type PoolSource interface {
	Pooled(dc string) bool
}

// RolloutSource steers the rollout from the state: ok = share (hundredths of a percent), and mode and salt if they are not
// empty, replace those of the rule set for this host. An unknown mode counts as ModePrimary.
type RolloutSource interface {
	Rollout(host string) (mode string, share int, salt string, ok bool)
}

// Refresher reads the state anew. It is called when another DC's router knows better, for 2 s at most and one at a time.
type Refresher interface {
	Refresh(ctx context.Context) error
}

// ReadOnlyInfo is why something is read-only.
type ReadOnlyInfo struct {
	Reason  string    `json:"reason"`
	Section string    `json:"section"` // "" = all
	Until   time.Time `json:"until,omitzero"`
}
