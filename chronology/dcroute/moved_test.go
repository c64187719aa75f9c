package dcroute

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// slowRefresh is a state that takes its time to read itself anew.
type slowRefresh struct {
	*Memory

	takes time.Duration
	then  func(*State)

	mu                   sync.Mutex
	running, most, begun int
}

func (s *slowRefresh) Refresh(ctx context.Context) error {
	s.count(1)
	defer s.count(-1)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(s.takes):
	}
	if s.then != nil {
		s.Update(s.then)
	}
	return nil
}

func (s *slowRefresh) count(more int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running += more
	s.most = max(s.most, s.running)
	s.begun += max(more, 0)
}

// 3.1, Refresher: "bounded here by 2 s, one at a time". 3.6: a receiver that is behind refreshes and judges again; still behind,
// a read is handled here and a write is 503 with Retry-After 1.
func TestRefreshIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := &slowRefresh{Memory: NewMemory("a"), takes: time.Hour}
		rt := newRouter(t, state, nil)
		ask := func(method string) string {
			header := "X-DC-Hop: " + hop{"c", "b", 1, 5, time.Now()}.sealed(testKey)
			rec := record(rt, request(method, "/", header), nothing)
			return fmt.Sprint(rec.Code, rec.Header()["Retry-After"])
		}
		began := time.Now()
		same(t, "a write, still behind", ask("POST"), "503 [1]")
		same(t, "waited", time.Since(began), 2*time.Second)
		same(t, "a read, still behind", ask("GET"), "200 []")

		state.takes, state.begun = 10*time.Millisecond, 0
		var requests sync.WaitGroup
		for range 30 {
			requests.Go(func() { ask("POST") })
		}
		requests.Wait()
		same(t, "refreshes at a time", state.most, 1)
		if state.begun > 2 { // one that was under way may have begun too early for some
			t.Errorf("30 requests made %d refreshes", state.begun)
		}

		state.then = func(s *State) { s.Primary, s.Epoch = "b", 5 }
		same(t, "a write, no more behind", ask("POST"), "200 []")
	})
}

// 3.6: after a 421 the sender decides once more "if no byte of the client's body has been taken", by either protocol between the
// DCs. What is executed here then is a local write in all its headers.
func TestMovedToUsOverEitherLink(t *testing.T) {
	for _, link := range []string{http1, http2} {
		f := protocols{http1, link}.front(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(headerEpoch, "2")
			w.WriteHeader(http.StatusMisdirectedRequest)
		})
		newest := NewMemory("b")
		moveTo(newest, "b", 2)
		f.behind(newest)
		f.handle(func(w http.ResponseWriter, r *http.Request) {
			d, _ := DecisionFrom(r.Context())
			_, _ = io.Copy(w, r.Body)
			_, _ = fmt.Fprint(w, " ", d.Reason)
		})
		got := f.ask("POST", "/", strings.NewReader("hello"), "Expect: 100-continue")
		f.expect(link, got, 200, "hello local-is-primary")
		same(t, link+": X-DC", got.header[headerDC], "[b; via=b; reason=local-is-primary]")
	}
}
