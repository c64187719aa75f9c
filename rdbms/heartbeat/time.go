package heartbeat

import (
	"fmt"
	"time"
)

const layout = "2006-01-02T15:04:05"

// ParseTime reads a beat's time, in UTC: "2026-05-01T10:00:00.123456", with a T or a blank in the middle and up to six
// decimals. An empty text, a zero date, and what else is no time are an error.
func ParseTime(ts string) (time.Time, error) {
	// time.Parse alone would take more decimals, a comma before them, and an hour of one digit.
	const date, seconds, most = len("2006-01-02"), len(layout), len(layout) + len(".000000")
	n := len(ts)
	if n < seconds || n > most || ts[date] != 'T' && ts[date] != ' ' || n > seconds && ts[seconds] != '.' || n == seconds+1 {
		return time.Time{}, badTime(ts)
	}
	t, err := time.Parse(layout, ts[:date]+"T"+ts[date+1:])
	if err != nil {
		return time.Time{}, badTime(ts)
	}
	return t, nil
}

func badTime(ts string) error {
	return fmt.Errorf("heartbeat: %.40q is no time: expected YYYY-MM-DDTHH:MM:SS and up to 6 decimals", ts)
}

// formatTime is how a beat is written.
func formatTime(t time.Time) string { return t.Format(layout + ".000000") }
