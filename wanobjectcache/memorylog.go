package wanobjectcache

import (
	"context"
	"slices"
	"sync"
)

// MemoryPurgeLog is a [PurgeLog] in this process: for tests, and for DCs that are played in one process. It keeps
// everything.
type MemoryPurgeLog struct {
	mu     sync.Mutex
	purges []Purge
}

// NewMemoryPurgeLog makes an empty one.
func NewMemoryPurgeLog() *MemoryPurgeLog { return &MemoryPurgeLog{} }

// Append adds purges at the end, all of them or, when ctx has ended, none.
func (l *MemoryPurgeLog) Append(ctx context.Context, purges []Purge) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.purges = append(l.purges, purges...)
	return nil
}

// From returns all purges but the first n, in the order in which they were appended: who has applied n of them goes on
// there. None = nil.
func (l *MemoryPurgeLog) From(n int) []Purge {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n >= len(l.purges) {
		return nil
	}
	return slices.Clone(l.purges[max(n, 0):])
}
