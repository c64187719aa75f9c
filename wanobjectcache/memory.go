package wanobjectcache

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"sync"
	"time"
)

// MemoryOptions of a [Memory].
type MemoryOptions struct {
	// MaxBytes is how much is kept, as keys, values and 128 bytes for each item; what was not used for longest goes first.
	// 0 = 64 MiB; negative = nothing is stored, though the store says that it was.
	MaxBytes int64
	// MaxValue is the size of a value, with its key, above which it is ErrTooLarge; 0 = as MaxBytes allows.
	MaxValue int
	// CoarseClock: items expire by a clock that ticks once a second, as memcached's does: one with a TTL of n s lives
	// between n - 1 and n s. Fractions of a second are rounded up.
	CoarseClock bool
}

const (
	defaultMemoryBytes = 64 << 20
	memoryItemBytes    = 128 // what an item takes beside its key and value
)

// Memory is a [Store] in this process: for an application of one process, and for tests. Its time is that of package time,
// so it works in a testing/synctest bubble.
type Memory struct {
	maxBytes int64
	maxValue int
	coarse   bool
	start    time.Time

	mu    sync.Mutex
	items map[string]*memoryItem
	used  memoryItem // the ring of all items: next was used last, prev is the first to go
	bytes int64
}

// memoryItem is what one write left. It is never changed, but for its place in the ring: so it can be read without the
// lock, and is the token of itself.
type memoryItem struct {
	key        string
	value      []byte
	flags      uint32
	expires    time.Duration // after Memory.start
	prev, next *memoryItem
}

const never time.Duration = math.MaxInt64

// NewMemory makes an empty one; nil = the default options.
func NewMemory(o *MemoryOptions) *Memory {
	if o == nil {
		o = &MemoryOptions{}
	}
	m := &Memory{maxBytes: o.MaxBytes, maxValue: o.MaxValue, coarse: o.CoarseClock, start: time.Now(), items: map[string]*memoryItem{}}
	if m.maxBytes == 0 {
		m.maxBytes = defaultMemoryBytes
	}
	m.used.prev, m.used.next = &m.used, &m.used
	return m
}

// GetMulti is as Store says. Every key answers, unless ctx has ended: then none does.
func (m *Memory) GetMulti(ctx context.Context, keys []string, out []StoreItem) error {
	out = out[:len(keys)]
	if ctx.Err() != nil {
		err := fmt.Errorf("%w: not asked: %w", ErrUnavailable, ctx.Err())
		for i := range out {
			out[i] = StoreItem{Err: err}
		}
		return err
	}
	m.find(keys, out)
	for i := range out {
		if item, found := out[i].Token.(*memoryItem); found {
			out[i].Value, out[i].Flags = bytes.Clone(item.value), item.flags
		}
	}
	return nil
}

// find leaves the items as their tokens; their values are copied without the lock.
func (m *Memory) find(keys []string, out []StoreItem) {
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, key := range keys {
		out[i] = StoreItem{}
		if item := m.live(key, now); item != nil {
			item.unlink()
			item.linkAfter(&m.used)
			out[i] = StoreItem{Token: item, Found: true}
		}
	}
}

// Add is as Store says.
func (m *Memory) Add(ctx context.Context, key string, item StoreItem, ttl time.Duration) error {
	return m.write(ctx, key, item, ttl, func(there *memoryItem) error {
		if there != nil {
			return ErrConflict
		}
		return nil
	})
}

// CAS is as Store says.
func (m *Memory) CAS(ctx context.Context, key string, item StoreItem, ttl time.Duration) error {
	return m.write(ctx, key, item, ttl, func(there *memoryItem) error {
		if there == nil {
			return ErrNotFound
		}
		if item.Token != any(there) {
			return ErrConflict
		}
		return nil
	})
}

// Set is as Store says.
func (m *Memory) Set(ctx context.Context, key string, item StoreItem, ttl time.Duration) error {
	return m.write(ctx, key, item, ttl, func(*memoryItem) error { return nil })
}

// write replaces what is there, nil if nothing is, if judge does not mind.
func (m *Memory) write(ctx context.Context, key string, item StoreItem, ttl time.Duration, judge func(there *memoryItem) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := m.tooLarge(len(key) + len(item.Value)); err != nil {
		return err
	}
	now := m.now()
	fresh := &memoryItem{key: key, value: bytes.Clone(item.Value), flags: item.Flags, expires: m.expiry(now, ttl)}

	m.mu.Lock()
	defer m.mu.Unlock()
	there := m.live(key, now)
	if err := judge(there); err != nil {
		return err
	}
	if there != nil {
		m.drop(there)
	}
	if ttl >= 0 && m.maxBytes >= 0 {
		m.keep(fresh)
	}
	return nil
}

func (m *Memory) tooLarge(size int) error {
	if m.maxValue > 0 && size > m.maxValue {
		return fmt.Errorf("%w: %d bytes with its key, MaxValue is %d", ErrTooLarge, size, m.maxValue)
	}
	if m.maxBytes >= 0 && int64(size)+memoryItemBytes > m.maxBytes {
		return fmt.Errorf("%w: %d bytes with its key and bookkeeping, MaxBytes is %d", ErrTooLarge, size+memoryItemBytes, m.maxBytes)
	}
	return nil
}

// Evict removes a key, as a cache server may do with any at any time.
func (m *Memory) Evict(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if item := m.items[key]; item != nil {
		m.drop(item)
	}
}

// Flush removes everything, as the restart of a cache server does.
func (m *Memory) Flush() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, item := range m.items {
		m.drop(item)
	}
}

// now is the time since start: elapsed time, which no step of the wall clock changes.
func (m *Memory) now() time.Duration {
	now := time.Since(m.start)
	if m.coarse {
		return now.Truncate(time.Second)
	}
	return now
}

func (m *Memory) expiry(now, ttl time.Duration) time.Duration {
	if ttl == 0 || ttl > never-now-time.Second {
		return never
	}
	if m.coarse {
		ttl = (ttl + time.Second - 1).Truncate(time.Second)
	}
	return now + ttl
}

// live returns a key's item, nil if there is none. One that has expired is dropped.
func (m *Memory) live(key string, now time.Duration) *memoryItem {
	item := m.items[key]
	if item != nil && item.expires <= now {
		m.drop(item)
		return nil
	}
	return item
}

func (m *Memory) keep(item *memoryItem) {
	m.items[item.key] = item
	item.linkAfter(&m.used)
	m.bytes += item.size()
	for m.bytes > m.maxBytes {
		m.drop(m.used.prev)
	}
}

func (m *Memory) drop(item *memoryItem) {
	delete(m.items, item.key)
	item.unlink()
	m.bytes -= item.size()
}

func (i *memoryItem) size() int64 { return int64(len(i.key)+len(i.value)) + memoryItemBytes }

func (i *memoryItem) linkAfter(at *memoryItem) {
	i.prev, i.next = at, at.next
	at.next.prev, at.next = i, i
}

// unlink leaves no links behind: a token would hold all its old neighbours in memory.
func (i *memoryItem) unlink() {
	i.prev.next, i.next.prev = i.next, i.prev
	i.prev, i.next = nil, nil
}
