package wanobjectcache_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/multidc/multidc/internal/sim"
	"github.com/multidc/multidc/wanobjectcache"
)

// simWorld is what a simulation plays in: the primary database, DCs with their replicas and pools, processes with their
// caches and clocks, and the ledger that knows what is true and watches.
type simWorld struct {
	*testing.T
	*simLedger

	sim     *sim.World
	counts  *simCounts
	skew    time.Duration // MaxClockSkew
	trouble float64       // how often a request to the own pool goes wrong,
	stalls  float64       // how often a fill stands still on its way,
	tagged  float64       // how often a tag is purged, rather than a key
	dcs     []*simDC
	procs   []*simProc
	ends    time.Time
}

// simDC is a pool of one server, a replica, and a log of the purges that were called here.
type simDC struct {
	*wanobjectcache.Memory

	world   *simWorld
	name    string
	replica simReplica
	log     *wanobjectcache.MemoryPurgeLog

	step sync.Mutex // what the pool does and what the ledger makes of it are one step
}

// simReplica shows the primary as it was some time ago. A lag that grows is a clock that stands still: what was shown once
// stays.
type simReplica struct {
	mu    sync.Mutex
	lag   time.Duration
	shown time.Time
}

func (r *simReplica) set(lag time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shown, r.lag = r.snapshot(), lag
}

func (r *simReplica) snapshot() time.Time {
	if t := time.Now().Add(-r.lag); t.After(r.shown) {
		return t
	}
	return r.shown
}

// read is the moment whose data is shown, and how long ago that is.
func (r *simReplica) read() (shown time.Time, lag time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	shown = r.snapshot()
	return shown, time.Since(shown)
}

// simDice may be thrown by all goroutines of a process.
type simDice struct {
	mu   sync.Mutex
	rand *rand.Rand
}

func (d *simDice) chance(p float64) bool { return d.Float64() < p }

func (d *simDice) Float64() float64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rand.Float64()
}

func (d *simDice) upTo(most time.Duration) time.Duration {
	return time.Duration(d.Float64() * float64(most))
}

func (d *simDice) pick(n int) int { return min(int(d.Float64()*float64(n)), n-1) }

// simProc is one process: a cache with a clock of its own, and its way to the pools.
type simProc struct {
	*simDice

	world *simWorld
	dc    *simDC
	name  string
	ahead time.Duration // its clock
	cache *wanobjectcache.Cache
	plain *simGroup // one load at a time, nothing stale
	soft  *simGroup // batches, and stale values by policy
	tells bool      // its loaders report the lag; else its Freshness does
}

type simGroup = wanobjectcache.Group[string, string]

func (p *simProc) now() time.Time { return p.world.sim.Now(p.dc.name).Add(p.ahead) }

// simPool is a DC's pool as a process sees it, from there or from another DC.
type simPool struct {
	*simDC

	by   *simProc
	link *sim.Link // nil: it is in the same DC
}

// reach carries a request to the pool and the answer back.
func (p *simPool) reach(ctx context.Context, write bool, handle func() error) error {
	if p.link == nil {
		return p.reachNear(write, handle)
	}
	err := p.link.Call(ctx, handle)
	switch {
	case errors.Is(err, sim.ErrNoAnswer) && write:
		return fmt.Errorf("%w: %w", wanobjectcache.ErrUnknownOutcome, err)
	case errors.Is(err, sim.ErrCut), errors.Is(err, sim.ErrNoAnswer), ctx.Err() != nil && err != nil:
		return fmt.Errorf("%w: %w", wanobjectcache.ErrUnavailable, err)
	}
	return err
}

var errSimNet = errors.New("connection reset")

func (p *simPool) reachNear(write bool, handle func() error) error {
	time.Sleep(p.by.upTo(4 * time.Millisecond))
	fate := p.by.Float64()
	switch trouble := p.world.trouble; {
	case fate < trouble/2:
		return fmt.Errorf("%w: %w", wanobjectcache.ErrUnavailable, errSimNet)
	case fate < trouble && !write:
		return fmt.Errorf("%w: %w", wanobjectcache.ErrUnavailable, errSimNet)
	case fate < trouble*3/4:
		return fmt.Errorf("%w: %w", wanobjectcache.ErrUnknownOutcome, errSimNet)
	case fate < trouble:
		_ = handle() // it was done, and the answer is lost
		return fmt.Errorf("%w: %w", wanobjectcache.ErrUnknownOutcome, errSimNet)
	}
	return handle()
}

