package rdbms

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/multidc/multidc/rdbms/heartbeat"
)

// Case 45: the origin's clock is 50 s ahead of the client's, the replica's another 100.
func TestSkewIsCancelled(t *testing.T) {
	s := newScene(t, heartbeat.Source{})
	s.clocks["p"], s.clocks["q"] = 50, 150
	for n := 0.0; n < 20; n++ {
		s.read("p", n+0.01, beatOf(11, n+50))
	}
	if got := s.read("q", 30, beatOf(11, 70)); !slices.Equal(got, []string{"skew q"}) {
		t.Errorf("warnings %q", got)
	}
	j := s.judge("q")
	if !alike(j.class, is(10-0.01)) || j.bound.Value < 10*time.Second || j.bound.Value > 11*time.Second {
		t.Errorf("class %v, bound %v", j.class, j.bound)
	}
	if (j.skew - 50*time.Second).Abs() > 20*time.Millisecond {
		t.Errorf("skew %v", j.skew)
	}
}

// Clocks that agree are not warned of, also while the offset is known to an interval only.
func TestNoFalseSkew(t *testing.T) {
	s := newScene(t, heartbeat.Source{})
	for n := 0.0; n < 20; n++ {
		s.read("p", n+0.9, beatOf(11, n)) // always late in the beat
		for i, late := range []float64{0.02, 0.5, 0.99} {
			if got := s.read("q", n+1+late, beatOf(11, n+1-float64(i))); got != nil {
				t.Fatalf("after %v s: %q", n, got)
			}
			if j := s.judge("q"); n > 0 && !j.class.Known {
				t.Fatalf("after %v s: %+v", n, j)
			}
		}
	}
}

// The smallest of many readings counts: the last one may be anything up to an interval too large, which would hide as
// much of the lag.
func TestTheSmallestOffsetCounts(t *testing.T) {
	s := newScene(t, heartbeat.Source{})
	for n := 0.0; n < 20; n++ {
		s.read("p", n+0.05*float64(1+int(n)%18), beatOf(11, n))
	}
	s.live(20, 25, 0.95)
	s.read("q", 26, beatOf(11, 20))
	if j := s.judge("q"); !alike(j.class, is(6-0.05)) {
		t.Errorf("%+v", j)
	}
	// A minute later it is forgotten.
	s.live(26, 86, 0.95)
	s.read("q", 87, beatOf(11, 81))
	if j := s.judge("q"); !alike(j.class, is(6-0.95)) || j.bound.Value < 6*time.Second {
		t.Errorf("%+v", j)
	}
}

// A row that was not seen to move says nothing: its writer may be dead for days.
func TestTheFirstReadingIsNone(t *testing.T) {
	s := newScene(t, heartbeat.Source{})
	s.read("p", 1000, beatOf(11, 500))
	s.read("p", 1001, beatOf(11, 500))
	s.read("q", 1001, beatOf(11, 400))
	s.want("q", is(601), is(602))
	// Nor does one that moved while nobody looked.
	s.read("p", 2000, beatOf(11, 1500))
	s.read("q", 2001, beatOf(11, 1500))
	s.want("q", is(501), is(502))
}

// Until 8 readings of the origin the bound is an interval larger.
func TestFewReadings(t *testing.T) {
	s := newScene(t, heartbeat.Source{})
	s.read("p", 0, beatOf(11, 0))
	for n := 1.0; n <= 10; n++ {
		s.read("p", n-0.01, beatOf(11, n-1)) // just before the beat
		s.read("p", n+0.01, beatOf(11, n))
		s.read("q", n+0.5, beatOf(11, n))
		extra := 1.0
		if n >= 8 {
			extra = 0.02 // between not there yet and there
		}
		s.want("q", is(0.49), is(0.49+extra))
	}
}

// Read rarely, the origin alone tells an offset to an interval. Beats that a replica shows in between tell it better.
func TestReplicasSharpenTheOffset(t *testing.T) {
	for _, watched := range []bool{false, true} {
		s := newScene(t, heartbeat.Source{})
		for n := 0.0; n <= 60; n += 5 {
			s.read("p", n+0.9, beatOf(11, n))
			if watched {
				s.read("r", n+1.9, beatOf(11, n+1))
			}
		}
		s.read("q", 61, beatOf(11, 61))
		bound := map[bool]float64{false: 1 - 0.9, true: 0.1}[watched]
		s.want("q", is(0), is(bound))
		if j := s.judge("q"); watched && j.bound.Value > 101*time.Millisecond {
			t.Errorf("the bound is %v", j.bound)
		}
	}
}

// An origin that cannot be read keeps its offset, which is trusted a little less as time goes by.
func TestAnOldOffset(t *testing.T) {
	s := newScene(t, heartbeat.Source{})
	s.clocks["q"] = -500
	s.live(0, 100, 0.01)
	s.read("q", 101, beatOf(11, 99))
	early := s.judge("q")
	s.read("q", 10_101, beatOf(11, 10_099))
	late := s.judge("q")
	if !alike(early.class, is(1.99)) || !alike(late.class, is(1.99)) || !alike(late.bound, early.bound.aged(time.Second)) {
		t.Errorf("%+v, then %+v", early, late)
	}
}

// A clock that is set back, here by 20 s, is learnt after two beats; one that is set forward with the next.
func TestAClockIsSet(t *testing.T) {
	for _, by := range []float64{-20, -3, 20} {
		s := newScene(t, heartbeat.Source{})
		s.live(0, 20, 0.01)
		for n := 21.0; n <= 40; n++ {
			s.read("p", n+0.01, beatOf(11, n+by))
			s.read("q", n+0.02, beatOf(11, n+by))
			if j := s.judge("q"); n >= 22 && !alike(j.class, is(0.01)) {
				t.Errorf("by %v, after %v s: %+v", by, n, j)
			}
		}
	}
}

