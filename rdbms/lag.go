package rdbms

import "time"

// Lag is how far a server is behind. The zero Lag is unknown.
type Lag struct {
	Known bool          `json:"known"`
	Value time.Duration `json:"value"` // an upper bound, never negative
	Why   LagReason     `json:"why,omitempty"`
}

// LagReason says why a lag is unknown; empty if it is known.
type LagReason string

// Why a lag is unknown.
const (
	LagNotRead     LagReason = "not read"           // no probe has answered yet
	LagUnreachable LagReason = "unreachable"        // no probe has answered for 60 s
	LagNoTable     LagReason = "no heartbeat table" // error 1146
	LagNoRight     LagReason = "no right"           // to the heartbeat table, or to see the replica status
	LagNoRow       LagReason = "no heartbeat row"   // none of the origin
	LagBadTime     LagReason = "bad time"           // the origin's row has NULL, a zero date or garbage for a time
	LagTimeZone    LagReason = "time zone"          // the heartbeat is written in local time: start pt-heartbeat with --utc
	LagSkew        LagReason = "clock skew"         // the row is younger than now; a clock has stepped
	LagStopped     LagReason = "replication stopped"
)

// String is the value, rounded, or the reason why there is none.
func (l Lag) String() string {
	if l.Known {
		return l.Value.Round(time.Millisecond).String()
	}
	if l.Why == "" {
		return "unknown"
	}
	return "unknown (" + string(l.Why) + ")"
}

func known(d time.Duration) Lag { return Lag{Known: true, Value: max(d, 0)} }
func unknown(why LagReason) Lag { return Lag{Why: why} }

// aged is the lag after so much more time without news.
func (l Lag) aged(by time.Duration) Lag {
	if l.Known {
		l.Value += max(by, 0)
	}
	return l
}

// worse returns the larger of two lags; unknown is the largest.
func worse(a, b Lag) Lag {
	switch {
	case !a.Known:
		return a
	case !b.Known || b.Value > a.Value:
		return b
	}
	return a
}
