package rdbms

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/multidc/multidc/internal/breaker"
)

// stand is a server as a test of the pick sets it up.
type stand struct {
	Server

	primary  bool
	bound    Lag // as of the last reading
	class    Lag // unset = bound
	out      bool
	age      time.Duration // of the last reading; negative = never read
	trip     time.Duration
	broken   bool
	latency  time.Duration
	inFlight int
}

// replica is one in DC a, in use and so far behind.
func replica(lag time.Duration) stand { return stand{Server: Server{DC: "a"}, bound: known(lag)} }

func (s stand) in(dc string) stand        { s.DC = dc; return s }
func (s stand) weighing(w int) stand      { s.Weight = w; return s }
func (s stand) leftOut() stand            { s.out = true; return s }
func (s stand) unknown(r string) stand    { s.bound = unknown(LagReason(r)); s.out = true; return s }
func (s stand) dead() stand               { s.broken = true; return s }
func (s stand) old(d time.Duration) stand { s.age = d; return s }

// line makes a snapshot of servers s0, s1, … seen from DC a.
func line(now time.Time, stands ...stand) *snapshot {
	const limit = 6 * time.Second
	servers := make([]*server, len(stands))
	for i, at := range stands {
		at.Name = fmt.Sprintf("s%d", i)
		h := newHost(at.Name, at.DC, link{})
		for range 3 {
			if at.broken {
				h.breaker.Failure(now)
			}
		}
		if at.latency > 0 {
			h.latency.add(now, at.latency)
		}
		h.inFlight.Store(int64(at.inFlight))
		if !at.class.Known && at.class.Why == "" {
			at.class = at.bound
		}
		v := verdict{at: now.Add(-at.age), in: !at.out, judgement: judgement{class: at.class, bound: at.bound}, roundTrip: at.trip}
		if at.age < 0 {
			v = verdict{}
		}
		maxLag := limit
		if at.MaxLag != 0 {
			maxLag = at.MaxLag
		}
		servers[i] = &server{host: h, config: at.Server, primary: at.primary, maxLag: maxLag, verdict: v, youngUntil: v.at.Add(3 * time.Second)}
	}
	return newSnapshot(servers, "a", true)
}

// picks counts who is picked, "" for nobody.
func picks(s *snapshot, w wish, now time.Time, times int) map[string]int {
	if w.group == nil {
		w.group = s.groups[""]
	}
	random, got := rand.New(rand.NewPCG(1, 2)), map[string]int{}
	for range times {
		c := w.pick(now, random.Float64)
		if c.server == nil {
			got[""]++
		} else {
			got[c.server.name]++
		}
	}
	return got
}

func share(got map[string]int, name string) float64 {
	all := 0
	for _, n := range got {
		all += n
	}
	return float64(got[name]) / float64(all)
}

// Case 2. Idle servers of which nobody knows who is faster, and equally fast ones, share exactly by weight.
func TestPickSharesByWeight(t *testing.T) {
	now := time.Now()
	for name, latency := range map[string]time.Duration{"unmeasured": 0, "equally fast": 3 * time.Millisecond} {
		one, three := replica(0).weighing(1), replica(0).weighing(3)
		one.latency, three.latency = latency, latency
		got := picks(line(now, stand{Server: Server{DC: "a"}, primary: true}, one, three), wish{}, now, 100_000)
		if s := share(got, "s1"); s < 0.23 || s > 0.27 {
			t.Errorf("%s: weights 1 and 3 share %v", name, got)
		}
	}
}

