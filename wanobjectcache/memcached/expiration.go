package memcached

import (
	"math"
	"time"
)

// longest is what memcached takes for a number of seconds; anything larger is a time since 1970 to it.
const longest = 30 * 24 * time.Hour

// expiration is a time to live in memcached's words. Parts of a second count as a whole one: 0 would be for ever.
func expiration(ttl time.Duration, now time.Time) int32 {
	switch {
	case ttl == 0:
		return 0
	case ttl < 0:
		return -1
	case ttl <= longest:
		return int32((ttl + time.Second - 1) / time.Second)
	}
	end := now.Add(ttl)
	seconds := end.Unix()
	if end.Nanosecond() > 0 {
		seconds++
	}
	if seconds > math.MaxInt32 { // memcached's clock ends in 2038
		return 0
	}
	return int32(seconds)
}
