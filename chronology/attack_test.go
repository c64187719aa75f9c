package chronology_test

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/chronology"
)

// A position that the cluster refuses is not reached: the job must not take it for that.
func TestResumeWithARefusedPosition(t *testing.T) {
	main := &cluster{name: "main", writer: "a"}
	s := newSite(t, chronology.Options{Keys: keys()}, main)
	token := ""
	newClient().do(s, "POST", func(_ http.ResponseWriter, r *http.Request) {
		main.commit(r.Context(), "?")
		token, _ = s.own.Token(r.Context())
	})
	s.j.take()
	_, reached, err := s.own.Resume(t.Context(), token, 0)
	if reached {
		t.Errorf("reached %t, %v, told %s", reached, err, s.j.take())
	}
}

// A position and a later touch of one cluster: the one must not put out the other within Window.
func TestTouchAfterPosition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main := &cluster{name: "main", writer: "a"}
		s, _ := storeSite(t, chronology.Options{}, main)
		c := newClient()
		c.do(s, "POST", writing(main, "a7"))
		time.Sleep(3 * time.Second)
		main.broken = errors.New("no position")
		c.do(s, "POST", writing(main, "a8"))
		var q []requirement
		c.do(s, "GET", func(_ http.ResponseWriter, r *http.Request) { q = main.requiredBy(r.Context()) })
		same(t, "required", len(q), 2)
	})
}

// The sticky cookie does not end before Window does.
func TestStickyTTLIsRoundedUp(t *testing.T) {
	main := &cluster{name: "main", writer: "a"}
	s := newSite(t, chronology.Options{Keys: keys(), Window: 1500 * time.Millisecond, StickyTTL: 1500 * time.Millisecond}, main)
	for _, c := range newClient().do(s, "POST", writing(main, "a7")).Cookies() {
		same(t, c.Name, c.MaxAge, 2)
	}
}