// Cases 3, 5. A negative weight is none, and a primary is read if it is given a weight, only then.
func TestPickWeights(t *testing.T) {
	now := time.Now()
	primary := stand{Server: Server{DC: "a"}, primary: true}
	if got := picks(line(now, primary, replica(0), replica(0).weighing(-1), replica(0)), wish{}, now, 10_000); got["s0"]+got["s2"] != 0 {
		t.Errorf("the primary without weight, or the replica of weight -1, was picked: %v", got)
	}
	if got := picks(line(now, primary.weighing(100), replica(0).weighing(-1), replica(0).weighing(-1)), wish{}, now, 100); got["s0"] != 100 {
		t.Errorf("the only server with a weight is the primary: %v", got)
	}
	// Two of one weight, of which one has just come back: it is eased in.
	view := line(now, primary, replica(0), replica(0).dead())
	back := view.servers[2].breaker.RetryIn(now)
	if at := now.Add(back); !view.servers[2].breaker.Admit(at) {
		t.Fatal("the breaker lets nothing through when it said it would")
	}
	view.servers[2].breaker.Success(now.Add(back))
	for after, want := range map[time.Duration]float64{0: 0.1 / 1.1, 2500 * time.Millisecond: 0.55 / 1.55, 5 * time.Second: 0.5} {
		at := now.Add(back + after)
		view.servers[1].verdict.at, view.servers[2].verdict.at = at, at
		if s := share(picks(view, wish{}, at, 20_000), "s2"); s < want-0.02 || s > want+0.02 {
			t.Errorf("%v after it came back its share is %.3f, want %.3f", after, s, want)
		}
	}
}

// Case 13, and the classes of 3.2.6. Each row says who may be picked.
func TestPickClasses(t *testing.T) {
	now := time.Now()
	primary := stand{Server: Server{DC: "a"}, primary: true}
	far, near := replica(0).in("b"), replica(0).in("c")
	far.trip, near.trip = 80*time.Millisecond, 20*time.Millisecond
	lagging := replica(9 * time.Second).leftOut()
	drained := replica(0)
	drained.Drained = true
	static := replica(time.Hour).leftOut()
	static.MaxLag = -1
	sole := replica(4 * time.Second)
	sole.MaxLag = 3 * time.Second

	for _, c := range []struct {
		what   string
		stands []stand
		wish   wish
		want   string // "s1 s2"; "" = nobody
		lagged bool
	}{
		{"the own DC before a fresher one", []stand{primary, replica(time.Second), far}, wish{}, "s1", false},
		{"all of the own DC lag", []stand{primary, lagging, far}, wish{}, "s2", false},
		{"the nearer of two other DCs", []stand{primary, lagging, far, near}, wish{}, "s3", false},
		{"not measured is farthest", []stand{primary, lagging, far, replica(0).in("d")}, wish{}, "s2", false},
		{"no remote reads", []stand{primary, lagging, far}, wish{localOnly: true}, "s1", true},
		{"no remote reads, and the own are dead", []stand{primary, lagging.dead(), far}, wish{localOnly: true}, "", false},
		{"no remote reads, not even of what lags", []stand{primary, replica(0).dead(), lagging.in("b")}, wish{localOnly: true}, "", false},
		{"dead is never read", []stand{primary, replica(0).dead(), replica(0)}, wish{}, "s2", false},
		{"the own DC is dead", []stand{primary, replica(0).dead(), far}, wish{}, "s2", false},
		{"all are dead: not the primary", []stand{primary, replica(0).dead(), far.dead()}, wish{}, "", false},
		{"all lag: the own DC", []stand{primary, lagging, lagging.in("b")}, wish{}, "s1", true},
		{"all lag, the own are dead", []stand{primary, lagging.dead(), lagging.in("b")}, wish{}, "s2", true},
		{"unknown is not fresh", []stand{primary, replica(0).unknown("no right"), far}, wish{}, "s2", false},
		{"unknown is worse than any lag", []stand{primary, replica(0).unknown("no right"), replica(time.Hour).leftOut()}, wish{}, "s2", true},
		{"of two that lag the less stale", []stand{primary, lagging, replica(8 * time.Second).leftOut()}, wish{}, "s2", true},
		{"never read", []stand{primary, replica(0).old(-1)}, wish{}, "s1", true},
		{"drained", []stand{primary, drained, lagging}, wish{}, "s2", true},
		{"a static copy is never tested", []stand{primary, static, lagging}, wish{}, "s1", false},
		{"a static copy is as old as it is", []stand{primary, static}, wish{limited: true, staleness: time.Minute}, "", false},
		{"failed in this request", []stand{primary, replica(0), replica(0)}, wish{barred: 1 << 1}, "s2", false},
		{"the primary with a weight has no lag", []stand{primary.weighing(1), lagging}, wish{}, "s0", false},
	} {
		check(t, c.what, line(now, c.stands...), c.wish, now, c.want, c.lagged)
	}
}

