package rdbms

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/multidc/multidc/rdbms/heartbeat"
)

// start is the first moment of these tests. All times in them are seconds since.
var start = time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)

func at(second float64) time.Time { return start.Add(seconds(second)) }

func seconds(n float64) time.Duration { return time.Duration(math.Round(n * 1e9)) }

// beat is the row of a server_id with the time of a beat.
func beatOf(id uint32, second float64) heartbeat.Row {
	return heartbeat.Row{ServerID: id, TS: at(second).Format("2006-01-02T15:04:05.000000")}
}

// scene is a book with the servers p, the primary with server_id 11, q with 12, r with 13 and so on.
type scene struct {
	*testing.T
	*lagBook
	clocks   map[string]float64 // how far a server's clock is ahead of the client's
	identity map[string]string
}

func newScene(t *testing.T, source heartbeat.Source) *scene {
	t.Helper()
	s := &scene{T: t, lagBook: newLagBook(source), clocks: map[string]float64{}, identity: map[string]string{}}
	s.setServers([]string{"p", "q", "r"}, "p")
	return s
}

// read notes a reading at some second, and returns the kinds of warning with their servers.
func (s *scene) read(server string, second float64, rows ...heartbeat.Row) []string {
	s.Helper()
	var out []string
	for _, w := range s.note(server, observation{
		at: at(second), identity: s.identity[server], serverID: 11 + uint32(server[0]-'p'),
		beats: heartbeat.Reading{Now: at(second + s.clocks[server]), Rows: rows},
	}) {
		out = append(out, fmt.Sprintf("%s %s", w.kind, w.server))
		if w.text == "" {
			s.Errorf("the warning %q says nothing", w.kind)
		}
	}
	return out
}

// live reads p, whose writer beats every second, once a second a little after the beat.
func (s *scene) live(from, to, late float64) {
	s.Helper()
	for n := from; n <= to; n++ {
		s.read("p", n+late, beatOf(11, n))
	}
}

func (s *scene) want(server string, class, bound Lag) {
	s.Helper()
	if j := s.judge(server); !alike(j.class, class) || !alike(j.bound, bound) {
		s.Errorf("%s: class %v, bound %v, want %v, %v; %q", server, j.class, j.bound, class, bound, j.notes)
	}
}

func alike(a, b Lag) bool {
	return a.Known == b.Known && a.Why == b.Why && (a.Value-b.Value).Abs() < 5*time.Millisecond
}

func is(second float64) Lag { return known(seconds(second)) }

// Case 30: without an offset a row is as old as the server's clock says, and may be a beat younger than is seen.
func TestAgeWithoutOffset(t *testing.T) {
	for _, age := range []float64{0, 0.3, 6.5, 10.1, 200.2, 400.7, 600.22, 1000.77} {
		s := newScene(t, heartbeat.Source{Interval: 2 * time.Second})
		s.clocks["p"], s.clocks["q"] = 100, 100
		s.read("p", 2000) // has no row yet
		s.read("q", 2000, beatOf(11, 2100-age))
		s.want("q", is(age), is(age+2))
	}
}

// Case 31.
func TestTextsOfOneTime(t *testing.T) {
	for _, ts := range []string{"2026-05-01T10:00:07", "2026-05-01 10:00:07", "2026-05-01 10:00:07.0", "2026-05-01T10:00:07.000000"} {
		s := newScene(t, heartbeat.Source{})
		s.read("p", 10)
		s.read("q", 10, heartbeat.Row{ServerID: 11, TS: ts})
		s.want("q", is(3), is(4))
	}
}

// Case 34, and times that are none.
func TestUnknown(t *testing.T) {
	s := newScene(t, heartbeat.Source{})
	s.want("q", unknown(LagNotRead), unknown(LagNotRead))
	s.want("gone", unknown(LagNotRead), unknown(LagNotRead))
	s.read("q", 1, beatOf(11, 0))
	s.want("q", unknown(LagNoRow), unknown(LagNoRow)) // who is the primary?
	if j := s.judge("q"); len(j.notes) != 1 || !strings.Contains(j.notes[0], "server_id of the primary p is not known") {
		t.Errorf("notes %q", j.notes)
	}
	s.read("p", 2, beatOf(11, 2))
	s.read("q", 2)
	s.want("q", unknown(LagNoRow), unknown(LagNoRow))
	for i, ts := range []string{"", "0000-00-00 00:00:00", "garbage", "0001-01-01T00:00:00", "9999-12-31T23:59:59"} {
		s.read("q", 3+float64(i), heartbeat.Row{ServerID: 11, TS: ts})
		s.want("q", unknown(LagBadTime), unknown(LagBadTime))
	}
	for _, why := range []LagReason{LagNoTable, LagNoRight} {
		s.note("q", observation{at: at(9), serverID: 12, problem: why})
		s.want("q", unknown(why), unknown(why))
		if j := s.judge("q"); len(j.origins) > 0 {
			t.Errorf("origins %v", j.origins)
		}
	}
}

