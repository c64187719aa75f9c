package kafkalog

import (
	"fmt"
	"time"
)

// Gap is a part of a log that was not read and cannot be.
type Gap struct {
	Kind      Kind
	Partition int
	From, To  int64     // offsets: the one that was to be read, the one that reading goes on at. From -1 = not known
	Until     time.Time // what was lost is older: the time of the first message after the gap, the start of the window, or now
	Seq       uint64    // for Partition.Done
}

// String says it in words.
func (g *Gap) String() string {
	until := g.Until.UTC().Format(time.RFC3339)
	return fmt.Sprintf("partition %d: gap from %d to %d, until %s: %s", g.Partition, g.From, g.To, until, g.Kind)
}

// Kind is why there is a gap.
type Kind string

// The kinds of gaps.
const (
	Retention Kind = "no longer retained" // the log was cut at its beginning, beyond the position
	Recreated Kind = "topic made anew"    // the position is beyond the end
	Lost      Kind = "position lost"      // nothing was committed
	Skipped   Kind = "offsets missing"    // a message is not the successor of the one before it
)

// bounds is what a partition has: first to before end.
type bounds struct{ first, end int64 }

// resume is where to go on from a position: there, or at the first message if that is a gap.
func resume(position int64, has bounds) (from int64, gap *Gap) {
	switch {
	case position < has.first:
		return has.first, &Gap{Kind: Retention, From: position, To: has.first}
	case position > has.end:
		return has.first, &Gap{Kind: Recreated, From: position, To: has.first}
	}
	return position, nil
}

// begin is where to begin without a position: at the first message that is not older than the window, whose offset is
// since, or -1 if there is none. The gap ends with the window, unless the log is shorter than that.
func begin(since int64, window time.Time, has bounds, firstRun bool) (from int64, gap *Gap) {
	from = since
	if since < 0 {
		from = has.end
	}
	if firstRun {
		return from, nil
	}
	gap = &Gap{Kind: Lost, From: -1, To: from, Until: window}
	if from == has.first && has.first > 0 {
		gap.Until = time.Time{} // what is gone may be younger than the window: the first message tells
	}
	return from, gap
}
