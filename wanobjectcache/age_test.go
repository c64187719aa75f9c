package wanobjectcache

import (
	"math"
	"math/big"
	"math/rand"
	"reflect"
	"testing"
	"testing/quick"
	"time"
	"unsafe"
)

var (
	testNow    = t0.time()
	ago        = func(d time.Duration) time.Time { return testNow.Add(-d) }
	notKnown   time.Time
	tenth      = 100 * time.Millisecond
	defaultLag = 7 * time.Second
)

func TestJudgeAge(t *testing.T) {
	const hour, second = time.Hour, time.Second
	for _, tc := range []struct {
		name    string
		facts   Facts
		started time.Time
		ttl     time.Duration
		fill    Fill
		logical time.Duration
	}{
		{"T9", Facts{Since: ago(30 * second)}, ago(28 * second), hour, FillCapped, 30 * second},
		{"T10", Facts{Since: ago(30 * second)}, notKnown, hour, FillCapped, 30 * second},
		{"T11", Facts{Lag: 300 * second, Since: ago(0)}, ago(tenth), 30 * second, FillCapped, 30 * second},
		{"T14", Facts{Since: ago(300 * second)}, ago(tenth), hour, FillOld, 0},
		{"T15", Facts{Since: ago(300 * second)}, notKnown, hour, FillCapped, 30 * second},
		{"T17", Facts{Lag: 5 * second, Since: ago(5 * second)}, ago(tenth), hour, FillOld, 0},
		{"T17, started unknown", Facts{Lag: 5 * second, Since: ago(5 * second)}, notKnown, hour, FillCapped, 30 * second},
		{"T17, by a slow loader", Facts{Lag: 5 * second, Since: ago(5 * second)}, ago(4 * second), hour, FillCapped, 30 * second},
		{"T18", Facts{Lag: 3 * second, Since: ago(3 * second)}, ago(tenth), hour, FillStored, hour},
		{"T19", Facts{Pending: true}, ago(tenth), hour, FillPending, 0},

		{"nothing the matter", Facts{}, ago(0), hour, FillStored, hour},
		{"without end", Facts{}, ago(0), Indefinite, FillStored, Indefinite},
		{"without end, capped", Facts{Unknown: true}, ago(0), Indefinite, FillCapped, 30 * second},
		{"capped, shorter", Facts{Unknown: true}, ago(0), second, FillCapped, second},
		{"not to be stored", Facts{Pending: true, Unknown: true}, ago(0), -1, FillUncacheable, 0}, // Case T2
		{"pending before old", Facts{Pending: true, Since: ago(hour)}, ago(0), hour, FillPending, 0},
		{"old before unknown", Facts{Unknown: true, Since: ago(hour)}, ago(0), hour, FillOld, 0},
		{"nothing said", Facts{silent: true}, ago(0), hour, FillCapped, 30 * second},
		{"unknown, whatever the lag says", Facts{Unknown: true, Lag: 1}, ago(0), hour, FillCapped, 30 * second},
		{"lag at the limit", Facts{Lag: defaultLag}, ago(0), hour, FillStored, hour},
		{"lag beyond it is no refusal", Facts{Lag: defaultLag + 1}, ago(0), hour, FillCapped, 30 * second}, // Case G2
		{"snapshot at the limit", Facts{Since: ago(defaultLag)}, ago(0), hour, FillStored, hour},
		{"sum at the limit", Facts{Lag: 4 * second, Since: ago(3 * second)}, ago(0), hour, FillStored, hour},
		{"sum beyond", Facts{Lag: 4 * second, Since: ago(3*second + 1)}, ago(3 * second), hour, FillCapped, 30 * second},
		{"started near the limit", Facts{Since: ago(8 * second)}, ago(1200 * time.Millisecond), hour, FillCapped, 30 * second},
		{"started too near", Facts{Since: ago(8 * second)}, ago(1200*time.Millisecond - 1), hour, FillOld, 0},
		{"a snapshot from the future makes nothing fresher", Facts{Lag: 5 * second, Since: ago(-hour)}, ago(0), hour, FillStored, hour},
		{"nor does a negative lag", Facts{Lag: -hour, Since: ago(8 * second)}, ago(8 * second), hour, FillCapped, 30 * second},
		{"a load from the future", Facts{Since: ago(8 * second)}, ago(-hour), hour, FillOld, 0},
		{"huge", Facts{Lag: math.MaxInt64, Since: time.Unix(1, 0).Add(math.MinInt64)}, ago(0), hour, FillOld, 0},
		{"a huge lag", Facts{Lag: math.MaxInt64, Since: ago(1)}, ago(0), hour, FillCapped, 30 * second},
	} {
		fill, logical := judgeAge(tc.facts, testNow, tc.started, tc.ttl, defaultLag)
		if fill != tc.fill || logical != tc.logical {
			t.Errorf("%s: %s for %v, want %s for %v", tc.name, fill, logical, tc.fill, tc.logical)
		}
	}
}