func check(t *testing.T, what string, s *snapshot, w wish, now time.Time, want string, lagged bool) {
	t.Helper()
	if w.group == nil {
		w.group = s.groups[""]
	}
	random := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		c := w.pick(now, random.Float64)
		got := ""
		if c.server != nil {
			got = c.server.name
		}
		if got != want || c.lagged != lagged {
			t.Errorf("%s: picked %q, lagged %v; want %q, %v", what, got, c.lagged, want, lagged)
			return
		}
	}
}

// Cases 6, 7, 53. While the newest reading is young the monitor's verdict decides whatever the lag is now, and after
// three polls the lag, with the time since.
func TestPickFollowsHysteresis(t *testing.T) {
	now := time.Now()
	primary, other := stand{Server: Server{DC: "a"}, primary: true}, replica(0).in("b")
	for _, c := range []struct {
		what string
		s    stand
		in   bool
	}{
		{"in at a lag over the limit: one reading flips nothing", replica(7 * time.Second), true},
		{"out at a lag under the limit: it must prove itself", replica(5 * time.Second).leftOut(), false},
		{"in, three polls old, aged over the limit", replica(4 * time.Second).old(3 * time.Second), true},
		{"in, older, aged over the limit", replica(4 * time.Second).old(3001 * time.Millisecond), false},
		{"in, older, aged under the limit", replica(2 * time.Second).old(3500 * time.Millisecond), true},
		{"out, older, aged under the limit", replica(time.Second).leftOut().old(4 * time.Second), true},
		{"older and unknown", replica(0).unknown("no row").old(4 * time.Second), false},
		{"a minute old", replica(0).old(61 * time.Second), false},
	} {
		want := map[bool]string{true: "s1", false: "s2"}[c.in]
		check(t, c.what, line(now, primary, c.s, other), wish{}, now, want, false)
	}
	// A static copy that was not read for a minute is still what it is.
	static := replica(0).old(2 * time.Minute)
	static.MaxLag = -1
	check(t, "static and not read", line(now, primary, static, other), wish{}, now, "s1", false)
}

// Case 15, 53. An explicit staleness is held against what the lag may be now: with what the reading told, the time since,
// and never against the MaxLag verdict or what a dead writer makes look fresh.
func TestPickExplicitStaleness(t *testing.T) {
	now := time.Now()
	primary := stand{Server: Server{DC: "a"}, primary: true}
	frozen, unsure := replica(0), replica(0)
	frozen.class, frozen.bound = known(0), known(10*time.Second)
	unsure.class, unsure.bound = known(0), unknown(LagSkew)
	for _, c := range []struct {
		what   string
		stands []stand
		max    time.Duration
		want   string
	}{
		{"the fresh one only", []stand{primary, replica(300 * time.Millisecond), replica(900 * time.Millisecond)}, 500 * time.Millisecond, "s1"},
		{"none", []stand{primary, replica(900 * time.Millisecond), replica(900 * time.Millisecond)}, 500 * time.Millisecond, ""},
		{"exactly", []stand{primary, replica(500 * time.Millisecond)}, 500 * time.Millisecond, "s1"},
		{"by a nanosecond", []stand{primary, replica(500*time.Millisecond + 1)}, 500 * time.Millisecond, ""},
		{"aged", []stand{primary, replica(300 * time.Millisecond).old(201 * time.Millisecond)}, 500 * time.Millisecond, ""},
		{"dead writer: the difference of the rows says nothing", []stand{primary, frozen}, 2 * time.Second, ""},
		{"dead writer, a wide bound", []stand{primary, frozen}, 10 * time.Second, "s1"},
		{"unknown", []stand{primary, replica(0).unknown("no table")}, time.Hour, ""},
		{"unknown, though within MaxLag by the difference of the rows", []stand{primary, unsure}, time.Hour, ""},
		{"never read", []stand{primary, replica(0).old(-1)}, time.Hour, ""},
		{"over MaxLag, within the staleness: the limit is the smaller", []stand{primary, replica(8 * time.Second).leftOut()}, time.Minute, ""},
		{"another DC rather than a staler own one", []stand{primary, replica(3 * time.Second), replica(time.Second).in("b")}, 2 * time.Second, "s2"},
	} {
		check(t, c.what, line(now, c.stands...), wish{limited: true, staleness: c.max}, now, c.want, false)
	}
}

