package rdbms

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// snapshot is what the picks decide by: the configuration, and the monitor's newest verdicts. It never changes; a new
// one takes its place.
type snapshot struct {
	servers  []*server // in the configuration's order
	primary  *server
	groups   map[string]*group // "" = the reads that name none
	replicas bool              // there is one: without, reads go to the primary and nothing is measured
	watched  bool              // Run is under way
	readOnly bool              // the primary, by its last probe
}

// server is one server at the time of a snapshot.
type server struct {
	*host

	index   int
	config  Server
	primary bool
	tier    int           // 0 = this DC, then the others by round trip
	maxLag  time.Duration // negative = not tested
	verdict verdict

	youngUntil time.Time // the hysteresis decides so long, then the aged lag
}

// verdict is what the monitor found at a server's last successful probe.
type verdict struct {
	at        time.Time // zero = never probed
	in        bool      // by the hysteresis against maxLag
	judgement judgement
	probe     Probe
	roundTrip time.Duration
	err       error // of the last probe, if that failed
}

// group is the servers that serve it.
type group struct {
	name    string
	members []member

	// Those of class A when the snapshot was made, and their weights' sum: what most picks are drawn from.
	near       []candidate
	nearWeight float64
}

type member struct {
	*server

	weight float64
}

// forgotten is the age at which a reading says nothing any more.
const forgotten = 60 * time.Second

// lag is how far the server may be behind now, as an upper bound.
func (s *server) lag(now time.Time) Lag {
	if s.primary {
		return known(0)
	}
	return s.agedLag(s.verdict.judgement.bound, now)
}

func (s *server) agedLag(l Lag, now time.Time) Lag {
	if s.verdict.at.IsZero() {
		return unknown(LagNotRead)
	}
	age := now.Sub(s.verdict.at)
	if age > forgotten {
		return unknown(LagUnreachable)
	}
	return l.aged(age)
}

// fresh reports whether the server's lag is within its MaxLag: by the hysteresis while its newest reading is young, by
// the aged lag after.
func (s *server) fresh(now time.Time) bool {
	if s.primary || s.maxLag < 0 {
		return true
	}
	if s.verdict.at.IsZero() {
		return false
	}
	if !now.After(s.youngUntil) {
		return s.verdict.in && s.verdict.judgement.class.Known // its origin, read since, can have made it unknown
	}
	l := s.agedLag(s.verdict.judgement.class, now)
	return l.Known && l.Value <= s.maxLag
}

// groupOf returns the group of reads that ask for the first of these that exists.
func (s *snapshot) groupOf(names []string) *group {
	for _, name := range names {
		if g := s.groups[name]; g != nil && name != "" {
			return g
		}
	}
	return s.groups[""]
}

// byHost returns nil for a server that is not configured any more.
func (s *snapshot) byHost(h *host) *server {
	for _, one := range s.servers {
		if one.host == h {
			return one
		}
	}
	return nil
}

// mask is a set of servers by index. Those beyond its size are in none: a cluster that large has servers to spare.
type mask uint64

func (m mask) has(index int) bool { return index < 64 && m&(1<<index) != 0 }

func (m mask) with(index int) mask {
	if index < 64 {
		m |= 1 << index
	}
	return m
}

// newSnapshot arranges servers, whose tiers and indices it sets.
func newSnapshot(servers []*server, own string, watched bool) *snapshot {
	s := &snapshot{servers: servers, groups: map[string]*group{"": {}}, watched: watched}
	for i, one := range servers {
		one.index = i
		if one.primary {
			s.primary, s.readOnly = one, one.verdict.probe.ReadOnly
		} else {
			s.replicas = true
		}
		s.enlist(one)
	}
	s.setTiers(own)
	for _, g := range s.groups {
		g.findNear()
	}
	return s
}

func (g *group) findNear() {
	for _, m := range g.members {
		if m.tier == 0 && !m.config.Drained && (m.primary || m.maxLag < 0 || m.verdict.in) {
			g.near = append(g.near, candidate{server: m.server, weight: m.weight})
			g.nearWeight += m.weight
		}
	}
}

func (s *snapshot) enlist(one *server) {
	if w := genericWeight(one.config, one.primary); w > 0 {
		s.groups[""].members = append(s.groups[""].members, member{one, float64(w)})
	}
	for name, w := range one.config.Groups {
		g := s.groups[name]
		if g == nil {
			g = &group{name: name}
			s.groups[name] = g
		}
		g.members = append(g.members, member{one, float64(w)})
	}
}

// genericWeight is a server's share of the reads that name no group.
func genericWeight(c Server, primary bool) int {
	switch {
	case c.Weight > 0:
		return c.Weight
	case c.Weight == 0 && !primary && len(c.Groups) == 0:
		return 1
	}
	return 0
}

// setTiers orders the other DCs by the shortest round trip to one of their servers; unmeasured ones are last.
func (s *snapshot) setTiers(own string) {
	const unmeasured = time.Hour
	nearest := map[string]time.Duration{}
	for _, one := range s.servers {
		trip := cmp.Or(one.verdict.roundTrip, unmeasured)
		if old, ok := nearest[one.dc]; !ok || trip < old {
			nearest[one.dc] = trip
		}
	}
	delete(nearest, own)
	order := slices.SortedFunc(maps.Keys(nearest), func(a, b string) int {
		return cmp.Or(cmp.Compare(nearest[a], nearest[b]), cmp.Compare(a, b))
	})
	for _, one := range s.servers {
		one.tier = slices.Index(order, one.dc) + 1 // 0 = not among the others
	}
}
