package memcached

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/multidc/multidc/chronology"
	"github.com/multidc/multidc/chronology/storetest"
	"github.com/multidc/multidc/internal/mcclient"
	"github.com/multidc/multidc/internal/testservers"
)

// patient are New's options, with timeouts that a busy machine does not reach.
func patient() *mcclient.Options {
	o := client(nil)
	o.Timeout, o.ConnectTimeout, o.MultiTimeout = patience, patience, patience
	return o
}

func opened(t *testing.T, o *mcclient.Options, servers ...string) *Store {
	t.Helper()
	store, err := open(servers, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// count adds one to the length of a value.
func count(t *testing.T, store *Store, key string) error {
	t.Helper()
	return store.Update(t.Context(), key, time.Minute, appendX)
}

func TestStore(t *testing.T) {
	servers := testservers.Vars(t, "MEMCACHED_A")
	storetest.TestStore(t, storetest.Harness{
		New: func(t *testing.T) chronology.Store { return opened(t, patient(), servers...) },
	})
}

// Several processes, each with a client of its own, are one store.
func TestRealManyClients(t *testing.T) {
	servers, key := testservers.Vars(t, "MEMCACHED_A"), "storetest:"+rand.Text()
	const clients, rounds = 10, 50
	var all sync.WaitGroup
	for range clients {
		store := opened(t, patient(), servers...)
		all.Go(func() {
			for done := 0; done < rounds; {
				switch err := count(t, store, key); {
				case err == nil:
					done++
				case !errors.Is(err, chronology.ErrContended):
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	value, _, err := opened(t, patient(), servers[1], servers[0]).Get(t.Context(), key)
	if err != nil || len(value) != clients*rounds {
		t.Errorf("got %d, %v, want %d", len(value), err, clients*rounds)
	}
}

// breakable is the suite on servers of one's own that a test may break: all of them, for who asks for a store.
func breakable(t *testing.T, o *mcclient.Options, servers []string, down, up func()) {
	t.Helper()
	storetest.TestStore(t, storetest.Harness{
		New: func(t *testing.T) chronology.Store {
			t.Helper()
			t.Cleanup(up)
			return few{opened(t, o, servers...), make(chan struct{}, 8)}
		},
		Break: func(*testing.T, chronology.Store) { down() },
	})
}

// few lets few Updates run at a time: a thousand at once on the only two servers is TestStore's, and takes long.
type few struct {
	*Store

	turns chan struct{}
}

func (f few) Update(ctx context.Context, key string, ttl time.Duration, fn func(old []byte) ([]byte, error)) error {
	f.turns <- struct{}{}
	defer func() { <-f.turns }()
	return f.Store.Update(ctx, key, ttl, fn)
}

func TestStoreStopped(t *testing.T) {
	bed := testservers.Memcached(t)
	one, two := bed.Server("memcached-a-1"), bed.Server("memcached-a-2")
	breakable(t, patient(), bed.Vars("MEMCACHED_A"), func() { one.Stop(); two.Stop() }, func() { one.Start(); two.Start() })
}

// The servers take requests, and answer nothing.
func TestStorePaused(t *testing.T) {
	bed := testservers.Memcached(t)
	one, two := bed.Server("memcached-a-1"), bed.Server("memcached-a-2")
	o := patient()
	o.Timeout = 2 * time.Second
	breakable(t, o, bed.Vars("MEMCACHED_A"), func() { one.Pause(); two.Pause() }, func() { one.Resume(); two.Resume() })
}

// A store is local to its DC, and the test bed's links are between two: the way through b stands for a network of one's own.
func TestStoreCut(t *testing.T) {
	bed := testservers.Memcached(t)
	link := bed.Between("a", "b")
	breakable(t, patient(), bed.Vars("MEMCACHED_A_VIA_B"), link.Cut, link.Heal)
}

func TestStoreBlackHole(t *testing.T) {
	bed := testservers.Memcached(t)
	link := bed.Between("a", "b")
	o := patient()
	o.Timeout, o.ConnectTimeout = 2*time.Second, 2*time.Second
	breakable(t, o, bed.Vars("MEMCACHED_A_VIA_B"), link.BlackHole, link.Heal)
}

// The first request after a restart succeeds, whichever it is, and finds an empty store.
func TestRealRestart(t *testing.T) {
	bed := testservers.Memcached(t)
	store, server := opened(t, patient(), bed.Vars("MEMCACHED_A")[0]), bed.Server("memcached-a-1")
	for what, request := range map[string]func() error{
		"Get": func() error {
			_, ok, err := store.Get(t.Context(), "key")
			if ok {
				return errors.New("the value is still there")
			}
			return err
		},
		"Update": func() error { return count(t, store, "key") },
	} {
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() { _ = count(t, store, "key") })
		}
		all.Wait()
		server.Stop()
		server.Start()
		if err := request(); err != nil {
			t.Errorf("%s after a restart: %v", what, err)
		}
	}
}

// Keys of a server that is down are unknown, those of the other one are read and written.
func TestRealOneOfTwoDown(t *testing.T) {
	bed := testservers.Memcached(t)
	store := opened(t, patient(), bed.Vars("MEMCACHED_A")...)
	keys := make([]string, 60)
	for i := range keys {
		keys[i] = rand.Text()
		if err := count(t, store, keys[i]); err != nil {
			t.Fatal(err)
		}
	}
	bed.Server("memcached-a-2").Stop()
	lost := 0
	for _, key := range keys {
		_, ok, err := store.Get(t.Context(), key)
		updated := count(t, store, key)
		switch {
		case errors.Is(err, mcclient.ErrUnavailable) && !ok && errors.Is(updated, mcclient.ErrUnavailable):
			lost++
		case err != nil || !ok || updated != nil:
			t.Errorf("Get: %t, %v; Update: %v: want both as always or both ErrUnavailable", ok, err, updated)
		}
	}
	if lost < 5 || lost > 55 {
		t.Errorf("%d of %d keys are lost with one of two servers", lost, len(keys))
	}
	bed.Server("memcached-a-2").Start()
	for _, key := range keys {
		if err := count(t, store, key); err != nil {
			t.Errorf("when it is back: %v", err)
		}
	}
}