// Cases 17, 18. A required position of age 2 s is a limit of 3 s, whatever MaxLag says; who is known to have it passes.
func TestPickRequiredPosition(t *testing.T) {
	now := time.Now()
	primary := stand{Server: Server{DC: "a"}, primary: true}
	two := wish{required: true, positionAge: 2 * time.Second}
	having := func(w wish, indices ...int) wish {
		for _, i := range indices {
			w.reached = w.reached.with(i)
		}
		return w
	}
	for _, c := range []struct {
		what   string
		stands []stand
		wish   wish
		want   string
		lagged bool
	}{
		{"3 s behind may have it", []stand{primary, replica(3 * time.Second), replica(5 * time.Second)}, two, "s1", false},
		{"more may not: the other DC", []stand{primary, replica(3001 * time.Millisecond), replica(0).in("b")}, two, "s2", false},
		{"who has it passes whatever the lag", []stand{primary, replica(5 * time.Second), replica(0).in("b")}, having(two, 1), "s1", false},
		{"of two that may, who has it", []stand{primary, replica(0), replica(2 * time.Second)}, having(two, 2), "s2", false},
		{"who has it and is over MaxLag is degraded for that", []stand{primary, replica(9 * time.Second).leftOut()}, having(two, 1), "s1", true},
		{"all are behind: not flagged, the wait may bring it", []stand{primary, replica(5 * time.Second)}, two, "s1", false},
		{"behind and over MaxLag: flagged", []stand{primary, replica(9 * time.Second).leftOut()}, two, "s1", true},
		{"dated in the future is now", []stand{primary, replica(1001 * time.Millisecond), replica(999 * time.Millisecond)}, wish{required: true}, "s2", false},
		{"the primary has it", []stand{primary.weighing(1), replica(5 * time.Second)}, two, "s0", false},
		{"with a staleness, who is degraded for the position alone serves", []stand{primary, replica(5 * time.Second)},
			wish{required: true, positionAge: time.Second, limited: true, staleness: 6 * time.Second}, "s1", false},
		{"with a staleness that it misses it does not", []stand{primary, replica(5 * time.Second)},
			wish{required: true, positionAge: time.Second, limited: true, staleness: 4 * time.Second}, "", false},
	} {
		check(t, c.what, line(now, c.stands...), c.wish, now, c.want, c.lagged)
	}
}

// Case 25. Who answers faster gets the reads, who is busy does not, and what differs by little does not count.
func TestPickByLatencyAndLoad(t *testing.T) {
	now := time.Now()
	primary := stand{Server: Server{DC: "a"}, primary: true}
	of := func(latency time.Duration, inFlight int) stand {
		s := replica(0)
		s.latency, s.inFlight = latency, inFlight
		return s
	}
	for _, c := range []struct {
		what      string
		a, b      stand
		least, to float64 // the share of a
	}{
		{"1 and 50 ms", of(time.Millisecond, 0), of(50*time.Millisecond, 0), 0.9, 1},
		{"1.00 and 1.05 ms", of(time.Millisecond, 0), of(1050*time.Microsecond, 0), 0.48, 0.52},
		{"100 under way on the other", of(time.Millisecond, 0), of(time.Millisecond, 100), 0.9, 1},
		{"100 under way on the other, nobody measured", of(0, 0), of(0, 100), 0.9, 1},
		{"one measured, one not", of(time.Millisecond, 0), of(0, 0), 0.48, 0.52},
		{"as much under way as the weights say", of(time.Millisecond, 10).weighing(1), of(time.Millisecond, 30).weighing(3), 0.23, 0.27},
	} {
		got := picks(line(now, primary, c.a, c.b), wish{}, now, 20_000)
		if s := share(got, "s1"); s < c.least || s > c.to {
			t.Errorf("%s: %v", c.what, got)
		}
	}
}