// Of an engine without server ids nothing is taken for the origin's own.
func TestNoServerID(t *testing.T) {
	s := newScene(t, heartbeat.Source{Origins: []heartbeat.Origin{{Shard: "s1"}}})
	s.setServers([]string{"p", "q"}, "p")
	for range 2 {
		s.note("q", observation{at: at(1), beats: heartbeat.Reading{Now: at(1), Rows: []heartbeat.Row{{TS: "2026-05-01T10:00:00"}}}})
		s.want("q", unknown(LagNoRow), unknown(LagNoRow))
		s.setServers([]string{"p", "q"}, "q")
		s.want("q", is(0), is(0))
		s.setServers([]string{"p", "q"}, "p")
	}
}

// A server's clock beyond all reason is no ground to judge by: its sums would overflow to a lag of nothing.
func TestMadServerClock(t *testing.T) {
	s := newScene(t, heartbeat.Source{Interval: math.MaxInt64})
	s.read("p", 1)
	for _, now := range []time.Time{{}, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)} {
		s.note("q", observation{at: at(1), serverID: 12, beats: heartbeat.Reading{Now: now, Rows: []heartbeat.Row{beatOf(11, 0)}}})
		s.want("q", unknown(LagSkew), unknown(LagSkew))
	}
}

// The primary is behind nobody, whatever its rows say.
func TestThePrimary(t *testing.T) {
	s := newScene(t, heartbeat.Source{Origins: []heartbeat.Origin{{ServerID: 11}, {ServerID: 12}}})
	s.want("p", is(0), is(0))
	s.read("p", 100, beatOf(11, 100), beatOf(12, 90))
	s.want("p", is(0), is(0))
	if j := s.judge("p"); j.origins[11] != known(0) || !alike(j.origins[12], is(11)) {
		t.Errorf("origins %v", j.origins)
	}
	s.setServers([]string{"q", "p"}, "q")
	s.want("p", is(10), is(11))
	s.want("q", is(0), is(0))
}

// Case 35.
func TestTheFutureWithoutOffset(t *testing.T) {
	s := newScene(t, heartbeat.Source{})
	s.read("p", 1)
	for ahead, want := range map[float64]Lag{0.1: is(0), 0.25: is(0), 0.26: unknown(LagSkew), 10: unknown(LagSkew)} {
		s.read("q", 100, beatOf(11, 100+ahead))
		bound := want
		if want.Known {
			bound = is(1)
		}
		s.want("q", want, bound)
	}
}

// Cases 33, 38 and 39: neither garbage beside it, nor the row of a retired primary, nor the server's own row stands in
// for the origin's.
func TestOnlyTheOriginCounts(t *testing.T) {
	s := newScene(t, heartbeat.Source{})
	s.read("p", 10, beatOf(11, 10))
	garbage, retired, own := heartbeat.Row{ServerID: 0, TS: "zzz"}, beatOf(77, -3*24*3600), beatOf(12, 10)
	s.read("q", 10, garbage, own, retired, beatOf(14, 10), beatOf(11, 5.5), heartbeat.Row{ServerID: 11, TS: "zzz"})
	s.want("q", is(4.5), is(5.5))
	s.read("q", 11, garbage, own, retired, beatOf(14, 11))
	s.want("q", unknown(LagNoRow), unknown(LagNoRow))
}

// Case 37: both primaries of a circular pair count, and the stream of one has stopped.
func TestTwoOrigins(t *testing.T) {
	s := newScene(t, heartbeat.Source{Origins: []heartbeat.Origin{{ServerID: 11}, {ServerID: 12}}})
	for n := 0.0; n < 20; n++ {
		s.read("p", n, beatOf(11, n), beatOf(12, n))
		s.read("q", n, beatOf(12, n), beatOf(11, n))
	}
	s.read("r", 20, beatOf(11, 16), beatOf(12, 20))
	j := s.judge("r")
	if !alike(j.class, is(4)) || !alike(j.origins[11], j.bound) || j.origins[11].Value < 4*time.Second || j.origins[12].Value > seconds(1.01) {
		t.Errorf("%+v", j)
	}
	s.want("q", is(0), j.origins[12]) // itself is an origin
	s.read("r", 21, beatOf(11, 21))
	s.want("r", unknown(LagNoRow), unknown(LagNoRow))
	if got := s.sources(); !slices.Equal(got, []string{"p", "q"}) {
		t.Errorf("sources %q", got)
	}
}

