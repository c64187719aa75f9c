package breaker

import (
	"sync/atomic"
	"time"
)

// windowSeconds is how far back attempts count: this second and the nine before it.
const windowSeconds = 10

// window counts the attempts of the last seconds without a lock. A word holds one second: its number in the upper 32
// bits, then 16 bits for its attempts, 16 for those that failed.
type window [windowSeconds]atomic.Uint64

const most = 1<<16 - 1

func second(at int64) uint64 { return uint64(at / int64(time.Second)) }

func (w *window) add(at int64, failed bool) {
	s := second(at)
	word := &w[s%windowSeconds]
	for {
		old := word.Load()
		if word.CompareAndSwap(old, counted(old, s, failed)) {
			return
		}
	}
}

// counted is a word with one attempt more. A word of a second long past begins anew; one of a later second belongs to a
// caller who looked at the clock a little after us, and takes our attempt too.
func counted(word, now uint64, failed bool) uint64 {
	at, all, bad := word>>32, word>>16&most, word&most
	if at < now {
		at, all, bad = now, 0, 0
	}
	if all == most { // the share is kept
		all, bad = all/2, bad/2
	}
	if failed {
		bad++
	}
	return at<<32 | (all+1)<<16 | bad
}

func (w *window) sum(at int64) (failed, all uint64) {
	s := second(at)
	for i := range w {
		if word := w[i].Load(); word>>32+windowSeconds > s {
			all += word >> 16 & most
			failed += word & most
		}
	}
	return failed, all
}

func (w *window) clear() {
	for i := range w {
		w[i].Store(0)
	}
}