// Case 25. A server that was slow is tried again within 10 s, though nobody measured it since.
func TestPickTriesSlowServerAgain(t *testing.T) {
	now := time.Now()
	fast, slow := replica(0), replica(0)
	fast.latency, slow.latency = time.Millisecond, 50*time.Millisecond
	view := line(now, stand{Server: Server{DC: "a"}, primary: true}, fast, slow)
	for after := time.Second; after <= 10*time.Second; after += time.Second {
		at := now.Add(after)
		view.servers[1].latency.add(at, time.Millisecond)
		view.servers[1].verdict.at, view.servers[2].verdict.at = at, at
		if picks(view, wish{}, at, 200)["s2"] > 0 {
			return
		}
	}
	t.Error("not tried in 10 s")
}

// Case 9. The first of the groups that exists serves, else who serves reads that name none.
func TestPickGroups(t *testing.T) {
	now := time.Now()
	slow, both := replica(0), replica(0)
	slow.Groups = map[string]int{"vslow": 1}
	both.Weight, both.Groups = 1, map[string]int{"baz": 2}
	s := line(now, stand{Server: Server{DC: "a"}, primary: true}, replica(0), slow, both)
	for _, c := range []struct {
		ask  []string
		want string
	}{
		{nil, "s1 s3"}, {[]string{"vslow"}, "s2"}, {[]string{"unknown"}, "s1 s3"}, {[]string{"unknown", "baz"}, "s3"},
		{[]string{"baz", "vslow"}, "s3"}, {[]string{""}, "s1 s3"}, {[]string{"", "vslow"}, "s2"},
	} {
		got := slices.Sorted(maps.Keys(picks(s, wish{group: s.groupOf(c.ask)}, now, 500)))
		if strings.Join(got, " ") != c.want {
			t.Errorf("%q are served by %v, want %s", c.ask, got, c.want)
		}
	}
}

