package dcroute

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// 3.6, the receiver's table, as the sender sees it: the epoch with hop-stale alone, Retry-After 1 with state-behind alone, no
// X-DC, and next sees no hop header.
func TestReceiverAnswers(t *testing.T) {
	const ours = 5
	for _, c := range []struct {
		name    string
		primary string
		hop     hop
		method  string
		status  int
		reason  string
		epoch   string
	}{
		{"twice", "b", hop{"a", "b", 2, ours, time.Time{}}, "GET", 508, "loop", ""},
		{"twice, and not for us", "b", hop{"a", "c", 2, ours, time.Time{}}, "GET", 508, "loop", ""},
		{"for another", "b", hop{"a", "c", 1, ours, time.Time{}}, "GET", 421, "hop-misdirected", ""},
		{"by ourselves", "b", hop{"b", "c", 1, ours, time.Time{}}, "GET", 421, "hop-misdirected", ""},
		{"for the primary", "b", hop{"a", "b", 1, ours - 1, time.Time{}}, "POST", 200, "hop", ""},
		{"without an epoch, for the primary", "b", hop{"a", "b", 1, 0, time.Time{}}, "POST", 200, "hop", ""},
		{"without an epoch", "a", hop{"c", "b", 1, 0, time.Time{}}, "POST", 508, "hop-disagree", ""},
		{"old", "a", hop{"c", "b", 1, ours - 1, time.Time{}}, "GET", 421, "hop-stale", "5"},
		{"old, a write", "a", hop{"c", "b", 1, ours - 1, time.Time{}}, "POST", 421, "hop-stale", "5"},
		{"old, PURGE", "a", hop{"c", "b", 1, ours - 1, time.Time{}}, "PURGE", 421, "hop-stale", "5"},
		{"equal", "a", hop{"c", "b", 1, ours, time.Time{}}, "GET", 508, "hop-disagree", ""},
		{"newer", "a", hop{"c", "b", 1, ours + 1, time.Time{}}, "GET", 200, "hop", ""},
		{"newer, a write", "a", hop{"c", "b", 1, ours + 1, time.Time{}}, "POST", 503, "state-behind", ""},
		{"the newest possible, a write", "a", hop{"c", "b", 1, 1<<64 - 1, time.Time{}}, "POST", 503, "state-behind", ""},
		{"state unknown", "", hop{"c", "b", 1, ours, time.Time{}}, "GET", 200, "hop", ""},
		{"state unknown, a write", "", hop{"c", "b", 1, ours, time.Time{}}, "POST", 503, "state-behind", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := NewMemory(c.primary)
			m.Update(func(s *State) { s.Epoch = ours })
			rt := newRouter(t, m, nil)
			c.hop.issued = time.Now()
			header := "X-DC-Hop: " + c.hop.sealed(testKey)
			d := rt.Decide(request(c.method, "/", header))
			same(t, "reason, entry", fmt.Sprint(d.Reason, " ", d.Entry), c.reason+" "+c.hop.from)
			ran := false
			rec := record(rt, request(c.method, "/", header), func(_ http.ResponseWriter, r *http.Request) {
				ran = true
				same(t, "hop headers that next sees", len(r.Header[headerHop]), 0)
			})
			same(t, "status", rec.Code, c.status)
			same(t, "ran", ran, c.status == http.StatusOK)
			same(t, "X-DC-Epoch", rec.Header().Get(headerEpoch), c.epoch)
			same(t, "X-DC", rec.Header().Get(headerDC), "")
			retryAfter := ""
			if c.reason == "state-behind" {
				retryAfter = "1"
			}
			same(t, "Retry-After", rec.Header().Get("Retry-After"), retryAfter)
		})
	}
}

