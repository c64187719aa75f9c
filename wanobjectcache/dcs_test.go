package wanobjectcache_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/internal/sim"
	"github.com/multidc/multidc/wanobjectcache"
)

// pair is two DCs, each with a pool whose clock ticks as memcached's, and a replica of one row. Its versions are 0, and 1
// since the commit.
type pair struct {
	*testing.T

	pools    map[string]*wanobjectcache.Memory
	replicas map[string]*simReplica
	commit   time.Time
	takes    time.Duration // a load
	silent   bool          // no lag is reported
}

func newPair(t *testing.T, lag time.Duration) *pair {
	t.Helper()
	p := &pair{T: t, pools: map[string]*wanobjectcache.Memory{}, replicas: map[string]*simReplica{}, commit: time.Now().Add(time.Hour)}
	for _, dc := range []string{"a", "b"} {
		p.pools[dc] = wanobjectcache.NewMemory(&wanobjectcache.MemoryOptions{CoarseClock: true})
		p.replicas[dc] = &simReplica{lag: lag}
	}
	return p
}

// process is a cache in a DC, and its group.
func (p *pair) process(dc string, change func(*wanobjectcache.Options)) (*wanobjectcache.Cache, *wanobjectcache.Group[int, string]) {
	p.Helper()
	other := map[string]string{"a": "b", "b": "a"}[dc]
	o := wanobjectcache.Options{
		DC: dc, Remote: map[string]wanobjectcache.Store{other: p.pools[other]}, Freshness: wanobjectcache.FromContext,
		Rand: func() float64 { return 1 },
	}
	change(&o)
	cache, err := wanobjectcache.New(p.pools[dc], &o)
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() {
		if err := cache.Close(context.Background()); err != nil {
			p.Error(err)
		}
	})
	g, err := wanobjectcache.NewGroup(cache, "row", &wanobjectcache.GroupOptions[int, string]{
		TTL: time.Hour, Tags: func(int) []wanobjectcache.Tag { return []wanobjectcache.Tag{"table"} },
		Load: func(ctx context.Context, _ int) (string, error) {
			shown, lag := p.replicas[dc].read()
			if !p.silent {
				wanobjectcache.Report(ctx, wanobjectcache.Facts{Lag: lag})
			}
			time.Sleep(p.takes)
			return strconv.Itoa(p.version(shown)), nil
		},
	})
	if err != nil {
		p.Fatal(err)
	}
	return cache, g
}

func (p *pair) version(shown time.Time) int {
	if shown.Before(p.commit) {
		return 0
	}
	return 1
}

func (p *pair) fetch(g *wanobjectcache.Group[int, string], id int) wanobjectcache.Result[int, string] {
	r, err := g.Fetch(p.Context(), id)
	if err != nil {
		p.Error(err)
	}
	return r
}

// storm asks for some rows all the time, with several callers in each process, and is told what they see.
func (p *pair) storm(lasts time.Duration, groups []*wanobjectcache.Group[int, string], see func(wanobjectcache.Result[int, string])) {
	var callers sync.WaitGroup
	for until, i := time.Now().Add(lasts), 0; time.Now().Before(until); i++ {
		for _, g := range groups {
			for id := range 3 {
				callers.Go(func() { see(p.fetch(g, id)) })
			}
		}
		time.Sleep(time.Duration(70+i%7*10) * time.Millisecond)
	}
	callers.Wait()
}

// Case G1. Replicas that are 9 s behind, as is reported, and a commit a second after its purge: with readers everywhere all
// the time, what is older than the commit is not to be seen any more when the hold-off is over.
func TestNothingOldSurvivesTheHoldoff(t *testing.T) {
	for _, takes := range []time.Duration{0, 400 * time.Millisecond, 3 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			p := newPair(t, 9*time.Second)
			p.takes = takes
			var groups []*wanobjectcache.Group[int, string]
			for _, dc := range []string{"a", "a", "b", "b"} {
				_, g := p.process(dc, func(*wanobjectcache.Options) {})
				groups = append(groups, g)
			}
			p.storm(5*time.Second+300*time.Millisecond, groups, func(wanobjectcache.Result[int, string]) {})
			deleted := time.Now()
			p.commit = deleted.Add(time.Second)
			d, err := groups[0].Delete(t.Context(), 0, 1, 2)
			if err = errors.Join(err, d.Wait(t.Context())); err != nil {
				t.Fatal(err)
			}
			over := deleted.Add(11 * time.Second)
			p.storm(time.Minute, groups, func(r wanobjectcache.Result[int, string]) {
				if r.Value == "0" && r.Outcome == wanobjectcache.HitGood && time.Now().After(over) {
					t.Errorf("%v after the purge, with loads of %v: %+v", time.Since(deleted), takes, r)
				}
			})
		})
	}
}

// Case G2. Replicas that are 15 s behind show what was there before also when the hold-off is over. If that is reported, or
// if nothing is, such a value is kept for 30 s. If the database is said to have no replicas, it sticks: a limit.
func TestLagBeyondTheHoldoff(t *testing.T) {
	for name, c := range map[string]struct {
		silent    bool
		freshness wanobjectcache.Freshness
		later     string
	}{
		"reported":   {false, wanobjectcache.FromContext, "1"},
		"unreported": {true, wanobjectcache.FromContext, "1"},
		"denied":     {true, wanobjectcache.Unreplicated, "0"},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newPair(t, 15*time.Second)
			p.silent, p.takes = c.silent, time.Millisecond
			_, g := p.process("a", func(o *wanobjectcache.Options) { o.Freshness = c.freshness })
			p.commit = time.Now().Add(time.Second)
			if _, err := g.Delete(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			time.Sleep(12 * time.Second)
			if r := p.fetch(g, 1); r.Value != "0" || r.Outcome != wanobjectcache.MissCompute {
				t.Errorf("%s: after the hold-off: %+v", name, r)
			}
			time.Sleep(30 * time.Second)
			if r := p.fetch(g, 1); r.Value != c.later {
				t.Errorf("%s: 30 s later: %+v", name, r)
			}
		})
	}
}

