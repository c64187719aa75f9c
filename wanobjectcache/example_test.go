package wanobjectcache_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strconv"
	"strings"
	"time"

	"github.com/multidc/multidc/wanobjectcache"
)

// User is a row of a table.
type User struct {
	ID   int64
	Name string
}

// table is a database with one table, which tells when it is read.
type table map[int64]string

func (t table) UserByID(_ context.Context, id int64) (User, error) {
	fmt.Println("select", id)
	name, ok := t[id]
	if !ok {
		return User{}, fmt.Errorf("no user %d: %w", id, wanobjectcache.ErrNotFound)
	}
	return User{id, name}, nil
}

func (t table) UsersByID(_ context.Context, ids []int64) (map[int64]User, error) {
	fmt.Println("select", ids)
	users := map[int64]User{}
	for _, id := range ids {
		if name, ok := t[id]; ok {
			users[id] = User{id, name}
		}
	}
	return users, nil
}

func exampleCache() *wanobjectcache.Cache {
	cache, err := wanobjectcache.New(wanobjectcache.NewMemory(nil), &wanobjectcache.Options{
		Freshness: wanobjectcache.Unreplicated, // one database, no replicas
	})
	if err != nil {
		log.Fatal(err)
	}
	return cache
}

func exampleUsers(cache *wanobjectcache.Cache, o wanobjectcache.GroupOptions[int64, User]) *wanobjectcache.Group[int64, User] {
	o.TTL = time.Hour
	users, err := wanobjectcache.NewGroup(cache, "user", &o)
	if err != nil {
		log.Fatal(err)
	}
	return users
}

func Example() {
	ctx := context.Background()
	db := table{42: "Ada"}
	cache, err := wanobjectcache.New(wanobjectcache.NewMemory(nil), &wanobjectcache.Options{
		Freshness: wanobjectcache.Unreplicated, // one database, no replicas
	})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = cache.Close(ctx) }()
	users, err := wanobjectcache.NewGroup(cache, "user", &wanobjectcache.GroupOptions[int64, User]{
		TTL:  time.Hour,
		Load: db.UserByID,
	})
	if err != nil {
		log.Fatal(err)
	}
	user, err := users.Get(ctx, 42) // loads once
	fmt.Println(user.Name, err)
	user, err = users.Get(ctx, 42) // a hit
	fmt.Println(user.Name, err)

	_, err = users.Delete(ctx, 42) // in the transaction that changes the row, last thing before COMMIT
	db[42] = "Grace"
	fmt.Println("purged:", err)
	user, err = users.Get(ctx, 42)
	fmt.Println(user.Name, err)
	// Output:
	// select 42
	// Ada <nil>
	// Ada <nil>
	// purged: <nil>
	// select 42
	// Grace <nil>
}

func ExampleGroup_Get() {
	users := exampleUsers(exampleCache(), wanobjectcache.GroupOptions[int64, User]{
		Load:        table{1: "Ada"}.UserByID,
		NegativeTTL: time.Minute, // "no such thing" is kept, too
	})
	for _, id := range []int64{1, 1, 2, 2} {
		user, err := users.Get(context.Background(), id)
		switch {
		case errors.Is(err, wanobjectcache.ErrNotFound):
			fmt.Println(id, "is nobody")
		case err != nil:
			fmt.Println(err)
		default:
			fmt.Println(id, "is", user.Name)
		}
	}
	// Output:
	// select 1
	// 1 is Ada
	// 1 is Ada
	// select 2
	// 2 is nobody
	// 2 is nobody
}

// The loader is this call's own: it may use what ends with the call, as an open transaction does.
func ExampleGroup_GetWith() {
	users := exampleUsers(exampleCache(), wanobjectcache.GroupOptions[int64, User]{})
	for range 2 {
		user, err := users.GetWith(context.Background(), 7, func(context.Context) (User, error) {
			fmt.Println("within the transaction")
			return User{7, "Joan"}, nil
		})
		fmt.Println(user.Name, err)
	}
	// Output:
	// within the transaction
	// Joan <nil>
	// Joan <nil>
}

