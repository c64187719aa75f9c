package memcached

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/multidc/multidc/internal/testservers"
	"github.com/multidc/multidc/wanobjectcache"
)

// patient are timeouts that a busy machine does not reach.
func patient() Options {
	return Options{Timeout: patience, ConnectTimeout: patience, MultiTimeout: patience}
}

// open returns a store on these addresses, named mc1 and so on.
func open(tb testing.TB, o Options, addrs ...string) *Store {
	tb.Helper()
	servers := map[string]string{}
	for i, addr := range addrs {
		servers[fmt.Sprint("mc", i+1)] = addr
	}
	store, err := New(servers, &o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(store.Close)
	return store
}

// prefix makes keys of one's own on the shared servers.
func prefix(tb testing.TB) string {
	return fmt.Sprintf("WANCache:memcached:%s:%d:", strings.ReplaceAll(tb.Name(), "/", "_"), time.Now().UnixNano())
}

func manyKeys(tb testing.TB, n int) []string {
	begin, keys := prefix(tb), make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprint(begin, i, "|#|v")
	}
	return keys
}

func set(tb testing.TB, store *Store, key, value string) {
	tb.Helper()
	if err := store.Set(tb.Context(), key, wanobjectcache.StoreItem{Value: []byte(value)}, time.Minute); err != nil {
		tb.Fatal(err)
	}
}

// Case T78.
func TestRealSizes(t *testing.T) {
	var dials atomic.Int32
	o := patient()
	o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials.Add(1)
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	store, begin := open(t, o, testservers.Vars(t, "MEMCACHED_A")[0]), prefix(t)
	out := make([]wanobjectcache.StoreItem, 1)
	for _, size := range []int{0, 32, 418, 4096, defaultMaxValue - 200} {
		key, value := fmt.Sprint(begin, size), strings.Repeat("x", size)
		set(t, store, key, value)
		if err := store.GetMulti(t.Context(), []string{key}, out); err != nil || string(out[0].Value) != value {
			t.Errorf("%d bytes: got %d, %v", size, len(out[0].Value), err)
		}
		if err := store.Set(t.Context(), key, wanobjectcache.StoreItem{}, -1); err != nil {
			t.Error(err)
		}
	}
	large := wanobjectcache.StoreItem{Value: make([]byte, 2<<20)}
	if err := store.Set(t.Context(), begin, large, time.Minute); !errors.Is(err, wanobjectcache.ErrTooLarge) {
		t.Errorf("2 MiB: got %v, want ErrTooLarge", err)
	}
	set(t, store, begin, "small")
	if got := dials.Load(); got != 1 {
		t.Errorf("%d connections, want one that was kept", got)
	}
}

// Past the client's own limit it is the server that refuses: what was there may be gone.
func TestRealLargerThanTheServerTakes(t *testing.T) {
	o := patient()
	o.MaxValue = 4 << 20
	store, key := open(t, o, testservers.Vars(t, "MEMCACHED_A")[0]), prefix(t)
	large := wanobjectcache.StoreItem{Value: make([]byte, 2<<20)}
	if err := store.Set(t.Context(), key, large, time.Minute); !errors.Is(err, wanobjectcache.ErrUnknownOutcome) {
		t.Errorf("got %v, want ErrUnknownOutcome", err)
	}
	set(t, store, key, "small")
}

// Case G10: the server says how long an item has to live.
func TestRealLifetimes(t *testing.T) {
	addr := testservers.Vars(t, "MEMCACHED_A")[0]
	store, key := open(t, patient(), addr), prefix(t)
	for ttl, want := range map[time.Duration]int64{
		0:                                -1, // for ever
		wanobjectcache.Indefinite:        -1,
		100 * 365 * 24 * time.Hour:       -1,
		500 * time.Millisecond:           1,
		10*time.Second + time.Nanosecond: 11,
		30 * 24 * time.Hour:              2592000,
		30*24*time.Hour + time.Second:    2592001,
		31 * 24 * time.Hour:              2678400,
		365 * 24 * time.Hour:             31536000,
	} {
		if err := store.Set(t.Context(), key, wanobjectcache.StoreItem{}, ttl); err != nil {
			t.Fatal(err)
		}
		left, there := timeLeft(t, addr, key)
		const apart = 20 // seconds that two clocks may differ on a busy machine
		switch {
		case !there && want > 0 && want <= apart:
		case !there, want < 0 && left != want, want > 0 && (left < want-apart || left > want+apart):
			t.Errorf("a TTL of %v: it is there: %t, with %d s left, want %d", ttl, there, left, want)
		}
	}
}

// timeLeft asks by a meta command, which gomemcache does not know.
func timeLeft(t *testing.T, addr, key string) (seconds int64, there bool) {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "mg %s t\r\n", key); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	text, there := strings.CutPrefix(strings.TrimSpace(line), "HD t")
	if !there {
		return 0, false
	}
	if seconds, err = strconv.ParseInt(text, 10, 64); err != nil {
		t.Fatal(err)
	}
	return seconds, true
}

func TestRealTenThousandKeys(t *testing.T) {
	store, keys := open(t, patient(), testservers.Vars(t, "MEMCACHED_A")...), manyKeys(t, 10_000)
	var all sync.WaitGroup
	for part := range 8 {
		all.Go(func() {
			for i := part; i < len(keys); i += 8 {
				if i%10 == 0 {
					set(t, store, keys[i], keys[i])
				}
			}
		})
	}
	all.Wait()
	out := make([]wanobjectcache.StoreItem, len(keys))
	if err := store.GetMulti(t.Context(), keys, out); err != nil {
		t.Fatal(err)
	}
	for i, got := range out {
		if there := i%10 == 0; got.Found != there || there && string(got.Value) != keys[i] {
			t.Fatalf("key %d: got %+v", i, got)
		}
	}
}

