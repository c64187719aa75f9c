package chronology_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/chronology"
)

// counting is a Store that counts, and fails when told to.
type counting struct {
	chronology.Store

	gets, updates     atomic.Int32
	getErr, updateErr error
	slow              time.Duration
}

func (c *counting) Get(ctx context.Context, key string) ([]byte, bool, error) {
	c.gets.Add(1)
	if c.slow > 0 {
		select {
		case <-time.After(c.slow):
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
	if c.getErr != nil {
		return nil, false, c.getErr
	}
	return c.Store.Get(ctx, key)
}

func (c *counting) Update(ctx context.Context, key string, ttl time.Duration, fn func([]byte) ([]byte, error)) error {
	c.updates.Add(1)
	if c.updateErr != nil {
		return c.updateErr
	}
	return c.Store.Update(ctx, key, ttl, fn)
}

func storeSite(t *testing.T, o chronology.Options, clusters ...chronology.Cluster) (*site, *counting) {
	t.Helper()
	store := &counting{Store: chronology.NewMemory(0)}
	o.Store = store
	return newSite(t, o, clusters...), store
}

func quiet(http.ResponseWriter, *http.Request) {}

// writing is a handler that commits.
func writing(c *cluster, position string) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) { c.commit(r.Context(), position) }
}

// reading tells what is required.
func reading(c *cluster, into *string) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) { *into = c.positions(r.Context()) }
}

// Cases 101, 106, 95: a first visit costs nothing, a write in the primary DC sets both cookies, one of a GET the position
// alone, and a request without a write none.
func TestStoreMode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main := &cluster{name: "main", writer: "a"}
		s, store := storeSite(t, chronology.Options{}, main)
		c := newClient()
		same(t, "cookies of a first visit", names(c.do(s, "GET", quiet)), "")
		same(t, "cookies of a POST that writes nothing", names(c.do(s, "POST", quiet)), "")
		same(t, "calls of the store", store.gets.Load()+store.updates.Load(), 0)

		res := c.do(s, "POST", writing(main, "a1"))
		same(t, "cookies of a write", names(res), "cpPosIndex UseDC")
		same(t, "Cache-Control", res.Header.Get("Cache-Control"), "private")
		same(t, "calls of the store", [2]int32{store.gets.Load(), store.updates.Load()}, "[0 1]")
		if got := res.Header["Set-Cookie"][0]; !strings.HasPrefix(got, "cpPosIndex=1@946684800#") ||
			!strings.HasSuffix(got, "; Path=/; Max-Age=10; HttpOnly; SameSite=Lax") {
			t.Errorf("the cookie is %q", got)
		}

		var required string
		same(t, "cookies of a read", names(c.do(s, "GET", reading(main, &required))), "")
		same(t, "required", required, "a1")
		same(t, "calls of the store", [2]int32{store.gets.Load(), store.updates.Load()}, "[1 1]")
		same(t, "cookies of a GET that writes", names(c.do(s, "GET", writing(main, "a2"))), "cpPosIndex")
		same(t, "events", s.j.take(), "")
	})
}

// Case 97: the stored position includes both writes, in whatever order they arrive.
func TestPositionsAreMerged(t *testing.T) {
	for what, tc := range map[string]struct {
		first, second string
		ago           time.Duration // of the second, before the first
		want          string
	}{
		"a later one":              {"a3", "a4,b1", -time.Second, "a4,b1"},
		"an older one comes later": {"a3", "b5", time.Second, "a3,b5"},
		"not comparable":           {"binlog:9", "a4", -time.Second, "a4"},
		"not comparable, older":    {"binlog:9", "a4", time.Second, "binlog:9"},
	} {
		synctest.Test(t, func(t *testing.T) {
			main := &cluster{name: "main", writer: "a"}
			s, _ := storeSite(t, chronology.Options{}, main)
			c, now := newClient(), time.Now()
			c.do(s, "POST", writing(main, tc.first))
			c.do(s, "POST", func(_ http.ResponseWriter, r *http.Request) { main.commitAt(r.Context(), tc.second, now.Add(-tc.ago)) })
			var required string
			c.do(s, "GET", reading(main, &required))
			same(t, what, required, tc.want)
			if index := c.cookies["cpPosIndex"]; !strings.HasPrefix(index, "2@") {
				t.Errorf("%s: the cookie is %s, want index 2", what, index)
			}
		})
	}
}