// ageCase is near a limit more often than not.
type ageCase struct {
	facts                       Facts
	lag, snap, wall, ttl, limit time.Duration // wall < 0: not known
}

func (ageCase) Generate(r *rand.Rand, _ int) reflect.Value {
	c := ageCase{limit: []time.Duration{0, time.Second, defaultLag, math.MaxInt64}[r.Intn(4)]}
	span := func() time.Duration {
		of := []time.Duration{0, tenth, 200 * time.Millisecond, time.Second, 4 * time.Second, 6800 * time.Millisecond, defaultLag, 30 * time.Second}
		return max(of[r.Intn(len(of))]+time.Duration(r.Intn(3)-1), 0)
	}
	c.lag, c.snap, c.wall, c.ttl = span(), span(), span(), span()
	if r.Intn(4) == 0 {
		c.lag = math.MaxInt64
	}
	if r.Intn(4) == 0 {
		c.wall = -1
	}
	c.facts = Facts{Lag: c.lag, Unknown: r.Intn(8) == 0, silent: r.Intn(8) == 0, Pending: r.Intn(8) == 0}
	if c.snap > 0 || r.Intn(2) == 0 {
		c.facts.Since = ago(c.snap)
	}
	return reflect.ValueOf(c)
}

// twin is the table of the rule, line by line, in numbers that do not overflow.
func (c ageCase) twin() (Fill, time.Duration) {
	n := func(ds ...time.Duration) *big.Int {
		sum := new(big.Int)
		for _, d := range ds {
			sum.Add(sum, big.NewInt(int64(d)))
		}
		return sum
	}
	over := func(sum *big.Int) bool { return sum.Cmp(n(c.limit)) > 0 }
	atStart := c.snap - c.wall + 200*time.Millisecond
	rules := []struct {
		applies bool
		fill    Fill
	}{
		{c.facts.Pending, FillPending},
		{over(n(c.snap)) && c.wall >= 0 && over(n(atStart)), FillOld},
		{over(n(c.snap)), FillCapped},
		{c.facts.Unknown || c.facts.silent || over(n(c.lag)), FillCapped},
		{over(n(c.lag, c.snap)) && c.wall >= 0 && over(n(c.lag, atStart)), FillOld},
		{over(n(c.lag, c.snap)), FillCapped},
		{true, FillStored},
	}
	for _, rule := range rules {
		if rule.applies {
			return rule.fill, map[Fill]time.Duration{FillCapped: min(c.ttl, 30*time.Second), FillStored: c.ttl}[rule.fill]
		}
	}
	panic("the last rule applies")
}

