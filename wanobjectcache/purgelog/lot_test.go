package purgelog

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/multidc/multidc/wanobjectcache"
)

func purgeOf(key int, at, holdoff time.Duration) wanobjectcache.Purge {
	return wanobjectcache.Purge{
		Op: wanobjectcache.OpDelete, Key: fmt.Sprintf("WANCache:default:g:%d|#|v", key),
		Time: time.Unix(1549343530, 0).Add(at), Holdoff: holdoff, Origin: "a",
	}
}

func TestStrictest(t *testing.T) {
	const s = time.Second
	for _, tc := range []struct{ a, b, want wanobjectcache.Purge }{
		{purgeOf(1, 0, 11*s), purgeOf(1, 5*s, 11*s), purgeOf(1, 5*s, 11*s)},
		{purgeOf(1, 0, 60*s), purgeOf(1, 5*s, 11*s), purgeOf(1, 5*s, 55*s)},
		{purgeOf(1, 0, 5*s), purgeOf(1, 0, 11*s), purgeOf(1, 0, 11*s)},
		{purgeOf(1, 5*s, 0), purgeOf(1, 0, s), purgeOf(1, 5*s, 0)},
	} {
		if got := strictest(tc.a, tc.b); got != tc.want {
			t.Errorf("%v and %v give %v, want %v", tc.a, tc.b, got, tc.want)
		}
		if got := strictest(tc.b, tc.a); got != tc.want {
			t.Errorf("%v and %v give %v, want %v", tc.b, tc.a, got, tc.want)
		}
	}
}

// The twin is a list of all that was parked: nothing may be finished before all purges of its key, up to its own, were
// applied.
func TestLotLosesNothing(t *testing.T) {
	type parkedPurge struct {
		wanobjectcache.Purge
		seq     uint64
		applied bool
	}
	for seed := range uint64(300) {
		dice := rand.New(rand.NewPCG(seed, 3))
		var l lot
		var twin []*parkedPurge
		open := map[uint64]bool{} // messages that wait
		seq := uint64(0)
		for range 100 {
			if dice.IntN(3) > 0 {
				seq++
				p := purgeOf(dice.IntN(5), time.Duration(dice.IntN(100))*time.Second, time.Duration(dice.IntN(20))*time.Second)
				if l.park(p, seq) {
					open[seq] = true
				}
				twin = append(twin, &parkedPurge{Purge: p, seq: seq})
				continue
			}
			for _, tr := range l.all() {
				if dice.IntN(2) == 0 {
					continue // its server is still down
				}
				for _, p := range twin { // Replay does this
					end := tr.purge.Time.Add(tr.purge.Holdoff)
					if p.Key == tr.purge.Key && !p.Time.After(tr.purge.Time) && !p.Time.Add(p.Holdoff).After(end) {
						p.applied = true
					}
				}
				if dice.IntN(4) == 0 { // one comes in between
					seq++
					p := tr.purge
					p.Time = p.Time.Add(time.Minute)
					if l.park(p, seq) {
						t.Fatalf("seed %d: a key has two places", seed)
					}
					twin = append(twin, &parkedPurge{Purge: p, seq: seq})
				}
				if l.applied(tr) {
					delete(open, tr.at.seq)
				}
			}
			for _, p := range twin {
				covered := p.applied
				for s := range open {
					covered = covered || s <= p.seq
				}
				if !covered {
					t.Fatalf("seed %d: the purge of message %d is neither applied nor read again: %v wait", seed, p.seq, open)
				}
			}
		}
		if l.len() != len(open) || l.empty() != (len(open) == 0) {
			t.Fatalf("seed %d: %d keys for %d messages", seed, l.len(), len(open))
		}
	}
}

func TestEpochsWait(t *testing.T) {
	var l lot
	now := time.Unix(1549343530, 0)
	l.parkEpoch(now.Add(time.Second), 1)
	l.parkEpoch(now, 2)
	first := l.epoch
	if !first.to.Equal(now.Add(time.Second)) || len(first.seqs) != 2 || l.empty() {
		t.Fatalf("%+v", first)
	}
	l.parkEpoch(now.Add(time.Minute), 3)
	l.raised(first)
	if l.empty() || len(l.epoch.seqs) != 1 || l.epoch.seqs[0] != 3 || !l.epoch.to.Equal(now.Add(time.Minute)) {
		t.Errorf("%+v is left, want gap 3", l.epoch)
	}
	l.raised(l.epoch)
	if !l.empty() {
		t.Errorf("%+v is left", l.epoch)
	}
}
