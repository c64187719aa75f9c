package rdbms

import "time"

// hysteresis keeps a server in or out by its lag, so that one slow probe, or a lag that hovers at the limit, flips
// nothing. The zero hysteresis has read nothing yet, and is out.
type hysteresis struct {
	read    bool // the reading before was a known lag
	in      bool
	against int // readings in sequence that speak against the present state
}

// next takes one reading and returns whether the server is in: out after two readings over the limit or one over twice
// the limit, in again after two readings of at most 0.8 times the limit. Unknown is out at once; the first known
// reading after it, or ever, decides alone. The limit is not negative.
func (h *hysteresis) next(lag Lag, limit time.Duration) (in bool) {
	switch {
	case !lag.Known:
		*h = hysteresis{}
	case !h.read:
		*h = hysteresis{read: true, in: lag.Value <= limit}
	case h.in:
		h.count(lag.Value > limit, lag.Value-limit > limit)
	default:
		h.count(lag.Value <= limit-limit/5, false)
	}
	return h.in
}

// count flips the state after two readings against it, or at once.
func (h *hysteresis) count(against, atOnce bool) {
	if !against {
		h.against = 0
		return
	}
	if h.against++; h.against == 2 || atOnce {
		h.in, h.against = !h.in, 0
	}
}
