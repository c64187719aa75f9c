package kafkalog

import (
	"math/rand/v2"
	"testing"
)

// dumbTracker remembers everything.
type dumbTracker struct {
	at   []int64
	done []bool
	next int64
}

func (d *dumbTracker) position() (int64, bool) {
	for i, done := range d.done {
		if !done {
			return d.at[i], d.at[i] != nowhere
		}
	}
	return d.next, true
}

func (d *dumbTracker) unfinished() (n int) {
	for _, done := range d.done {
		if !done {
			n++
		}
	}
	return n
}

func TestTrackerAgainstTwin(t *testing.T) {
	for seed := range uint64(300) {
		dice := rand.New(rand.NewPCG(seed, 1))
		var tr tracker
		var twin dumbTracker
		offset := int64(dice.IntN(100))
		for step := range 400 {
			switch roll := dice.IntN(20); {
			case roll < 9:
				seq := tr.add(offset, offset+1)
				if int(seq) != len(twin.at)+1 {
					t.Fatalf("seed %d: number %d after %d", seed, seq, len(twin.at))
				}
				twin.at, twin.done, twin.next = append(twin.at, offset), append(twin.done, false), offset+1
				offset++
			case roll == 9: // a gap
				to := offset + int64(dice.IntN(5))
				if dice.IntN(3) == 0 { // the log begins anew
					to = 0
					tr.uproot()
					for i := range twin.at {
						twin.at[i] = nowhere
					}
				}
				tr.add(nowhere, to)
				twin.at, twin.done, twin.next = append(twin.at, nowhere), append(twin.done, false), to
				offset = to
			default:
				seq := uint64(dice.IntN(len(twin.at) + 3)) // unknown ones and repetitions too
				tr.done(seq)
				if seq > 0 && int(seq) <= len(twin.done) {
					twin.done[seq-1] = true
				}
			}
			gotAt, gotOK := tr.position()
			wantAt, wantOK := twin.position()
			if gotAt != wantAt || gotOK != wantOK || tr.unfinished() != twin.unfinished() {
				t.Fatalf("seed %d, step %d: position %d, %v, %d unfinished, want %d, %v, %d",
					seed, step, gotAt, gotOK, tr.unfinished(), wantAt, wantOK, twin.unfinished())
			}
			if len(tr.open) > 2*twin.unfinished()+1 {
				t.Fatalf("seed %d: %d entries for %d unfinished", seed, len(tr.open), twin.unfinished())
			}
		}
	}
}