// Case G15. The clocks of two processes differ by 5 s, as MaxClockSkew allows, whoever of them purges, and whether it is a
// key or a tag: what is older than the commit is not seen any more when the hold-off is over.
func TestSkewedClocks(t *testing.T) {
	const skew = 5 * time.Second
	for _, ahead := range [][2]time.Duration{{0, skew}, {skew, 0}} { // of who purges, and of who reads
		for _, tag := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t, 6900*time.Millisecond)
				clock := func(ahead time.Duration) func(*wanobjectcache.Options) {
					return func(o *wanobjectcache.Options) {
						o.MaxClockSkew, o.Now = skew, func() time.Time { return time.Now().Add(ahead) }
					}
				}
				cache, purger := p.process("a", clock(ahead[0]))
				_, reader := p.process("a", clock(ahead[1]))
				groups := []*wanobjectcache.Group[int, string]{purger, reader}
				for _, g := range groups {
					p.fetch(g, 0)
				}
				purged := time.Now()
				p.commit = purged.Add(3 * time.Second)
				_, err := cache.PurgeTags(t.Context(), "table")
				if !tag {
					_, err = purger.Delete(t.Context(), 0, 1, 2)
				}
				if err != nil {
					t.Fatal(err)
				}
				over := purged.Add(cache.Holdoff())
				p.storm(30*time.Second, groups, func(r wanobjectcache.Result[int, string]) {
					if r.Value == "0" && r.Outcome == wanobjectcache.HitGood && time.Now().After(over) {
						t.Errorf("ahead %v, tag %v: %v after the purge: %+v", ahead, tag, time.Since(purged), r)
					}
				})
			})
		}
	}
}

// linked is a pool behind a link.
type linked struct {
	*wanobjectcache.Memory

	link *sim.Link
}

func (l linked) Set(ctx context.Context, key string, item wanobjectcache.StoreItem, ttl time.Duration) error {
	err := l.link.Call(ctx, func() error { return l.Memory.Set(context.WithoutCancel(ctx), key, item, ttl) })
	switch {
	case errors.Is(err, sim.ErrCut):
		return errors.Join(wanobjectcache.ErrUnavailable, err)
	case errors.Is(err, sim.ErrNoAnswer):
		return errors.Join(wanobjectcache.ErrUnknownOutcome, err)
	}
	return err
}

// A Delivery tells what became of a purge in the other DC, whatever the link does: it arrives, it cannot set out, or it sets
// out and nobody knows. The call waits for none of it.
func TestDeliveryOverALink(t *testing.T) {
	for name, c := range map[string]struct {
		prepare      func(there, back *sim.Link)
		done, purged bool
		err          error
	}{
		"fair":          {func(_, _ *sim.Link) {}, true, true, nil},
		"cut":           {func(there, _ *sim.Link) { there.Cut() }, false, false, wanobjectcache.ErrUnavailable},
		"request lost":  {func(there, _ *sim.Link) { there.Set(sim.Weather{Loss: 1}) }, false, false, wanobjectcache.ErrUnknownOutcome},
		"answer lost":   {func(_, back *sim.Link) { back.Set(sim.Weather{Loss: 1}) }, false, true, wanobjectcache.ErrUnknownOutcome},
		"late":          {func(there, _ *sim.Link) { there.Set(sim.Weather{Delay: 900 * time.Millisecond}) }, true, true, nil},
		"after timeout": {func(there, _ *sim.Link) { there.Set(sim.Weather{Delay: 3 * time.Second}) }, false, true, wanobjectcache.ErrUnknownOutcome},
	} {
		synctest.Test(t, func(t *testing.T) {
			world := sim.New(t, 1, "a", "b")
			p := newPair(t, 0)
			_, a := p.process("a", func(o *wanobjectcache.Options) { o.Remote["b"] = linked{p.pools["b"], world.Link("a", "b")} })
			_, b := p.process("b", func(*wanobjectcache.Options) {})
			c.prepare(world.Link("a", "b"), world.Link("b", "a"))
			began := time.Now()
			d, err := a.Delete(t.Context(), 1)
			if err != nil || time.Since(began) > 0 {
				t.Errorf("%s: Delete: %v after %v", name, err, time.Since(began))
			}
			if here := d.Results()[0]; here.DC != "a" || !here.Done || here.Err != nil {
				t.Errorf("%s: the own DC: %v", name, here)
			}
			err = d.Wait(t.Context())
			var failed *wanobjectcache.DeliveryError
			if c.done != (err == nil) || !errors.Is(err, c.err) || !c.done && !errors.As(err, &failed) {
				t.Errorf("%s: Wait: %v", name, err)
			}
			if there := d.Results()[1]; there.DC != "b" || !there.Done || time.Since(began) > time.Second {
				t.Errorf("%s: the other DC: %v after %v", name, there, time.Since(began))
			}
			time.Sleep(5 * time.Second)
			r, err := b.Peek(t.Context(), 1)
			if err != nil || c.purged != (r.State == wanobjectcache.Purged) {
				t.Errorf("%s: b has %+v, %v", name, r, err)
			}
		})
	}
}
