package rdbms

import (
	"slices"
	"testing"
	"time"

	"github.com/multidc/multidc/rdbms/heartbeat"
)

// Cases 43 and Xc: the writer dies at 20 s, replication is fine. Replicas keep their class, q a second and r nine behind;
// what is promised to explicit limits grows.
func TestDeadWriter(t *testing.T) {
	s := newScene(t, heartbeat.Source{})
	s.live(0, 20, 0.01)
	for n := 21.0; n < 200; n++ {
		s.read("q", n, beatOf(11, 20))
		s.read("r", n, beatOf(11, 11))
		got := s.read("p", n+0.01, beatOf(11, 20))
		var want []string
		if n >= 26 { // shown since 20.01 s: more than 5 s
			want = []string{"source stale p"}
		}
		if !slices.Equal(got, want) {
			t.Errorf("at %v s: warnings %q", n, got)
		}
		bound := s.judge("q").bound
		if bound.Value < seconds(n-20) || bound.Value > seconds(n-20+1) {
			t.Errorf("at %v s: bound %v", n, bound)
		}
		if n > 22 {
			s.want("q", is(0), bound)
			s.want("r", is(9), bound.aged(9*time.Second))
		}
	}
	// It comes back.
	s.read("p", 200, beatOf(11, 200))
	s.read("q", 200.01, beatOf(11, 200))
	s.want("q", is(0.01), is(1.01))
	s.want("r", is(188), is(189))
}

// A process that starts after the writer died warns at once. A row that is live, or in local time, is no such row.
func TestDeadWriterAtFirstSight(t *testing.T) {
	for age, want := range map[float64][]string{0: nil, 5: nil, 5.1: {"source stale p"}, 86400 + 5: {"source stale p"}, 7200: nil, -60: nil} {
		s := newScene(t, heartbeat.Source{})
		if got := s.read("p", 0, beatOf(11, -age)); !slices.Equal(got, want) {
			t.Errorf("age %v s: %q", age, got)
		}
	}
	// Nor is one with a clock that is a minute behind, once it was seen to move.
	s := newScene(t, heartbeat.Source{})
	s.read("p", 0, beatOf(11, -60))
	if got := s.read("p", 1, beatOf(11, -59)); got != nil {
		t.Errorf("%q", got)
	}
}

// Case Xk: two looks within an interval see the same beat, of a writer that is well.
func TestNotStandingStill(t *testing.T) {
	s := newScene(t, heartbeat.Source{})
	s.live(0, 20, 0.1)
	s.read("q", 20.2, beatOf(11, 15))
	s.read("p", 20.9, beatOf(11, 20))
	lag := s.judge("q")
	if !alike(lag.class, is(5.1)) {
		t.Errorf("%+v", lag)
	}
	s.read("p", 22.0, beatOf(11, 20))
	s.want("q", is(5.1), lag.bound)
	s.read("p", 22.1, beatOf(11, 20))
	s.want("q", is(5), lag.bound)
}

// A row that is old when it is first seen has stood still since. If the reading before was too close for that a clock was set.
func TestSeenLate(t *testing.T) {
	s := newScene(t, heartbeat.Source{})
	s.live(0, 20, 0.01)
	s.read("p", 25, beatOf(11, 21))
	s.read("q", 25.1, beatOf(11, 19))
	if j := s.judge("q"); !alike(j.class, is(2.1)) || j.bound.Value < seconds(6.1) {
		t.Errorf("%+v", j)
	}
	s = newScene(t, heartbeat.Source{})
	s.live(0, 20, 0.01)
	s.read("p", 24.9, beatOf(11, 20))
	s.read("p", 25, beatOf(11, 22))
	s.read("q", 25.1, beatOf(11, 19))
	if j := s.judge("q"); !alike(j.class, is(6.09)) {
		t.Errorf("%+v", j)
	}
}

// What a replica shows beyond the last beat known of the origin proves that the writer is alive again.
func TestTheReplicaKnowsBetter(t *testing.T) {
	s := newScene(t, heartbeat.Source{})
	s.live(0, 20, 0.01)
	s.read("p", 25, beatOf(11, 20))
	s.read("q", 31, beatOf(11, 28))
	if j := s.judge("q"); !alike(j.class, is(2.99)) {
		t.Errorf("%+v", j)
	}
}

// Case Xl: the writer dies; the origin is in another DC, read every 10 s. It is read again before a reading takes a
// replica out, and none goes.
func TestTheOriginIsReadAgain(t *testing.T) {
	for _, again := range []bool{true, false} {
		s := newScene(t, heartbeat.Source{})
		var h hysteresis
		const limit = 6 * time.Second
		out, extra := 0, 0
		for n := 0.0; n < 100; n++ {
			if int(n)%10 == 0 {
				s.read("p", n+0.1, beatOf(11, min(n, 22)))
			}
			s.read("q", n+0.2, beatOf(11, min(n, 22)))
			lag := s.judge("q").class
			if lag.Value > limit && again {
				extra++
				for _, source := range s.sources() {
					s.read(source, n+0.25, beatOf(11, min(n, 22)))
				}
				lag = s.judge("q").class
			}
			if !h.next(lag, limit) {
				out++
			}
		}
		if (out > 0) == again || extra > 10 {
			t.Errorf("read again %t: %d readings out, %d extra", again, out, extra)
		}
	}
}

// Whether a row still stands is not known for longer than it is read: from then on the time since counts.
func TestDeadWriterOutOfSight(t *testing.T) {
	s := newScene(t, heartbeat.Source{})
	s.live(0, 20, 0.01)
	s.read("p", 25, beatOf(11, 20))
	for n := 25.0; n < 50; n++ {
		s.read("q", n, beatOf(11, 18))
		if j := s.judge("q"); !alike(j.class, is(2+n-25)) {
			t.Errorf("at %v s: %+v", n, j)
		}
	}
}

// The origin cannot be read and its row stands still on all replicas: its writer is suspected, and lag grows.
func TestSuspectedWriter(t *testing.T) {
	s := newScene(t, heartbeat.Source{})
	s.live(0, 20, 0.01)
	for n := 21.0; n < 60; n++ {
		got := s.read("q", n, beatOf(11, 20))
		got = append(got, s.read("r", n+0.5, beatOf(11, 20))...)
		var want []string
		if n >= 36 { // not read for more than 15 s
			want = []string{"source suspect p", "source suspect p"}
		}
		if n != 35 && !slices.Equal(got, want) {
			t.Errorf("at %v s: %q", n, got)
		}
		if j := s.judge("q"); !alike(j.class, is(n-20.01)) || j.bound.Value < seconds(n-20) {
			t.Errorf("at %v s: %+v", n, j)
		}
	}
	// One replica is further: it is their streams that have stopped, or not all of them.
	s.read("r", 60, beatOf(11, 25))
	if got := s.read("q", 61, beatOf(11, 20)); got != nil {
		t.Errorf("%q", got)
	}
}

// An origin that is not among our servers is never read. A replica that is not read either has no say.
func TestSuspectedWriterElsewhere(t *testing.T) {
	s := newScene(t, heartbeat.Source{Origins: []heartbeat.Origin{{ServerID: 99}}})
	s.read("r", 0, beatOf(99, 0))
	s.read("q", 0, beatOf(99, 10))
	if got := s.read("q", 5, beatOf(99, 10)); got != nil {
		t.Errorf("%q", got)
	}
	if got := s.read("q", 15.1, beatOf(99, 10)); !slices.Equal(got, []string{"source suspect "}) {
		t.Errorf("%q", got)
	}
}
