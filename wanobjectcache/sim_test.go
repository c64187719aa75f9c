package wanobjectcache_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/multidc/multidc/internal/sim"
	"github.com/multidc/multidc/wanobjectcache"
)

// What the package guarantees, in two DCs whose links lose and part, whose replicas lag, whose processes stall and whose
// clocks disagree: the invariants S1 to S5, which simLedger checks at each step.
func TestSimulation(t *testing.T) {
	t.Parallel()
	var seen simCounts
	seeds := 0
	sim.Run(t, []string{"a", "b"}, func(t *testing.T, w *sim.World) {
		newSimWorld(t, w, &seen).play()
		seeds++
	})
	t.Log(seen.String())
	if seeds >= 100 && !t.Failed() {
		seen.mustHave(t)
	}
}

// simCounts is what happened in all worlds: who never saw it proves nothing about it.
type simCounts struct{ sync.Map }

func (c *simCounts) add(what string) {
	n, _ := c.LoadOrStore(what, new(atomic.Int64))
	n.(*atomic.Int64).Add(1)
}

func (c *simCounts) all() map[string]int64 {
	all := map[string]int64{}
	c.Range(func(what, n any) bool {
		all[what.(string)] = n.(*atomic.Int64).Load()
		return true
	})
	return all
}

func (c *simCounts) String() string {
	var s strings.Builder
	all := c.all()
	for _, what := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&s, "%s %d, ", what, all[what])
	}
	return s.String()
}

func (c *simCounts) mustHave(t *testing.T) {
	t.Helper()
	all := c.all()
	for _, fill := range []wanobjectcache.Fill{
		wanobjectcache.FillStored, wanobjectcache.FillCapped, wanobjectcache.FillInterim, wanobjectcache.FillOld,
		wanobjectcache.FillPurged, wanobjectcache.FillConflict, wanobjectcache.FillTakenBack, wanobjectcache.FillFailed,
	} {
		if all["fill "+string(fill)] == 0 {
			t.Errorf("no fill was %s", fill)
		}
	}
	for _, how := range []wanobjectcache.Outcome{
		wanobjectcache.HitGood, wanobjectcache.HitRefresh, wanobjectcache.HitVolatile, wanobjectcache.HitStale, wanobjectcache.HitFallback,
		wanobjectcache.MissJoined, wanobjectcache.MissWaited, wanobjectcache.MissCompute, wanobjectcache.RenewCompute,
	} {
		if all[string(how)] == 0 {
			t.Errorf("no call was answered by %s", how)
		}
	}
}

// How long a world lasts: writers, and what the pools lose, stop early enough to see what becomes of what is there then.
const (
	simWriting = 50 * time.Second
	simLosing  = 60 * time.Second
	simReading = 140 * time.Second
)

func newSimWorld(t *testing.T, w *sim.World, seen *simCounts) *simWorld {
	t.Helper()
	dice := &simDice{rand: w.Rand("world")}
	world := &simWorld{T: t, sim: w, counts: seen, ends: time.Now().Add(simReading)}
	if dice.chance(0.5) {
		world.skew = 5 * time.Second
	}
	if dice.chance(0.5) {
		world.trouble = 0.02
	}
	maxLag := 7 * time.Second
	if dice.chance(0.4) {
		maxLag = 16 * time.Second
	}
	world.stalls = []float64{0.05, 0.05, 0.05, 0.4}[dice.pick(4)]
	world.tagged = []float64{0.2, 0.7}[dice.pick(2)]
	// The sum is written here once more, so that a wrong one is noticed.
	world.simLedger = newSimLedger(3*time.Second+7*time.Second+world.skew+time.Second, maxLag, func(s string) { t.Error(s) })
	for _, dc := range w.DCs() {
		world.dcs = append(world.dcs, &simDC{
			Memory: wanobjectcache.NewMemory(&wanobjectcache.MemoryOptions{CoarseClock: true}),
			world:  world, name: dc, log: wanobjectcache.NewMemoryPurgeLog(),
		})
		time.Sleep(dice.upTo(time.Second)) // their clocks tick at different moments
	}
	for i, dc := range world.dcs {
		for n := range 2 {
			world.procs = append(world.procs, world.newProc(dc, world.dcs[1-i], n, dice))
		}
	}
	return world
}

