package rdbms

import (
	"cmp"
	"fmt"
	"time"

	"github.com/multidc/multidc/rdbms/heartbeat"
)

// judgement is how far a server was behind at its last reading.
type judgement struct {
	class   Lag            // to be held against MaxLag: with a dead writer the difference of the rows
	bound   Lag            // for explicit limits and facts: an upper bound, which under a dead writer only grows
	origins map[uint32]Lag // each origin's bound alone, by server_id
	skew    time.Duration  // how far the heartbeat's clock is ahead of this process's, as far as known
	notes   []string       // for Explain
}

func (j *judgement) add(o originLag) {
	j.class, j.bound = worse(j.class, o.class), worse(j.bound, o.bound)
	if o.id != 0 {
		j.origins[o.id] = o.bound
	}
	if o.skew.Abs() > j.skew.Abs() {
		j.skew = o.skew
	}
	if o.note != "" {
		j.notes = append(j.notes, o.note)
	}
}

// originLag is how far a server is behind one origin.
type originLag struct {
	id           uint32 // 0 = the origin has no row
	class, bound Lag
	skew         time.Duration
	note         string
}

// judge says how far a server was behind when it was last read; the primary never is. It changes nothing, and with a
// later reading of an origin it may say something else.
func (b *lagBook) judge(server string) judgement {
	j := judgement{class: known(0), bound: known(0), origins: map[uint32]Lag{}}
	s := b.servers[server]
	switch origins := b.whose(); {
	case s == nil || !s.read:
		j.add(noLag(0, LagNotRead, ""))
	case s.last.problem != "":
		j.add(noLag(0, s.last.problem, ""))
	case len(origins) == 0:
		j.add(noLag(0, LagNoRow, fmt.Sprintf("the server_id of the primary %s is not known, so its heartbeat row is not either: "+
			"it was not read yet, or has none; Heartbeat.Origins can name the row", b.primary)))
	default:
		for _, o := range origins {
			j.add(b.behind(s, o))
		}
	}
	if s != nil && server == b.primary {
		j.class, j.bound = known(0), known(0)
	}
	return j
}

func noLag(id uint32, why LagReason, note string) originLag {
	return originLag{id: id, class: unknown(why), bound: unknown(why), note: note}
}

// behind judges a server against one origin. The order of the tests counts.
func (b *lagBook) behind(s *bookServer, o heartbeat.Origin) originLag {
	row, matches := b.rowOf(o, s)
	id := cmp.Or(o.ServerID, row.row.ServerID)
	owner := b.owner(id)
	switch {
	// By its shard or datacenter it can also be a primary that has retired: then its row stands still.
	case owner == s && (id == o.ServerID || b.beating(s, row)):
		return originLag{id: id, class: known(0), bound: known(0), skew: -s.clock.offset}
	case matches == 0:
		return noLag(id, LagNoRow, fmt.Sprintf("there is no heartbeat row of %s here: does its writer run, and is its table replicated?", nameOf(o)))
	case row.ts.IsZero():
		return noLag(id, LagBadTime, fmt.Sprintf("the heartbeat row of %s has %.40q for a time", nameOf(o), row.row.TS))
	case b.localTime(id):
		return noLag(id, LagTimeZone, fmt.Sprintf("the heartbeat row of %s seems to be in local time: start pt-heartbeat with --utc", nameOf(o)))
	}
	lag := b.ordinary(s, owner, row)
	lag.id = id
	if difference, dead := b.difference(s, owner, row); dead {
		lag.class = known(difference)
		lag.note = fmt.Sprintf("the heartbeat row of %s stands still: what is shown is the time since its last beat", nameOf(o))
	}
	return lag
}

// ordinary judges by time: the client's, if it is known how the origin's row relates to that, else the server's.
func (b *lagBook) ordinary(s, owner *bookServer, row sighting) originLag {
	if owner != nil {
		if low, offset, ok := owner.clock.limits(b.interval); ok {
			// It had been committed when it was first shown; if it cannot have been it is of a clock that was set back since.
			if owner.clock.tooYoung(row.ts, row.since, b.interval) {
				return noLag(0, LagSkew, "")
			}
			since := s.last.at.Sub(row.ts)
			return originLag{class: known(since - offset), bound: known(since - low + drift(owner, s)), skew: -offset}
		}
	}
	age := s.age(row)
	if age < -skewTolerance || !plausible(s.last.beats.Now, s.last.at) {
		return noLag(0, LagSkew, "")
	}
	return originLag{class: known(age), bound: known(max(age, s.ageBy(owner, row), 0) + b.interval)}
}

