package chronology_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/chronology"
)

// The primary goes from a to b and back, and the client with it: that the store in a lacks what was written in b is told.
func TestStoresDoNotPassForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main := &cluster{name: "main", writer: "a"}
		a, _ := storeSite(t, chronology.Options{}, main)
		b, _ := storeSite(t, chronology.Options{DC: "b"}, main)
		c := newClient()
		c.do(a, "POST", writing(main, "a1"))
		c.do(b, "POST", writing(main, "b1"))
		same(t, "told in b", b.j.take(), "index-behind")
		c.do(a, "GET", quiet)
		same(t, "told in a", a.j.take(), "index-behind")
	})
}

// The store loses an entry between a request's Get and its Update: the earlier write to the other cluster is gone.
func TestLostInARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := &cluster{name: "one", writer: "a"}, &cluster{name: "two", writer: "a"}
		s, store := storeSite(t, chronology.Options{}, one, two)
		c := newClient()
		c.do(s, "POST", writing(one, "a1"))
		c.do(s, "POST", func(_ http.ResponseWriter, r *http.Request) {
			store.Store = chronology.NewMemory(0)
			two.commit(r.Context(), "b1")
		})
		same(t, "told", s.j.take(), "index-behind")
	})
}

// A position outlives an earlier touch of a host whose clock is fast: it was read later, and includes that write too.
func TestPositionAfterATouch(t *testing.T) {
	for mode, o := range map[string]chronology.Options{"token": {Keys: keys()}, "store": {Store: chronology.NewMemory(0)}} {
		synctest.Test(t, func(t *testing.T) {
			main := &cluster{name: "main", writer: "a"}
			ahead := time.Duration(0)
			o.Now = func() time.Time { return time.Now().Add(ahead) }
			s := newSite(t, o, main)
			c := newClient()
			ahead = 2 * time.Second
			c.do(s, "POST", func(_ http.ResponseWriter, r *http.Request) { s.own.MarkWritten(r.Context(), "main") })
			ahead = 0
			c.do(s, "POST", writing(main, "a7"))
			var required string
			c.do(s, "GET", reading(main, &required))
			first, _, _ := strings.Cut(required, " ") // a store also limits the lag, by the touch
			same(t, mode, first, "a7")
		})
	}
}
