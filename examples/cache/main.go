// Command cache shows what a cache in two datacenters does: each DC loads for itself, and a Delete in one purges both. It
// needs no server, and ends by itself after two seconds.
//
//	go run ./examples/cache
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"sync/atomic"
	"time"

	"github.com/multidc/multidc/wanobjectcache"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// pool is the cache servers of a DC, as the other DC reaches them.
type pool struct {
	wanobjectcache.Store

	cut atomic.Bool
}

// Set is what a Delete does in the other DC.
func (p *pool) Set(ctx context.Context, key string, item wanobjectcache.StoreItem, ttl time.Duration) error {
	if p.cut.Load() {
		return fmt.Errorf("%w: cut off", wanobjectcache.ErrUnavailable)
	}
	return p.Store.Set(ctx, key, item, ttl)
}

// dc is the application in one DC.
type dc struct {
	name  string
	cache *wanobjectcache.Cache
	users *wanobjectcache.Group[int64, string]
}

func newDC(name, other string, local, remote wanobjectcache.Store, load func(context.Context, int64) (string, error)) (d dc, err error) {
	d.name = name
	d.cache, err = wanobjectcache.New(local, &wanobjectcache.Options{
		DC: name, Remote: map[string]wanobjectcache.Store{other: remote},
		Freshness:      wanobjectcache.Unreplicated,            // both read the one database
		MaxCommitDelay: -1, MaxReadLag: 500 * time.Millisecond, // nothing here is slow: purges need not hold for 11 s
	})
	if err == nil {
		d.users, err = wanobjectcache.NewGroup(d.cache, "user", &wanobjectcache.GroupOptions[int64, string]{TTL: time.Hour, Load: load})
	}
	return d, err
}

func run(ctx context.Context, out io.Writer) error {
	var database atomic.Value // the name of user 42
	database.Store("Ada")
	load := func(context.Context, int64) (string, error) { return database.Load().(string), nil }
	atA, atB := wanobjectcache.NewMemory(nil), wanobjectcache.NewMemory(nil)
	linkToB := &pool{Store: atB}
	a, errA := newDC("a", "b", atA, linkToB, load)
	b, errB := newDC("b", "a", atB, atA, load)
	if err := errors.Join(errA, errB); err != nil {
		return err
	}
	get := func(dcs ...dc) (err error) {
		for _, d := range dcs {
			user, failed := d.users.Fetch(ctx, 42)
			fmt.Fprintf(out, "  %s gets %s: %s\n", d.name, user.Value, user.Outcome)
			err = errors.Join(err, failed)
		}
		return err
	}
	change := func(name string) error { // in a
		delivery, err := a.users.Delete(ctx, 42) // the last thing before COMMIT
		database.Store(name)
		if err == nil {
			_ = delivery.Wait(ctx) // to show it: who writes need not wait for b
		}
		fmt.Fprintf(out, "a changes it to %s: %v\n", name, delivery)
		return err
	}
	err := errors.Join(get(a, a, b, b), change("Ada Lovelace"), get(a, b, b))
	time.Sleep(a.cache.Holdoff())
	fmt.Fprintln(out, "after the hold-off of", a.cache.Holdoff())
	err = errors.Join(err, get(b, b))
	linkToB.cut.Store(true)
	err = errors.Join(err, change("Countess of Lovelace"), get(a, b))
	return errors.Join(err, a.cache.Close(ctx), b.cache.Close(ctx))
}