// Case 27. A pick allocates nothing, with a position and a staleness to heed too.
func TestPickWithPositionAllocatesNothing(t *testing.T) {
	now := time.Now()
	stands := []stand{{Server: Server{DC: "a"}, primary: true}}
	for i := range 15 {
		stands = append(stands, replica(time.Duration(i)*100*time.Millisecond))
	}
	s := line(now, stands...)
	random := rand.New(rand.NewPCG(5, 6))
	w := wish{group: s.groups[""], required: true, positionAge: time.Second, reached: 1 << 3, limited: true, staleness: time.Second}
	if n := testing.AllocsPerRun(1000, func() { w.pick(now, random.Float64) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A pick with 70 members, more than it has room for on its stack, and than a mask has bits, is right too.
func TestPickManyServers(t *testing.T) {
	now := time.Now()
	stands := []stand{{Server: Server{DC: "a"}, primary: true}}
	for range 70 {
		stands = append(stands, replica(0))
	}
	if got := picks(line(now, stands...), wish{}, now, 10_000); len(got) != 70 || got["s0"] != 0 {
		t.Errorf("%d servers were picked: %v", len(got), got)
	}
}

// Whatever the servers and the wish, who is picked is one of those that a slow reading of the rules allows.
func TestPickAgainstTwin(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20_000) {
		random := rand.New(rand.NewPCG(seed, 0))
		now := time.Now()
		s, w := randomLine(random, now), randomWish(random)
		w.group = s.groups[""]
		allowed, degraded := allowedBy(s, &w, now)
		for range 8 {
			c := w.pick(now, random.Float64)
			if c.server == nil && len(allowed) == 0 {
				continue
			}
			if c.server == nil || !allowed[c.server] {
				t.Fatalf("seed %d: picked %v of %v, wish %+v", seed, c, allowed, w)
			}
			if want := degraded && !c.server.fresh(now); c.lagged != want {
				t.Fatalf("seed %d: lagged is %v for %s %+v, wish %+v", seed, c.lagged, c.server.name, c.server.verdict, w)
			}
		}
	}
}

func randomLine(random *rand.Rand, now time.Time) *snapshot {
	stands := []stand{{Server: Server{DC: "a", Weight: random.IntN(3) - 1}, primary: true}}
	for range 1 + random.IntN(6) {
		s := replica(time.Duration(random.IntN(9000)) * time.Millisecond).in(string('a' + rune(random.IntN(3))))
		s.out, s.broken, s.age = random.IntN(3) == 0, random.IntN(4) == 0, time.Duration(random.IntN(5000))*time.Millisecond
		s.trip = time.Duration(random.IntN(3)) * 10 * time.Millisecond
		s.Drained = random.IntN(8) == 0
		s.Weight = []int{0, 1, 5, -1}[random.IntN(4)]
		switch random.IntN(8) {
		case 0:
			s.bound = unknown(LagNoRow)
		case 1:
			s.age = -1
		case 2:
			s.age = time.Duration(random.IntN(120)) * time.Second
		case 3:
			s.MaxLag = -1
		}
		stands = append(stands, s)
	}
	return line(now, stands...)
}

func randomWish(random *rand.Rand) wish {
	w := wish{localOnly: random.IntN(4) == 0, barred: mask(random.IntN(128) & random.IntN(128) & random.IntN(128))}
	if random.IntN(3) == 0 {
		w.limited, w.staleness = true, time.Duration(1+random.IntN(7000))*time.Millisecond
	}
	if random.IntN(3) == 0 {
		w.required, w.positionAge = true, time.Duration(random.IntN(5000))*time.Millisecond
		w.reached = mask(random.IntN(128)&random.IntN(128)) &^ 1
	}
	return w
}

// allowedBy reads rules 3 to 8 of 3.2 one after the other.
func allowedBy(s *snapshot, w *wish, now time.Time) (allowed map[*server]bool, degraded bool) {
	passes := func(one *server, limit time.Duration) bool {
		l := one.lag(now)
		return l.Known && l.Value <= limit
	}
	usable := func(one *server) bool {
		return one.breaker.State(now) == breaker.Closed && !w.barred.has(one.index) && !one.config.Drained &&
			(one.dc == "a" || !w.localOnly)
	}
	byStaleness := func(one *server) bool { return !w.limited || passes(one, w.staleness) }
	byPosition := func(one *server) bool {
		return !w.required || one.primary || w.reached.has(one.index) || passes(one, w.positionAge+time.Second)
	}
	nearest := 1 << 20
	classes := map[string][]*server{}
	for _, m := range s.groups[""].members {
		one := m.server
		if !usable(one) {
			continue
		}
		switch own := one.dc == "a"; {
		case one.fresh(now) && byStaleness(one) && byPosition(one):
			if own {
				classes["A"] = append(classes["A"], one)
			} else if one.tier <= nearest {
				if one.tier < nearest {
					classes["B"] = nil
				}
				nearest = one.tier
				classes["B"] = append(classes["B"], one)
			}
		case w.limited && (!one.fresh(now) || !byStaleness(one)):
		case own:
			classes["C own"] = append(classes["C own"], one)
		default:
			classes["C remote"] = append(classes["C remote"], one)
		}
	}
	for _, class := range []string{"A", "B", "C own", "C remote"} {
		if len(classes[class]) > 0 {
			degraded = class[0] == 'C'
			return bestOf(classes[class], w, degraded, now), degraded
		}
	}
	return nil, false
}

func bestOf(list []*server, w *wish, degraded bool, now time.Time) map[*server]bool {
	having := map[*server]bool{}
	all := map[*server]bool{}
	for _, one := range list {
		all[one] = true
		if w.required && (one.primary || w.reached.has(one.index)) {
			having[one] = true
		}
	}
	if len(having) > 0 && w.reached != 0 {
		all = having
	}
	if !degraded || len(all) < 2 {
		return all
	}
	var stalest *server // of two that are drawn never the stalest of all, if there is one
	alone := true
	for one := range all {
		switch {
		case stalest == nil || staler(one, stalest, now):
			stalest, alone = one, true
		case !staler(stalest, one, now):
			alone = false
		}
	}
	if alone {
		delete(all, stalest)
	}
	return all
}

func staler(a, b *server, now time.Time) bool {
	x, y := a.lag(now), b.lag(now)
	return !x.Known && y.Known || x.Known && y.Known && x.Value > y.Value
}
