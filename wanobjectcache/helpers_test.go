package wanobjectcache_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/wanobjectcache"
)

// faulty is memory behind a network: hooks may fail, delay or watch what is sent.
type faulty struct {
	*wanobjectcache.Memory

	mu      sync.Mutex
	down    func(key string) bool          // its server does not answer
	before  func(op, key string) error     // an error: nothing was sent. op is get, add, cas or set
	after   func(op, key string) error     // an error: it was done, but the answer is another
	sent    []string                       // "op key", a GetMulti as one
	largest int                            // keys in a GetMulti
	ttls    map[string]time.Duration       // of the last write, by key
	values  map[string]func([]byte) []byte // what arrives of a key
}

var errBroken = errors.New("broken pipe")

func newFaulty(o *wanobjectcache.MemoryOptions) *faulty {
	return &faulty{Memory: wanobjectcache.NewMemory(o), ttls: map[string]time.Duration{}, values: map[string]func([]byte) []byte{}}
}

func (f *faulty) hooks() (down func(string) bool, before, after func(op, key string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	nothing := func(string, string) error { return nil }
	down, before, after = f.down, f.before, f.after
	if down == nil {
		down = func(string) bool { return false }
	}
	if before == nil {
		before = nothing
	}
	if after == nil {
		after = nothing
	}
	return down, before, after
}

// set changes the hooks, also while others use the store.
func (f *faulty) set(change func(f *faulty)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *faulty) note(what string, keys int, ttl time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent = append(f.sent, what)
	f.largest = max(f.largest, keys)
	if op, key, _ := strings.Cut(what, " "); op != "get" {
		f.ttls[key] = ttl
	}
}

// requests returns what was sent since the last call.
func (f *faulty) requests() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	sent := f.sent
	f.sent = nil
	return sent
}

// count returns how many of the requests begin so.
func count(requests []string, prefix string) (n int) {
	for _, r := range requests {
		if strings.HasPrefix(r, prefix) {
			n++
		}
	}
	return n
}

func (f *faulty) GetMulti(ctx context.Context, keys []string, out []wanobjectcache.StoreItem) error {
	down, before, after := f.hooks()
	what := strings.Join(keys, " ")
	f.note("get "+what, len(keys), 0)
	if err := before("get", what); err != nil {
		return err
	}
	if err := f.Memory.GetMulti(ctx, keys, out); err != nil {
		return err
	}
	var err error
	for i, key := range keys {
		if down(key) {
			err = errors.Join(wanobjectcache.ErrUnavailable, errBroken)
			out[i] = wanobjectcache.StoreItem{Err: err}
		}
	}
	return errors.Join(err, after("get", what))
}

func (f *faulty) Add(ctx context.Context, key string, item wanobjectcache.StoreItem, ttl time.Duration) error {
	return f.write("add", key, item, ttl, func(item wanobjectcache.StoreItem) error { return f.Memory.Add(ctx, key, item, ttl) })
}

func (f *faulty) CAS(ctx context.Context, key string, item wanobjectcache.StoreItem, ttl time.Duration) error {
	return f.write("cas", key, item, ttl, func(item wanobjectcache.StoreItem) error { return f.Memory.CAS(ctx, key, item, ttl) })
}

func (f *faulty) Set(ctx context.Context, key string, item wanobjectcache.StoreItem, ttl time.Duration) error {
	return f.write("set", key, item, ttl, func(item wanobjectcache.StoreItem) error { return f.Memory.Set(ctx, key, item, ttl) })
}

func (f *faulty) write(op, key string, item wanobjectcache.StoreItem, ttl time.Duration, send func(wanobjectcache.StoreItem) error) error {
	down, before, after := f.hooks()
	f.note(op+" "+key, 0, ttl)
	if err := before(op, key); err != nil {
		return err
	}
	if down(key) {
		return errors.Join(wanobjectcache.ErrUnavailable, errBroken)
	}
	if err := send(item); err != nil {
		return err
	}
	return after(op, key)
}

// item is what lies under a wire key.
func (f *faulty) item(key string) wanobjectcache.StoreItem {
	var out [1]wanobjectcache.StoreItem
	_ = f.Memory.GetMulti(context.Background(), []string{key}, out[:])
	return out[0]
}

// wire is the key on the wire of what is called so in the tests: "g:1", and v, t, m or i.
func wire(base, typ string) string { return "WANCache:default:" + base + "|#|" + typ }

// seen is what the events told.
type seen struct {
	mu       sync.Mutex
	fetches  []wanobjectcache.FetchInfo
	loads    []wanobjectcache.LoadInfo
	fills    []wanobjectcache.FillInfo
	purges   []wanobjectcache.PurgeInfo
	warnings []wanobjectcache.WarningInfo
}

func (s *seen) events() wanobjectcache.Events {
	return wanobjectcache.Events{
		OnFetch:   func(_ context.Context, i wanobjectcache.FetchInfo) { keep(s, &s.fetches, i) },
		OnLoad:    func(_ context.Context, i wanobjectcache.LoadInfo) { keep(s, &s.loads, i) },
		OnFill:    func(_ context.Context, i wanobjectcache.FillInfo) { keep(s, &s.fills, i) },
		OnPurge:   func(_ context.Context, i wanobjectcache.PurgeInfo) { keep(s, &s.purges, i) },
		OnWarning: func(_ context.Context, i wanobjectcache.WarningInfo) { keep(s, &s.warnings, i) },
	}
}

