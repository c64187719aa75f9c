package switchover

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// State is a process's view of the state document. All methods are safe for concurrent use.
type State struct {
	store   Store
	watcher Watcher // nil: the store cannot watch
	opts    Options

	view    atomic.Pointer[view]          // what requests read; nil = never loaded
	changed atomic.Pointer[chan struct{}] // what Changed returns
	talking chan struct{}                 // full while somebody talks to the store
	renewed chan struct{}                 // tells the loop of the fence that a read was accepted

	mu      sync.Mutex // guards what follows
	flight  *flight    // the fetch under way; nil = none
	runs    *children  // of the Run under way; nil = none
	subs    map[*subscriber]struct{}
	seen    string // revision last read, held or refused
	lastErr error  // of the last read; nil = it was accepted
	lastAt  time.Time

	telling sync.Mutex // orders what is told of the fence, and guards
	fenced  bool       // what was told last
}

// view is one accepted read: immutable.
type view struct {
	doc       Doc
	canonical string // doc as it would be written
	raw       string // as it was read
	routes    routes
	quiet     []string  // the DCs, if nothing is read-only anywhere; else none
	readAt    time.Time // when the read began
	stale     string    // the read-only reason once the fence has tripped
}

// New returns a State over store. It reads nothing yet: call Refresh, Run, or both.
func New(store Store, opts *Options) (*State, error) {
	if store == nil {
		return nil, errors.New("switchover: a store is required")
	}
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &State{
		store:   store,
		opts:    o,
		talking: make(chan struct{}, 1),
		renewed: make(chan struct{}, 1),
		subs:    map[*subscriber]struct{}{},
	}
	s.watcher, _ = store.(Watcher)
	next := make(chan struct{})
	s.changed.Store(&next)
	return s, nil
}

// Primary returns the primary DC and the epoch at which it became it: a number that rises exactly when the
// primary changes. While the state is fenced they are the last known and come with ErrStale: good for reads,
// not for writes. ErrUnavailable, and no DC: the state was never loaded. The context is not used.
func (s *State) Primary(context.Context) (dc string, epoch uint64, err error) {
	v := s.view.Load()
	if v == nil {
		return "", 0, ErrUnavailable
	}
	if s.isStale(v) {
		err = ErrStale
	}
	return v.doc.Primary, v.doc.PrimaryEpoch, err
}

// ReadOnly returns why the own DC takes no writes; "" = it does, as far as the document goes. It is the first
// of these: the fence, the whole application's entry, the DC's. ErrUnavailable: the state was never loaded.
// The context is not used.
func (s *State) ReadOnly(ctx context.Context) (reason string, err error) {
	reason, _, err = s.ReadOnlyFor(ctx, s.opts.DC, "")
	return reason, err
}

// ReadOnlyFor is as ReadOnly for any DC, and looks for an entry of section last. until is when the whole
// application's entry should be over, if that is the reason and the document tells; else zero.
func (s *State) ReadOnlyFor(_ context.Context, dc, section string) (reason string, until time.Time, err error) {
	v := s.view.Load()
	if v == nil {
		return "", time.Time{}, ErrUnavailable
	}
	if s.isStale(v) {
		return v.stale, time.Time{}, nil
	}
	if v.writable(dc) {
		return "", time.Time{}, nil
	}
	reason, until = v.doc.readOnlyFor(dc, section)
	return reason, until, nil
}

// ClusterReason returns a function that gives the reason of ReadOnlyFor for the own DC and section, and a reason
// too as long as the state was never loaded. It fits rdbms.Options.ClusterReason.
func (s *State) ClusterReason(section string) func() string {
	return func() string {
		reason, _, err := s.ReadOnlyFor(context.Background(), s.opts.DC, section)
		if err != nil {
			return "state not loaded"
		}
		return reason
	}
}

// Pooled tells whether traffic may be sent to dc: as the document says, the last known one if need be; a DC that
// it does not list is not pooled. Before the first load every DC counts as pooled.
func (s *State) Pooled(dc string) bool {
	v := s.view.Load()
	return v == nil || v.doc.DCs[dc].Pooled
}

// Rollout returns the override for a host: the rule of the longest pattern that matches, its empty fields from
// the default rule. ok is false when there is none, or the state was never loaded. An empty mode or salt means
// the router's own. The host is compared in lower case, without port and trailing dot.
func (s *State) Rollout(host string) (mode string, share int, salt string, ok bool) {
	v := s.view.Load()
	if v == nil {
		return "", 0, "", false
	}
	rule, ok := v.routes.find(host)
	return rule.Mode, rule.Share, rule.Salt, ok
}

// Current returns the document held, and how long ago the read began that last confirmed it. ok is false when
// the state was never loaded. The document is the caller's own copy.
func (s *State) Current() (doc Doc, age time.Duration, ok bool) {
	v := s.view.Load()
	if v == nil {
		return Doc{}, 0, false
	}
	return v.doc.clone(), time.Since(v.readAt), true
}

// Changed returns a channel that closes at the next change of the primary, the epoch or a read-only entry, and
// when the fence trips or clears. Take the channel first and read the state then, so that no change falls
// between; after it closed call again. A fence trips on its own only under Run.
func (s *State) Changed() <-chan struct{} { return *s.changed.Load() }

// signal closes the channel that Changed gave out.
func (s *State) signal() {
	next := make(chan struct{})
	close(*s.changed.Swap(&next))
}

// isStale is the fence. It asks the clock at each call: a timer would come too late in a process that was
// suspended.
func (s *State) isStale(v *view) bool {
	return s.opts.MaxStale > 0 && time.Since(v.readAt) > s.opts.MaxStale
}

func newView(doc Doc, raw []byte, readAt time.Time) *view {
	v := &view{doc: doc, canonical: string(doc.encode()), raw: string(raw), routes: compile(doc.Rollout)}
	if !doc.readOnlyChanged(&Doc{}) {
		v.quiet = slices.Collect(maps.Keys(doc.DCs))
	}
	return v.confirmed(readAt)
}

// writable answers for the usual case, for less than the lookups cost: it is asked in every request.
func (v *view) writable(dc string) bool {
	for _, name := range v.quiet {
		if name == dc {
			return true
		}
	}
	return false
}

// confirmed is the same document, read anew.
func (v *view) confirmed(readAt time.Time) *view {
	next := *v
	next.readAt = readAt
	next.stale = "state unknown since " + readAt.UTC().Format(time.RFC3339)
	return &next
}