func (p *simPool) GetMulti(ctx context.Context, keys []string, out []wanobjectcache.StoreItem) error {
	got := make([]wanobjectcache.StoreItem, len(keys)) // an answer that comes too late must not touch out
	err := p.reach(ctx, false, func() error { return p.Memory.GetMulti(context.WithoutCancel(ctx), keys, got) })
	for i := range keys {
		if err != nil {
			out[i] = wanobjectcache.StoreItem{Err: err}
		} else {
			out[i] = got[i]
		}
	}
	return err
}

func (p *simPool) Add(ctx context.Context, key string, item wanobjectcache.StoreItem, ttl time.Duration) error {
	return p.write(ctx, simWrite{"add", key, item, ttl}, p.Memory.Add)
}

func (p *simPool) CAS(ctx context.Context, key string, item wanobjectcache.StoreItem, ttl time.Duration) error {
	return p.write(ctx, simWrite{"cas", key, item, ttl}, p.Memory.CAS)
}

func (p *simPool) Set(ctx context.Context, key string, item wanobjectcache.StoreItem, ttl time.Duration) error {
	return p.write(ctx, simWrite{"set", key, item, ttl}, p.Memory.Set)
}

// simWrite is a write on its way.
type simWrite struct {
	op   string
	key  string
	item wanobjectcache.StoreItem
	ttl  time.Duration
}

func (p *simPool) write(
	ctx context.Context, w simWrite, do func(context.Context, string, wanobjectcache.StoreItem, time.Duration) error,
) error {
	if w.stallable() && p.by.chance(p.world.stalls) { // the process, or its connection, stands still between the decision and the write
		d := []time.Duration{p.by.upTo(9 * time.Second), 9*time.Second + p.by.upTo(11*time.Second)}[p.by.pick(2)]
		p.world.stall(w.item, d)
		time.Sleep(d)
	}
	return p.reach(ctx, true, func() error {
		p.step.Lock()
		defer p.step.Unlock()
		err := do(context.WithoutCancel(ctx), w.key, w.item, w.ttl)
		p.world.landed(p.simDC, p.by, w, err) //nolint:contextcheck // it looks into the store, as nobody in the world does
		return err
	})
}

// stallable: fills. That what takes a late one back comes at once is a condition of the guarantee.
func (w simWrite) stallable() bool {
	return w.ttl >= 0 && strings.HasSuffix(w.key, "|#|v") && w.item.Flags&0xFF == simValue
}

// evict removes a key, as a cache server may; what must not be lost stays.
func (dc *simDC) evict(key string) {
	dc.step.Lock()
	defer dc.step.Unlock()
	if r, found := dc.look(key); found && r.kind != simTombstone && dc.world.mayLose(key) {
		dc.Evict(key)
		dc.world.evicted(dc, key)
	}
}

// look reads a record past the cache.
func (dc *simDC) look(key string) (simRecord, bool) {
	var out [1]wanobjectcache.StoreItem
	_ = dc.GetMulti(context.Background(), []string{key}, out[:])
	if !out[0].Found {
		return simRecord{}, false
	}
	return simDecode(out[0]), true
}

// The kinds of records, as FORMAT.md has them.
const (
	simValue     = 1
	simTombstone = 2
	simTag       = 3
	simMutex     = 4
)

// simRecord is a record, read by this decoder of our own from what FORMAT.md says.
type simRecord struct {
	kind     byte
	negative bool
	at       int64 // microseconds, likewise span
	span     int64
	body     string
}

func simDecode(item wanobjectcache.StoreItem) simRecord {
	r := simRecord{kind: byte(item.Flags)}
	if v := item.Value; r.kind != simMutex && len(v) >= 32 && string(v[:3]) == "WC\x01" && v[3] == r.kind {
		r.negative = v[4]&1 != 0
		r.at, r.span = int64(binary.BigEndian.Uint64(v[8:])), int64(binary.BigEndian.Uint64(v[16:]))
		r.body = string(v[32:])
	}
	return r
}

// capped: it goes within 30 s.
func (r simRecord) capped() bool { return r.span != 0 && r.span <= (30*time.Second).Microseconds() }