func (w *simWorld) newProc(dc, other *simDC, n int, dice *simDice) *simProc {
	p := &simProc{world: w, dc: dc, name: dc.name + strconv.Itoa(n+1), tells: dice.chance(0.5)}
	p.simDice = &simDice{rand: w.sim.Rand(p.name)}
	if p.ahead = dice.upTo(w.skew); dice.chance(0.7) { // the worst: one is ahead as far as can be, the other is not
		p.ahead = time.Duration(n) * w.skew
	}
	o := wanobjectcache.Options{
		DC: dc.name, Remote: map[string]wanobjectcache.Store{other.name: &simPool{other, p, w.sim.Link(dc.name, other.name)}},
		PurgeLog: dc.log, MaxClockSkew: w.skew, LockWait: time.Second, Now: p.now, Rand: p.Float64,
		Freshness: func(context.Context) wanobjectcache.Facts {
			_, lag := dc.replica.read()
			return wanobjectcache.Facts{Lag: lag}
		},
		Events: w.events(p),
	}
	if p.tells {
		o.Freshness = wanobjectcache.FromContext
	}
	var err error
	if p.cache, err = wanobjectcache.New(&simPool{dc, p, nil}, &o); err != nil {
		w.Fatal(err)
	}
	tags := func(id string) []wanobjectcache.Tag { return simTags[id] }
	p.plain = p.group(wanobjectcache.GroupOptions[string, string]{
		TTL: time.Hour, Tags: tags, AgeNew: 2 * time.Second, HotTTR: 40 * time.Second,
		Load: func(ctx context.Context, id string) (string, error) { return p.loadOne(ctx, "plain", id) },
	})
	p.soft = p.group(wanobjectcache.GroupOptions[string, string]{
		TTL: 45 * time.Second, Tags: tags, StaleWhileLocked: 5 * time.Second, StaleIfError: 2 * time.Minute,
		LoadMany: func(ctx context.Context, ids []string) (map[string]string, error) {
			return p.loadMany(ctx, "soft", ids)
		},
	})
	return p
}

func (p *simProc) group(o wanobjectcache.GroupOptions[string, string]) *simGroup {
	g, err := wanobjectcache.NewGroup(p.cache, "page", &o)
	if err != nil {
		p.world.Fatal(err)
	}
	return g
}

func (w *simWorld) events(p *simProc) wanobjectcache.Events {
	return wanobjectcache.Events{
		OnFill:  func(_ context.Context, i wanobjectcache.FillInfo) { w.counts.add("fill " + string(i.Fill)) },
		OnFetch: func(_ context.Context, i wanobjectcache.FetchInfo) { w.counts.add(string(i.Outcome)) },
		OnWarning: func(_ context.Context, i wanobjectcache.WarningInfo) {
			if i.Kind == wanobjectcache.FenceFailed {
				w.mu.Lock()
				defer w.mu.Unlock()
				name, _ := simName(i.Key)
				w.unfenced[p.dc.name+name] = true
			}
		},
	}
}

// play lets everybody live until the world ends.
func (w *simWorld) play() {
	var all sync.WaitGroup
	for i := range 2 {
		all.Go(func() { w.write("writer"+strconv.Itoa(i), &all) })
	}
	for _, p := range w.procs {
		all.Go(func() { p.ask(&all) })
	}
	for i, dc := range w.dcs {
		all.Go(func() { w.weather(dc) })
		all.Go(func() { w.tides(dc, &all) })
		all.Go(func() { w.apply(w.procs[2*i]) })
	}
	all.Go(w.watch)
	all.Wait()
	for _, p := range w.procs {
		if err := p.cache.Close(context.Background()); err != nil {
			w.Error(err)
		}
	}
	time.Sleep(time.Minute) // messages on their way
}

func (w *simWorld) over() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.broken || time.Now().After(w.ends)
}