func ExampleGroup_Fetch() {
	users := exampleUsers(exampleCache(), wanobjectcache.GroupOptions[int64, User]{Load: table{1: "Ada"}.UserByID})
	for _, id := range []int64{1, 1, 2} {
		r, err := users.Fetch(context.Background(), id)
		fmt.Println(r.Outcome, r.Found, r.Stale, r.Value.Name, err)
	}
	// Output:
	// select 1
	// miss.compute true false Ada <nil>
	// hit.good true false Ada <nil>
	// select 2
	// miss.compute false false  <nil>
}

func ExampleGroup_Peek() {
	ctx := context.Background()
	users := exampleUsers(exampleCache(), wanobjectcache.GroupOptions[int64, User]{Load: table{1: "Ada"}.UserByID})
	show := func() {
		r, err := users.Peek(ctx, 1) // never loads
		fmt.Println(r.State, r.Found, err)
	}
	show()
	_, _ = users.Get(ctx, 1)
	show()
	_, _ = users.Delete(ctx, 1)
	show()
	// Output:
	// absent false <nil>
	// select 1
	// fresh true <nil>
	// purged false <nil>
}

func ExampleGroup_PeekMany() {
	ctx := context.Background()
	users := exampleUsers(exampleCache(), wanobjectcache.GroupOptions[int64, User]{Load: table{1: "Ada"}.UserByID})
	_, _ = users.Get(ctx, 1)
	list, err := users.PeekMany(ctx, []int64{2, 1, 2})
	for _, r := range list {
		fmt.Println(r.ID, r.State)
	}
	fmt.Println(err)
	// Output:
	// select 1
	// 2 absent
	// 1 fresh
	// <nil>
}

func ExampleGroup_GetMany() {
	ctx := context.Background()
	db := table{1: "Ada", 2: "Grace", 3: "Joan"}
	users := exampleUsers(exampleCache(), wanobjectcache.GroupOptions[int64, User]{Load: db.UserByID, LoadMany: db.UsersByID})
	_, _ = users.Get(ctx, 2)
	found, err := users.GetMany(ctx, []int64{1, 2, 3, 4}) // one read, one query for what is missing
	fmt.Println(len(found), found[1].Name, found[2].Name, found[3].Name, err)
	// Output:
	// select 2
	// select [1 3 4]
	// 3 Ada Grace Joan <nil>
}

func ExampleGroup_FetchMany() {
	db := table{1: "Ada"}
	users := exampleUsers(exampleCache(), wanobjectcache.GroupOptions[int64, User]{LoadMany: db.UsersByID})
	list, err := users.FetchMany(context.Background(), []int64{9, 1, 9})
	for _, r := range list {
		fmt.Printf("%d %v %q\n", r.ID, r.Found, r.Value.Name)
	}
	fmt.Println(err)
	// Output:
	// select [9 1]
	// 9 false ""
	// 1 true "Ada"
	// <nil>
}

// A value that was read anyway is judged like a load: here the reader was 20 s behind.
func ExampleGroup_Set() {
	ctx := context.Background()
	users := exampleUsers(exampleCache(), wanobjectcache.GroupOptions[int64, User]{})
	fill, err := users.Set(ctx, 1, User{1, "Ada"}, wanobjectcache.SetOptions{
		Facts: wanobjectcache.Facts{Lag: 20 * time.Second}, LoadStarted: time.Now(),
	})
	r, _ := users.Peek(ctx, 1)
	fmt.Println(fill, r.TTL <= 30*time.Second, err)

	_, _ = users.Delete(ctx, 1)
	fill, err = users.Set(ctx, 1, User{1, "Ada"}, wanobjectcache.SetOptions{})
	fmt.Println(fill, err)
	// Output:
	// capped true <nil>
	// refused.purged <nil>
}

