package rdbmstest

import (
	"maps"
	"time"
)

// Replication is computed when somebody looks, not by goroutines: everything that has become due since the last look
// happens then, in the order of the times at which it was due. Between two looks no knob has changed, so the order is
// the one that a server that never sleeps would have found.

// event is a transaction in the servers' logs.
type event struct {
	origin *server
	gtid   gtid
	uuid   string // with number MySQL's name of it
	number uint64
	writes []write
	beat   string // the ts of a heartbeat
}

type write struct {
	key, value string
	gone       bool
}

// relay is what a server has received and not applied yet, of one origin, in order.
type relay struct {
	origin *server
	queue  []relayed
}

type relayed struct {
	*event
	at     time.Time // when its source had it
	jitter float64   // how much of Knobs.Jitter it has
}

func (r *relay) keep(wanted func(*event) bool) {
	var kept []relayed
	for _, e := range r.queue {
		if wanted(e.event) {
			kept = append(kept, e)
		}
	}
	r.queue = kept
}

// maxPast bounds the past that is made up before the first connection.
const maxPast = 48 * time.Hour

// begin makes up the past: the knobs as they are have held for as long as an event needs to come to every server.
func (c *Cluster) begin(now time.Time) {
	past := 3 * time.Second
	for _, s := range c.servers {
		longest := s.knobs.Lag
		for _, lag := range s.knobs.LagOf {
			longest = max(longest, lag)
		}
		past += longest + s.knobs.Jitter + 2*s.beatEvery()
	}
	c.begun = true
	c.clock = now.Add(-min(past, maxPast))
	for _, s := range c.servers {
		uptime := 24*time.Hour + time.Duration(c.random.Int64N(int64(240*time.Hour)))
		s.started = s.now().Add(-uptime)
		s.nextBeat = c.clock.Add(time.Duration(c.random.Int64N(int64(s.beatEvery()))))
	}
	c.inherit()
}

// inherit gives every server a history that is the same everywhere.
func (c *Cluster) inherit() {
	for _, s := range c.servers {
		if !s.knobs.Beats {
			continue
		}
		before := gtid{domain: s.domain, server: s.id, sequence: 100 + c.random.Uint64N(1e5)}
		ts := beatText(c.clock.Add(s.knobs.Skew))
		for _, t := range c.servers {
			t.executed[s.uuid()] = before.sequence
			t.beats[s.id] = ts
			t.binlog[before.domain] = before
			if t != s {
				t.slave[before.domain] = before
			}
		}
	}
}

// advance lets everything happen that is due by now. Who calls it holds the lock.
func (c *Cluster) advance() {
	now := time.Now()
	if !c.begun {
		c.begin(now)
	}
	for c.next.IsZero() || !now.Before(c.next) {
		next := c.earliest()
		if c.next = next.at; next.at.After(now) {
			break
		}
		c.clock = later(c.clock, next.at)
		next.happen()
	}
	c.clock = later(c.clock, now)
}

// step is something that happens on a server: the first event of a relay log is applied, a source was copied, or the
// server beats.
type step struct {
	at     time.Time
	server *server
	relay  *relay
	copied bool
}

func (s step) happen() {
	switch {
	case s.server == nil: // nothing will ever happen until a knob is turned
	case s.relay != nil:
		s.server.apply(s.relay)
	case s.copied:
		s.server.copySource()
	default:
		s.server.beat()
	}
}

// earliest is what happens next.
func (c *Cluster) earliest() step {
	first := step{at: c.clock.Add(maxPast)}
	offer := func(s step) {
		if s.at.Before(first.at) {
			first = s
		}
	}
	for _, s := range c.servers {
		if s.beating(s.knobs) {
			offer(step{at: s.nextBeat, server: s})
		}
		if s.knobs.StopApplying || s.knobs.Down {
			continue
		}
		if !s.copyFrom.IsZero() {
			offer(step{at: s.copyFrom.Add(s.knobs.Lag), server: s, copied: true})
			continue
		}
		for _, r := range s.relay {
			if len(r.queue) > 0 && !s.knobs.Stopped[r.origin.name] {
				offer(step{at: s.due(r), server: s, relay: r})
			}
		}
	}
	return first
}

// due is when the first event of a relay log is applied.
func (s *server) due(r *relay) time.Time {
	lag, special := s.knobs.LagOf[r.origin.name]
	if !special {
		lag = s.knobs.Lag
	}
	first := r.queue[0]
	return first.at.Add(lag + time.Duration(first.jitter*float64(s.knobs.Jitter)))
}

func (s *server) beat() {
	s.write(&event{beat: beatText(s.now())})
	s.nextBeat = s.nextBeat.Add(s.beatEvery())
}

func beatText(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000") }

// write is a transaction of the server's own.
func (s *server) write(e *event) {
	e.origin, e.gtid, e.uuid, e.number = s, s.nextGTID(), s.uuid(), s.executed[s.uuid()]+1
	s.enter(e)
}

// apply takes the first event of a relay log.
func (s *server) apply(r *relay) {
	e := r.queue[0].event
	r.queue[0] = relayed{}
	r.queue = r.queue[1:]
	if s.has(e) {
		return
	}
	s.slave[e.gtid.domain] = e.gtid
	s.enter(e)
}

// has is why nothing goes round in a circle for ever, and why a copied server does not apply anything twice.
func (s *server) has(e *event) bool { return s.executed[e.uuid] >= e.number }

// enter brings an event into the server's data and log, and so to its followers.
func (s *server) enter(e *event) {
	s.binlog[e.gtid.domain] = e.gtid
	s.executed[e.uuid] = e.number
	if e.beat != "" {
		s.beats[e.origin.id] = e.beat
	}
	s.change(e.writes)
	for _, f := range s.cluster.servers {
		if f.from == s && f != e.origin {
			f.receive(e)
		}
	}
}

func (s *server) receive(e *event) {
	c := s.cluster
	for _, r := range s.relay {
		if r.origin == e.origin {
			r.queue = append(r.queue, relayed{event: e, at: c.clock, jitter: c.random.Float64()})
		}
	}
	c.next = time.Time{}
}

func (s *server) change(writes []write) {
	if len(writes) > 0 && s.shared {
		s.kv, s.shared = maps.Clone(s.kv), false
	}
	for _, w := range writes {
		if w.gone {
			delete(s.kv, w.key)
		} else {
			s.kv[w.key] = w.value
		}
	}
}

// catchUp applies all that is on its way to s, whatever the lag, but for streams that are stopped.
func (c *Cluster) catchUp(s *server) {
	var path []*server // from s upwards
	for at := s; at != nil && at != c.primary && len(path) < len(c.servers); at = at.from {
		path = append(path, at)
	}
	for i := len(path) - 1; i >= 0; i-- {
		path[i].applyAll()
	}
}

func (s *server) applyAll() {
	if s.knobs.StopApplying || s.knobs.Down {
		return
	}
	if !s.copyFrom.IsZero() {
		s.copySource()
	}
	for r := s.oldest(); r != nil; r = s.oldest() {
		s.apply(r)
	}
}

// oldest is the relay log whose first event came first: what several primaries wrote one after the other stays in order.
func (s *server) oldest() (first *relay) {
	for _, r := range s.relay {
		if len(r.queue) > 0 && !s.knobs.Stopped[r.origin.name] && (first == nil || r.queue[0].at.Before(first.queue[0].at)) {
			first = r
		}
	}
	return first
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
