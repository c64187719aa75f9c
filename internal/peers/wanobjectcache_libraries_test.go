package peers

import (
	"context"
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/viccon/sturdyc"

	"github.com/multidc/multidc/wanobjectcache"
)

// database is what a cache loads from.
type database struct {
	one  func(ctx context.Context, id string) ([]byte, error)
	many func(ctx context.Context, ids []string) (map[string][]byte, error)
}

// cacheTTL is far longer than any of the tests.
const cacheTTL = time.Hour

// library is a cache of one process, by one of the libraries, set up as its README says.
type library struct {
	get        func(ctx context.Context, id string) ([]byte, error) // loads if need be
	getter     func(id string) func(ctx context.Context) error      // get of one id, with all that can be prepared
	getMany    func(ctx context.Context, ids []string) (map[string][]byte, error)
	invalidate func(ctx context.Context, id string) error // by the best means that there is, until it is known to be done
	refuses    func(ctx context.Context, id string) bool  // what is loaded for this id, since it was invalidated; nil = never
}

// maker makes caches of processes in two DCs, over the same database.
type maker struct {
	name string
	make func(t *testing.T, db database) (a, b library)
}

// onStores is ours, with a store for each DC.
func onStores(name string, stores func(*testing.T) (a, b wanobjectcache.Store)) maker {
	return maker{name, func(t *testing.T, db database) (a, b library) {
		t.Helper()
		storeA, storeB := stores(t)
		return oursIn(t, "a", storeA, map[string]wanobjectcache.Store{"b": storeB}, db),
			oursIn(t, "b", storeB, map[string]wanobjectcache.Store{"a": storeA}, db)
	}}
}

func oursIn(t *testing.T, dc string, local wanobjectcache.Store, remote map[string]wanobjectcache.Store, db database) library {
	t.Helper()
	cache, err := wanobjectcache.New(local, &wanobjectcache.Options{
		DC: dc, Remote: remote, Freshness: wanobjectcache.FromContext, RemoteTimeout: patience,
	})
	if err != nil {
		t.Fatal(err)
	}
	closeAfter(t, cache)
	g, err := wanobjectcache.NewGroup(cache, "row", &wanobjectcache.GroupOptions[string, []byte]{TTL: cacheTTL, Load: db.one, LoadMany: db.many})
	if err != nil {
		t.Fatal(err)
	}
	return library{
		get: g.Get,
		getter: func(id string) func(context.Context) error {
			return func(ctx context.Context) error {
				_, err := g.Get(ctx, id)
				return err
			}
		},
		getMany: g.GetMany,
		invalidate: func(ctx context.Context, id string) error {
			d, err := g.Delete(ctx, id)
			if err != nil {
				return err
			}
			return d.Wait(ctx)
		},
		refuses: func(ctx context.Context, id string) bool {
			r, err := g.Peek(ctx, id)
			return err != nil || r.State == wanobjectcache.Purged
		},
	}
}

// sturdy is sturdyc, with the numbers of its README. Its goroutine for what has expired, which nothing ends, is left out,
// as the README proposes for speed.
func sturdy(t *testing.T) maker {
	t.Helper()
	one := func(db database) library {
		c := sturdyc.New[[]byte](10_000, 10, cacheTTL, 10, sturdyc.WithNoContinuousEvictions())
		fetch := func(id string) sturdyc.FetchFn[[]byte] {
			return func(ctx context.Context) ([]byte, error) { return db.one(ctx, id) }
		}
		return library{
			get: func(ctx context.Context, id string) ([]byte, error) { return c.GetOrFetch(ctx, id, fetch(id)) },
			getter: func(id string) func(context.Context) error {
				prepared := fetch(id)
				return func(ctx context.Context) error {
					_, err := c.GetOrFetch(ctx, id, prepared)
					return err
				}
			},
			getMany: func(ctx context.Context, ids []string) (map[string][]byte, error) {
				return c.GetOrFetchBatch(ctx, ids, func(id string) string { return id }, db.many)
			},
			invalidate: func(_ context.Context, id string) error {
				c.Delete(id)
				return nil
			},
		}
	}
	return maker{"sturdyc " + version(t, "github.com/viccon/sturdyc"), func(_ *testing.T, db database) (a, b library) { return one(db), one(db) }}
}

func otters(t *testing.T) maker {
	t.Helper()
	one := func(t *testing.T, db database) library {
		t.Helper()
		c, err := otter.New(&otter.Options[string, []byte]{
			MaximumSize: 10_000, ExpiryCalculator: otter.ExpiryWriting[string, []byte](cacheTTL),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.StopAllGoroutines() })
		load, loadMany := otter.LoaderFunc[string, []byte](db.one), otter.BulkLoaderFunc[string, []byte](db.many)
		return library{
			get: func(ctx context.Context, id string) ([]byte, error) { return c.Get(ctx, id, load) },
			getter: func(id string) func(context.Context) error {
				return func(ctx context.Context) error {
					_, err := c.Get(ctx, id, load)
					return err
				}
			},
			getMany: func(ctx context.Context, ids []string) (map[string][]byte, error) {
				return c.BulkGet(ctx, ids, loadMany)
			},
			invalidate: func(_ context.Context, id string) error {
				c.Invalidate(id)
				return nil
			},
		}
	}
	return maker{"otter " + version(t, "github.com/maypok86/otter/v2"), func(t *testing.T, db database) (a, b library) {
		t.Helper()
		return one(t, db), one(t, db)
	}}
}

// version is that of a module that these tests are built with.
func version(t *testing.T, module string) string {
	t.Helper()
	file, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(regexp.QuoteMeta(module) + ` (v\S+)`).FindSubmatch(file)
	if found == nil {
		t.Fatalf("go.mod has no %s", module)
	}
	return string(found[1])
}