func ExampleGroup_Delete() {
	ctx := context.Background()
	here, there := wanobjectcache.NewMemory(nil), wanobjectcache.NewMemory(nil)
	cache, err := wanobjectcache.New(here, &wanobjectcache.Options{
		DC: "a", Remote: map[string]wanobjectcache.Store{"b": there},
		Freshness: wanobjectcache.FromContext, // rdbms scopes report by themselves
	})
	if err != nil {
		log.Fatal(err)
	}
	users := exampleUsers(cache, wanobjectcache.GroupOptions[int64, User]{})
	delivery, err := users.Delete(ctx, 1, 2)
	fmt.Println("this DC:", err)
	fmt.Println("all DCs:", delivery.Wait(ctx)) // only if you want to know
	for _, r := range delivery.Results() {
		fmt.Println(r.DC, r.Done, r.Err)
	}
	// Output:
	// this DC: <nil>
	// all DCs: <nil>
	// a true <nil>
	// b true <nil>
}

func ExampleCache_PurgeTags() {
	ctx := context.Background()
	cache := exampleCache()
	users := exampleUsers(cache, wanobjectcache.GroupOptions[int64, User]{
		Load: table{1: "Ada"}.UserByID,
		Tags: func(id int64) []wanobjectcache.Tag {
			return []wanobjectcache.Tag{"users", wanobjectcache.Tag("team:" + strconv.FormatInt(id%10, 10))}
		},
	})
	_, _ = users.Get(ctx, 1)
	_, err := cache.PurgeTags(ctx, "team:1") // and with it all its users, however many
	r, _ := users.Peek(ctx, 1)
	fmt.Println(r.State, err)
	// Output:
	// select 1
	// stale <nil>
}