func keep[T any](s *seen, list *[]T, one T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*list = append(*list, one)
}

// take returns what came since the last call.
func take[T any](s *seen, list *[]T) []T {
	s.mu.Lock()
	defer s.mu.Unlock()
	took := *list
	*list = nil
	return took
}

func (s *seen) warned(kind wanobjectcache.Warning) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.warnings {
		if w.Kind == kind {
			n++
		}
	}
	return n
}

// lastFill is the last attempt to store.
func (s *seen) lastFill() wanobjectcache.Fill {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.fills) == 0 {
		return ""
	}
	return s.fills[len(s.fills)-1].Fill
}

// world is a cache over faulty memory.
type world struct {
	t     *testing.T
	store *faulty
	cache *wanobjectcache.Cache
	seen  *seen
}

// newWorld has one database and no wait for locks, unless change says otherwise.
func newWorld(t *testing.T, change ...func(*wanobjectcache.Options)) *world {
	t.Helper()
	w := &world{t: t, store: newFaulty(nil)}
	w.cache, w.seen = w.process(change...)
	return w
}

// process is another process over the same store.
func (w *world) process(change ...func(*wanobjectcache.Options)) (*wanobjectcache.Cache, *seen) {
	w.t.Helper()
	s := &seen{}
	o := wanobjectcache.Options{Freshness: wanobjectcache.Unreplicated, LockWait: -1, Events: s.events()}
	for _, c := range change {
		c(&o)
	}
	cache, err := wanobjectcache.New(w.store, &o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := cache.Close(context.Background()); err != nil {
			w.t.Error(err)
		}
	})
	return cache, s
}

// replicated: data whose age is reported, and locks as by default.
func replicated(o *wanobjectcache.Options) { o.Freshness, o.LockWait = wanobjectcache.FromContext, 0 }

// loads counts the calls of a loader, which returns their number.
type loads struct{ n atomic.Int64 }

func (l *loads) calls() int { return int(l.n.Load()) }

func (l *loads) next(context.Context, string) (int, error) { return int(l.n.Add(1)), nil }

// numbers is a group "g" whose values tell which load they are of; without dice.
func numbers(t *testing.T, cache *wanobjectcache.Cache, change ...func(*wanobjectcache.GroupOptions[string, int])) (*wanobjectcache.Group[string, int], *loads) {
	t.Helper()
	l := &loads{}
	o := wanobjectcache.GroupOptions[string, int]{TTL: time.Hour, Load: l.next, LowTTL: -1, AgeNew: -1}
	for _, c := range change {
		c(&o)
	}
	return group(t, cache, o), l
}

func group[V any](t *testing.T, cache *wanobjectcache.Cache, o wanobjectcache.GroupOptions[string, V]) *wanobjectcache.Group[string, V] {
	t.Helper()
	g, err := wanobjectcache.NewGroup(cache, "g", &o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

type (
	result  = wanobjectcache.Result[string, int]
	numbery = wanobjectcache.Group[string, int]
	options = wanobjectcache.GroupOptions[string, int]
)

func fetch(t *testing.T, g *numbery, id string) result {
	t.Helper()
	r, err := g.Fetch(t.Context(), id)
	if err != nil {
		t.Fatalf("Fetch: %v", err)
	}
	return r
}

func peek(t *testing.T, g *numbery, id string) result {
	t.Helper()
	r, err := g.Peek(t.Context(), id)
	if err != nil {
		t.Fatalf("Peek: %v", err)
	}
	return r
}

func remove(t *testing.T, g *numbery, ids ...string) {
	t.Helper()
	if _, err := g.Delete(t.Context(), ids...); err != nil {
		t.Fatalf("Delete: %v", err)
	}
}

func store(t *testing.T, g *numbery, id string, v int, o wanobjectcache.SetOptions) wanobjectcache.Fill {
	t.Helper()
	fill, err := g.Set(t.Context(), id, v, o)
	if err != nil {
		t.Fatalf("Set: %v", err)
	}
	return fill
}

// want checks a value and how it was come by.
func want(t *testing.T, r result, value int, how wanobjectcache.Outcome) {
	t.Helper()
	if !r.Found || r.Value != value || r.Outcome != how {
		t.Fatalf("got %+v, want %d by %s", r, value, how)
	}
}

// lockedByAnother leaves the lock of another process.
func (w *world) lockedByAnother(base string) {
	w.t.Helper()
	item := wanobjectcache.StoreItem{Value: []byte("0123456789abcdef"), Flags: 0x57430104}
	if err := w.store.Memory.Set(context.Background(), wire(base, "m"), item, 10*time.Second); err != nil {
		w.t.Fatal(err)
	}
}

// isUnlocked fails the test if the lock on a key is still there.
func (w *world) isUnlocked(base string) {
	w.t.Helper()
	synctest.Wait() // for those who do not wait for their load
	if w.store.item(wire(base, "m")).Found {
		w.t.Error("the lock was not released")
	}
}

func tagged(tags ...wanobjectcache.Tag) func(*options) {
	return func(o *options) { o.Tags = func(string) []wanobjectcache.Tag { return slices.Clone(tags) } }
}
