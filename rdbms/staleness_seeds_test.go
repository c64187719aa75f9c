package rdbms_test

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/multidc/multidc/internal/sim"
	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/rdbmstest"
)

// Section 7: an explicit staleness is kept, or the caller gets the primary or ErrTooStale, whatever the clocks say, the
// heartbeat's writer does and the replicas suffer; also when the primary moves.
func TestExplicitStalenessSeeds(t *testing.T) {
	t.Parallel()
	var near, all, refused int
	sim.Run(t, []string{"a", "b"}, func(t *testing.T, w *sim.World) {
		s := newStaleness(t, w)
		ctx, stop := context.WithCancel(t.Context())
		var actors sync.WaitGroup
		actors.Go(func() { _ = s.cluster.Run(ctx) })
		for _, act := range []func(){s.write, s.disturb, func() { s.read("reader 1") }, func() { s.read("reader 2") }} {
			actors.Go(func() {
				for time.Since(s.began) < 40*time.Second {
					act()
				}
			})
		}
		time.Sleep(45 * time.Second)
		stop()
		actors.Wait()
		near, all, refused = near+s.near, all+s.all, refused+s.refused
	})
	if near*10 < all || refused*10 > all*9 {
		t.Errorf("of %d reads %d came from replicas and %d were refused: this proves little", all, near, refused)
	}
}

// staleness is a world in which one key counts up, and whoever reads it with a bound can be told how old his value is.
type staleness struct {
	t       *testing.T
	world   *sim.World
	fake    *rdbmstest.Cluster
	cluster *rdbms.Cluster
	began   time.Time

	mu      sync.Mutex
	primary string
	admin   map[string]*sql.DB
	written []time.Time // when 1, 2, … were committed
	set     map[string]bool

	near, all, refused int
}

var stalenessServers = []rdbmstest.Server{{Name: "db1"}, {Name: "db2"}, {Name: "db3", DC: "b"}, {Name: "db4", DC: "b"}}

func newStaleness(t *testing.T, w *sim.World) *staleness {
	s := &staleness{t: t, world: w, fake: rdbmstest.New(t, stalenessServers...), began: time.Now(), primary: "db1", admin: map[string]*sql.DB{}, set: map[string]bool{}}
	s.fake.Seed(w.Seed())
	random := w.Rand("start")
	for _, one := range stalenessServers {
		s.admin[one.Name] = s.fake.Admin(one.Name)
		s.fake.Set(one.Name, func(k *rdbmstest.Knobs) {
			k.Skew = upTo(random, time.Hour)
			if one.Name != "db1" {
				k.Lag = below(random, 3*time.Second)
			}
		})
	}
	w.Skew("a", upTo(random, time.Hour))
	cluster, err := rdbms.New(s.fake.Config(), &rdbms.Options{
		DC: []string{"a", "b"}[random.IntN(2)], Now: w.Clock("a"), PrimaryShare: 0.2, StrictStaleness: random.IntN(2) == 0,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cluster.Close(context.Background()) })
	s.cluster = cluster
	return s
}

// upTo is between -most and most.
func upTo(random *rand.Rand, most time.Duration) time.Duration { return below(random, 2*most) - most }

func below(random *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(random.Int64N(int64(most)))
}

func (s *staleness) write() {
	s.world.Pause("writer", 200*time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.admin[s.primary].ExecContext(s.t.Context(), "REPLACE INTO kv VALUES ('n', ?)", strconv.Itoa(len(s.written)+1)); err != nil {
		s.t.Error(err)
	}
	s.written = append(s.written, time.Now())
}

// read reads with a bound and demands all that was committed before.
func (s *staleness) read(reader string) {
	s.world.Pause(reader, 300*time.Millisecond)
	random := s.world.Rand(reader)
	bound := time.Second + below(random, 6*time.Second)
	ctx, cancel := context.WithTimeout(s.t.Context(), 700*time.Millisecond)
	defer cancel()
	if random.IntN(2) == 0 {
		ctx = rdbms.WithScope(ctx)
	}
	for range 1 + random.IntN(3) {
		s.check(rdbms.WithMaxStaleness(ctx, bound), bound)
		s.world.Pause(reader, 100*time.Millisecond)
	}
}

func (s *staleness) check(ctx context.Context, bound time.Duration) {
	s.mu.Lock()
	reads := s.fake.Counts(s.primary).Reads
	s.mu.Unlock()
	began := time.Now()
	text, err := get(ctx, s.cluster.Replica(), "n")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all++
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		s.refused++
		return
	}
	if s.fake.Counts(s.primary).Reads == reads {
		s.near++
	}
	got, _ := strconv.Atoi(text) // no row is 0
	if got < len(s.written) && s.written[got].Before(began.Add(-bound)) {
		s.t.Errorf("%v in: a read of at most %v got %d, which was out of date since %v", began.Sub(s.began), bound, got, began.Sub(s.written[got]))
	}
}

// disturb changes something.
func (s *staleness) disturb() {
	s.world.Pause("trouble", 2*time.Second)
	random := s.world.Rand("trouble")
	name := stalenessServers[random.IntN(len(stalenessServers))].Name
	set := func(change func(*rdbmstest.Knobs)) { s.fake.Set(name, change) }
	s.mu.Lock()
	defer s.mu.Unlock()
	switch random.IntN(12) {
	case 0, 1:
		set(func(k *rdbmstest.Knobs) { k.Lag = below(random, 8*time.Second) })
	case 2:
		set(func(k *rdbmstest.Knobs) { k.StopApplying = !k.StopApplying })
	case 3:
		set(func(k *rdbmstest.Knobs) { k.Stopped = map[string]bool{s.primary: !k.Stopped[s.primary]} })
	case 4, 5:
		s.fake.Set(s.primary, func(k *rdbmstest.Knobs) { k.Beats = !k.Beats })
	case 6:
		s.setClock(name, random)
	case 7:
		set(func(k *rdbmstest.Knobs) { k.Latency = below(random, 300*time.Millisecond) })
	case 8:
		s.fake.Restart(name)
	case 9:
		if name != s.primary {
			s.rebuild(name)
		}
	case 10:
		s.promote(name)
	case 11:
		s.world.Skew("a", upTo(random, time.Hour))
	}
}

// setClock sets a server's clock. Once, and not by seconds: of a replica that is stuck meanwhile nobody could tell.
func (s *staleness) setClock(name string, random *rand.Rand) {
	if s.set[name] {
		return
	}
	s.set[name] = true
	by := 5*time.Minute + below(random, time.Hour)
	if random.IntN(2) == 0 {
		by = -by
	}
	s.fake.Set(name, func(k *rdbmstest.Knobs) { k.Skew += by })
}

// rebuild takes longer than any bound: what was known of the server has worn out when it comes back with old data.
func (s *staleness) rebuild(name string) {
	s.fake.Set(name, func(k *rdbmstest.Knobs) { k.Down = true })
	s.mu.Unlock()
	time.Sleep(8 * time.Second)
	s.mu.Lock()
	s.fake.Rebuild(name)
	s.fake.Set(name, func(k *rdbmstest.Knobs) { k.Down = false })
}

// promote moves the primary in a planned way: nothing is lost.
func (s *staleness) promote(name string) {
	for _, one := range stalenessServers {
		s.fake.Set(one.Name, func(k *rdbmstest.Knobs) { k.StopApplying, k.Stopped = false, nil })
	}
	s.fake.Promote(name)
	s.primary = name
	if err := s.cluster.SetServers(s.fake.Config()); err != nil {
		s.t.Error(err)
	}
}
