package chronology_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/multidc/multidc/chronology"
)

// replicated is a database with two servers in each of the DCs a and b. All follow the primary, each with a lag of its own.
type replicated struct {
	name string
	gtid bool // positions outlive a switchover; else each is of one server's binlog

	mu      sync.Mutex
	dice    *rand.Rand
	log     []row
	servers []*server
	primary *server
}

type row struct {
	key   string
	value int
}

type server struct {
	name, dc string
	lag      time.Duration // of what is written from now on
	stalled  time.Time     // nothing is applied until then
	arrives  []time.Time   // of the rows of the log
	applied  int           // so many of them
}

func newReplicated(name string, gtid bool, dice *rand.Rand) *replicated {
	db := &replicated{name: name, gtid: gtid, dice: dice}
	for _, server := range []*server{{name: "a1", dc: "a"}, {name: "a2", dc: "a"}, {name: "b1", dc: "b"}, {name: "b2", dc: "b"}} {
		server.lag = db.anyLag()
		db.servers = append(db.servers, server)
	}
	db.primary = db.servers[0]
	return db
}

func (db *replicated) anyLag() time.Duration {
	return time.Duration(db.dice.Int64N(int64(5 * time.Second)))
}

// catchUp applies what has arrived; mu is held.
func (db *replicated) catchUp(s *server) {
	if s == db.primary {
		s.applied = len(db.log)
	}
	now := time.Now()
	for s.applied < len(db.log) && !now.Before(s.arrives[s.applied]) && !now.Before(s.stalled) {
		s.applied++
	}
}

func (db *replicated) write(key string, value int) (by *server) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.log = append(db.log, row{key, value})
	for _, s := range db.servers {
		at := time.Now().Add(s.lag + time.Duration(db.dice.Int64N(int64(200*time.Millisecond))))
		if n := len(s.arrives); n > 0 && at.Before(s.arrives[n-1]) {
			at = s.arrives[n-1]
		}
		s.arrives = append(s.arrives, at)
	}
	return db.primary
}

// read is what a server has of a key.
func (db *replicated) read(s *server, key string) int {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.catchUp(s)
	for _, r := range slices.Backward(db.log[:s.applied]) {
		if r.key == key {
			return r.value
		}
	}
	return 0
}

// position is how far a server is.
func (db *replicated) position(s *server) string {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.catchUp(s)
	if db.gtid {
		return "gtid:" + strconv.Itoa(s.applied)
	}
	return s.name + ":" + strconv.Itoa(s.applied)
}

// has reports whether a replica is known to have a position. Its own one is in the words of its source.
func (db *replicated) has(s *server, position string) bool {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.catchUp(s)
	of, number, _ := strings.Cut(position, ":")
	n, _ := strconv.Atoi(number)
	return (of == "gtid" || of == db.primary.name) && n <= s.applied
}

// lagOf is how old the oldest row is that a server lacks.
func (db *replicated) lagOf(s *server) time.Duration {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.catchUp(s)
	if s.applied == len(db.log) {
		return 0
	}
	return s.lag // near enough
}

// replicas are those of a DC.
func (db *replicated) replicas(dc string) (list []*server) {
	db.mu.Lock()
	defer db.mu.Unlock()
	for _, s := range db.servers {
		if s.dc == dc && s != db.primary {
			list = append(list, s)
		}
	}
	return list
}

func (db *replicated) now() *server {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.primary
}

// promote moves the primary as planned: nothing is lost.
func (db *replicated) promote(to int) {
	db.mu.Lock()
	defer db.mu.Unlock()
	for _, s := range db.servers {
		db.catchUp(s)
	}
	db.primary = db.servers[to]
}

// weather changes how one of the servers follows.
func (db *replicated) weather() {
	db.mu.Lock()
	defer db.mu.Unlock()
	s := db.servers[db.dice.IntN(len(db.servers))]
	db.catchUp(s)
	switch db.dice.IntN(3) {
	case 0:
		s.stalled = time.Now().Add(db.anyLag())
	case 1:
		s.lag = 0
	default:
		s.lag = db.anyLag()
	}
}

// view is the database as a host sees it: a Cluster.
type view struct {
	*replicated

	dc    string
	clock func() time.Time
}

// asked is what a request has to do with it.
type asked struct {
	required, onTimeout string
	wait                time.Duration
	touched             time.Time
	wroteOn             *server
	lagged              bool
	way                 string // of the last read
}

type askedKey struct{ db *replicated }

func (v *view) of(ctx context.Context) *asked { return ctx.Value(askedKey{v.replicated}).(*asked) }

