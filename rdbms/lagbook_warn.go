package rdbms

import (
	"fmt"
	"time"

	"github.com/multidc/multidc/rdbms/heartbeat"
)

const (
	skewWarned = 500 * time.Millisecond
	// unseenFor is when an origin counts as unreadable: three polls of another DC, by default.
	unseenFor = 15 * time.Second
)

// bookWarning is something to be looked at. It comes with every reading that shows it.
type bookWarning struct {
	kind         Warning
	server, text string // server "" = the cluster as a whole
}

func (b *lagBook) warnings(s *bookServer) (out []bookWarning) {
	for _, o := range b.whose() {
		row, matches := b.rowOf(o, s)
		if matches > 1 {
			out = append(out, bookWarning{WarnConfig, s.name, fmt.Sprintf("%d heartbeat rows match %s; the newest counts: "+
				"clear the columns shard and datacenter of the others", matches, nameOf(o))})
		}
		if matches == 0 || row.ts.IsZero() {
			continue
		}
		for _, warn := range []func(*bookServer, heartbeat.Origin, sighting) (bookWarning, bool){b.stale, b.suspect, b.skewed} {
			if w, yes := warn(s, o, row); yes {
				out = append(out, w)
			}
		}
	}
	return out
}

// silence is how long a row may stand still without a warning.
func (b *lagBook) silence() time.Duration { return 3*b.interval + 2*time.Second }

// stale warns of a dead writer. A row that was never seen to move may be as old as its age says.
func (b *lagBook) stale(s *bookServer, o heartbeat.Origin, row sighting) (bookWarning, bool) {
	still := s.last.at.Sub(row.since)
	if age := s.age(row); !row.moved && !zoneAge(age) {
		still = max(still, age)
	}
	return bookWarning{WarnSourceStale, s.name, fmt.Sprintf("the heartbeat row of %s has not been rewritten for %v: "+
			"start its writer; until then it is not known how far replicas are behind", nameOf(o), still.Round(time.Second))},
		b.owner(row.row.ServerID) == s && still > b.silence()
}

// suspect warns if an origin cannot be read and its row stands still, at the same beat, wherever it is shown.
func (b *lagBook) suspect(s *bookServer, o heartbeat.Origin, row sighting) (w bookWarning, yes bool) {
	owner := b.owner(row.row.ServerID)
	if owner == s {
		return w, false
	}
	if owner != nil {
		w.server = owner.name
		if _, ok := owner.own(); ok && s.last.at.Sub(owner.last.at) <= unseenFor {
			return w, false
		}
	}
	for _, other := range b.servers {
		if other == owner || s.last.at.Sub(other.last.at) > unseenFor {
			continue
		}
		shown, ok := other.rows[row.row.ServerID]
		if ok && (!shown.ts.Equal(row.ts) || other.last.at.Sub(shown.since) <= b.silence()) {
			return w, false
		}
	}
	w.kind = WarnSourceSuspect
	w.text = fmt.Sprintf("the heartbeat row of %s stands still on all servers that show it, and it cannot be read where it is written: "+
		"its writer is dead, or nothing is replicated any more", nameOf(o))
	return w, true
}

// skewed warns if the server's clock and the row's disagree whatever the offset is within its limits.
func (b *lagBook) skewed(s *bookServer, o heartbeat.Origin, row sighting) (w bookWarning, yes bool) {
	owner := b.owner(row.row.ServerID)
	clock := s.last.beats.Now
	if owner == nil || owner == s || b.localTime(row.row.ServerID) || !plausible(clock, s.last.at) {
		return w, false
	}
	low, offset, ok := owner.clock.limits(b.interval)
	if !ok {
		return w, false
	}
	ahead := clock.Sub(s.last.at) // of this process's
	if ahead+low <= skewWarned && ahead+offset >= -skewWarned {
		return w, false
	}
	return bookWarning{WarnSkew, s.name, fmt.Sprintf("its clock and that of the heartbeat of %s are %v apart; "+
		"lag is right nevertheless, but set the clocks", nameOf(o), (ahead + offset).Abs().Round(time.Millisecond))}, true
}