// Case 41.
func TestNamedOrigins(t *testing.T) {
	rows := func(age ...float64) (out []heartbeat.Row) {
		for i, a := range age {
			row := beatOf(uint32(20+i), 100-a)
			row.Shard, row.Datacenter = fmt.Sprint("s", i/2), []string{"a", "b"}[i%2]
			out = append(out, row)
		}
		return out
	}
	all := rows(1, 2, 3, 4, 5, 6)
	bad := slices.Clone(all)
	bad[3].TS = "zzz" // sorted as a text it would be the newest
	for name, tc := range map[string]struct {
		origin   heartbeat.Origin
		rows     []heartbeat.Row
		lag      Lag
		warnings []string
	}{
		"shard and datacenter": {heartbeat.Origin{Shard: "s1", Datacenter: "b"}, all, is(4), nil},
		"one of them":          {heartbeat.Origin{Shard: "s1"}, all, is(3), []string{"config q"}},
		"newest parsed":        {heartbeat.Origin{Shard: "s1"}, bad, is(3), []string{"config q"}},
		"garbage only":         {heartbeat.Origin{Shard: "s1", Datacenter: "b"}, bad, unknown(LagBadTime), nil},
		"none":                 {heartbeat.Origin{Datacenter: "c"}, all, unknown(LagNoRow), nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, heartbeat.Source{Origins: []heartbeat.Origin{tc.origin}})
			if got := s.read("q", 100, tc.rows...); !slices.Equal(got, tc.warnings) {
				t.Errorf("warnings %q", got)
			}
			if j := s.judge("q"); !alike(j.class, tc.lag) {
				t.Errorf("%+v", j)
			}
		})
	}
}

// A named origin may be the server itself; but what a retired primary left there is not proof of being current.
func TestOwnRowOfANamedOrigin(t *testing.T) {
	s := newScene(t, heartbeat.Source{Origins: []heartbeat.Origin{{Datacenter: "b"}}})
	own := func(second float64) heartbeat.Row {
		row := beatOf(12, second)
		row.Datacenter = "b"
		return row
	}
	for n := 0.0; n < 10; n++ {
		s.read("q", n, own(n))
	}
	s.want("q", is(0), is(0))
	for n := 10.0; n < 30; n++ {
		s.read("q", n, own(9))
	}
	if j := s.judge("q"); j.bound.Value < 20*time.Second {
		t.Errorf("the bound is %v", j.bound)
	}
	next := beatOf(13, 28)
	next.Datacenter = "b"
	s.read("q", 30, own(9), next)
	s.want("q", is(2), is(3))
}

// Survivors keep what is known of them, by name; the others are forgotten.
func TestSetServers(t *testing.T) {
	s := newScene(t, heartbeat.Source{})
	s.clocks["q"], s.clocks["r"] = 500, 500
	s.live(0, 10, 0)
	s.read("q", 10, beatOf(11, 8), beatOf(13, 7.5))
	s.setServers([]string{"q", "p"}, "p")
	if got := s.read("r", 11, beatOf(11, 8)); got != nil {
		t.Errorf("warnings %q of a server that is gone", got)
	}
	s.setServers([]string{"q", "p", "r"}, "p")
	s.want("r", unknown(LagNotRead), unknown(LagNotRead))
	if j := s.judge("q"); !alike(j.class, is(2)) {
		t.Errorf("%+v", j)
	}
	s.setServers([]string{"q", "p", "r"}, "r")
	s.read("r", 12) // the new primary's row is still missing there
	if j := s.judge("q"); !alike(j.class, is(502.5)) || s.sources()[0] != "r" {
		t.Errorf("%+v, sources %q", j, s.sources())
	}
	s.setServers([]string{"q"}, "r")
	if got := s.sources(); len(got) > 0 {
		t.Errorf("sources %q", got)
	}
}

// Readings that come too late change nothing.
func TestOldReadings(t *testing.T) {
	s := newScene(t, heartbeat.Source{})
	s.read("p", 10, beatOf(11, 10))
	s.read("q", 10, beatOf(11, 9))
	s.read("q", 9, beatOf(11, 1))
	s.want("q", is(1), is(2))
}

// Case 46: between readings the lag grows by the time between them, also if nobody's row changes but the origin's.
func TestAReplicaThatStopsCommitting(t *testing.T) {
	s := newScene(t, heartbeat.Source{})
	for n := 0.0; n < 100; n++ {
		s.read("p", n, beatOf(11, n))
		s.read("q", n, beatOf(11, min(n, 30)))
		if n > 30 {
			if j := s.judge("q"); !alike(j.class, is(n-30)) || j.bound.Value < j.class.Value {
				t.Fatalf("at %v s: %+v", n, j)
			}
		}
	}
}

// What one reading can hold is all that a server takes of memory.
func TestMemory(t *testing.T) {
	s := newScene(t, heartbeat.Source{Interval: 10 * time.Millisecond})
	for n := range 3000 {
		second := float64(n) / 100
		s.read("p", second, beatOf(11, second), beatOf(uint32(1000+n), second))
	}
	p := s.servers["p"]
	if len(p.rows) != 2 || len(p.clock.beats) != offsetBeats || p.last.beats.Rows != nil || cap(p.clock.beats) > 4*offsetBeats {
		t.Errorf("%d rows, %d beats of %d, %d rows as read", len(p.rows), len(p.clock.beats), cap(p.clock.beats), len(p.last.beats.Rows))
	}
}
