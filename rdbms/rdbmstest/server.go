package rdbmstest

import (
	"fmt"
	"maps"
	"time"
)

// server is one server. Its fields are guarded by its cluster's lock.
type server struct {
	cluster   *Cluster
	connector *connector
	name, dc  string
	id        uint32
	domain    uint32
	rebuilt   int // times

	knobs    Knobs
	counts   Counts
	from     *server
	started  time.Time
	nextBeat time.Time
	conns    map[*conn]bool

	data
	relay    []*relay  // in the order of the servers
	copyFrom time.Time // when a rebuild was asked for that has not been done
}

// data is what a copy of a server copies.
type data struct {
	kv       map[string]string
	shared   bool              // kv is a transaction's snapshot too: it must be copied before it is changed
	beats    map[uint32]string // ts by server_id
	binlog   map[uint32]gtid   // by domain: the last in its own log
	slave    map[uint32]gtid   // by domain: the last that replication applied
	executed map[string]uint64 // by server_uuid: the number of the last
}

func newData() data {
	return data{
		kv: map[string]string{}, beats: map[uint32]string{},
		binlog: map[uint32]gtid{}, slave: map[uint32]gtid{}, executed: map[string]uint64{},
	}
}

// build makes the servers, and reads who follows whom.
func (c *Cluster) build(servers []Server) {
	c.tb.Helper()
	if len(servers) == 0 {
		c.tb.Fatal("rdbmstest: New needs at least one server")
	}
	domains := map[string]uint32{}
	for i, given := range servers {
		if given.DC == "" {
			given.DC = "a"
		}
		if domains[given.DC] == 0 {
			domains[given.DC] = uint32(len(domains) + 1)
		}
		s := &server{
			cluster: c, name: given.Name, dc: given.DC, id: uint32(11 + i), domain: domains[given.DC],
			data: newData(), conns: map[*conn]bool{}, counts: Counts{Queries: map[string]int{}},
		}
		s.connector = &connector{server: s}
		c.servers = append(c.servers, s)
	}
	c.primary = c.servers[0]
	for i, given := range servers {
		c.connect(c.servers[i], given.From)
	}
	for i, s := range c.servers {
		s.knobs = Knobs{ReadOnly: i > 0, Beats: i == 0 || s.circular()}
		for _, origin := range c.servers {
			s.relay = append(s.relay, &relay{origin: origin})
		}
	}
}

func (c *Cluster) connect(s *server, from string) {
	c.tb.Helper()
	switch {
	case from == s.name:
		c.tb.Fatalf("rdbmstest: %s cannot replicate itself", s.name)
	case from != "":
		s.from = c.server(from)
	case s != c.primary:
		s.from = c.primary
	}
}

// circular reports whether the server and another follow each other.
func (s *server) circular() bool { return s.from != nil && s.from.from == s }

// uuid is server_uuid: another one after a rebuild.
func (s *server) uuid() string { return fmt.Sprintf("%08d-0000-11e1-9e33-%012d", s.id, s.rebuilt) }

// now is the server's clock.
func (s *server) now() time.Time { return s.cluster.clock.Add(s.knobs.Skew).UTC() }

// turned does what follows from a change of knobs at once.
func (s *server) turned(before Knobs) {
	if !s.cluster.begun {
		return
	}
	now := s.cluster.clock
	if s.knobs.Down && !before.Down {
		s.loseAll()
	}
	if !s.knobs.Down && before.Down {
		s.started = s.now()
	}
	if s.beating(s.knobs) && (!s.beating(before) || s.knobs.BeatEvery != before.BeatEvery) {
		s.nextBeat = now
	}
}

func (*server) beating(k Knobs) bool { return k.Beats && !k.Down }

func (s *server) beatEvery() time.Duration {
	if s.knobs.BeatEvery > 0 {
		return s.knobs.BeatEvery
	}
	return time.Second
}

func (s *server) restart() {
	s.loseAll()
	s.started = s.now()
}

func (s *server) loseAll() {
	for c := range s.conns {
		c.lose()
	}
}

// rebuild empties the server; its source is copied later.
func (s *server) rebuild(now time.Time) {
	s.rebuilt++
	s.data = newData()
	s.copyFrom = now
}

// copySource ends a rebuild. What a backup copies it has not written into its own log.
func (s *server) copySource() {
	s.copyFrom = time.Time{}
	s.kv = maps.Clone(s.from.kv)
	s.shared = false
	s.beats = maps.Clone(s.from.beats)
	s.slave = s.from.current()
	s.executed = maps.Clone(s.from.executed)
}

// promote is Cluster.Promote.
func (c *Cluster) promote(s *server) {
	old := c.primary
	if old == s {
		return
	}
	c.catchUp(s)
	circular := s.from == old && old.from == s
	c.primary = s
	before, oldBefore := s.knobs, old.knobs
	s.knobs.ReadOnly, s.knobs.Beats = false, true
	old.knobs.ReadOnly, old.knobs.Beats = true, circular
	s.turned(before)
	old.turned(oldBefore)
	if !circular {
		c.turnAround(old, s)
	}
}

// turnAround lets everybody who followed old, and old, follow s. What they have not applied yet they will, if s has it.
func (c *Cluster) turnAround(old, s *server) {
	for _, f := range c.servers {
		if f.from != old || f == s {
			continue
		}
		f.from = s
		for _, r := range f.relay {
			r.keep(func(e *event) bool { return s.has(e) })
		}
	}
	old.from, s.from = s, nil
	for _, r := range s.relay {
		r.keep(func(*event) bool { return false })
	}
}
