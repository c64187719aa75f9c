package rdbms

import (
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/multidc/multidc/rdbms/heartbeat"
)

// identity is a stable text for as long as the server runs.
func (b *builtin) identity(name string, v serverValues) (string, error) {
	if v.uptime() == "" {
		return name, nil
	}
	now, err := heartbeat.ParseTime(v[serverClock])
	if err != nil {
		return "", fmt.Errorf("the server's clock: %w", err)
	}
	seconds, err := strconv.ParseInt(v.uptime(), 10, 64)
	if err != nil {
		return "", fmt.Errorf("the server's uptime: %w", err)
	}
	// Servers count the uptime in whole seconds of this clock, so the start stands still.
	start := b.starts.told(name, now.Truncate(time.Second).Add(-time.Duration(seconds)*time.Second))
	return name + " since " + start.Format(time.RFC3339), nil
}

// serverStarts remembers when servers started. A clock that is set a little does not make another server of one.
type serverStarts struct {
	mu sync.Mutex
	of map[string]time.Time
}

const (
	startMoves = 5 * time.Second
	maxStarts  = 1024 // far more than a cluster has servers
)

// told returns the start that was told of a server before, unless it has moved.
func (s *serverStarts) told(name string, start time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, known := s.of[name]
	if known && start.Sub(before).Abs() <= startMoves {
		return before
	}
	if s.of == nil || !known && len(s.of) >= maxStarts {
		s.of = map[string]time.Time{}
	}
	s.of[name] = start
	return start
}
