package rdbmstest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/multidc/multidc/rdbms"
)

// seedVar replays a failure; it is the one that this module's simulations use.
const seedVar = "MULTIDC_TEST_SEED"

// Server is one server of a fake cluster.
type Server struct {
	Name string
	DC   string // "" = "a"
	From string // the server that it replicates; "" = the first one, which itself replicates nobody
}

// Cluster is a fake cluster of database servers, MariaDB unless a knob says MySQL. It may be used by several goroutines.
type Cluster struct {
	tb      testing.TB
	servers []*server

	mu      sync.Mutex
	seed    uint64
	random  *rand.Rand
	primary *server
	begun   bool          // the first connection was made, and the past made up
	clock   time.Time     // up to when everything has happened
	next    time.Time     // before that nothing happens; zero = to be found out
	changed chan struct{} // closed and replaced when a knob changes: what hangs looks again
	ended   bool
	handle  handler
	plans   map[string]*plan
	lastID  int64 // of a connection
}

type handler = func(ctx context.Context, server, query string, args []driver.NamedValue) (*Result, error)

// New makes a cluster. The first server is its primary; the others replicate it, or the server that From names. Two
// that name each other are a circular pair: both beat, the second is read-only until a knob says otherwise.
//
// No goroutine is started and no time passes but that of package time, so a cluster lives in a bubble of testing/synctest
// well: make it inside, with the bubble's own t. What happens by chance (when in a second a server beats, Jitter) depends
// on a seed alone, which is the test's name unless MULTIDC_TEST_SEED is set; a test that fails logs it.
func New(tb testing.TB, servers ...Server) *Cluster {
	tb.Helper()
	c := &Cluster{tb: tb, changed: make(chan struct{}), plans: map[string]*plan{}}
	c.reseed(seedOf(tb))
	c.build(servers)
	tb.Cleanup(func() {
		c.end()
		if tb.Failed() {
			tb.Logf("rdbmstest: seed %d; to play it again: %s=%d go test -run '^%s$'", c.seed, seedVar, c.seed, tb.Name())
		}
	})
	return c
}

func seedOf(tb testing.TB) uint64 {
	tb.Helper()
	if text := os.Getenv(seedVar); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			tb.Fatalf("rdbmstest: %s=%q is not a seed: want a number of at most 64 bits", seedVar, text)
		}
		return seed
	}
	name := fnv.New64a()
	_, _ = name.Write([]byte(tb.Name()))
	return name.Sum64()
}

// Seed replaces the seed, for tests that play many. Call it before the first connection.
func (c *Cluster) Seed(seed uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reseed(seed)
}

func (c *Cluster) reseed(seed uint64) {
	c.seed, c.random = seed, rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // it repeats chance, and guards no secret
}

// Config is what rdbms.New wants of this cluster as it is now. The servers say that they are encrypted, so that those
// of other DCs pass.
func (c *Cluster) Config() rdbms.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	config := rdbms.Config{Name: "main", Primary: c.primary.name}
	for _, s := range c.servers {
		config.Servers = append(config.Servers, rdbms.Server{Name: s.name, DC: s.dc, Connector: s.connector, Encrypted: true})
	}
	return config
}

// Set changes knobs of a server, from now on. What is set before the first connection has always been so: with a Lag of
// 5 s the server is 5 s behind at once. change must not call the cluster.
func (c *Cluster) Set(server string, change func(*Knobs)) {
	c.tb.Helper()
	s := c.server(server)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.begun {
		c.advance()
	}
	before := s.knobs
	change(&s.knobs)
	s.knobs.Faults = slices.Clone(s.knobs.Faults) // their Times are counted down here
	s.turned(before)
	c.wake()
}

// Promote makes a server the primary, as in a planned switchover: it applies what its source has, whatever its Lag,
// and becomes writable and beats; the old primary becomes read-only. Who followed the old primary follows the new one,
// and so does the old primary itself, which stops beating. Of a circular pair both go on as they were, and keep their
// followers. A stream that is stopped stays so: what did not come through it is lost.
func (c *Cluster) Promote(server string) {
	c.tb.Helper()
	s := c.server(server)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advance()
	c.promote(s)
	c.wake()
}

// Restart ends all connections of a server, and its start time is now.
func (c *Cluster) Restart(server string) {
	c.tb.Helper()
	s := c.server(server)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advance()
	s.restart()
	c.wake()
}

// Rebuild restarts a server empty, with another server_uuid. After its Lag it has a copy of its source, and follows it
// from there.
func (c *Cluster) Rebuild(server string) {
	c.tb.Helper()
	s := c.server(server)
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.from == nil {
		c.tb.Fatalf("rdbmstest: Rebuild: %s replicates nobody whom it could be copied from", server)
	}
	c.advance()
	s.restart()
	s.rebuild(c.clock)
	c.wake()
}

// Counts is what clients did to a server.
func (c *Cluster) Counts(server string) Counts {
	c.tb.Helper()
	s := c.server(server)
	c.mu.Lock()
	defer c.mu.Unlock()
	return s.counts.clone()
}

// Handle sets what answers the statements of Queries and Execs before the cluster itself does; for what it answers with
// nil, nil the cluster goes on as without it. What begins with INSERT, UPDATE, DELETE or REPLACE is refused by a
// read-only server before it comes here, and else moves the server's position like any write.
func (c *Cluster) Handle(answer func(ctx context.Context, server, query string, args []driver.NamedValue) (*Result, error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handle = answer
}

// Admin opens a server past all knobs that hinder: it is always reached, at once, writes on a read-only server, and is
// not counted. It is closed with the test.
func (c *Cluster) Admin(server string) *sql.DB {
	c.tb.Helper()
	db := sql.OpenDB(&connector{server: c.server(server), admin: true})
	c.tb.Cleanup(func() { _ = db.Close() })
	return db
}

// Result is the answer to a statement: that to a query has Columns.
type Result struct {
	Columns []string
	Rows    [][]driver.Value

	Affected, InsertID int64
}

func (c *Cluster) server(name string) *server {
	c.tb.Helper()
	for _, s := range c.servers {
		if s.name == name {
			return s
		}
	}
	c.tb.Fatalf("rdbmstest: there is no server %q", name)
	return nil
}

// wake lets everything look again that hangs.
func (c *Cluster) wake() {
	close(c.changed)
	c.changed = make(chan struct{})
	c.next = time.Time{}
}

// end lets nothing hang on when the test is over.
func (c *Cluster) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	c.wake()
}