// watch looks at all that is stored, as time goes by: that breaks invariants, too.
func (w *simWorld) watch() {
	for ; !w.over(); time.Sleep(500 * time.Millisecond) {
		for _, dc := range w.dcs {
			w.lookInto(dc)
		}
	}
}

func (w *simWorld) lookInto(dc *simDC) {
	dc.step.Lock()
	defer dc.step.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range simIDs {
		w.checkStored(dc, id)
	}
}

// weather is a link's, and what a pool loses.
func (w *simWorld) weather(dc *simDC) {
	dice := &simDice{rand: w.sim.Rand("weather " + dc.name)}
	other := w.dcs[0]
	if dc == other {
		other = w.dcs[1]
	}
	link := w.sim.Link(dc.name, other.name)
	for !w.over() {
		link.Set(sim.Weather{
			Delay:  20 * time.Millisecond,
			Jitter: []time.Duration{0, 200 * time.Millisecond, 2 * time.Second}[dice.pick(3)],
			Loss:   []float64{0, 0, 0.2}[dice.pick(3)],
		})
		if dice.chance(0.2) {
			link.Cut()
		}
		for range 4 {
			time.Sleep(dice.upTo(3 * time.Second))
			if id := simIDs[dice.pick(3)]; time.Since(w.began) < simLosing {
				dc.evict([]string{simWire(id, "v"), simWire(id, "v"), simWire(id, "i"), simWire(id, "m"), simTagWire("t1"), simTagWire("t2")}[dice.pick(6)])
			}
		}
		link.Heal()
	}
}

// tides are the lags of a replica. Those at the limit show a hold-off that is too short.
func (w *simWorld) tides(dc *simDC, all *sync.WaitGroup) {
	dice := &simDice{rand: w.sim.Rand("tides " + dc.name)}
	for limit := 7 * time.Second; !w.over(); {
		_, lag := dc.replica.read()
		switch {
		case lag > limit: // it comes back, quickly
			lag = dice.upTo(limit / 2)
		case w.maxLag > limit && dice.chance(0.7):
			lag = w.maxLag - dice.upTo(2*time.Second)
		case dice.chance(0.5):
			lag = limit - dice.upTo(100*time.Millisecond)
		default:
			lag = dice.upTo(limit)
		}
		dc.replica.set(lag)
		_, now := dc.replica.read()
		holds := max(lag-now, 0) + dice.upTo(6*time.Second) // it cannot grow faster than time goes by
		if lag > limit {
			w.linger(dc, dice, holds, all)
		}
		time.Sleep(holds)
	}
}

// linger asks shortly before a replica comes back: then a load begins with old data, and ends when no lag is to be seen.
func (w *simWorld) linger(dc *simDC, dice *simDice, holds time.Duration, all *sync.WaitGroup) {
	for _, p := range w.procs {
		for _, id := range simIDs {
			if pause := max(holds-dice.upTo(3*time.Second), 0); p.dc == dc {
				all.Go(func() {
					time.Sleep(pause)
					p.call(id)
				})
			}
		}
	}
}

// write changes data, and purges what depends on it.
func (w *simWorld) write(name string, all *sync.WaitGroup) {
	dice := &simDice{rand: w.sim.Rand(name)}
	until := time.Now().Add(simWriting)
	for !w.over() && time.Now().Before(until) {
		time.Sleep(dice.upTo(16 * time.Second))
		id := dice.pick(3)
		ids := []string{simIDs[id]}
		if dice.chance(0.2) {
			ids = append(ids, simIDs[(id+1)%3])
		}
		tag := dice.chance(w.tagged)
		if tag {
			ids = []string{[]string{"t1", "t2"}[dice.pick(2)]}
		}
		for range 1 + dice.pick(2) { // a second change of the same follows soon, perhaps elsewhere
			p, delay := w.procs[dice.pick(len(w.procs))], []time.Duration{0, dice.upTo(3 * time.Second), 3*time.Second - dice.upTo(50*time.Millisecond)}[dice.pick(3)]
			all.Go(func() { p.change(tag, ids, delay) })
			w.crowd(ids, dice, all)
			time.Sleep(dice.upTo(3 * time.Second))
		}
	}
}

