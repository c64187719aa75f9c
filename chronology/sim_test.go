package chronology_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/multidc/multidc/chronology"
	"github.com/multidc/multidc/internal/sim"
)

const window = 10 * time.Second

// Nobody misses an own write in silence: whatever the lags, the clocks and the primary do, a client that comes back within
// Window, less the clocks' skew, reads what it wrote, unless the answer is flagged or an error, or a hole was told.
func TestOwnWritesByToken(t *testing.T) { ownWrites(t, chronology.TokenMode) }

// Likewise with a store in each DC, which loses entries, for clients that follow the sticky cookie.
func TestOwnWritesByStore(t *testing.T) { ownWrites(t, chronology.StoreMode) }

func ownWrites(t *testing.T, mode chronology.Mode) {
	t.Helper()
	t.Parallel()
	all := tally{}
	sim.Run(t, []string{"a", "b"}, func(t *testing.T, w *sim.World) {
		world := newOwnWorld(t, w, mode)
		var running sync.WaitGroup
		for i := range 3 {
			running.Go(func() { world.author(fmt.Sprintf("author %d", i)) })
		}
		running.Go(world.chaos)
		running.Wait()
		for what, n := range world.counts {
			all[what] += n
		}
	})
	t.Log(all)
	for _, what := range []string{"by replica", "by waited", "by primary", "by error", "by flagged", "needed", "hole"} {
		if !t.Failed() && all[what] == 0 {
			t.Errorf("none %s: that proves little", what)
		}
	}
}

type tally map[string]int

// ownWorld is two DCs with two hosts each, every one with a clock of its own.
type ownWorld struct {
	*testing.T

	sim    *sim.World
	mode   chronology.Mode
	gtid   bool
	dbs    []*replicated // their primaries move together
	hosts  []*ownHost
	stores map[string]*losing // by DC
	ends   time.Time

	mu     sync.Mutex
	counts tally
}

type ownHost struct {
	*site

	dc    string
	ahead time.Duration // of the world's clock
	views []*view
}

func newOwnWorld(t *testing.T, w *sim.World, mode chronology.Mode) *ownWorld {
	t.Helper()
	world := &ownWorld{T: t, sim: w, mode: mode, stores: map[string]*losing{}, counts: tally{}, ends: time.Now().Add(40 * time.Second)}
	dice := w.Rand("hosts")
	world.gtid = dice.IntN(3) > 0
	for _, name := range []string{"one", "two"} {
		world.dbs = append(world.dbs, newReplicated(name, world.gtid, w.Rand(name)))
	}
	for _, dc := range w.DCs() {
		world.stores[dc] = &losing{in: chronology.NewMemory(0), dice: w.Rand("store " + dc)}
		for range 2 {
			world.hosts = append(world.hosts, world.newHost(dc, dice))
		}
	}
	return world
}

func (w *ownWorld) newHost(dc string, dice *rand.Rand) *ownHost {
	h := &ownHost{dc: dc, ahead: time.Duration(dice.Int64N(int64(4*time.Second))) - 2*time.Second}
	clock := func() time.Time { return time.Now().Add(h.ahead) }
	o := &chronology.Options{
		DC: dc, Keys: keys(), Now: clock, Window: window,
		Wait:      []time.Duration{-1, 300 * time.Millisecond, time.Second, 5 * time.Second}[dice.IntN(4)],
		OnTimeout: []chronology.TimeoutPolicy{chronology.OnTimeoutPrimary, chronology.OnTimeoutStale, chronology.OnTimeoutError}[dice.IntN(3)],
		Events:    chronology.Events{OnHole: w.hole},
	}
	if w.mode == chronology.StoreMode {
		o.Store = w.stores[dc]
	}
	var clusters []chronology.Cluster
	for _, db := range w.dbs {
		v := &view{db, dc, clock}
		h.views, clusters = append(h.views, v), append(clusters, v)
	}
	own, err := chronology.New(clusters, o)
	if err != nil {
		w.Fatal(err)
	}
	h.site = &site{t: w.T, own: own}
	return h
}

func (w *ownWorld) count(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[what]++
}

// chaos changes the lags, moves the primaries, and restarts the stores. Of two positions of different binlogs the one with the
// newer asOf is kept, and clocks differ: so a primary with binlog positions does not move back within Window.
func (w *ownWorld) chaos() {
	dice := w.sim.Rand("chaos")
	var moved time.Time
	for time.Now().Before(w.ends) {
		w.sim.Pause("chaos", 2*time.Second)
		switch dice.IntN(12) {
		case 0, 1:
			to := dice.IntN(4)
			if !w.gtid && time.Since(moved) < window {
				continue
			}
			moved = time.Now()
			for _, db := range w.dbs {
				db.promote(to)
			}
		case 2:
			w.stores[w.sim.DCs()[dice.IntN(2)]].lose()
		default:
			w.dbs[dice.IntN(len(w.dbs))].weather()
		}
	}
}

