package chronology

import (
	"bytes"
	"cmp"
	"container/heap"
	"context"
	"sync"
	"time"
)

// defaultEntries is of a [Memory].
const defaultEntries = 100_000

// Memory is a [Store] in memory, for one process, for tests and examples.
type Memory struct {
	mu   sync.Mutex
	most int
	byID map[string]*remembered
	soon byEnd
}

type remembered struct {
	key   string
	value []byte
	ends  time.Time
	at    int // in soon
}

// NewMemory returns an empty store for at most maxEntries clients; 0 = 100,000. When it is full, those go that would
// expire first.
func NewMemory(maxEntries int) *Memory {
	return &Memory{most: cmp.Or(max(maxEntries, 0), defaultEntries), byID: map[string]*remembered{}}
}

// Get implements [Store].
func (m *Memory) Get(ctx context.Context, key string) (value []byte, ok bool, err error) {
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.byID[key]; e != nil && time.Now().Before(e.ends) {
		return bytes.Clone(e.value), true, nil
	}
	return nil, false, nil
}

// Update implements [Store].
func (m *Memory) Update(ctx context.Context, key string, ttl time.Duration, fn func(old []byte) ([]byte, error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	e := m.byID[key]
	var old []byte
	if e != nil && now.Before(e.ends) {
		old = bytes.Clone(e.value)
	}
	value, err := fn(old)
	if err != nil {
		return err
	}
	if e == nil {
		m.makeRoom(now)
		e = &remembered{key: key}
		m.byID[key] = e
		heap.Push(&m.soon, e)
	}
	e.value, e.ends = append([]byte{}, value...), now.Add(ttl)
	heap.Fix(&m.soon, e.at)
	return nil
}

func (m *Memory) makeRoom(now time.Time) {
	for len(m.soon) > 0 && (len(m.soon) >= m.most || !now.Before(m.soon[0].ends)) {
		gone := heap.Pop(&m.soon).(*remembered)
		delete(m.byID, gone.key)
	}
}

// byEnd is a heap: who expires first is first.
type byEnd []*remembered //nolint:recvcheck // as container/heap wants it

func (h byEnd) Len() int           { return len(h) }
func (h byEnd) Less(i, j int) bool { return h[i].ends.Before(h[j].ends) }
func (h byEnd) Swap(i, j int)      { h[i], h[j] = h[j], h[i]; h[i].at, h[j].at = i, j }

// Push implements heap.Interface.
func (h *byEnd) Push(x any) {
	e := x.(*remembered)
	e.at = len(*h)
	*h = append(*h, e)
}

// Pop implements heap.Interface.
func (h *byEnd) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return e
}