// A loader may build on the value that it replaces.
func ExamplePrevious() {
	ctx := context.Background()
	cache := exampleCache()
	counts, err := wanobjectcache.NewGroup(cache, "count", &wanobjectcache.GroupOptions[string, int]{
		TTL:  time.Hour,
		Tags: func(id string) []wanobjectcache.Tag { return []wanobjectcache.Tag{wanobjectcache.Tag(id)} },
		Load: func(ctx context.Context, _ string) (int, error) {
			old, asOf, ok := wanobjectcache.Previous[int](ctx)
			fmt.Println("there was one:", ok, old, !asOf.IsZero())
			return old + 10, nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	n, _ := counts.Get(ctx, "edits")
	fmt.Println(n)
	_, _ = cache.PurgeTags(ctx, "edits")
	n, _ = counts.Get(ctx, "edits")
	fmt.Println(n)
	// Output:
	// there was one: false 0 false
	// 10
	// there was one: true 10 true
	// 20
}

// A loader that does not read through package rdbms says itself how old the data was.
func ExampleReport() {
	ctx := context.Background()
	cache, err := wanobjectcache.New(wanobjectcache.NewMemory(nil), &wanobjectcache.Options{Freshness: wanobjectcache.FromContext})
	if err != nil {
		log.Fatal(err)
	}
	behind := map[int64]time.Duration{1: time.Second, 2: time.Minute}
	users := exampleUsers(cache, wanobjectcache.GroupOptions[int64, User]{
		Load: func(ctx context.Context, id int64) (User, error) {
			wanobjectcache.Report(ctx, wanobjectcache.Facts{Lag: behind[id]}) // of the replica that was read
			return User{ID: id}, nil
		},
	})
	for id := int64(1); id <= 2; id++ {
		_, _ = users.Get(ctx, id)
		r, _ := users.Peek(ctx, id)
		fmt.Println(id, "is kept for 30 s at most:", r.TTL <= 30*time.Second)
	}
	// Output:
	// 1 is kept for 30 s at most: false
	// 2 is kept for 30 s at most: true
}

func ExampleNewGroup() {
	type page struct {
		Site  string
		Title string
	}
	ctx := context.Background()
	cache := exampleCache()
	pages, err := wanobjectcache.NewGroup(cache, "page", &wanobjectcache.GroupOptions[page, string]{
		TTL:              24 * time.Hour,
		Key:              func(p page) []string { return []string{p.Site, p.Title} },
		Tags:             func(p page) []wanobjectcache.Tag { return []wanobjectcache.Tag{wanobjectcache.Tag("site:" + p.Site)} },
		StaleWhileLocked: 10 * time.Second, // who does not load gets what was there
		StaleIfError:     time.Hour,        // and so do all if the database is down
		Load: func(_ context.Context, p page) (string, error) {
			return "<h1>" + p.Title + "</h1>", nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	html, err := pages.Get(ctx, page{"dewiki", "Berlin"})
	fmt.Println(html, err)
	_, err = wanobjectcache.NewGroup(cache, "page", &wanobjectcache.GroupOptions[page, string]{TTL: time.Hour})
	fmt.Println(err)
	// Output:
	// <h1>Berlin</h1> <nil>
	// wanobjectcache: group "page": GroupOptions.Key is needed: only strings and integers have a key by themselves, and ids are of type wanobjectcache_test.page
}

func ExampleNew() {
	_, err := wanobjectcache.New(wanobjectcache.NewMemory(nil), nil)
	fmt.Println(strings.Contains(err.Error(), "Options.Freshness"))
	// Output:
	// true
}

func ExampleCache_Explain() {
	cache := exampleCache()
	exampleUsers(cache, wanobjectcache.GroupOptions[int64, User]{})
	e := cache.Explain(context.Background())
	fmt.Println(e.DC, e.Holdoff, e.DCs[0].Reached, e.Groups[0].Name, e.Groups[0].TTL)
	first, _, _ := strings.Cut(e.String(), "\n")
	fmt.Println(first)
	// Output:
	// local 11s true user 1h0m0s
	// cache of DC local, keyspace default: hold-off 11s = commit delay 3s + read lag 7s + clock skew 0s + 1s
}

func ExampleCache_Holdoff() {
	fmt.Println(exampleCache().Holdoff())
	// Output:
	// 11s
}

// Events feed your metrics.
func ExampleEvents() {
	outcomes := map[wanobjectcache.Outcome]int{}
	cache, err := wanobjectcache.New(wanobjectcache.NewMemory(nil), &wanobjectcache.Options{
		Freshness: wanobjectcache.Unreplicated,
		Events: wanobjectcache.Events{
			OnFetch:   func(_ context.Context, f wanobjectcache.FetchInfo) { outcomes[f.Outcome]++ },
			OnWarning: func(_ context.Context, w wanobjectcache.WarningInfo) { fmt.Println(w.Kind, w.Err) },
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	users := exampleUsers(cache, wanobjectcache.GroupOptions[int64, User]{Load: table{1: "Ada"}.UserByID})
	for range 3 {
		_, _ = users.Get(context.Background(), 1)
	}
	fmt.Println(outcomes)
	// Output:
	// select 1
	// map[hit.good:2 miss.compute:1]
}

func ExampleCache_Close() {
	cache := exampleCache()
	users := exampleUsers(cache, wanobjectcache.GroupOptions[int64, User]{Load: table{1: "Ada"}.UserByID})
	fmt.Println(cache.Close(context.Background()))
	_, err := users.Get(context.Background(), 1)
	fmt.Println(err)
	// Output:
	// <nil>
	// wanobjectcache: cache is closed
}

func ExampleNewMemory() {
	store := wanobjectcache.NewMemory(&wanobjectcache.MemoryOptions{MaxBytes: 1 << 20})
	cache, err := wanobjectcache.New(store, &wanobjectcache.Options{Freshness: wanobjectcache.Unreplicated})
	if err != nil {
		log.Fatal(err)
	}
	users := exampleUsers(cache, wanobjectcache.GroupOptions[int64, User]{Load: table{1: "Ada"}.UserByID})
	_, _ = users.Get(context.Background(), 1)
	store.Flush() // as the restart of a cache server does
	_, _ = users.Get(context.Background(), 1)
	// Output:
	// select 1
	// select 1
}