// A beat from the future is seen first on a replica: then its lag is unknown until the origin has been read, and learnt.
func TestAClockIsSetForward(t *testing.T) {
	s := newScene(t, heartbeat.Source{})
	s.live(0, 20, 0.01)
	s.read("q", 21, beatOf(11, 31))
	s.want("q", unknown(LagSkew), unknown(LagSkew))
	s.read("r", 21, beatOf(11, 19))
	s.read("p", 21.01, beatOf(11, 31))
	s.want("q", is(0), is(0.99)) // few readings again
	if j := s.judge("r"); !alike(j.class, is(12-0.01)) {
		t.Errorf("%+v", j)
	}
}

// The clock is set back by half a minute, and a replica is stuck with a row from before: it is not as young as that looks,
// and no younger when time has come there.
func TestAClockIsSetBackBehindAStuckReplica(t *testing.T) {
	s := newScene(t, heartbeat.Source{})
	s.live(0, 20, 0.01)
	for n := 21.0; n <= 100; n++ {
		s.read("p", n+0.01, beatOf(11, n-30))
		s.read("q", n+0.02, beatOf(11, 20))
		if j := s.judge("q"); j.bound.Known && j.bound.Value < seconds(n-20) {
			t.Errorf("%v s behind: %v", n-20, j.bound)
		}
	}
}

// With another server_id it is another writer. A restart sets no clock, but the server may have been rebuilt elsewhere.
func TestAnotherOrigin(t *testing.T) {
	s := newScene(t, heartbeat.Source{})
	s.clocks["q"] = 500
	s.live(0, 20, 0.01)
	s.read("q", 21, beatOf(11, 20))
	s.identity["p"] = "restarted"
	s.read("p", 21.01, beatOf(11, 21))
	s.want("q", is(0.99), is(1.99)) // 8 readings again
	s.identity["q"] = "restarted"
	s.read("q", 22)
	s.want("q", unknown(LagNoRow), unknown(LagNoRow))
	s.note("p", observation{at: at(22), serverID: 99, identity: "restarted", beats: heartbeat.Reading{Now: at(22), Rows: []heartbeat.Row{beatOf(99, 22)}}})
	s.read("q", 23, beatOf(99, 22), beatOf(11, 21))
	s.want("q", is(501), is(502)) // nothing learnt of 99 yet
}

// A heartbeat in local time, two hours ahead or behind. --utc is what helps.
func TestTimeZone(t *testing.T) {
	for _, zone := range []float64{7200, -7200, 5.75 * 3600, -900} {
		s := newScene(t, heartbeat.Source{})
		for n := 0.0; n < 20; n++ {
			second := 0.8 * n
			s.read("p", second, beatOf(11, float64(int(second))+zone))
			s.read("q", second, beatOf(11, float64(int(second))+zone))
			// A poll within the interval sees the same beat twice now and then; that is no exemption.
			if n < 2 {
				continue
			}
			s.want("q", unknown(LagTimeZone), unknown(LagTimeZone))
			if j := s.judge("q"); !slices.ContainsFunc(j.notes, func(n string) bool { return strings.Contains(n, "--utc") }) {
				t.Errorf("notes %q", j.notes)
			}
		}
	}
}

// A dead writer's row is a quarter of an hour old once, and that is no time zone; at first sight it may be one.
func TestTimeZoneOfADeadWriter(t *testing.T) {
	s := newScene(t, heartbeat.Source{})
	s.read("p", 900, beatOf(11, 0))
	s.read("q", 900, beatOf(11, 0))
	s.want("q", unknown(LagTimeZone), unknown(LagTimeZone))
	s.read("p", 900.5, beatOf(11, 0))
	s.read("q", 900.5, beatOf(11, 0))
	s.want("q", is(900.5), is(901.5))
	for second := 1790.0; second < 1810; second++ {
		s.read("p", second, beatOf(11, 0))
		s.read("q", second, beatOf(11, 0))
		s.want("q", is(0), is(second+1))
	}
}

// If the origin cannot be read, all that show its row must agree.
func TestTimeZoneWithoutOrigin(t *testing.T) {
	s := newScene(t, heartbeat.Source{Origins: []heartbeat.Origin{{ServerID: 99}}})
	s.read("q", 10, beatOf(99, 7210))
	s.want("q", unknown(LagTimeZone), unknown(LagTimeZone))
	s.read("r", 10, beatOf(99, 7100))
	s.want("q", unknown(LagSkew), unknown(LagSkew))
	s = newScene(t, heartbeat.Source{Origins: []heartbeat.Origin{{ServerID: 99}}})
	s.read("q", 1000, beatOf(99, 100)) // a replica that is just a quarter of an hour behind
	s.read("r", 1000, beatOf(99, 1000))
	s.want("q", is(900), is(901))
}

func TestZoneAge(t *testing.T) {
	for second, want := range map[float64]bool{
		0: false, 1.9: false, -1: false, 897.9: false, 898: true, 900: true, 902: true, 902.1: false, -898: true, -902: true, -897: false,
		7199: true, 7201.5: true, 7203: false, 1350: false, -3600: true, 20700: true, 14 * 3600: true, 14.25 * 3600: false,
	} {
		if zoneAge(seconds(second)) != want {
			t.Errorf("%v s: %t", second, !want)
		}
	}
}
