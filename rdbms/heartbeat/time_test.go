package heartbeat

import (
	"strings"
	"testing"
	"time"
)

// Case 31.
func TestParseTime(t *testing.T) {
	base := time.Date(2026, 5, 1, 10, 0, 7, 0, time.UTC)
	for decimals, nanoseconds := range map[string]time.Duration{
		"": 0, ".1": 1e8, ".12": 12e7, ".123": 123e6, ".1234": 1234e5, ".12345": 12345e4, ".123456": 123456e3, ".000000": 0, ".000001": 1e3,
	} {
		for _, between := range []string{"T", " "} {
			ts := "2026-05-01" + between + "10:00:07" + decimals
			got, err := ParseTime(ts)
			if want := base.Add(nanoseconds); err != nil || !got.Equal(want) || got.Location() != time.UTC {
				t.Errorf("%q is %v, %v, want %v", ts, got, err, want)
			}
		}
	}
}

// Case 30: a row of that age is that old.
func TestAges(t *testing.T) {
	now := time.Date(2026, 5, 1, 10, 0, 7, 0, time.UTC)
	for _, milliseconds := range []int{0, 300, 6500, 10_100, 200_200, 400_700, 600_220, 1000_770} {
		age := time.Duration(milliseconds) * time.Millisecond
		beat, err := ParseTime(formatTime(now.Add(-age)))
		if got := now.Sub(beat); err != nil || got != age {
			t.Errorf("a row %v old is %v old, %v", age, got, err)
		}
	}
}

var garbage = []string{
	"", " ", "0000-00-00 00:00:00", "0000-00-00T00:00:00.000000", "2026-05-00T10:00:00", "2026-13-01T10:00:00", "2026-02-30T10:00:00",
	"2026-05-01T24:00:00", "2026-05-01T10:60:00", "2026-05-01T10:00:60", "2026-05-01", "2026-05-01T10:00", "2026-05-01T10:00:07.",
	"2026-05-01T10:00:07.1234567", "2026-05-01T10:00:07,123", "2026-05-01T10:00:07Z", "2026-05-01T10:00:07+02:00", "2026-05-01t10:00:07",
	"2026-05-01T1:00:07.12", "2026-05-01T1:00:07.1234", "2026-05-01  10:00:07", " 2026-05-01T10:00:07", "2026-05-01T10:00:07 ", "now", "1777629607",
	"NULL", "2026-05-01T10:00:07.12345x", "2026-05-01T10:00:07.-1", "２026-05-01T10:00:07", strings.Repeat("2026", 1000),
}

func TestParseTimeRefusesGarbage(t *testing.T) {
	for _, ts := range garbage {
		if got, err := ParseTime(ts); err == nil || !got.IsZero() || len(err.Error()) > 300 {
			t.Errorf("%.50q is %v, %v", ts, got, err)
		}
	}
}

func FuzzParseTime(f *testing.F) {
	for _, ts := range garbage {
		f.Add(ts)
	}
	f.Add("2026-05-01T10:00:07.123456")
	f.Add("2026-05-01 10:00:07")
	f.Fuzz(func(t *testing.T, ts string) {
		got, err := ParseTime(ts)
		if err != nil {
			if !got.IsZero() {
				t.Fatalf("%q: an error and %v", ts, got)
			}
			return
		}
		text := formatTime(got)
		if again, err := ParseTime(text); err != nil || !again.Equal(got) {
			t.Fatalf("%q is read back as %v, %v", text, again, err)
		}
		// What was read is what stands there, but for the blank and missing zeros.
		if !strings.HasPrefix(text, strings.Replace(ts, " ", "T", 1)) {
			t.Fatalf("%q is taken for %q", ts, text)
		}
	})
}
