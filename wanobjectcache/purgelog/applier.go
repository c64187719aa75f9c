package purgelog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/multidc/multidc/internal/kafkalog"
	"github.com/multidc/multidc/wanobjectcache"
)

// Applier applies the purges of all DCs' logs to the cache of this DC.
type Applier struct {
	cache   cache
	opts    ApplierOptions
	sources []*source // by DC
}

// cache is what of [wanobjectcache.Cache] is used.
type cache interface {
	Replay(ctx context.Context, purges []wanobjectcache.Purge) []error
	RaiseEpoch(ctx context.Context, t time.Time) error
	Holdoff() time.Duration
}

// NewApplier makes an applier of sources, by the name of the DC whose log each is. Name the own DC's too: it repairs what
// failed here. It does no I/O and starts no goroutine. An error names the option that cannot be used: a source of another DC
// needs TLS or AllowPlaintext.
func NewApplier(c *wanobjectcache.Cache, sources map[string]Source, options *ApplierOptions) (*Applier, error) {
	if c == nil {
		return nil, errors.New("purgelog: NewApplier needs the Cache of this DC")
	}
	return newApplier(c, sources, options)
}

func newApplier(c cache, sources map[string]Source, options *ApplierOptions) (*Applier, error) {
	var o ApplierOptions
	if options != nil {
		o = *options
	}
	o, err := o.checked()
	if err != nil {
		return nil, fmt.Errorf("purgelog: %w", err)
	}
	if len(sources) == 0 {
		return nil, errors.New("purgelog: NewApplier needs at least one source")
	}
	a := &Applier{cache: c, opts: o}
	for _, dc := range slices.Sorted(maps.Keys(sources)) {
		s := sources[dc]
		if err := s.check(dc, o.DC); err != nil {
			return nil, fmt.Errorf("purgelog: %w", err)
		}
		follower, err := kafkalog.New(kafkalog.Options{
			Brokers: s.Brokers, Topic: cmp.Or(s.Topic, dc+topicSuffix), Group: o.Group, TLS: s.TLS, SASL: s.SASL,
			StartWindow: o.StartWindow, FirstRun: o.FirstRun, Logger: o.Logger.With("dc", dc),
		})
		if err != nil {
			return nil, fmt.Errorf("purgelog: source of DC %q: %w", dc, err)
		}
		a.sources = append(a.sources, &source{dc: dc, a: a, follower: follower, room: newRoom(o.MaxParked)})
	}
	return a, nil
}

// Run applies purges until ctx ends, and returns nil then. No source waits for another, and what cannot be reached is tried
// again. One Run for each Applier, in any number of processes: they share the partitions.
func (a *Applier) Run(ctx context.Context) error {
	errs := make([]error, len(a.sources))
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for i, s := range a.sources {
		running.Go(func() {
			if errs[i] = s.follower.Run(ctx, s.work); errs[i] != nil {
				cancel()
			}
		})
		running.Go(func() { s.reportProgress(ctx) })
	}
	running.Wait()
	return errors.Join(errs...)
}

// Explanation is what Explain tells.
type Explanation struct {
	DC      string         `json:"dc"`
	Group   string         `json:"group"`
	Sources []ProgressInfo `json:"sources"` // by DC
}

// String is some lines of text.
func (e Explanation) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "purges applied in DC %s, group %s\n", e.DC, e.Group)
	for _, s := range e.Sources {
		fmt.Fprintf(&text, "  %s\n", s)
	}
	return text.String()
}

// Explain asks all sources at the same time how far behind this DC is, for 10 s at most. What does not answer, and all when
// Run does not run, is not known.
func (a *Applier) Explain(ctx context.Context) Explanation {
	e := Explanation{DC: a.opts.DC, Group: a.opts.Group, Sources: make([]ProgressInfo, len(a.sources))}
	var asking sync.WaitGroup
	for i, s := range a.sources {
		asking.Go(func() { e.Sources[i] = s.progress(ctx) })
	}
	asking.Wait()
	return e
}