// 4.2, 3.6: each spelling that is not the one form is rejected, and told once (2, OnHopRejected). The request that the caller
// gave keeps its header.
func TestHopSpellings(t *testing.T) {
	now := time.UnixMilli(1760000000000)
	good := hop{"a", "b", 1, 5, now}.sealed(testKey)
	longName := strings.Repeat("a", 33)
	for _, c := range []struct {
		name  string
		lines []string
		want  HopKind
	}{
		{"good", []string{good}, ""},
		{"the largest epoch", []string{hop{"a", "b", 1, 1<<64 - 1, now}.sealed(testKey)}, ""},
		{"two lines", []string{good, good}, HopForm},
		{"no text", []string{""}, HopForm},
		{"version in upper case", []string{"V" + good[1:]}, HopForm},
		{"DC in upper case", []string{strings.Replace(good, ".a.", ".A.", 1)}, HopForm},
		{"DC of 33 bytes", []string{hop{longName, "b", 1, 5, now}.sealed(testKey)}, HopForm},
		{"DC of 32 bytes", []string{hop{longName[:32], "b", 1, 5, now}.sealed(testKey)}, HopDC},
		{"count with a leading zero", []string{strings.Replace(good, ".1.", ".01.", 1)}, HopForm},
		{"epoch with a minus", []string{strings.Replace(good, ".5.", ".-5.", 1)}, HopForm},
		{"time with a leading zero", []string{strings.Replace(good, ".17", ".017", 1)}, HopForm},
		{"MAC with padding", []string{good + "="}, HopForm},
		{"blank before it", []string{" " + good}, HopForm},
		{"another MAC", []string{good[:len(good)-43] + strings.Repeat("A", 43)}, HopMAC},
		{"of 1970", []string{hop{"a", "b", 1, 5, time.UnixMilli(0)}.sealed(testKey)}, HopTime},
		{"far too long", []string{"v1." + strings.Repeat("x", 300)}, HopForm},
	} {
		t.Run(c.name, func(t *testing.T) {
			var told []HopKind
			rt := newRouter(t, NewMemory("b"), func(o *Options) {
				o.Now = func() time.Time { return now }
				o.Events.OnHopRejected = appendKind(&told)
			})
			r := request("GET", "/")
			r.Header[headerHop] = c.lines
			record(rt, r, func(_ http.ResponseWriter, r *http.Request) {
				d, _ := DecisionFrom(r.Context())
				same(t, "taken for a hop", d.Reason == ReasonHop, c.want == "")
				same(t, "hop headers that next sees", len(r.Header[headerHop]), 0)
			})
			var want []HopKind
			if c.want != "" {
				want = []HopKind{c.want}
			}
			same(t, "told", told, want)
			same(t, "hop headers of the caller's request", len(r.Header[headerHop]), len(c.lines))
		})
	}
}

// 3.6, "from known DCs": a router without upstreams knows none, also if it has keys.
func TestHopToALoneDC(t *testing.T) {
	var told []HopKind
	rt := newRouter(t, NewMemory("b"), func(o *Options) {
		o.Upstreams = nil
		o.Events.OnHopRejected = appendKind(&told)
	})
	header := "X-DC-Hop: " + hop{"a", "b", 1, 1, time.Now()}.sealed(testKey)
	rec := record(rt, request("POST", "/", header), func(_ http.ResponseWriter, r *http.Request) {
		same(t, "hop headers that next sees", len(r.Header[headerHop]), 0)
	})
	same(t, "told", told, []HopKind{HopDC})
	same(t, "X-DC", rec.Header().Get(headerDC), "b; via=b; reason=local-is-primary")
}

// 3.6: a 421 that names an epoch, whichever, is the other router's and never reaches the client: nor does its text.
func TestAnswersOfAStaleReceiver(t *testing.T) {
	overEveryProtocol(t, func(t *testing.T, p protocols) {
		epoch := uint64(0)
		f := p.front(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(headerEpoch, strconv.FormatUint(epoch, 10))
			http.Error(w, "between routers", http.StatusMisdirectedRequest)
		})
		for _, epoch = range []uint64{0, 1, 2, 1<<64 - 1} {
			got := f.ask("POST", "/", nil)
			f.expect(fmt.Sprint("epoch ", epoch), got, 503, "The primary datacenter has just moved")
			same(t, "headers", fmt.Sprint(got.header[headerDC], got.header["Retry-After"], got.header[headerEpoch]), "[b; via=b; reason=stale-router] [1] []")
		}
	})
}

func appendKind(list *[]HopKind) func(context.Context, HopInfo) {
	return func(_ context.Context, i HopInfo) { *list = append(*list, i.Kind) }
}
