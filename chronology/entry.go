package chronology

import (
	"slices"
	"time"
)

// entry is what is remembered of a client's writes to one cluster.
type entry struct {
	cluster  string
	touch    time.Time // of the last write
	asOf     time.Time // of the position
	position string    // "" = touch only
	wrote    bool      // the client wrote; else it is only required
	beyond   bool      // the touch is of a write that the position does not include
}

const (
	maxPosition = 4 << 10
	// touchSlack is how exact a touch is: databases limit the lag to its age and a second. So a touch says nothing new that is
	// less than this after a position.
	touchSlack = time.Second
)

// latest is when the client is known to have written last.
func (e *entry) latest() time.Time { return later(e.touch, e.asOf) }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// merge is what includes both; b is the later news. "The newest asOf wins", as in MediaWiki, loses the write of a host whose
// clock is slow.
func merge(mergePositions func(a, b string) (string, error), a, b entry) entry {
	m := entry{cluster: b.cluster, touch: later(a.touch, b.touch), asOf: later(a.asOf, b.asOf), wrote: a.wrote || b.wrote}
	switch {
	case a.position == "" && b.position == "":
	case a.position == "": // it was read after the touch, whatever the clocks say, and so includes that write
		m.position, m.asOf = b.position, b.asOf
	case b.position == "":
		m.position, m.asOf, m.beyond = a.position, a.asOf, a.beyond || b.touch.Sub(a.asOf) > touchSlack
	default:
		newer := b
		if a.asOf.After(b.asOf) {
			newer = a
		}
		both, err := mergePositions(a.position, b.position)
		if err != nil || len(both) > maxPosition {
			both = newer.position
		}
		m.position = both
	}
	return m
}

// reduce makes entries fit: the oldest position becomes touch only, again and again, then the oldest touches go. It returns
// the clusters that lost something.
func reduce(list []entry, fits func([]entry) bool) (kept []entry, lost []string) {
	kept = list
	for !fits(kept) {
		if len(lost) == 0 {
			kept = slices.Clone(kept)
		}
		at := oldest(kept, func(e entry) (time.Time, bool) { return e.asOf, e.position != "" })
		if at >= 0 {
			kept[at].position, kept[at].touch, kept[at].beyond = "", kept[at].latest(), false
		} else if at = oldest(kept, func(e entry) (time.Time, bool) { return e.touch, true }); at >= 0 {
			lost = append(lost, kept[at].cluster)
			kept = slices.Delete(kept, at, at+1)
			continue
		} else {
			return kept, lost // nothing is left
		}
		lost = append(lost, kept[at].cluster)
	}
	slices.Sort(lost)
	return kept, slices.Compact(lost)
}

func oldest(list []entry, age func(entry) (at time.Time, counts bool)) int {
	found := -1
	var first time.Time
	for i, e := range list {
		if at, counts := age(e); counts && (found < 0 || at.Before(first)) {
			found, first = i, at
		}
	}
	return found
}
