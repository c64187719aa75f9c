package dcroute

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// lagging is a state that is behind another until it is refreshed.
type lagging struct {
	*Memory

	newest    *Memory
	refreshes atomic.Int32
}

func (l *lagging) Refresh(ctx context.Context) error {
	l.refreshes.Add(1)
	dc, epoch, _ := l.newest.Primary(ctx)
	l.Update(func(s *State) { s.Primary, s.Epoch = dc, epoch })
	return nil
}

// behind gives a site a state that lags behind the newest. It is to be called before requests.
func (s *site) behind(newest *Memory) *lagging {
	l := &lagging{Memory: s.state, newest: newest}
	s.router.state, s.router.refresher = l, l
	return l
}

func moveTo(m *Memory, dc string, epoch uint64) {
	m.Update(func(s *State) { s.Primary, s.Epoch = dc, epoch })
}

// Case 25: the primary has moved, and only the old one knows: 421, refresh, and once more with an untouched body.
func TestPrimaryMoves(t *testing.T) {
	for what, tc := range map[string]struct {
		to     string
		body   io.Reader
		header string
		status int
		want   string
		ran    string
	}{
		"to us, no body":      {"b", nil, "", 200, "b local-is-primary", "b"},
		"to a third, no body": {"c", nil, "", 200, "c hop", "c"},
		"to us, a body":       {"b", strings.NewReader("text"), "", 503, "The primary datacenter has just moved", ""},
		"to us, Expect":       {"b", strings.NewReader("text"), "Expect: 100-continue", 200, "b local-is-primary", "b"},
		"to a third, Expect":  {"c", strings.NewReader("text"), "Expect: 100-continue", 200, "c hop", "c"},
	} {
		w := newWorld(t, tuning{}, "a", "b", "c")
		newest := NewMemory("a")
		moveTo(newest, tc.to, 2)
		lag := w.sites["b"].behind(newest)
		moveTo(w.sites["a"].state, tc.to, 2)
		moveTo(w.sites["c"].state, tc.to, 2)
		var headers []string
		if tc.header != "" {
			headers = append(headers, tc.header)
		}
		got := w.ask("b", "POST", "/x", tc.body, headers...)
		w.expect(what, got, tc.status, tc.want)
		if tc.status == 503 {
			same(t, what+": Retry-After, epoch", got.header.Get("Retry-After")+got.header.Get("X-DC-Epoch"), "1")
		}
		same(t, what+": refreshes", lag.refreshes.Load(), 1)
		for _, s := range w.sites {
			if n := len(s.runs()); n != strings.Count(tc.ran, s.dc) {
				t.Errorf("%s: %s has run %d requests", what, s.dc, n)
			}
		}
	}
}

// A state that cannot be refreshed, or does not know better: 503. A second 421 is the same.
func TestStaleRouter(t *testing.T) {
	w := newWorld(t, tuning{}, "a", "b", "c")
	moveTo(w.sites["a"].state, "c", 2)
	w.expect("no refresh", w.ask("b", "POST", "/x", nil), 503, "The primary datacenter has just moved")

	newest := NewMemory("a")
	lag := w.sites["b"].behind(newest)
	w.expect("no news", w.ask("b", "POST", "/x", nil), 503, "The primary datacenter has just moved")

	moveTo(newest, "c", 2)
	moveTo(w.sites["c"].state, "a", 3)
	w.expect("a second 421", w.ask("b", "POST", "/x", nil), 503, "The primary datacenter has just moved")
	same(t, "refreshes", lag.refreshes.Load(), 2) // one in each of the two requests
	for _, s := range w.sites {
		same(t, "run in "+s.dc, len(s.runs()), 0)
	}
	same(t, "reason", w.sites["b"].lastDecision(t).Decision.Reason, ReasonStaleRouter)
}

// An application's own 421 passes.
func TestApplications421(t *testing.T) {
	w := newWorld(t, tuning{}, "a", "b")
	w.sites["a"].handle(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "mine", http.StatusMisdirectedRequest) })
	w.expect("421", w.ask("b", "POST", "/x", nil), http.StatusMisdirectedRequest, "mine")
}

// Case Xe, and 22: the receiver's view.
func TestReceiverDisagrees(t *testing.T) {
	w := newWorld(t, tuning{}, "a", "b")
	moveTo(w.sites["a"].state, "b", 3)
	moveTo(w.sites["b"].state, "a", 3)
	w.expect("equal epochs", w.ask("b", "POST", "/x", nil), 508, "Two datacenters disagree")

	newest := NewMemory("a")
	moveTo(newest, "a", 5)
	moveTo(w.sites["b"].state, "a", 5) // the sender is ahead
	moveTo(w.sites["a"].state, "b", 4)
	w.expect("behind, a write", w.ask("b", "POST", "/x", nil), 503, "This datacenter does not know the newest primary yet")
	w.expect("behind, a read", w.ask("b", "GET", "/x", nil, "Cookie: UseDC=primary"), 200, "a hop from b")
	lag := w.sites["a"].behind(newest)
	w.expect("behind, refreshed", w.ask("b", "POST", "/x", nil), 200, "a hop from b")
	same(t, "refreshes", lag.refreshes.Load(), 1)
	same(t, "forwarded by a", len(w.sites["a"].sent()), 0)
}

// Case Xf: routers with different keys that name each other end a loop.
func TestLoopOfTwoRouters(t *testing.T) {
	w := newWorld(t, tuning{options: func(dc string, o *Options) {
		if dc == "b" {
			o.HopKeys = [][]byte{[]byte(strings.Repeat("k", 32))}
		}
	}}, "a", "b")
	moveTo(w.sites["a"].state, "b", 1) // each thinks the other is the primary
	w.expect("a loop", w.ask("b", "POST", "/x", nil), 508, "Loop")
	same(t, "hops", len(w.sites["a"].sent())+len(w.sites["b"].sent()), 2)
	same(t, "executed", len(w.sites["a"].runs())+len(w.sites["b"].runs()), 0)
	same(t, "rejected", w.sites["a"].rejected, "[mac]")
}

// Cases Xg and Xs: a read that is sent to a secondary is answered there.
func TestReadsSentToASecondary(t *testing.T) {
	w := newWorld(t, tuning{options: func(_ string, o *Options) {
		o.TrustDebug = func(*http.Request) bool { return true }
		o.Order = nil
	}}, "a", "b", "c")
	w.expect("forced", w.ask("b", "GET", "/x", nil, "X-DC-Force: c"), 200, "c hop from b")
	w.expect("forced, a write", w.ask("b", "POST", "/x", nil, "X-DC-Force: c"), 200, "a hop from b")
	for _, s := range w.sites {
		s.state.Update(func(st *State) { st.Depooled["b"], st.Depooled["a"] = true, true })
	}
	w.expect("depooled", w.ask("b", "GET", "/x", nil), 200, "c hop from b")
	w.sites["b"].state.Update(func(st *State) { st.Depooled["c"] = true })
	w.expect("none is up", w.ask("b", "GET", "/x", nil), 200, "b none-up")
}
