package rdbms

import (
	"math"
	"slices"
	"time"
)

const (
	offsetWindow  = 60 * time.Second       // how far back the offset is looked for
	offsetEnough  = 8                      // readings until it is relied upon
	offsetBeats   = 128                    // most beats kept of one origin, whatever the poll interval
	skewTolerance = 250 * time.Millisecond // a lag may seem negative by so much: the middle of a round trip is a guess

	farBelow time.Duration = math.MinInt64 / 2 // with room to subtract from
)

// beatClock learns how the times in an origin's heartbeat row relate to this process's time, from readings of the row
// on the origin itself.
//
// Let the base be (client time of a beat's commit) - ts: it is the same for all beats, whatever the clocks say, and a
// server that shows a beat at client time t is at most t - ts - base behind. The base is never seen, but every beat
// encloses it: the reading that first showed the beat came after its commit, the last one without it came before.
type beatClock struct {
	beats   []beat // in the order in which the origin showed them
	above   int    // readings in sequence that lie too far above the offset
	suspect bool   // a server shows what cannot be if the offset is right

	// Kept up to date by weigh.
	known  int           // how many beats were seen to come
	offset time.Duration // the smallest limit above the base, of those
	low    time.Duration // the largest limit under the base
}

// beat is one that the origin showed. All times but ts and next are client time.
type beat struct {
	ts          time.Time
	unseen      time.Time // the reading before the first that showed it; zero = it had been there for an unknown time
	first, last time.Time // readings that showed it
	next        time.Time // ts of the closest later beat that any server showed, which at last was not there yet
}

func (b *beat) moved() bool          { return !b.unseen.IsZero() }
func (b *beat) above() time.Duration { return b.first.Sub(b.ts) } // the base is at most that

// below is a limit under the base.
func (b *beat) below() time.Duration {
	low := farBelow
	if b.moved() {
		low = b.unseen.Sub(b.ts)
	}
	if !b.next.IsZero() {
		low = max(low, b.last.Sub(b.next))
	}
	return low
}

// read takes a reading of the row on its origin.
func (c *beatClock) read(ts, at time.Time, interval time.Duration) {
	b := beat{ts: ts, first: at, last: at}
	if n := len(c.beats); n > 0 {
		newest := &c.beats[n-1]
		if newest.ts.Equal(ts) {
			newest.last = at
			c.weigh()
			return
		}
		// Of a beat that came in a longer gap nothing is known: its writer may have died since.
		if at.Sub(newest.last) <= offsetWindow {
			b.unseen = newest.last
		}
	}
	if c.stepped(b, interval) {
		*c = beatClock{}
	}
	c.heard(ts)
	c.beats = append(c.beats, b)
	c.forget()
	c.weigh()
}

// heard takes a beat that some server showed.
func (c *beatClock) heard(ts time.Time) {
	news := false
	for i := range c.beats {
		if b := &c.beats[i]; ts.After(b.ts) && (b.next.IsZero() || ts.Before(b.next)) {
			b.next, news = ts, true
		}
	}
	if news {
		c.weigh()
	}
}

// stepped reports whether a clock was set, so that what was learnt is void: back, if two beats in sequence lie far above
// the offset; or some way that another server noticed. A clock that was set forward needs no more: the next beat is the
// smallest.
func (c *beatClock) stepped(b beat, interval time.Duration) bool {
	if c.known == 0 || !b.moved() {
		return false
	}
	if b.above() <= c.offset+2*interval {
		c.above = 0
	} else {
		c.above++
	}
	return c.above >= 2 || c.suspect
}

// forget drops what is older than the window, which ends with the newest beat that was seen to come: when its writer
// dies, or the origin cannot be reached any more, the offset stays what it was.
func (c *beatClock) forget() {
	if newest := c.beats[len(c.beats)-1]; newest.moved() {
		c.beats = slices.DeleteFunc(c.beats, func(b beat) bool { return newest.first.Sub(b.first) > offsetWindow })
	}
	if over := len(c.beats) - offsetBeats; over > 0 {
		c.beats = slices.Delete(c.beats, 0, over)
	}
}

// weigh draws the limits from the beats. The smallest limit above the base removes the time between a beat's commit and
// its reading, which is anything up to an interval.
func (c *beatClock) weigh() {
	c.known, c.offset, c.low = 0, 0, farBelow
	for i := range c.beats {
		b := &c.beats[i]
		if !b.moved() {
			continue
		}
		if c.known++; c.known == 1 || b.above() < c.offset {
			c.offset = b.above()
		}
	}
	for i := range c.beats {
		// A limit over the offset is of a beat whose commit was slow, or of a clock that was set since.
		if below := c.beats[i].below(); below <= c.offset {
			c.low = max(c.low, below)
		}
	}
}

// limits returns the offset and what the base is at least; ok is false before the first beat was seen to come. Of many
// beats one at least was read within an interval of its commit. Of few that is not sure, and they get an interval more.
func (c *beatClock) limits(interval time.Duration) (low, offset time.Duration, ok bool) {
	if c.known < offsetEnough {
		low = min(c.low, c.offset-interval)
	} else {
		low = max(c.low, c.offset-interval)
	}
	return low, c.offset, c.known > 0
}

// tooYoung reports whether a server shows a beat at a time at which the origin cannot have committed it: then a clock was
// set.
func (c *beatClock) tooYoung(ts, at time.Time, interval time.Duration) bool {
	low, offset, ok := c.limits(interval)
	return ok && at.Sub(ts) < min(low, offset-interval)-skewTolerance
}