func TestJudgeAgeAgainstTwin(t *testing.T) {
	seen := map[Fill]int{}
	check := func(c ageCase) bool {
		started := notKnown
		if c.wall >= 0 {
			started = ago(c.wall)
		}
		fill, logical := judgeAge(c.facts, testNow, started, c.ttl, c.limit)
		wantFill, wantLogical := c.twin()
		seen[fill]++
		if fill != wantFill || logical != wantLogical {
			t.Logf("%s for %v, want %s for %v", fill, logical, wantFill, wantLogical)
			return false
		}
		return true
	}
	if err := quick.Check(check, &quick.Config{MaxCount: 50_000}); err != nil {
		t.Error(err)
	}
	for _, fill := range []Fill{FillPending, FillOld, FillCapped, FillStored} {
		if seen[fill] == 0 {
			t.Errorf("%s did not occur", fill)
		}
	}
}

// A suspended machine stops its monotonic clock, a corrected one sets its wall clock back: neither makes anything younger.
func TestElapsed(t *testing.T) {
	now := time.Now()
	for _, tc := range []struct {
		name            string
		monotonic, wall time.Duration
		want            time.Duration
	}{
		{"in step", time.Minute, time.Minute, time.Minute},
		{"suspended", time.Second, time.Hour, time.Hour},
		{"set back", time.Hour, -time.Hour, time.Hour},
		{"ahead", -time.Second, -time.Second, 0},
	} {
		from := now.Add(-tc.wall)
		shiftMonotonic(&from, tc.wall-tc.monotonic)
		if now.Sub(from) != tc.monotonic || now.Round(0).Sub(from) != tc.wall {
			t.Fatalf("%s: clocks say %v and %v", tc.name, now.Sub(from), now.Round(0).Sub(from))
		}
		if got := elapsed(from, now); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
	if got := elapsed(time.Time{}, now); got != 0 {
		t.Errorf("since nobody knows when: %v", got)
	}
}

// shiftMonotonic moves the monotonic clock's part of a time.Time alone, which no method does.
func shiftMonotonic(t *time.Time, d time.Duration) {
	(*struct {
		wall uint64
		ext  int64
		loc  *time.Location
	})(unsafe.Pointer(t)).ext += int64(d)
}

func TestPhysicalTTL(t *testing.T) {
	const second = time.Second
	most := Indefinite.Truncate(second)
	for _, tc := range []struct{ logical, locked, onError, want time.Duration }{
		{time.Hour, 0, 0, time.Hour},
		{time.Hour, 5 * second, 0, time.Hour + 5*second},
		{time.Hour, 0, 5 * second, time.Hour + 5*second},
		{time.Hour, 5 * second, 60 * second, time.Hour + time.Minute},
		{30 * second, 5 * second, 0, 35 * second}, // Case T25
		{1, 0, 0, second},
		{0, 0, 0, second},
		{second, 0, 0, second},
		{second + 1, 0, 0, 2 * second},
		{500 * time.Millisecond, 500 * time.Millisecond, 0, second},
		{500 * time.Millisecond, 501 * time.Millisecond, 0, 2 * second},
		{time.Minute, -second, -1, time.Minute},
		{-time.Minute, 0, 0, second},
		{Indefinite, 0, 0, 0},
		{Indefinite, time.Hour, time.Hour, 0},
		{Indefinite - 1, 0, 0, most},
		{Indefinite - 1, Indefinite, 0, most},
		{1, 0, Indefinite, most},
		{most - second, second, 0, most},
		{most - second, 1, 0, most},
	} {
		if got := physicalTTL(tc.logical, tc.locked, tc.onError); got != tc.want {
			t.Errorf("%v + %v or %v: %v, want %v", tc.logical, tc.locked, tc.onError, got, tc.want)
		}
	}
}

// The record lives at least as long as somebody may use it, at most a second more, in whole seconds.
func TestPhysicalTTLBounds(t *testing.T) {
	check := func(logical, locked, onError time.Duration) bool {
		logical, locked, onError = logical.Abs()%(1<<61), locked.Abs()%(1<<61), onError.Abs()%(1<<61)
		got, wanted := physicalTTL(logical, locked, onError), logical+max(locked, onError)
		return got >= wanted && got-wanted < time.Second && got%time.Second == 0 && got > 0
	}
	if err := quick.Check(check, nil); err != nil {
		t.Error(err)
	}
}
