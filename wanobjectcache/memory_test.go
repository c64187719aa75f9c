package wanobjectcache_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/wanobjectcache"
	"github.com/multidc/multidc/wanobjectcache/storetest"
)

func TestMemory(t *testing.T) {
	for _, tc := range []struct {
		name    string
		options *wanobjectcache.MemoryOptions
		caps    storetest.Caps
	}{
		{"precise", nil, storetest.Caps{}},
		{"coarse", &wanobjectcache.MemoryOptions{CoarseClock: true, MaxValue: 1 << 16}, storetest.Caps{CoarseClock: true, MaxValue: 1 << 16}},
	} {
		h := storetest.Harness{
			New:  func(testing.TB) wanobjectcache.Store { return wanobjectcache.NewMemory(tc.options) },
			Caps: tc.caps,
		}
		t.Run(tc.name+" in real time", func(t *testing.T) {
			t.Parallel()
			storetest.TestStore(t, h)
		})
		t.Run(tc.name+" in a bubble", func(t *testing.T) {
			inBubble := h
			inBubble.Run, inBubble.Advance = synctest.Test, time.Sleep
			storetest.TestStore(t, inBubble)
		})
	}
}

func set(t *testing.T, m *wanobjectcache.Memory, key, value string, ttl time.Duration) {
	t.Helper()
	if err := m.Set(t.Context(), key, wanobjectcache.StoreItem{Value: []byte(value)}, ttl); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, m *wanobjectcache.Memory, key string) wanobjectcache.StoreItem {
	t.Helper()
	out := make([]wanobjectcache.StoreItem, 1)
	if err := m.GetMulti(t.Context(), []string{key}, out); err != nil {
		t.Fatal(err)
	}
	return out[0]
}

func found(t *testing.T, m *wanobjectcache.Memory, keys ...string) string {
	t.Helper()
	var there []string
	for _, key := range keys {
		if get(t, m, key).Found {
			there = append(there, key)
		}
	}
	return strings.Join(there, " ")
}

// Case T7, the store's part.
func TestMemoryOfNothing(t *testing.T) {
	m := wanobjectcache.NewMemory(&wanobjectcache.MemoryOptions{MaxBytes: -1})
	set(t, m, "a", "value", 0)
	for range 2 {
		if err := m.Add(t.Context(), "b", wanobjectcache.StoreItem{Value: []byte("value")}, time.Hour); err != nil {
			t.Errorf("Add: %v", err)
		}
	}
	if got := found(t, m, "a", "b"); got != "" {
		t.Errorf("%q is there", got)
	}
}

const overhead = 128 // of an item, as MemoryOptions.MaxBytes documents

func TestMemoryDropsWhatWasNotUsedForLongest(t *testing.T) {
	m := wanobjectcache.NewMemory(&wanobjectcache.MemoryOptions{MaxBytes: 3 * (overhead + 1 + 10)})
	for _, key := range []string{"a", "b", "c"} {
		set(t, m, key, "0123456789", 0)
	}
	if got := found(t, m, "c", "b", "a"); got != "c b a" { // so c is now the oldest
		t.Fatalf("there is %q, want all: they fit exactly", got)
	}
	set(t, m, "d", "0123456789", 0)
	if got := found(t, m, "a", "b", "c", "d"); got != "a b d" {
		t.Errorf("there is %q, want a b d", got)
	}
	set(t, m, "a", "0123456789X", 0) // one byte more: b is the oldest now
	if got := found(t, m, "a", "b", "d"); got != "a d" {
		t.Errorf("there is %q, want a d", got)
	}
	set(t, m, "e", strings.Repeat("x", 2*overhead), 0)
	if got := found(t, m, "a", "d", "e"); got != "e" {
		t.Errorf("there is %q, want e: a large item makes room for itself", got)
	}
}

// An Add that was refused is no use: nobody saw the value.
func TestMemoryCountsNoUseThatWasRefused(t *testing.T) {
	m := wanobjectcache.NewMemory(&wanobjectcache.MemoryOptions{MaxBytes: 2 * (overhead + 1)})
	set(t, m, "a", "", 0)
	set(t, m, "b", "", 0)
	if err := m.Add(t.Context(), "a", wanobjectcache.StoreItem{}, 0); !errors.Is(err, wanobjectcache.ErrConflict) {
		t.Fatal(err)
	}
	set(t, m, "c", "", 0)
	if got := found(t, m, "a", "b", "c"); got != "b c" {
		t.Errorf("there is %q, want b c", got)
	}
}

