package switchover

import (
	"context"
	"slices"
	"strconv"
	"sync"
)

// Memory is a [Store] and [Watcher] in this process: for tests, for examples, and for applications of one
// process. Several States may share one.
type Memory struct {
	mu       sync.Mutex
	raw      []byte
	rev      int // 0 = there is no document
	fault    error
	watchers map[chan struct{}]struct{}
}

// NewMemory returns a store that holds doc; the zero Doc means none yet. An Epoch of 0 is written as 1, and
// with it PrimaryEpoch, so that a literal needs neither. Whether doc is valid is found by those who load it.
func NewMemory(doc Doc) *Memory {
	m := &Memory{watchers: map[chan struct{}]struct{}{}}
	var none Doc
	if string(doc.encode()) == string(none.encode()) {
		return m
	}
	if doc.Epoch == 0 {
		doc.Epoch, doc.PrimaryEpoch = 1, 1
	}
	m.raw, m.rev = doc.encode(), 1
	return m
}

// Fail cuts the store off: every call fails with err, and watches end, until Fail(nil).
func (m *Memory) Fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = err
	for hints := range m.watchers {
		if err != nil {
			m.drop(hints)
		}
	}
}

// Load is Store's.
func (m *Memory) Load(ctx context.Context) (raw []byte, rev string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.reachable(ctx); err != nil {
		return nil, "", err
	}
	if m.rev == 0 {
		return nil, "", ErrNotFound
	}
	return slices.Clone(m.raw), m.revision(), nil
}

// CompareAndSwap is Store's.
func (m *Memory) CompareAndSwap(ctx context.Context, raw []byte, rev string) (newRev string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.reachable(ctx); err != nil {
		return "", err
	}
	if rev != m.revision() {
		return "", ErrConflict
	}
	m.raw = slices.Clone(raw)
	m.rev++
	for hints := range m.watchers {
		hint(hints)
	}
	return m.revision(), nil
}

// Watch is Watcher's.
func (m *Memory) Watch(ctx context.Context, rev string) (<-chan struct{}, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.reachable(ctx); err != nil {
		return nil, err
	}
	hints := make(chan struct{}, 1)
	m.watchers[hints] = struct{}{}
	if rev != m.revision() {
		hint(hints)
	}
	context.AfterFunc(ctx, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.drop(hints)
	})
	return hints, nil
}

func (m *Memory) reachable(ctx context.Context) error {
	if m.fault != nil {
		return m.fault
	}
	return context.Cause(ctx)
}

func (m *Memory) revision() string {
	if m.rev == 0 {
		return ""
	}
	return strconv.Itoa(m.rev)
}

func (m *Memory) drop(hints chan struct{}) {
	if _, open := m.watchers[hints]; open {
		delete(m.watchers, hints)
		close(hints)
	}
}

// hint leaves a hint, unless one is waiting already.
func hint(hints chan<- struct{}) {
	select {
	case hints <- struct{}{}:
	default:
	}
}