func (v *view) Name() string     { return v.name }
func (v *view) WriterDC() string { return v.now().dc }

func (v *view) Attach(ctx context.Context) context.Context {
	return context.WithValue(ctx, askedKey{v.replicated}, new(asked))
}

func (v *view) Require(ctx context.Context, position string, asOf time.Time, wait time.Duration, onTimeout string) error {
	a := v.of(ctx)
	a.wait, a.onTimeout = wait, onTimeout
	switch {
	case position == "":
		a.touched = asOf
	case a.required == "":
		a.required = position
	default:
		both, err := v.Merge(a.required, position)
		if err == nil {
			a.required = both
		}
		return err
	}
	return nil
}

func (v *view) Captured(ctx context.Context) (wrote bool, position string, asOf time.Time, err error) {
	a := v.of(ctx)
	if a.wroteOn == nil {
		return false, "", time.Time{}, nil
	}
	asOf = v.clock()
	time.Sleep(v.roll(20 * time.Millisecond))
	if v.oneIn(40) {
		return true, "", asOf, errors.New("the primary does not answer")
	}
	return true, v.position(a.wroteOn), asOf, nil
}

func (*view) Merge(a, b string) (string, error) {
	ofA, numberA, _ := strings.Cut(a, ":")
	ofB, numberB, _ := strings.Cut(b, ":")
	if ofA != ofB {
		return "", fmt.Errorf("%s and %s cannot be compared", a, b)
	}
	x, _ := strconv.Atoi(numberA)
	y, _ := strconv.Atoi(numberB)
	return ofA + ":" + strconv.Itoa(max(x, y)), nil
}

func (v *view) Lagged(ctx context.Context) bool { return v.of(ctx).lagged }

func (v *view) roll(most time.Duration) time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	return time.Duration(v.dice.Int64N(int64(most)))
}

func (v *view) oneIn(n int) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.dice.IntN(n) == 0
}

// put writes, on the primary.
func (v *view) put(ctx context.Context, key string, value int) {
	time.Sleep(v.roll(50 * time.Millisecond)) // to the primary, and back
	v.of(ctx).wroteOn = v.write(key, value)
	time.Sleep(v.roll(50 * time.Millisecond))
}

var errNotCaughtUp = errors.New("no replica has caught up")

// get reads as a database layer does that knows what is required.
func (v *view) get(ctx context.Context, key string) (int, error) {
	a := v.of(ctx)
	a.way = "replica"
	began := time.Now()
	for {
		near := v.replicas(v.dc)
		some := near[int(v.roll(time.Duration(len(near))))]
		if i := slices.IndexFunc(near, func(s *server) bool { return v.fits(a, s) }); i >= 0 {
			return v.read(near[i], key), nil
		}
		if a.required != "" && time.Since(began) < a.wait {
			a.way = "waited"
			time.Sleep(50 * time.Millisecond)
			continue
		}
		return v.late(a, some, key)
	}
}

// fits: a position is reached, and a touch limits the lag.
func (v *view) fits(a *asked, s *server) bool {
	return (a.required == "" || v.has(s, a.required)) && (a.touched.IsZero() || v.lagOf(s) <= v.clock().Sub(a.touched)+time.Second)
}

func (v *view) late(a *asked, some *server, key string) (int, error) {
	switch chronology.TimeoutPolicy(a.onTimeout) {
	case chronology.OnTimeoutError:
		a.way = "error"
		return 0, errNotCaughtUp
	case chronology.OnTimeoutPrimary:
		if !v.oneIn(10) { // then the budget is spent
			a.way = "primary"
			return v.read(v.now(), key), nil
		}
	}
	a.way, a.lagged = "flagged", true
	return v.read(some, key), nil
}

// losing is a store that is restarted, and fails at times.
type losing struct {
	mu   sync.Mutex
	in   *chronology.Memory
	dice *rand.Rand
}

func (l *losing) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.in = chronology.NewMemory(0)
}

func (l *losing) ask() (*chronology.Memory, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dice.IntN(50) == 0 {
		return nil, errors.New("the store does not answer")
	}
	return l.in, nil
}

func (l *losing) Get(ctx context.Context, key string) ([]byte, bool, error) {
	m, err := l.ask()
	if err != nil {
		return nil, false, err
	}
	return m.Get(ctx, key)
}

func (l *losing) Update(ctx context.Context, key string, ttl time.Duration, fn func([]byte) ([]byte, error)) error {
	m, err := l.ask()
	if err != nil {
		return err
	}
	return m.Update(ctx, key, ttl, fn)
}