// change is a transaction that purges as the last thing before its commit, which takes a while.
func (p *simProc) change(tag bool, names []string, delay time.Duration) {
	w := p.world
	var purges []*simPurge
	for _, name := range names {
		purges = append(purges, w.purged(p, tag, name))
	}
	timer := time.AfterFunc(delay, func() { w.committed(purges...) })
	defer timer.Stop()
	var d *wanobjectcache.Delivery
	var err error
	if tag {
		d, err = p.cache.PurgeTags(context.Background(), wanobjectcache.Tag(names[0]))
	} else {
		d, err = p.plain.Delete(context.Background(), names...)
	}
	for _, one := range purges {
		w.hasReturned(one, err)
	}
	_ = d.Wait(context.Background())
	for _, one := range purges {
		w.delivered(one, len(purges) == 1, d.Results())
	}
	time.Sleep(time.Until(purges[0].called.Add(delay + 1)))
}

// crowd asks for what was purged: at once, and when the hold-off ends.
func (w *simWorld) crowd(names []string, dice *simDice, all *sync.WaitGroup) {
	ids := names
	if simTags[names[0]] == nil && names[0] != "k3" {
		ids = simTagged(names[0])
	}
	for _, p := range w.procs {
		id, soon, late := ids[dice.pick(len(ids))], dice.upTo(3*time.Second), 3*time.Second+dice.upTo(w.holdoff)
		if dice.chance(0.5) {
			late = w.holdoff - 1300*time.Millisecond + dice.upTo(1500*time.Millisecond)
		}
		for _, pause := range []time.Duration{soon, late} {
			all.Go(func() {
				time.Sleep(pause)
				p.call(id)
				if p.chance(0.4) {
					time.Sleep(p.upTo(300 * time.Millisecond))
					p.call(id)
				}
			})
		}
	}
}

// ask is the everyday life of a process.
func (p *simProc) ask(all *sync.WaitGroup) {
	dice := &simDice{rand: p.world.sim.Rand("asks " + p.name)}
	for !p.world.over() {
		time.Sleep(dice.upTo(4 * time.Second))
		id := simIDs[dice.pick(3)]
		all.Go(func() { p.call(id) })
	}
}

// call asks for a value in one of the ways there are.
func (p *simProc) call(id string) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if p.chance(0.05) {
		ctx, cancel = context.WithTimeout(ctx, p.upTo(3*time.Second))
		defer cancel()
	}
	c := simCall{by: p, id: id, began: time.Now()}
	switch dice := p.Float64(); {
	case dice < 0.4:
		p.fetch(ctx, p.plain, c)
	case dice < 0.6:
		p.fetch(ctx, p.soft, c)
	case dice < 0.7:
		p.fetchMany(ctx, c)
	case dice < 0.8:
		var err error
		c.value, err = p.plain.GetWith(ctx, id, func(ctx context.Context) (string, error) { return p.loadOne(ctx, simWith, id) })
		p.judge(c, false, err)
	case dice < 0.9:
		values, err := p.plain.GetMany(ctx, simIDs)
		c.value = values[id]
		p.judge(c, false, err)
	default:
		p.set(ctx, id)
	}
}

func (p *simProc) fetch(ctx context.Context, g *simGroup, c simCall) {
	r, err := g.Fetch(ctx, c.id)
	c.value, c.outcome, c.state, c.purged = r.Value, r.Outcome, r.State, r.PurgedAt
	p.judge(c, r.Stale, err)
}

func (p *simProc) fetchMany(ctx context.Context, c simCall) {
	results, _ := p.soft.FetchMany(context.WithValue(ctx, simBatch{}, true), simIDs)
	for _, r := range results {
		c.id, c.value, c.outcome, c.state, c.purged = r.ID, r.Value, r.Outcome, r.State, r.PurgedAt
		p.judge(c, r.Stale, r.Err)
	}
}

// simBatch marks the contexts of batches, whose loads are not shared.
type simBatch struct{}

