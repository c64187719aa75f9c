package rdbms

import (
	"strings"
	"testing"
	"time"
)

// Cases 6 and 7, and what unknown does. The limit is 6 s; readings are in seconds, negative is unknown.
func TestHysteresis(t *testing.T) {
	for name, tc := range map[string]struct {
		readings []float64
		in       string // + in, - out, after each reading
	}{
		"at the limit":                       {[]float64{6, 6, 6}, "+++"},
		"over it once":                       {[]float64{1, 6.001, 6, 6.001}, "++++"},
		"over it twice":                      {[]float64{1, 6.001, 6.001}, "++-"},
		"at twice the limit once":            {[]float64{1, 12, 6}, "+++"},
		"over twice the limit once":          {[]float64{1, 12.1}, "+-"},
		"back not at 5 s":                    {[]float64{1, 7, 7, 5, 5, 5}, "++----"},
		"back after two at 4.8 s":            {[]float64{1, 7, 7, 5, 4.8, 4.8}, "++---+"},
		"back not after one, and not in all": {[]float64{1, 12.1, 4.8, 5, 4.8}, "+----"},
		"out again takes two again":          {[]float64{1, 7, 7, 1, 1, 7, 7}, "++--++-"},
		"unknown is out at once":             {[]float64{1, -1, -1}, "+--"},
		"the first known one decides":        {[]float64{-1, 6, -1, 6.001, 5, 4, 4}, "-+----+"},
		"the first one ever":                 {[]float64{6.001, 4.8, 4.8}, "--+"},
	} {
		t.Run(name, func(t *testing.T) {
			var h hysteresis
			var got strings.Builder
			for _, seconds := range tc.readings {
				lag := unknown(LagNoRow)
				if seconds >= 0 {
					lag = known(time.Duration(seconds * float64(time.Second)))
				}
				if h.next(lag, 6*time.Second) {
					got.WriteByte('+')
				} else {
					got.WriteByte('-')
				}
			}
			if got.String() != tc.in {
				t.Errorf("after %v it is %s, want %s", tc.readings, got.String(), tc.in)
			}
		})
	}
}

func TestHysteresisWithoutReading(t *testing.T) {
	var h hysteresis
	if h.next(Lag{}, time.Second) {
		t.Error("the zero Lag is in")
	}
}

// Limits at the ends of their range neither overflow nor divide.
func TestHysteresisAtTheEnds(t *testing.T) {
	var none, all hysteresis
	if !none.next(known(0), 0) || none.next(known(1), 0) || none.next(known(0), 0) || !none.next(known(0), 0) {
		t.Error("a limit of 0")
	}
	for range 3 {
		if !all.next(known(1<<62), 1<<63-1) {
			t.Error("the largest limit")
		}
	}
}
