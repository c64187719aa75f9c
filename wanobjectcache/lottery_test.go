package wanobjectcache

import (
	"math"
	"math/rand"
	"testing"
	"testing/quick"
	"time"
)

func near(got, want float64) bool { return math.Abs(got-want) <= 1e-12 }

// Case G14.
func TestExpiringChance(t *testing.T) {
	const minute = time.Minute
	for _, tc := range []struct {
		name                  string
		left, lowTTL, logical time.Duration
		want                  float64
	}{
		{"half of the window", 30 * time.Second, minute, time.Hour, 0.0625},
		{"half of a short TTL", 5 * time.Second, minute, 10 * time.Second, 0.0625},
		{"three quarters gone", 15 * time.Second, minute, time.Hour, 0.31640625},
		{"the window's beginning", minute, minute, time.Hour, 0},
		{"before the window", minute + 1, minute, time.Hour, 0},
		{"just stored, TTL = window", minute, minute, minute, 0},
		{"the end", 0, minute, time.Hour, 1},
		{"beyond", -time.Hour, minute, time.Hour, 1},
		{"off", time.Second, -1, time.Hour, 0},
		{"off, and stale", -time.Second, -1, time.Hour, 0},
		{"no window", -time.Second, 0, time.Hour, 0},
		{"without end", Indefinite, minute, Indefinite, 0},
		{"without end, but purged by a tag", -1, minute, Indefinite, 1},
		{"an endless window", 30 * time.Second, Indefinite, minute, 0.0625},
	} {
		if got := expiringChance(tc.left, tc.lowTTL, tc.logical); !near(got, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

// Case G14.
func TestPopularChance(t *testing.T) {
	const ageNew, hotTTR = time.Minute, 15 * time.Minute
	for _, tc := range []struct {
		name                string
		age, ageNew, hotTTR time.Duration
		want                float64
	}{
		{"from 90 s on", 90 * time.Second, ageNew, hotTTR, 1. / 825},
		{"much later", time.Hour, ageNew, hotTTR, 1. / 825},
		{"half up the ramp", 75 * time.Second, ageNew, hotTTR, 0.5 / 825},
		{"at its foot", ageNew, ageNew, hotTTR, 0},
		{"new", time.Second, ageNew, hotTTR, 0},
		{"from the future", -time.Second, 0, hotTTR, 0},
		{"for ages", math.MaxInt64, ageNew, hotTTR, 1. / 825},
		{"an impatient one", time.Minute, 0, time.Second, 1},
		{"HotTTR before AgeNew", 2 * time.Minute, ageNew, time.Second, 1},
		{"on the ramp of an impatient one", 15 * time.Second, 0, 0, 0.5},
		{"AgeNew off", time.Hour, -1, hotTTR, 0},
		{"HotTTR off", time.Hour, ageNew, -1, 0},
		{"never new", math.MaxInt64, math.MaxInt64, hotTTR, 0},
		{"very nearly never", math.MaxInt64, math.MaxInt64 - 1, 0, 1. / 30e9},
	} {
		if got := popularChance(tc.age, tc.ageNew, tc.hotTTR); !near(got, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

// Case G14: the dice fall as often as they should.
func TestDiceSeeded(t *testing.T) {
	random := rand.New(rand.NewSource(14))
	for name, chance := range map[string]float64{
		"expiring": expiringChance(30*time.Second, time.Minute, time.Hour),
		"popular":  popularChance(2*time.Minute, time.Minute, 15*time.Minute),
	} {
		const rolls = 1_000_000
		won := 0
		for range rolls {
			if random.Float64() < chance {
				won++
			}
		}
		expected := chance * rolls
		if noise := 5 * math.Sqrt(expected); math.Abs(float64(won)-expected) > noise {
			t.Errorf("%s: won %d of %d, want %v ± %v", name, won, rolls, expected, noise)
		}
	}
}

// What HotTTR promises: asked for each second, a value is loaded anew after that time on average.
func TestPopularChanceKeepsHotTTR(t *testing.T) {
	for _, tc := range []struct{ ageNew, hotTTR time.Duration }{{time.Minute, 15 * time.Minute}, {0, 5 * time.Minute}, {10 * time.Minute, time.Hour}} {
		mean, still := 0., 1.
		for age := time.Duration(0); still > 1e-9; age += time.Second {
			p := popularChance(age, tc.ageNew, tc.hotTTR)
			mean += age.Seconds() * still * p
			still *= 1 - p
		}
		if math.Abs(mean-tc.hotTTR.Seconds()) > 2 {
			t.Errorf("AgeNew %v, HotTTR %v: after %v s", tc.ageNew, tc.hotTTR, mean)
		}
	}
}

// A chance is one, and does not fall as the value gets older.
func TestChancesAreChances(t *testing.T) {
	check := func(a, b, c, d time.Duration) bool {
		older := max(a, b)
		for _, chance := range []struct{ young, old float64 }{
			{expiringChance(older, c, d), expiringChance(min(a, b), c, d)},
			{popularChance(min(a, b), c, d), popularChance(older, c, d)},
		} {
			if !(0 <= chance.young && chance.young <= chance.old && chance.old <= 1) {
				return false
			}
		}
		return true
	}
	if err := quick.Check(check, &quick.Config{MaxCount: 10_000}); err != nil {
		t.Error(err)
	}
}