func (p *simProc) judge(c simCall, stale bool, err error) {
	if errors.Is(err, wanobjectcache.ErrUnsupported) || errors.Is(err, wanobjectcache.ErrClosed) {
		p.world.Error(err)
	}
	if c.value != "" && !stale {
		p.world.answered(c)
	}
}

// set stores what was read elsewhere.
func (p *simProc) set(ctx context.Context, id string) {
	began := p.now()
	load := p.world.begin(ctx, p, simAlone, id)
	value, lag := p.readReplica(load)
	time.Sleep(p.loadTime() / 2)
	p.world.end(load)
	_, _ = p.plain.Set(ctx, id, value, wanobjectcache.SetOptions{Facts: wanobjectcache.Facts{Lag: lag}, LoadStarted: began})
}

func (p *simProc) readReplica(load *simLoad) (value string, lag time.Duration) {
	shown, lag := p.dc.replica.read()
	version := p.world.versionAt(load.id, shown)
	p.world.read(load, version, lag)
	return fmt.Sprintf("%d#%d", version, load.number), lag
}

func (p *simProc) loadTime() time.Duration {
	switch dice := p.Float64(); {
	case dice < 0.4:
		return 0
	case dice < 0.7:
		return p.upTo(500 * time.Millisecond)
	case dice < 0.9:
		return p.upTo(6 * time.Second)
	default:
		return p.upTo(simLongest)
	}
}

var errSimLoad = errors.New("the database is tired")

func (p *simProc) loadOne(ctx context.Context, group, id string) (string, error) {
	values, err := p.loadMany(ctx, group, []string{id})
	return values[id], err
}

// loadMany is a loader that reads somewhen while it runs.
func (p *simProc) loadMany(ctx context.Context, group string, ids []string) (map[string]string, error) {
	if ctx.Value(simBatch{}) != nil {
		group = simAlone
	}
	var loads []*simLoad
	for _, id := range ids {
		loads = append(loads, p.world.begin(ctx, p, group, id))
	}
	defer func() {
		for _, l := range loads {
			p.world.end(l)
		}
	}()
	took, before := p.loadTime(), time.Duration(0)
	if p.chance(0.3) {
		before = p.upTo(took)
	}
	if !p.sleep(ctx, before) {
		return nil, ctx.Err()
	}
	values := map[string]string{}
	for i, id := range ids {
		value, lag := p.readReplica(loads[i])
		if values[id] = value; p.tells {
			wanobjectcache.Report(ctx, wanobjectcache.Facts{Lag: lag})
		}
	}
	if !p.sleep(ctx, took-before) {
		return nil, ctx.Err()
	}
	if p.chance(0.05) {
		return nil, errSimLoad
	}
	return values, nil
}

// sleep returns false if the load was cancelled. Some loaders do not look. It makes no timer that is due at once: two of a
// bubble on which goroutines select at the same time end the process in the race detector (go1.26: both run on the bubble's
// one race context, without a lock).
func (p *simProc) sleep(ctx context.Context, d time.Duration) bool {
	if p.chance(0.2) || d <= 0 {
		time.Sleep(d)
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// apply is the applier of a DC: it replays what the logs of all DCs have, in their order.
func (w *simWorld) apply(p *simProc) {
	dice := &simDice{rand: w.sim.Rand("applier " + p.dc.name)}
	done := map[*simDC]int{}
	for ; !w.over(); time.Sleep(dice.upTo(4 * time.Second)) {
		for _, from := range w.dcs {
			done[from] += w.replay(p, from, done[from])
		}
	}
}

// replay returns how many purges of a log are done.
func (w *simWorld) replay(p *simProc, from *simDC, done int) (n int) {
	var purges []wanobjectcache.Purge
	if from != p.dc {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		var arrived []wanobjectcache.Purge
		if err := w.sim.Link(p.dc.name, from.name).Call(ctx, func() error { arrived = from.log.From(done); return nil }); err != nil {
			return 0
		}
		purges = arrived
	} else {
		purges = from.log.From(done)
	}
	for i, err := range p.cache.Replay(context.Background(), purges) {
		if err != nil {
			return i
		}
		w.replayed(p.dc, purges[i])
	}
	return len(purges)
}