// twin is the same in the simplest form: a list, the one used last at its end.
type twin struct {
	max   int
	items []twinItem
}

type twinItem struct {
	key, value string
	expires    time.Time
}

func (w *twin) at(key string) int {
	w.items = slices.DeleteFunc(w.items, func(i twinItem) bool { return i.key == key && !i.expires.After(time.Now()) })
	return slices.IndexFunc(w.items, func(i twinItem) bool { return i.key == key })
}

func (w *twin) get(key string) (string, bool) {
	at := w.at(key)
	if at < 0 {
		return "", false
	}
	used := w.items[at]
	w.items = append(slices.Delete(w.items, at, at+1), used)
	return used.value, true
}

func (w *twin) set(key, value string, ttl time.Duration) {
	if at := w.at(key); at >= 0 {
		w.items = slices.Delete(w.items, at, at+1)
	}
	if ttl < 0 {
		return
	}
	w.items = append(w.items, twinItem{key, value, time.Now().Add(ttl)})
	for w.bytes() > w.max {
		w.items = w.items[1:]
	}
}

func (w *twin) bytes() (sum int) {
	for _, i := range w.items {
		sum += len(i.key) + len(i.value) + overhead
	}
	return sum
}

// Items go by use and by time exactly as from the twin, whose bytes are counted anew each time.
func TestMemoryAgainstTwin(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			dice := rand.New(rand.NewPCG(seed, 0))
			size := 1000 + dice.IntN(2000)
			m, w := wanobjectcache.NewMemory(&wanobjectcache.MemoryOptions{MaxBytes: int64(size)}), &twin{max: size}
			for step := range 500 {
				key := strconv.Itoa(dice.IntN(20))
				switch op := dice.IntN(10); {
				case op < 4:
					value, there := w.get(key)
					if got := get(t, m, key); got.Found != there || string(got.Value) != value {
						t.Fatalf("seed %d, step %d: %s is found %t with %d bytes, want %t with %d",
							seed, step, key, got.Found, len(got.Value), there, len(value))
					}
				case op < 8:
					value := strings.Repeat("x", dice.IntN(300))
					ttl := time.Duration(1+dice.IntN(60)) * time.Second
					set(t, m, key, value, ttl)
					w.set(key, value, ttl)
				case op == 8:
					set(t, m, key, "", -1)
					w.set(key, "", -1)
				default:
					time.Sleep(time.Duration(dice.IntN(10)) * time.Second)
				}
			}
		})
	}
}

func TestMemoryTooLarge(t *testing.T) {
	for _, tc := range []struct {
		name    string
		options wanobjectcache.MemoryOptions
	}{
		{"MaxValue", wanobjectcache.MemoryOptions{MaxValue: 100}},
		{"MaxBytes", wanobjectcache.MemoryOptions{MaxBytes: 100 + overhead}},
	} {
		m := wanobjectcache.NewMemory(&tc.options)
		set(t, m, "k", strings.Repeat("x", 99), 0)
		err := m.Set(t.Context(), "k", wanobjectcache.StoreItem{Value: make([]byte, 100)}, 0)
		if !errors.Is(err, wanobjectcache.ErrTooLarge) || !strings.Contains(err.Error(), tc.name) {
			t.Errorf("one byte more than %s: got %v, want ErrTooLarge that names it", tc.name, err)
		}
		if got := get(t, m, "k"); len(got.Value) != 99 {
			t.Errorf("%s: the old value has %d bytes now", tc.name, len(got.Value))
		}
	}
}

// A TTL of n s lives between n - 1 and n s, by when it began between two ticks; with it the hold-off's last second.
func TestMemoryCoarseClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := wanobjectcache.NewMemory(&wanobjectcache.MemoryOptions{CoarseClock: true})
		for _, tc := range []struct{ phase, ttl, lives time.Duration }{
			{0, 3 * time.Second, 3 * time.Second},
			{time.Millisecond, 3 * time.Second, 2999 * time.Millisecond},
			{999 * time.Millisecond, 3 * time.Second, 2001 * time.Millisecond},
			{999 * time.Millisecond, 11 * time.Second, 10001 * time.Millisecond},
			{400 * time.Millisecond, time.Nanosecond, 600 * time.Millisecond},
			{400 * time.Millisecond, 2*time.Second + 1, 2600 * time.Millisecond},
		} {
			time.Sleep(tc.phase)
			set(t, m, "a", "", tc.ttl)
			time.Sleep(tc.lives - 1)
			if found(t, m, "a") == "" {
				t.Errorf("TTL %v begun at %v: gone before %v", tc.ttl, tc.phase, tc.lives)
			}
			time.Sleep(time.Nanosecond)
			if found(t, m, "a") != "" {
				t.Errorf("TTL %v begun at %v: there after %v", tc.ttl, tc.phase, tc.lives)
			}
			time.Sleep(time.Until(time.Now().Add(time.Second - 1).Truncate(time.Second))) // to the next tick
		}
	})
}

func TestMemoryPreciseClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := wanobjectcache.NewMemory(nil)
		time.Sleep(300 * time.Millisecond)
		set(t, m, "a", "", 1500*time.Millisecond)
		set(t, m, "b", "", math.MaxInt64)
		time.Sleep(1500*time.Millisecond - 1)
		if got := found(t, m, "a", "b"); got != "a b" {
			t.Errorf("there is %q a nanosecond before the time", got)
		}
		time.Sleep(time.Nanosecond)
		if got := found(t, m, "a", "b"); got != "b" {
			t.Errorf("there is %q at the time", got)
		}
		time.Sleep(math.MaxInt64 / 2)
		if found(t, m, "b") == "" {
			t.Error("the longest TTL has ended after half of it")
		}
	})
}

func TestMemoryEvictAndFlush(t *testing.T) {
	m := wanobjectcache.NewMemory(&wanobjectcache.MemoryOptions{MaxBytes: 3 * (overhead + 1)})
	for _, key := range []string{"a", "b", "c"} {
		set(t, m, key, "", 0)
	}
	b, c := get(t, m, "b"), get(t, m, "c")
	m.Evict("b")
	m.Evict("never")
	if got := found(t, m, "a", "b", "c"); got != "a c" {
		t.Errorf("after Evict there is %q, want a c", got)
	}
	m.Flush()
	if got := found(t, m, "a", "b", "c"); got != "" {
		t.Errorf("after Flush there is %q", got)
	}
	for _, old := range []wanobjectcache.StoreItem{b, c} {
		if err := m.CAS(t.Context(), "b", old, 0); !errors.Is(err, wanobjectcache.ErrNotFound) {
			t.Errorf("CAS of what was removed: got %v, want ErrNotFound", err)
		}
	}
	for _, key := range []string{"d", "e", "f"} { // the bytes of what was removed are free again
		set(t, m, key, "", 0)
	}
	if got := found(t, m, "d", "e", "f"); got != "d e f" {
		t.Errorf("there is %q, want d e f", got)
	}
}

// A token is of this store, and of this key: nothing else is one.
func TestMemoryTakesNoOtherToken(t *testing.T) {
	m, other := wanobjectcache.NewMemory(nil), wanobjectcache.NewMemory(nil)
	for _, store := range []*wanobjectcache.Memory{m, other} {
		set(t, store, "a", "value", 0)
		set(t, store, "b", "value", 0)
	}
	for _, token := range []any{nil, uint64(1), []byte("x"), get(t, other, "a").Token, get(t, m, "b").Token} {
		err := m.CAS(t.Context(), "a", wanobjectcache.StoreItem{Token: token}, 0)
		if !errors.Is(err, wanobjectcache.ErrConflict) {
			t.Errorf("CAS with the token %T: got %v, want ErrConflict", token, err)
		}
	}
}

func TestMemoryNeedsRoomForAllKeys(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("GetMulti with a shorter out returned")
		}
	}()
	_ = wanobjectcache.NewMemory(nil).GetMulti(t.Context(), []string{"a", "b"}, make([]wanobjectcache.StoreItem, 1))
}

func BenchmarkMemoryGet(b *testing.B) {
	m := wanobjectcache.NewMemory(nil)
	if err := m.Set(context.Background(), "a", wanobjectcache.StoreItem{Value: make([]byte, 1024)}, 0); err != nil {
		b.Fatal(err)
	}
	keys, out := []string{"a"}, make([]wanobjectcache.StoreItem, 1)
	b.ReportAllocs()
	for b.Loop() {
		if err := m.GetMulti(context.Background(), keys, out); err != nil {
			b.Fatal(err)
		}
	}
}
