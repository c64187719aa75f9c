package chronology_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/multidc/multidc/chronology"
)

// database stands for an *rdbms.Cluster; db.Positions() would be the Cluster.
func database() *cluster { return &cluster{name: "main", writer: "a"} }

// secretKeys are random in earnest, and the same in every DC.
func secretKeys() []chronology.Key { return []chronology.Key{{ID: 1, Secret: secret()}} }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// visit sends a request with the cookies of an earlier answer.
func visit(h http.Handler, method string, cookies ...*http.Cookie) []*http.Cookie {
	r := httptest.NewRequestWithContext(context.Background(), method, "/wiki/Main", nil)
	for _, c := range cookies {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return (&http.Response{Header: w.Header()}).Cookies()
}

func ExampleNew() {
	db := database()
	_, err := chronology.New([]chronology.Cluster{db}, &chronology.Options{DC: "a", Keys: secretKeys(), StickyTTL: time.Second})
	fmt.Println(err)
	own, err := chronology.New([]chronology.Cluster{db}, &chronology.Options{DC: "a", Keys: secretKeys()})
	fmt.Println(own != nil, err)
	// Output:
	// chronology: Options.StickyTTL: 1s is less than Window, 10s: a client would be sent away from its own writes
	// true <nil>
}

// A page is edited in DC a, and read in b.
func ExampleProtector_Middleware() {
	page := func(dc string) http.Handler {
		db := database()
		own := must(chronology.New([]chronology.Cluster{db}, &chronology.Options{DC: dc, Keys: secretKeys()}))
		return own.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				db.commit(r.Context(), "a7") // an UPDATE by db.Primary(): the primary's position is a7 then
			} else {
				fmt.Printf("the reads of this request include %q\n", db.positions(r.Context())) // those by db.Replica()
			}
		}))
	}
	a, b := page("a"), page("b")
	visit(b, http.MethodGet) // a stranger
	cookies := visit(a, http.MethodPost)
	visit(b, http.MethodGet, cookies...)
	for _, c := range cookies {
		fmt.Println("cookie", c.Name)
	}
	// Output:
	// the reads of this request include ""
	// the reads of this request include "a7"
	// cookie cp
	// cookie UseDC
}

// A job includes what the request wrote that made it.
func ExampleProtector_Resume() {
	db := database()
	own := must(chronology.New([]chronology.Cluster{db}, &chronology.Options{DC: "a", Keys: secretKeys()}))
	request := own.WithToken(context.Background(), "") // in HTTP the middleware does this
	db.commit(request, "a7")
	token := must(own.Token(request)) // goes into the job

	job, reached, err := own.Resume(context.Background(), token, 5*time.Second)
	fmt.Println("a replica has it:", reached, err)
	fmt.Println("the reads of the job include", db.positions(job))
	_, _, err = own.Resume(context.Background(), "AQEB", 5*time.Second)
	fmt.Println(err)
	// Output:
	// a replica has it: true <nil>
	// the reads of the job include a7
	// chronology: bad token
}

// A token carries what a request wrote to another service.
func ExampleProtector_Token() {
	db := database()
	own := must(chronology.New([]chronology.Cluster{db}, &chronology.Options{DC: "a", Keys: secretKeys()}))
	service := own.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		fmt.Println("the service's reads include", db.positions(r.Context()))
	}))
	ctx := own.WithToken(context.Background(), "")
	db.commit(ctx, "a7")
	call := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
	call.Header.Set(chronology.TokenHeader, must(own.Token(ctx)))
	service.ServeHTTP(httptest.NewRecorder(), call.WithContext(context.Background()))
	// Output:
	// the service's reads include a7
}

// A scope outside HTTP: a command that goes on where another ended.
func ExampleProtector_WithToken() {
	db := database()
	own := must(chronology.New([]chronology.Cluster{db}, &chronology.Options{DC: "a", Keys: secretKeys()}))
	first := own.WithToken(context.Background(), "")
	db.commit(first, "a7")
	second := own.WithToken(context.Background(), must(own.Token(first)))
	fmt.Println("the reads of the second include", db.positions(second))
	// Output:
	// the reads of the second include a7
}

// What is written by another connection is not seen by the cluster: the lag of the client's reads is limited instead.
func ExampleProtector_MarkWritten() {
	db := database()
	own := must(chronology.New([]chronology.Cluster{db}, &chronology.Options{DC: "a", Keys: secretKeys()}))
	handler := own.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			own.MarkWritten(r.Context(), "main")
			return
		}
		for _, q := range db.requiredBy(r.Context()) {
			fmt.Printf("position %q, a recent time: %t\n", q.position, time.Since(q.asOf) < time.Minute)
		}
	}))
	visit(handler, http.MethodGet, visit(handler, http.MethodPost)...)
	// Output:
	// position "", a recent time: true
}

// Who has just written gets the page from the database, others from a cache.
func ExampleProtector_RecentWriter() {
	db := database()
	own := must(chronology.New([]chronology.Cluster{db}, &chronology.Options{DC: "a", Keys: secretKeys()}))
	handler := own.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			db.commit(r.Context(), "a7")
			return
		}
		fmt.Println("past the cache:", own.RecentWriter(r.Context()))
	}))
	visit(handler, http.MethodGet)
	visit(handler, http.MethodGet, visit(handler, http.MethodPost)...)
	// Output:
	// past the cache: false
	// past the cache: true
}

func ExampleProtector_Explain() {
	db := database()
	own := must(chronology.New([]chronology.Cluster{db}, &chronology.Options{DC: "b", Keys: secretKeys()}))
	ctx := own.WithToken(context.Background(), "")
	db.commit(ctx, "a7")
	fmt.Print(own.Explain(ctx))
	// Output:
	// chronology in DC b: token mode, own writes are seen for 10s; a read waits 1s for a replica, then: primary
	//   cluster main, written in DC a; this request wrote a7
}