// ageBy is how old a row is by the clock of the server that writes it, which its writer probably goes by; 0 = not known.
func (s *bookServer) ageBy(owner *bookServer, row sighting) time.Duration {
	if owner == nil || !owner.read || !plausible(owner.last.beats.Now, owner.last.at) {
		return 0
	}
	ahead := owner.last.beats.Now.Sub(owner.last.at)
	return s.last.at.Add(ahead).Sub(row.ts)
}

// drift is how far the clocks of this process and of an origin may have parted since the origin was last read. Two that
// nobody keeps right do so by less than 100 µs a second.
func drift(owner, s *bookServer) time.Duration {
	return max(s.last.at.Sub(owner.last.at), 0) / 10_000
}

// difference judges a server whose origin's writer is dead, by what separates its row from the origin's: with both
// frozen that does not grow. Since the origin was last read it may have beaten again.
func (b *lagBook) difference(s, owner *bookServer, row sighting) (lag time.Duration, dead bool) {
	if owner == nil {
		return 0, false
	}
	own, ok := owner.own()
	if !ok || !b.standing(owner, own) && !b.seenLate(owner, own) || row.ts.After(own.ts) {
		return 0, false
	}
	return own.ts.Sub(row.ts) + max(s.last.at.Sub(owner.last.at), 0), true
}

// seenLate reports whether an origin's row was two intervals old when it was first seen: then it has stood still since. If
// it seems to have come before the reading that did not show it a clock was set back.
func (b *lagBook) seenLate(owner *bookServer, own sighting) bool {
	beats := owner.clock.beats
	_, offset, ok := owner.clock.limits(b.interval)
	if !ok || len(beats) == 0 {
		return false
	}
	newest := beats[len(beats)-1]
	age := newest.above() - offset
	return newest.moved() && newest.ts.Equal(own.ts) && 2*b.interval <= age && age <= newest.first.Sub(newest.unseen)
}

// age is how old a row is by the clock of the server that shows it.
func (s *bookServer) age(row sighting) time.Duration { return s.last.beats.Now.Sub(row.ts) }

// localTime reports whether an origin's row seems to be written in local time: it does on the origin, or if that cannot
// be seen on every server that shows it.
func (b *lagBook) localTime(id uint32) bool {
	if owner := b.owner(id); owner != nil {
		if own, ok := owner.own(); ok {
			return b.looksLocal(owner, own)
		}
	}
	shown := 0
	for _, s := range b.servers {
		row, ok := s.rows[id]
		if !ok || row.ts.IsZero() {
			continue
		}
		if shown++; !b.looksLocal(s, row) {
			return false
		}
	}
	return shown > 0
}

// looksLocal reports whether a row's age is about what a time zone makes of it. All zones are multiples of 15 minutes
// away from UTC, and at most 14 hours. The age of a row that stands still passes through such values too, one after the other.
func (b *lagBook) looksLocal(s *bookServer, row sighting) bool {
	if b.standing(s, row) || !row.moved && s.last.at.After(row.since) {
		return false
	}
	return zoneAge(s.age(row))
}

func zoneAge(age time.Duration) bool {
	const step, most, within = 15 * time.Minute, 14 * time.Hour, 2 * time.Second
	age = age.Abs()
	return age >= step-within && age <= most+within && (age+within)%step <= 2*within
}

// nameOf is how notes and warnings call an origin.
func nameOf(o heartbeat.Origin) string {
	switch {
	case o.ServerID != 0:
		return fmt.Sprintf("server_id %d", o.ServerID)
	case o.Shard == "":
		return fmt.Sprintf("datacenter %q", o.Datacenter)
	case o.Datacenter == "":
		return fmt.Sprintf("shard %q", o.Shard)
	}
	return fmt.Sprintf("shard %q in datacenter %q", o.Shard, o.Datacenter)
}