// author is a client, one request after the other.
type author struct {
	*client

	w       *ownWorld
	name    string
	dice    *rand.Rand
	home    string   // a DC
	last    int      // value
	writes  [][]edit // by database
	excused []int    // up to that value: by database, for good,
	now     []int    // and in this request
	safe    bool     // the request is
}

type edit struct {
	value int
	until time.Time // it is protected
}

type authorKey struct{}

func (w *ownWorld) author(name string) {
	dice := w.sim.Rand(name)
	a := &author{client: newClient(), w: w, name: name, dice: dice, home: w.sim.DCs()[dice.IntN(2)]}
	a.writes, a.excused = make([][]edit, len(w.dbs)), make([]int, len(w.dbs))
	for time.Now().Before(w.ends) {
		w.sim.Pause(name, []time.Duration{100 * time.Millisecond, 2 * time.Second, window}[dice.IntN(3)])
		a.now = slices.Clone(a.excused)
		if dice.IntN(3) == 0 {
			a.write()
		} else {
			a.read()
		}
	}
}

// at is where a request lands. In token mode that is anywhere.
func (a *author) at(post bool) *ownHost {
	dc := a.w.sim.DCs()[a.dice.IntN(2)]
	if a.w.mode == chronology.StoreMode {
		dc = a.home
		if time.Now().Before(a.ends["UseDC"]) || post && a.dice.IntN(2) == 0 {
			dc = a.w.dbs[0].now().dc
		}
	}
	n := a.dice.IntN(2)
	for _, h := range a.w.hosts {
		if h.dc == dc {
			if n == 0 {
				return h
			}
			n--
		}
	}
	panic("no host in " + dc)
}

func (a *author) request(h *ownHost, method string, handler http.HandlerFunc) *http.Response {
	a.safe = method == http.MethodGet
	ctx := context.WithValue(a.w.Context(), authorKey{}, a)
	return a.send(h.site, httptest.NewRequestWithContext(ctx, method, "http://wiki.example/", nil), handler)
}

// hole excuses what was written until now: for good in a request that writes, for its cookie does not tell what is missing.
func (w *ownWorld) hole(ctx context.Context, i chronology.HoleInfo) {
	a := ctx.Value(authorKey{}).(*author)
	w.count("hole")
	w.count("hole " + string(i.Kind))
	for n, db := range w.dbs {
		if i.Cluster == "" || i.Cluster == db.name {
			a.now[n] = a.last
			if !a.safe {
				a.excused[n] = a.last
			}
		}
	}
}

func (a *author) write() {
	h := a.at(true)
	// When the headers have gone. In store mode that raises an index of which the client does not learn: after two switchovers it
	// may hide that another DC's store has more.
	late := a.dice.IntN(20) == 0 && a.w.mode == chronology.TokenMode
	which := a.dice.IntN(3)
	a.request(h, http.MethodPost, func(rw http.ResponseWriter, r *http.Request) {
		if late {
			_, _ = rw.Write([]byte("streamed"))
		}
		for n, v := range h.views {
			if which == n || which == 2 {
				a.last++
				began := time.Now()
				v.put(r.Context(), a.name, a.last)
				until := began.Add(window - a.w.mostAhead() + h.ahead)
				a.writes[n] = append(a.writes[n], edit{a.last, until})
				if !late {
					a.noLonger(until)
				}
			}
		}
	})
}

// noLonger: the browser has one cookie, and by the clock of the host that wrote last that one is over then.
func (a *author) noLonger(until time.Time) {
	for _, edits := range a.writes {
		for i := range edits {
			if edits[i].until.After(until) {
				edits[i].until = until
			}
		}
	}
}

// mostAhead is of the host with the fastest clock.
func (w *ownWorld) mostAhead() time.Duration {
	return slices.MaxFunc(w.hosts, func(a, b *ownHost) int { return int(a.ahead - b.ahead) }).ahead
}

func (a *author) read() {
	h := a.at(false)
	n := a.dice.IntN(len(a.w.dbs))
	v := h.views[n]
	want, began := 0, time.Now()
	for _, e := range a.writes[n] {
		if began.Before(e.until) {
			want = e.value
		}
	}
	needed := !slices.ContainsFunc(v.replicas(v.dc), func(s *server) bool { return v.read(s, a.name) >= want })
	var required, way string
	res := a.request(h, http.MethodGet, func(rw http.ResponseWriter, r *http.Request) {
		value, err := v.get(r.Context(), a.name)
		q := v.of(r.Context())
		required, way = q.required, q.way
		if err != nil {
			rw.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		rw.Header().Set("Value", strconv.Itoa(value))
	})
	a.w.count("by " + way)
	if needed && want > a.now[n] {
		a.w.count("needed")
	}
	value, _ := strconv.Atoi(res.Header.Get("Value"))
	if value < want && want > a.now[n] && res.StatusCode == http.StatusOK && res.Header.Get("X-Database-Lagged") == "" {
		a.w.Errorf("at %v %s reads %d of %s in %s, by %s, after it wrote %d; required was %q", time.Now().UTC().Format("05.000"), a.name, value, v.name, h.dc, way, want, required)
	}
}
