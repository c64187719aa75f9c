package purgelog

import (
	"time"

	"github.com/multidc/multidc/wanobjectcache"
)

// lot is where purges of one partition are parked that could not be applied. A key has one place, with the strictest of its
// purges: its first message stays unfinished, so what came later for the key is read again too if this process dies. It is
// pure, and not safe for concurrent use.
type lot struct {
	places map[string]*place
	order  []*place
	epoch  raising // gaps whose epoch could not be raised
}

// place is one key's.
type place struct {
	purge  wanobjectcache.Purge
	seq    uint64 // of the first message
	grown  int    // how often a purge was added
	vacant bool
}

// raising is an epoch to be raised, and the gaps it is for.
type raising struct {
	to   time.Time
	seqs []uint64
}

// park parks a purge, and returns whether its message is the first of the key: if not, that is finished.
func (l *lot) park(p wanobjectcache.Purge, seq uint64) (first bool) {
	if at := l.places[p.Key]; at != nil {
		at.purge = strictest(at.purge, p)
		at.grown++
		return false
	}
	if l.places == nil {
		l.places = map[string]*place{}
	}
	at := &place{purge: p, seq: seq}
	l.places[p.Key] = at
	l.order = append(l.order, at)
	return true
}

// strictest purges what either does. A key has one op.
func strictest(a, b wanobjectcache.Purge) wanobjectcache.Purge {
	end := a.Time.Add(a.Holdoff)
	if other := b.Time.Add(b.Holdoff); other.After(end) {
		end = other
	}
	if b.Time.After(a.Time) {
		a.Time, a.Origin = b.Time, b.Origin
	}
	a.Holdoff = end.Sub(a.Time)
	return a
}

// parkEpoch parks a gap.
func (l *lot) parkEpoch(to time.Time, seq uint64) {
	if to.After(l.epoch.to) {
		l.epoch.to = to
	}
	l.epoch.seqs = append(l.epoch.seqs, seq)
}

// len counts the keys.
func (l *lot) len() int { return len(l.places) }

func (l *lot) empty() bool { return len(l.places) == 0 && len(l.epoch.seqs) == 0 }

// tried is a place as it was when its purge was tried again.
type tried struct {
	at    *place
	purge wanobjectcache.Purge
	grown int
}

// all lists what is to be tried, in the order in which it came.
func (l *lot) all() (list []tried) {
	kept := l.order[:0]
	for _, at := range l.order {
		if at.vacant {
			continue
		}
		kept = append(kept, at)
		list = append(list, tried{at, at.purge, at.grown})
	}
	clear(l.order[len(kept):])
	l.order = kept
	return list
}

// applied frees the place of what was applied, unless a purge was added meanwhile, and reports whether it did.
func (l *lot) applied(t tried) bool {
	if t.at.grown != t.grown {
		return false
	}
	t.at.vacant = true
	delete(l.places, t.purge.Key)
	return true
}

// raised forgets the gaps for which the epoch was raised; others may have come meanwhile.
func (l *lot) raised(r raising) { l.epoch.seqs = l.epoch.seqs[len(r.seqs):] }