// Case 98: two requests of one client end at the same time.
func TestParallelWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := &cluster{name: "one", writer: "a"}, &cluster{name: "two", writer: "a"}
		s, _ := storeSite(t, chronology.Options{}, one, two)
		c := newClient()
		c.do(s, "POST", writing(one, "a1"))
		first := c.cookies["cpPosIndex"]
		var both sync.WaitGroup
		indexes := make(chan string, 2)
		for _, w := range []http.HandlerFunc{writing(one, "a2"), writing(two, "b1")} {
			both.Go(func() {
				tab := newClient()
				tab.cookies["cpPosIndex"], tab.ends["cpPosIndex"] = first, time.Now().Add(time.Minute)
				tab.do(s, "POST", w)
				index, _, _ := strings.Cut(tab.cookies["cpPosIndex"], "@")
				indexes <- index
			})
		}
		both.Wait()
		if a, b := <-indexes, <-indexes; a+b != "23" && a+b != "32" {
			t.Errorf("indexes %s and %s, want 2 and 3", a, b)
		}
		var x, y string
		c.do(s, "GET", func(w http.ResponseWriter, r *http.Request) { reading(one, &x)(w, r); reading(two, &y)(w, r) })
		same(t, "required", x+" "+y, "a2 b1")
	})
}

// Case Xm: the first two writes of a session have one entry, if the application knows the session.
func TestFirstWritesInParallel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := &cluster{name: "one", writer: "a"}, &cluster{name: "two", writer: "a"}
		s, _ := storeSite(t, chronology.Options{Keys: keys(), ClientID: func(*http.Request) string { return "user:42" }}, one, two)
		a, b := newClient(), newClient()
		a.do(s, "POST", writing(one, "a2"))
		b.do(s, "POST", writing(two, "b1"))
		for _, c := range []*client{a, b} {
			var x, y string
			c.do(s, "GET", func(w http.ResponseWriter, r *http.Request) { reading(one, &x)(w, r); reading(two, &y)(w, r) })
			same(t, "required", x+" "+y, "a2 b1")
			if !strings.HasSuffix(c.cookies["cpPosIndex"], "#6ce29a1d6e2195a6f9dc29a6f784ea36") {
				t.Errorf("the cookie is %s", c.cookies["cpPosIndex"])
			}
		}
	})
}

// Case 99: the store fails.
func TestStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main := &cluster{name: "main", writer: "a"}
		s, store := storeSite(t, chronology.Options{}, main)
		c := newClient()
		c.do(s, "POST", writing(main, "a1"))

		store.getErr = errors.New("down")
		var required string
		same(t, "status", c.do(s, "GET", reading(main, &required)).StatusCode, 200)
		same(t, "required", required, "")
		same(t, "told", s.j.take(), "store-read")

		store.getErr, store.slow = nil, time.Second
		began := time.Now()
		c.do(s, "GET", quiet)
		same(t, "a slow store", time.Since(began), 50*time.Millisecond)
		same(t, "told", s.j.take(), "store-read")

		store.updateErr = errors.New("down")
		same(t, "cookies", names(newClient().do(s, "POST", writing(main, "a2"))), "UseDC")
		same(t, "told", s.j.take(), "store-write")
	})
}

// A store that lost the entry, or a write, is read twice; what it has is required.
func TestIndexBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main := &cluster{name: "main", writer: "a"}
		s, store := storeSite(t, chronology.Options{}, main)
		c := newClient()
		c.do(s, "POST", writing(main, "a1"))
		index, id, _ := strings.Cut(c.cookies["cpPosIndex"], "@")
		c.cookies["cpPosIndex"] = "2@" + id
		var required string
		c.do(s, "GET", reading(main, &required))
		same(t, "index", index, "1")
		same(t, "required", required, "a1")
		same(t, "told", s.j.take(), "index-behind")
		same(t, "reads", store.gets.Load(), 2)

		go func() { // the write arrives in between
			time.Sleep(10 * time.Millisecond)
			other := newClient()
			other.cookies["cpPosIndex"], other.ends["cpPosIndex"] = "1@"+id, time.Now().Add(time.Minute)
			other.do(s, "POST", writing(main, "a2"))
		}()
		c.do(s, "GET", reading(main, &required))
		same(t, "required", required, "a2")

		store.Store = chronology.NewMemory(0)
		c.do(s, "GET", reading(main, &required))
		same(t, "required of an empty store", required, "")
		same(t, "told", s.j.take(), "index-behind")
	})
}

