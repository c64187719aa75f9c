package position

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// interval is the numbers from first to last, both included; first is at least 1.
type interval struct{ first, last uint64 }

// intervals is a set of numbers. In order it is sorted, and between two intervals at least one number is missing.
type intervals []interval

// ordered brings the set into order, in place.
func (s intervals) ordered() intervals {
	slices.SortFunc(s, func(a, b interval) int { return cmp.Compare(a.first, b.first) })
	out := s[:0]
	for _, i := range s {
		// first-1, because last+1 could overflow.
		if n := len(out); n > 0 && i.first-1 <= out[n-1].last {
			out[n-1].last = max(out[n-1].last, i.last)
			continue
		}
		out = append(out, i)
	}
	return out
}

// include reports whether every number of want is in s; both are in order, so each interval of want lies in one of s.
func (s intervals) include(want intervals) bool {
	for _, w := range want {
		// The first interval that ends at or behind w's end.
		at, _ := slices.BinarySearchFunc(s, w.last, func(i interval, last uint64) int { return cmp.Compare(i.last, last) })
		if at == len(s) || s[at].first > w.first {
			return false
		}
	}
	return true
}

func (s intervals) format(text *strings.Builder) {
	for _, i := range s {
		text.WriteByte(':')
		text.WriteString(strconv.FormatUint(i.first, 10))
		if i.last > i.first {
			text.WriteByte('-')
			text.WriteString(strconv.FormatUint(i.last, 10))
		}
	}
}
