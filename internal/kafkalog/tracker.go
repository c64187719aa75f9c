package kafkalog

import (
	"slices"
	"sort"
)

// tracker knows what was handed out and is not finished, and so where another process would have to begin. Its memory is
// what is unfinished, not how far apart that lies. It is pure, and not safe for concurrent use.
type tracker struct {
	open   []entry // in the order in which it was handed out
	closed int     // entries in open that are finished
	seq    uint64  // of the last entry
	next   int64   // where reading goes on
}

type entry struct {
	seq  uint64
	at   int64 // the offset to begin at if this is the first that is unfinished; nowhere = no such offset
	done bool
}

// nowhere: what is unfinished is not in the log any more, so the position must stay where it is.
const nowhere = -1

// add notes something that was handed out, and where reading goes on after it.
func (t *tracker) add(at, next int64) (seq uint64) {
	t.seq++
	t.open = append(t.open, entry{seq: t.seq, at: at})
	t.next = next
	return t.seq
}

// uproot is for a log that begins anew: what is unfinished cannot be read there again.
func (t *tracker) uproot() {
	for i := range t.open {
		t.open[i].at = nowhere
	}
}

// done notes that something is finished. Unknown numbers, and repetitions, are nothing.
func (t *tracker) done(seq uint64) {
	i := sort.Search(len(t.open), func(i int) bool { return t.open[i].seq >= seq })
	if i == len(t.open) || t.open[i].seq != seq || t.open[i].done {
		return
	}
	t.open[i].done = true
	t.closed++
	if t.closed > len(t.open)/2 {
		t.open, t.closed = slices.DeleteFunc(t.open, func(e entry) bool { return e.done }), 0
	}
}

// unfinished counts what was handed out and is not finished.
func (t *tracker) unfinished() int { return len(t.open) - t.closed }

// position is where another process would begin; false = it must stay where it is.
func (t *tracker) position() (offset int64, ok bool) {
	for _, e := range t.open {
		if !e.done {
			return e.at, e.at != nowhere
		}
	}
	return t.next, true
}