// Case Ng: the next request after a restart succeeds, whichever it is.
func TestRealRestart(t *testing.T) {
	servers := testservers.Memcached(t)
	addr := servers.Vars("MEMCACHED_A")[0]
	store := open(t, patient(), addr)
	requests := map[string]func() error{
		"a read": func() error {
			return store.GetMulti(t.Context(), []string{"a"}, make([]wanobjectcache.StoreItem, 1))
		},
		"a read of several": func() error {
			return store.GetMulti(t.Context(), []string{"a", "b"}, make([]wanobjectcache.StoreItem, 2))
		},
		"a Set":            func() error { return store.Set(t.Context(), "a", wanobjectcache.StoreItem{}, 0) },
		"an Add":           func() error { return store.Add(t.Context(), "new", wanobjectcache.StoreItem{}, 0) },
		"a CAS of nothing": func() error { return store.CAS(t.Context(), "nothing", token(1), 0) },
	}
	for what, request := range requests {
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() { set(t, store, "key", "value") })
		}
		all.Wait()
		servers.Server("memcached-a-1").Stop()
		servers.Server("memcached-a-1").Start()
		if err := request(); err != nil && !errors.Is(err, wanobjectcache.ErrNotFound) {
			t.Errorf("%s after a restart: %v", what, err)
		}
	}
}

// Cases G13 and Nd, the store's side: keys of a server that is down are unknown, the others' are read and written; when it
// is back, so are its keys.
func TestRealServerDown(t *testing.T) {
	servers := testservers.Memcached(t)
	addrs := append(servers.Vars("MEMCACHED_A"), servers.Vars("MEMCACHED_B")[0])
	store, keys := open(t, patient(), addrs...), manyKeys(t, 60)
	for _, key := range keys {
		set(t, store, key, key)
	}
	down := servers.Server("memcached-a-2")
	down.Stop()
	out := make([]wanobjectcache.StoreItem, len(keys))
	if err := store.GetMulti(t.Context(), keys, out); !errors.Is(err, wanobjectcache.ErrUnavailable) || !strings.Contains(err.Error(), "mc2 ("+addrs[1]) {
		t.Errorf("got %v, want ErrUnavailable that names mc2", err)
	}
	lost := 0
	for i, got := range out {
		err := store.Set(t.Context(), keys[i], wanobjectcache.StoreItem{Value: []byte("new")}, time.Minute)
		if got.Err == nil {
			if !got.Found || err != nil {
				t.Errorf("a key of a server that is up: found is %t, Set says %v", got.Found, err)
			}
			continue
		}
		lost++
		if got.Found || !errors.Is(got.Err, wanobjectcache.ErrUnavailable) || !errors.Is(err, wanobjectcache.ErrUnavailable) {
			t.Errorf("a key of the server that is down: got %+v, Set says %v, want ErrUnavailable", got, err)
		}
	}
	if lost < 5 || lost > 40 {
		t.Errorf("%d of %d keys are lost with one of three servers", lost, len(keys))
	}
	down.Start()
	for _, key := range keys {
		set(t, store, key, "after")
	}
	if err := store.GetMulti(t.Context(), keys, out); err != nil {
		t.Errorf("when it is back: %v", err)
	}
}

// A server that is frozen takes connections and writes, and answers nothing. What it has taken it does when it goes on, be
// the connection closed or not: that is why such a write is unknown.
func TestRealServerFrozen(t *testing.T) {
	servers := testservers.Memcached(t)
	addr := servers.Vars("MEMCACHED_A")[0]
	store := open(t, patient(), addr)
	set(t, store, "key", "value")
	frozen := servers.Server("memcached-a-1")
	frozen.Pause()
	o := patient()
	o.Timeout = 50 * time.Millisecond
	hasty := open(t, o, addr)
	if err := hasty.Set(t.Context(), "late", wanobjectcache.StoreItem{}, 0); !errors.Is(err, wanobjectcache.ErrUnknownOutcome) {
		t.Errorf("Set: got %v, want ErrUnknownOutcome", err)
	}
	out := make([]wanobjectcache.StoreItem, 2)
	for n := 1; n <= 2; n++ {
		if err := hasty.GetMulti(t.Context(), []string{"key", "b"}[:n], out); !errors.Is(err, wanobjectcache.ErrUnavailable) {
			t.Errorf("GetMulti of %d: got %v, want ErrUnavailable", n, err)
		}
	}
	frozen.Resume()
	set(t, store, "key", "after")
	if err := store.GetMulti(t.Context(), []string{"key"}, out[:1]); err != nil || string(out[0].Value) != "after" {
		t.Errorf("afterwards: got %q, %v", out[0].Value, err)
	}
}

// A hit costs no allocation beyond the client's own.
func TestRealHitAllocatesNothingMore(t *testing.T) {
	addr, key := testservers.Vars(t, "MEMCACHED_A")[0], prefix(t)
	store, raw := open(t, patient(), addr, addr), memcache.New(addr)
	defer raw.Close()
	set(t, store, key, string(bytes.Repeat([]byte("x"), 1024)))
	keys, out := []string{key}, make([]wanobjectcache.StoreItem, 1)
	plain := testing.AllocsPerRun(200, func() {
		if _, err := raw.Get(key); err != nil {
			t.Error(err)
		}
	})
	ours := testing.AllocsPerRun(200, func() {
		if err := store.GetMulti(t.Context(), keys, out); err != nil {
			t.Error(err)
		}
	})
	if ours > plain {
		t.Errorf("%v allocations, gomemcache's Get makes %v", ours, plain)
	}
}
