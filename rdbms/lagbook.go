package rdbms

import (
	"cmp"
	"slices"
	"time"

	"github.com/multidc/multidc/rdbms/heartbeat"
)

// lagBook keeps the heartbeat readings of a cluster's servers and judges from them how far each is behind. It has no
// clock: all times come in with the readings. Its memory is bounded by what one reading of each server can hold.
type lagBook struct {
	origins  []heartbeat.Origin // none = the primary's row
	interval time.Duration
	names    []string // sorted
	primary  string
	servers  map[string]*bookServer
}

// bookServer is what is known of one server.
type bookServer struct {
	name  string
	read  bool                // there is a reading
	last  observation         // without its rows: they are in
	rows  map[uint32]sighting // by server_id
	clock beatClock           // of the server's own row
}

// observation is one successful probe of a server.
type observation struct {
	at       time.Time         // the middle of the probe's round trip: comparable with ts, but never stepping
	identity string            // another one drops what was known of the server
	serverID uint32            // of its own heartbeat row; 0 = it has none
	beats    heartbeat.Reading // the rows as read, with the server's clock
	problem  LagReason         // why there are no rows: LagNoTable, LagNoRight, "" = there may be some
}

// sighting is a heartbeat row as a server shows it.
type sighting struct {
	row   heartbeat.Row
	ts    time.Time // zero if it is no time
	since time.Time // client time of the reading that first showed it
	moved bool      // it was seen to change
}

// far is how far a clock can be off and still be a clock; sums of such times do not overflow.
const far = 100 * 365 * 24 * time.Hour

func plausible(t, at time.Time) bool { return t.Sub(at).Abs() < far }

func newLagBook(source heartbeat.Source) *lagBook {
	return &lagBook{
		origins:  source.Origins,
		interval: min(cmp.Or(source.Interval, time.Second), 24*time.Hour),
		servers:  map[string]*bookServer{},
	}
}

// setServers says which servers there are and which is the primary. What was known of others is forgotten.
func (b *lagBook) setServers(names []string, primary string) {
	servers := make(map[string]*bookServer, len(names))
	for _, name := range names {
		if servers[name] = b.servers[name]; servers[name] == nil {
			servers[name] = &bookServer{name: name}
		}
	}
	b.names, b.primary, b.servers = slices.Sorted(slices.Values(names)), primary, servers
}

// note takes a reading and returns what is to be warned of, each time anew. One of a server that is not there any more,
// or that is older than the last, is dropped.
func (b *lagBook) note(server string, o observation) []bookWarning {
	s := b.servers[server]
	if s == nil || o.at.Before(s.last.at) {
		return nil
	}
	if s.last.serverID != o.serverID {
		s.clock = beatClock{}
	}
	if s.read && s.last.identity != o.identity {
		*s = bookServer{name: server, clock: s.clock}
		s.clock.suspect = true // a restart sets no clock, but a rebuild elsewhere may
	}
	s.rows = see(o.beats.Rows, s.rows, o.at)
	o.beats.Rows = nil
	s.read, s.last = true, o
	b.learn(s)
	return b.warnings(s)
}

// see returns the rows of a reading, compared with those of the one before. Of rows with the same server_id, which a
// table without its key can have, the newest counts.
func see(rows []heartbeat.Row, before map[uint32]sighting, at time.Time) map[uint32]sighting {
	now := make(map[uint32]sighting, len(rows))
	for _, row := range rows {
		if row.ServerID == 0 {
			continue
		}
		ts, err := heartbeat.ParseTime(row.TS)
		if err != nil || !plausible(ts, at) {
			ts = time.Time{}
		}
		if other, double := now[row.ServerID]; !double || ts.After(other.ts) {
			now[row.ServerID] = sighting{row: row, ts: ts, since: at}
		}
	}
	for id, s := range now {
		was, known := before[id]
		if known && was.ts.Equal(s.ts) {
			s.since = was.since
		}
		s.moved = known && (was.moved || !was.ts.Equal(s.ts))
		now[id] = s
	}
	return now
}

// learn tells the origins' clocks what a reading shows.
func (b *lagBook) learn(s *bookServer) {
	if own, ok := s.own(); ok {
		s.clock.read(own.ts, s.last.at, b.interval)
	}
	for id, row := range s.rows {
		owner := b.owner(id)
		if owner == nil || owner == s || row.ts.IsZero() {
			continue
		}
		owner.clock.heard(row.ts)
		if row.since.Equal(s.last.at) && owner.clock.tooYoung(row.ts, row.since, b.interval) {
			owner.clock.suspect = true
		}
	}
}

// own is the server's own row, if its time can be read.
func (s *bookServer) own() (sighting, bool) {
	own, ok := s.rows[s.last.serverID]
	return own, ok && !own.ts.IsZero()
}

// beating reports whether a row that a server shows is being rewritten.
func (b *lagBook) beating(s *bookServer, row sighting) bool { return row.moved && !b.standing(s, row) }

// standing reports whether a row shows what it showed two intervals ago.
func (b *lagBook) standing(s *bookServer, row sighting) bool {
	return s.last.at.Sub(row.since) >= 2*b.interval
}

// owner returns the server that writes the row, if it is one of ours; nil if not, or if it is not known yet.
func (b *lagBook) owner(id uint32) *bookServer {
	if id == 0 {
		return nil
	}
	if p := b.servers[b.primary]; p != nil && p.last.serverID == id {
		return p
	}
	for _, name := range b.names {
		if s := b.servers[name]; s.last.serverID == id {
			return s
		}
	}
	return nil
}

// whose returns the origins that count now; none if the primary's server_id is not known yet.
func (b *lagBook) whose() []heartbeat.Origin {
	if len(b.origins) > 0 {
		return b.origins
	}
	if p := b.servers[b.primary]; p != nil && p.last.serverID != 0 {
		return []heartbeat.Origin{{ServerID: p.last.serverID}}
	}
	return nil
}

// rowOf returns the origin's row at a server, the newest if several match, and how many do.
func (b *lagBook) rowOf(o heartbeat.Origin, s *bookServer) (row sighting, matches int) {
	for id, candidate := range s.rows {
		if !isOf(candidate.row, o) {
			continue
		}
		matches++
		newer := candidate.ts.Compare(row.ts)
		if matches == 1 || newer > 0 || newer == 0 && id < row.row.ServerID {
			row = candidate
		}
	}
	return row, matches
}

func isOf(row heartbeat.Row, o heartbeat.Origin) bool {
	if o.ServerID != 0 {
		return row.ServerID == o.ServerID
	}
	return (o.Shard == "" || o.Shard == row.Shard) && (o.Datacenter == "" || o.Datacenter == row.Datacenter)
}

// sources names the servers whose rows are the origins of others, as far as they are ours: a dead writer is told from a
// replica that is behind by reading them, so they are to be read again before a reading takes a server out.
func (b *lagBook) sources() []string {
	if len(b.origins) == 0 {
		if b.servers[b.primary] == nil {
			return nil
		}
		return []string{b.primary}
	}
	var names []string
	for _, s := range b.servers {
		for _, o := range b.origins {
			row, matches := b.rowOf(o, s)
			if matches == 0 {
				continue
			}
			if owner := b.owner(row.row.ServerID); owner != nil {
				names = append(names, owner.name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