// Case 93, and 94.
func TestBadTickets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main := &cluster{name: "main", writer: "a"}
		s, store := storeSite(t, chronology.Options{}, main)
		id, now := strings.Repeat("0a", 16), "946684800"
		for value, want := range map[string]string{
			"3@" + now + "#" + id:           "index-behind",
			"3@946684790#" + id:             "index-behind", // 10 s ago
			"3@946684789#" + id:             "cookie:old",
			"3@946684805#" + id:             "index-behind",
			"3@946684806#" + id:             "cookie:future",
			"3@946688400#" + id:             "cookie:future",
			"4294967295@" + now + "#" + id:  "index-behind",
			"4294967296@" + now + "#" + id:  "cookie:form",
			"0@" + now + "#" + id:           "cookie:form",
			"-1@" + now + "#" + id:          "cookie:form",
			"+1@" + now + "#" + id:          "cookie:form",
			"01@" + now + "#" + id:          "cookie:form",
			"05x@" + now + "#" + id:         "cookie:form",
			"5#" + id:                       "cookie:form",
			"5@" + now:                      "cookie:form",
			"5@0" + now + "#" + id:          "cookie:form",
			"5@1234567890123#" + id:         "cookie:form",
			"5@" + now + "#" + id[1:]:       "cookie:form",
			"5@" + now + "#" + id + "0":     "cookie:form",
			"5@" + now + "#" + "A" + id[1:]: "cookie:form",
			" 5@" + now + "#" + id:          "cookie:form",
		} {
			store.gets.Store(0)
			r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
			r.Header.Set("Cookie", `cpPosIndex="`+value+`"`)
			newClient().send(s, r, quiet)
			same(t, value, s.j.take(), want)
			if asked := store.gets.Load() > 0; asked != (want == "index-behind") {
				t.Errorf("%q: the store was asked: %t", value, asked)
			}
		}
	})
}

// Case 102, and the id of an old cookie: nothing of it is used.
func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main := &cluster{name: "main", writer: "a"}
		s, _ := storeSite(t, chronology.Options{}, main)
		c := newClient()
		c.do(s, "POST", writing(main, "")) // no positions: a touch
		cookie := c.cookies["cpPosIndex"]
		var required []requirement
		var recent bool
		get := func(w http.ResponseWriter, r *http.Request) {
			required, recent = main.requiredBy(r.Context()), s.own.RecentWriter(r.Context())
		}
		time.Sleep(9 * time.Second)
		c.do(s, "GET", get)
		if len(required) != 1 || required[0].position != "" || time.Since(required[0].asOf) != 9*time.Second || !recent {
			t.Errorf("after 9 s: %+v, recent %t", required, recent)
		}
		time.Sleep(2 * time.Second)
		c.ends["cpPosIndex"] = time.Now().Add(time.Minute)
		c.do(s, "GET", get)
		if len(required) != 0 || recent {
			t.Errorf("after 11 s: %+v, recent %t", required, recent)
		}
		same(t, "told", s.j.take(), "cookie:old")
		c.do(s, "POST", writing(main, ""))
		if c.cookies["cpPosIndex"][12:] == cookie[12:] {
			t.Errorf("the id of an old cookie is used again: %s", cookie)
		}
	})
}

// Cases Xa and Xl.
func TestStickyCookieOfStoreMode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main, sessions := &cluster{name: "main", writer: "a"}, &cluster{name: "sessions"}
		for dc, want := range map[string]string{"a": "cpPosIndex UseDC", "b": "cpPosIndex"} {
			s, _ := storeSite(t, chronology.Options{DC: dc}, main, sessions)
			same(t, "written main in "+dc, names(newClient().do(s, "POST", writing(main, "a1"))), want)
			same(t, "written sessions in "+dc, names(newClient().do(s, "POST", writing(sessions, ""))), want)
		}
		s, _ := storeSite(t, chronology.Options{StickyTTL: -1}, main)
		same(t, "switched off", names(newClient().do(s, "POST", writing(main, "a1"))), "cpPosIndex")
	})
}

