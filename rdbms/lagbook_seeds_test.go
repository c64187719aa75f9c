package rdbms

import (
	"fmt"
	"math/rand/v2"
	"sort"
	"testing"
	"time"

	"github.com/multidc/multidc/internal/sim"
	"github.com/multidc/multidc/rdbms/heartbeat"
)

// twin is a cluster that knows the truth: true time is a duration since the start, and each clock is that plus its skew.
type twin struct {
	random   *rand.Rand
	kind     string
	interval time.Duration
	commit   time.Duration // from a beat's ts to its commit
	beats    []time.Duration
	client   time.Duration // skews
	writer   time.Duration
	origin   *twinServer
	replicas []*twinServer
	shown    []time.Duration // when a reading of the origin showed a new beat, the last one of them first
	lastBeat int
}

type twinServer struct {
	name    string
	clock   time.Duration
	poll    time.Duration
	jitter  bool
	next    time.Duration
	readAt  time.Duration
	applied time.Duration // of what the origin had committed at that time, all
	mode    int
	until   time.Duration
	id      string
}

const twinTime = 120 * time.Second

func newTwin(random *rand.Rand) *twin {
	w := &twin{random: random, kind: []string{"regular", "regular", "dead", "irregular"}[random.IntN(4)], lastBeat: -1}
	w.interval = between(random, 100*time.Millisecond, 2*time.Second)
	w.commit = between(random, 0, 20*time.Millisecond)
	w.beat()
	skewed := random.IntN(4) > 0
	skew := func() time.Duration {
		if !skewed {
			return 0
		}
		return between(random, -time.Hour, time.Hour)
	}
	w.client, w.writer = skew(), skew()
	w.origin = w.server("origin", skew())
	// Clocks that happen to be quarters of an hour apart are taken for time zones, and the lag is unknown.
	if apart := (w.origin.clock - w.writer) % (15 * time.Minute); apart != 0 && (apart.Abs() < time.Minute || apart.Abs() > 14*time.Minute) {
		w.origin.clock += 2 * time.Minute
	}
	for i := range 1 + random.IntN(3) {
		w.replicas = append(w.replicas, w.server(fmt.Sprint("replica", i), skew()))
	}
	return w
}

func between(random *rand.Rand, from, to time.Duration) time.Duration {
	return (from + time.Duration(random.Int64N(int64(to-from)))).Truncate(time.Microsecond)
}

func (w *twin) server(name string, clock time.Duration) *twinServer {
	s := &twinServer{name: name, clock: clock, id: "1", jitter: w.random.IntN(2) == 0}
	s.poll = []time.Duration{time.Second, w.interval, 5 * time.Second, between(w.random, 200*time.Millisecond, 6*time.Second)}[w.random.IntN(4)]
	s.next = between(w.random, 0, s.poll)
	return s
}

// beat writes all beats in advance.
func (w *twin) beat() {
	first, dies, back := between(w.random, 0, w.interval), twinTime, twinTime
	if w.kind == "dead" {
		dies = between(w.random, 5*time.Second, 100*time.Second)
		back = dies + between(w.random, 5*time.Second, 80*time.Second)
	}
	for at := first - 10*w.interval; at < twinTime; at += w.interval {
		if at > dies && at < back || w.kind == "irregular" && w.random.IntN(5) == 0 {
			continue
		}
		w.beats = append(w.beats, at)
	}
}

// newest is the number of the newest beat committed by then; there always is one.
func (w *twin) newest(by time.Duration) int {
	return max(0, sort.Search(len(w.beats), func(i int) bool { return w.beats[i]+w.commit > by })-1)
}

// advance lets a replica apply more: it is fresh, or late by some time, or stuck, for a while each.
func (w *twin) advance(s *twinServer, now time.Duration) {
	if now > s.until {
		s.mode, s.until = w.random.IntN(3), now+between(w.random, time.Second, 20*time.Second)
	}
	switch s.mode {
	case 0:
		s.applied = max(s.applied, now-between(w.random, 0, 20*time.Millisecond))
	case 1:
		s.applied = max(s.applied, now-between(w.random, 0, 10*time.Second))
	}
}

// read is the next reading of any server.
func (w *twin) read() (s *twinServer, o observation) {
	s = w.origin
	for _, r := range w.replicas {
		if r.next < s.next {
			s = r
		}
	}
	now := s.next
	s.readAt = now
	s.next += s.poll
	if s.jitter {
		s.next += between(w.random, -s.poll/5, s.poll/5)
	}
	if s == w.origin {
		s.applied = now
	} else {
		w.advance(s, now)
	}
	if w.kind == "irregular" && w.random.IntN(50) == 0 {
		s.id += "1"
	}
	beat := w.newest(s.applied)
	if s == w.origin && beat != w.lastBeat {
		if w.lastBeat >= 0 {
			w.shown = append([]time.Duration{now}, w.shown...)
		}
		w.lastBeat = beat
	}
	ts := start.Add(w.beats[beat] + w.writer).Format("2006-01-02T15:04:05.000000")
	o = observation{at: start.Add(now + w.client), identity: s.id, serverID: map[bool]uint32{true: 1, false: 2}[s == w.origin]}
	o.beats = heartbeat.Reading{Now: start.Add(now + s.clock), Rows: []heartbeat.Row{{ServerID: 1, TS: ts}}}
	return s, o
}

// enough reports whether the last minute had the readings that a bound without an extra interval needs.
func (w *twin) enough() bool {
	return len(w.shown) >= offsetEnough && w.shown[0]-w.shown[offsetEnough-1] <= offsetWindow
}

// Case 45 and figure "explicit staleness broken": whatever the clocks say, the bound is never below the truth, also with
// a dead writer; with a live one it is at most two intervals above, and the class is right to an interval.
func TestBoundAgainstTwin(t *testing.T) {
	t.Parallel()
	sim.Run(t, []string{"a"}, func(t *testing.T, world *sim.World) {
		w := newTwin(world.Rand("twin"))
		b := newLagBook(heartbeat.Source{Interval: w.interval})
		names := []string{w.origin.name}
		for _, r := range w.replicas {
			names = append(names, r.name)
		}
		b.setServers(names, w.origin.name)
		for {
			s, o := w.read()
			if s.readAt > twinTime {
				return
			}
			b.note(s.name, o)
			for _, r := range w.replicas {
				if (r == s || s == w.origin) && r.readAt > 0 && len(w.shown) > 0 {
					w.check(t, r, b.judge(r.name))
				}
			}
			if t.Failed() {
				t.Fatalf("at %v: %s, interval %v, origin %+v", s.readAt, w.kind, w.interval, *w.origin)
			}
		}
	})
}

func (w *twin) check(t *testing.T, r *twinServer, j judgement) {
	t.Helper()
	lag := r.readAt - r.applied
	const rounding = 2 * time.Millisecond // drift included
	if !j.class.Known || !j.bound.Known {
		t.Errorf("%s: class %v, bound %v, is %v behind", r.name, j.class, j.bound, lag)
		return
	}
	if j.bound.Value < lag {
		t.Errorf("%s: bound %v, but it is %v behind", r.name, j.bound, lag)
	}
	if w.kind != "regular" {
		return
	}
	if w.enough() && j.bound.Value > lag+2*w.interval+w.commit+rounding {
		t.Errorf("%s: bound %v, but it is %v behind", r.name, j.bound, lag)
	}
	if j.class.Value < lag-w.interval-rounding || j.class.Value > lag+w.interval+rounding {
		t.Errorf("%s: class %v, but it is %v behind", r.name, j.class, lag)
	}
}
