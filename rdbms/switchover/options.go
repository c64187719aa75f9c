package switchover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/multidc/multidc/internal/dcname"
)

// Options of a [State]. Only DC is required.
type Options struct {
	DC           string        // the DC of this process
	Poll         time.Duration // the document is read this often, less a random tenth, also with a watch; 0 = 10 s
	FetchTimeout time.Duration // the most that one call of the store may take; 0 = 2 s
	MaxStale     time.Duration // writes are refused when the state was not read for so long; 0 = 30 s, at least 3 × Poll; negative = never
	By           string        // who writes, for Doc.Updated; "" = the host's name
	Logger       *slog.Logger  // nil = discard
	Events       Events
	Now          func() time.Time // stamps Doc.Updated, nothing else; nil = time.Now
}

// Events are called as things happen, one at a time, from whichever call noticed. They must return soon and not
// call Refresh or Update. Nil fields are legal.
type Events struct {
	OnChanged  func(context.Context, ChangeInfo) // another document is held
	OnFenced   func(context.Context, FenceInfo)  // the fence tripped, or was cleared
	OnRejected func(context.Context, RejectInfo) // a document was read that may not be held
}

// ChangeInfo goes with Events.OnChanged.
type ChangeInfo struct{ Old, New Doc } // Old is zero at the first load

// FenceInfo goes with Events.OnFenced.
type FenceInfo struct {
	Fenced bool
	Age    time.Duration // since the last good read
	Cause  error         // why the last read failed; nil if none did, as when nobody read
}

// RejectInfo goes with Events.OnRejected.
type RejectInfo struct{ Err error }

// withDefaults checks the options and fills in what was left out.
func (o *Options) withDefaults() (Options, error) {
	if o == nil {
		return Options{}, errors.New("switchover: Options.DC is required")
	}
	out := *o
	if err := dcname.Check(out.DC); err != nil {
		return out, fmt.Errorf("switchover: Options.DC: %w", err)
	}
	if out.Poll < 0 || out.FetchTimeout < 0 {
		return out, errors.New("switchover: Options.Poll and Options.FetchTimeout must not be negative: without reading there is no state")
	}
	out.Poll = cmp.Or(out.Poll, 10*time.Second)
	out.FetchTimeout = cmp.Or(out.FetchTimeout, 2*time.Second)
	out.MaxStale = max(cmp.Or(out.MaxStale, 30*time.Second), -1)
	if out.MaxStale > 0 && out.MaxStale < 3*out.Poll {
		return out, fmt.Errorf("switchover: Options.MaxStale is %v, and must be at least 3 × Poll, %v: one lost read must not stop the writes", out.MaxStale, 3*out.Poll)
	}
	if out.Logger == nil {
		out.Logger = slog.New(slog.DiscardHandler)
	}
	if out.Now == nil {
		out.Now = time.Now
	}
	return out, nil
}

// by is asked at a write only: the host's name is I/O.
func (o *Options) by() string {
	if o.By != "" {
		return o.By
	}
	host, err := os.Hostname()
	if err != nil {
		return "unknown host"
	}
	return host
}
