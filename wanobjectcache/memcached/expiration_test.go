package memcached

import (
	"math"
	"testing"
	"testing/quick"
	"time"
)

// Case G10, and the other edges.
func TestExpiration(t *testing.T) {
	const day = 24 * time.Hour
	now := time.Unix(1549343530, 0)
	for _, tc := range []struct {
		ttl  time.Duration
		now  time.Time
		want int32
	}{
		{0, now, 0},
		{-1, now, -1},
		{-time.Hour, now, -1},
		{math.MinInt64, now, -1},
		{1, now, 1},
		{time.Millisecond, now, 1},
		{999 * time.Millisecond, now, 1},
		{time.Second, now, 1},
		{time.Second + 1, now, 2},
		{11 * time.Second, now, 11},
		{30*day - 1, now, 2592000},
		{30 * day, now, 2592000},
		{30*day + 1, now, 1549343530 + 2592001},
		{30*day + time.Second, now, 1549343530 + 2592001},
		{31 * day, now, 1549343530 + 31*86400},
		{31 * day, now.Add(1), 1549343530 + 31*86400 + 1},
		{31*day - 1, now.Add(1), 1549343530 + 31*86400},
		{365 * day, now, 1549343530 + 365*86400},
		{math.MaxInt32*time.Second - 1549343530*time.Second, now, math.MaxInt32},
		{math.MaxInt32*time.Second - 1549343530*time.Second + 1, now, 0},
		{math.MaxInt64, now, 0},
		{31 * day, time.Unix(math.MaxInt32, 0), 0},
	} {
		if got := expiration(tc.ttl, tc.now); got != tc.want {
			t.Errorf("expiration(%v) at %v = %d, want %d", tc.ttl, tc.now, got, tc.want)
		}
	}
}

// As memcached reads it, an item lives as long as it was told to, or for less than a second more, or for ever.
func TestExpirationNeverShortens(t *testing.T) {
	read := func(e int32, now time.Time) time.Duration {
		switch {
		case e == 0:
			return math.MaxInt64
		case e > 2592000:
			return time.Unix(int64(e), 0).Sub(now)
		default:
			return time.Duration(e) * time.Second
		}
	}
	holds := func(ttl time.Duration, short bool, nanoseconds uint32) bool {
		ttl &= math.MaxInt64
		if short {
			ttl %= 60 * 24 * time.Hour
		}
		now := time.Unix(1549343530, int64(nanoseconds%1e9))
		lives := read(expiration(max(ttl, 1), now), now)
		return lives >= ttl && (lives < ttl+time.Second || lives == math.MaxInt64 && now.Add(ttl).Unix() >= math.MaxInt32)
	}
	if err := quick.Check(holds, &quick.Config{MaxCount: 10_000}); err != nil {
		t.Error(err)
	}
}
