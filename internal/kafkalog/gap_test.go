package kafkalog

import (
	"testing"
	"time"
)

func TestResume(t *testing.T) {
	for _, tc := range []struct {
		name     string
		position int64
		has      bounds
		from     int64
		kind     Kind // "" = no gap
	}{
		{"in the middle", 5, bounds{3, 9}, 5, ""},
		{"at the first", 3, bounds{3, 9}, 3, ""},
		{"at the end", 9, bounds{3, 9}, 9, ""},
		{"an empty log", 0, bounds{0, 0}, 0, ""},
		{"an empty log that was cut", 9, bounds{9, 9}, 9, ""},
		{"below the first", 2, bounds{3, 9}, 3, Retention},
		{"below the first, nothing left", 2, bounds{9, 9}, 9, Retention},
		{"beyond the end", 10, bounds{3, 9}, 3, Recreated},
		{"beyond the end of nothing", 1, bounds{0, 0}, 0, Recreated},
	} {
		from, gap := resume(tc.position, tc.has)
		if from != tc.from || (gap == nil) != (tc.kind == "") || gap != nil && (gap.Kind != tc.kind || gap.From != tc.position || gap.To != from) {
			t.Errorf("%s: from %d, %v, want %d, %q", tc.name, from, gap, tc.from, tc.kind)
		}
	}
}

func TestBegin(t *testing.T) {
	window := time.Unix(1549343530, 0)
	for _, tc := range []struct {
		name  string
		since int64
		has   bounds
		first bool
		from  int64
		gap   bool
		until time.Time
	}{
		{"the window begins in the log", 5, bounds{3, 9}, false, 5, true, window},
		{"nothing as young as the window", -1, bounds{3, 9}, false, 9, true, window},
		{"the log is shorter than the window, and was cut", 3, bounds{3, 9}, false, 3, true, time.Time{}},
		{"the log is shorter than the window, and whole", 0, bounds{0, 9}, false, 0, true, window},
		{"nothing was ever written", -1, bounds{0, 0}, false, 0, true, window},
		{"all was cut", -1, bounds{9, 9}, false, 9, true, time.Time{}},
		{"a new group", 5, bounds{3, 9}, true, 5, false, time.Time{}},
		{"a new group, nothing there", -1, bounds{3, 9}, true, 9, false, time.Time{}},
	} {
		from, gap := begin(tc.since, window, tc.has, tc.first)
		if from != tc.from || (gap != nil) != tc.gap {
			t.Errorf("%s: from %d, %v, want %d, %v", tc.name, from, gap, tc.from, tc.gap)
			continue
		}
		if gap != nil && (gap.Kind != Lost || gap.From != -1 || gap.To != from || !gap.Until.Equal(tc.until)) {
			t.Errorf("%s: %v, want until %v", tc.name, gap, tc.until)
		}
	}
}

func TestGapInWords(t *testing.T) {
	g := &Gap{Kind: Retention, Partition: 2, From: 5, To: 9, Until: time.Unix(1549343530, 0)}
	if want := "partition 2: gap from 5 to 9, until 2019-02-05T05:12:10Z: no longer retained"; g.String() != want {
		t.Errorf("%q, want %q", g, want)
	}
}
