package wanobjectcache

import (
	"context"
	"time"
)

// PurgeLog keeps purges until every DC has them. Append returns nil when all of them are durably accepted.
// purgelog.NewLog is one on Kafka, [NewMemoryPurgeLog] one for tests; a table in the own database will do as well. It is
// called in a goroutine of the cache: a panic ends the process. With one, the hold-off is at most 1 h.
type PurgeLog interface {
	Append(ctx context.Context, purges []Purge) error
}

// Purge is one purge as it goes into the log, and out of it into [Cache.Replay].
type Purge struct {
	Op      PurgeOp
	Key     string        // on the wire
	Time    time.Time     // when it was called, to the microsecond
	Holdoff time.Duration // at most 1 h
	Origin  string        // the DC
}

// PurgeOp is what is purged.
type PurgeOp string

// The operations.
const (
	OpDelete PurgeOp = "delete" // a key
	OpTag    PurgeOp = "tag"    // all values with a tag
)
