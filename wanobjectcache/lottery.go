package wanobjectcache

import (
	"math"
	"time"
)

// expiringChance is the chance of a hit to start a refresh because the value ends soon: 0 with lowTTL left, 1 at the end,
// and small until shortly before, so that of many readers few load, and a rare one seldom in vain.
func expiringChance(curTTL, lowTTL, logical time.Duration) float64 {
	window := min(lowTTL, logical)
	if window <= 0 || curTTL >= window {
		return 0
	}
	return math.Pow(1-float64(max(curTTL, 0))/float64(window), 4)
}

// popularChance is the chance of a hit to start a refresh because the value is old and often asked for: with a hit each
// second it is loaded anew after hotTTR, on average.
func popularChance(age, ageNew, hotTTR time.Duration) float64 {
	// The chance does not jump up at ageNew. What that costs in time, half the ramp, is made up for behind it.
	const ramp = 30 * time.Second
	if ageNew < 0 || hotTTR < 0 || age <= ageNew {
		return 0
	}
	hits := max(hotTTR.Seconds()-ageNew.Seconds()-ramp.Seconds()/2, 1)
	return min((age-ageNew).Seconds()/ramp.Seconds(), 1) / hits
}