// Case 107: a write when the headers have gone reaches the store, if the client can be known again.
func TestWriteAfterTheHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main := &cluster{name: "main", writer: "a"}
		s, store := storeSite(t, chronology.Options{}, main)
		late := func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte("streamed"))
			main.commit(r.Context(), "a9")
		}
		c := newClient()
		same(t, "cookies", names(c.do(s, "POST", late)), "")
		same(t, "told", s.j.take(), "after-headers:main")
		same(t, "updates", store.updates.Load(), 1)

		c.do(s, "POST", writing(main, "a1"))
		same(t, "cookies", names(c.do(s, "POST", late)), "")
		same(t, "told", s.j.take(), "after-headers:main")
		var required string
		c.do(s, "GET", reading(main, &required))
		same(t, "required", required, "a9")

		c.do(s, "POST", func(w http.ResponseWriter, r *http.Request) { // before and after
			main.commit(r.Context(), "a10")
			_, _ = w.Write([]byte("streamed"))
			main.commit(r.Context(), "a11")
		})
		same(t, "told", s.j.take(), "after-headers:main")
		c.do(s, "GET", reading(main, &required))
		same(t, "required", required, "a11")
	})
}

// Cases Xd and Xk, and a panic: what was committed is remembered.
func TestRememberedInAnyCase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main := &cluster{name: "main", writer: "a"}
		s, store := storeSite(t, chronology.Options{}, main)
		ctx, cancel := context.WithCancel(t.Context())
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/", nil).WithContext(ctx)
		newClient().send(s, r, func(_ http.ResponseWriter, r *http.Request) {
			main.commit(r.Context(), "a1")
			cancel() // the client hangs up
		})
		same(t, "updates", store.updates.Load(), 1)
		same(t, "told", s.j.take(), "")

		func() {
			defer func() { same(t, "the panic goes on", recover(), "oh") }()
			newClient().do(s, "POST", func(_ http.ResponseWriter, r *http.Request) {
				main.commit(r.Context(), "a2")
				panic("oh")
			})
		}()
		same(t, "updates", store.updates.Load(), 2)
	})
}

// The position could not be read: the client is known to have written now.
func TestCaptureFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main := &cluster{name: "main", writer: "a"}
		s, _ := storeSite(t, chronology.Options{}, main)
		for what, fail := range map[string]func(){
			"an error": func() { main.broken = errors.New("gone") },
			"slow":     func() { main.slow = time.Hour },
		} {
			c := newClient()
			fail()
			began := time.Now()
			same(t, "cookies", names(c.do(s, "POST", writing(main, "a1"))), "cpPosIndex UseDC")
			same(t, "told", s.j.take(), "capture:main")
			if took := time.Since(began); took > 500*time.Millisecond {
				t.Errorf("%s: it took %v", what, took)
			}
			main.broken, main.slow = nil, 0
			c.do(s, "GET", func(_ http.ResponseWriter, r *http.Request) {
				if q := main.requiredBy(r.Context()); len(q) != 1 || q[0].position != "" || time.Since(q[0].asOf) > time.Second {
					t.Errorf("%s: required %+v", what, q)
				}
			})
		}
	})
}

// MarkWritten is a touch. One that comes together with a position is covered by it.
func TestMarkWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main := &cluster{name: "main", writer: "a"}
		var log bytes.Buffer
		s, _ := storeSite(t, chronology.Options{Logger: textLogger(&log)}, main)
		c := newClient()
		same(t, "cookies", names(c.do(s, "POST", func(_ http.ResponseWriter, r *http.Request) {
			s.own.MarkWritten(r.Context(), "main")
			same(t, "recent writer", s.own.RecentWriter(r.Context()), true)
		})), "cpPosIndex UseDC")
		c.do(s, "POST", func(w http.ResponseWriter, r *http.Request) {
			same(t, "required", len(main.requiredBy(r.Context())), 1)
			s.own.MarkWritten(r.Context(), "main")
			main.commit(r.Context(), "a7")
		})
		var required string
		c.do(s, "GET", reading(main, &required))
		same(t, "required", required, "a7")
		s.own.MarkWritten(t.Context(), "main")
		c.do(s, "POST", func(_ http.ResponseWriter, r *http.Request) { s.own.MarkWritten(r.Context(), "other") })
		same(t, "complaints", strings.Count(log.String(), "MarkWritten is without effect"), 2)
	})
}

// The oldest go first when an entry is full.
func TestFullEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := &cluster{name: "one", writer: "a"}, &cluster{name: "two", writer: "a"}
		s, _ := storeSite(t, chronology.Options{}, one, two)
		long := func(n int) string { return "a" + strings.Repeat("0", n-2) + "1" }
		c := newClient()
		c.do(s, "POST", writing(one, long(4097)))
		same(t, "told", s.j.take(), "no-room:one")
		c.do(s, "POST", writing(one, long(4096)))
		same(t, "told", s.j.take(), "")
	})
}
