package purgelog

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/segmentio/kafka-go/sasl"

	"github.com/multidc/multidc/internal/dcname"
	"github.com/multidc/multidc/internal/kafkalog"
)

// Source is the log of one DC: across the link, or a mirror of it on brokers of this DC.
type Source struct {
	Brokers        []string // host:port
	Topic          string   // "" = <DC>.cache-purge
	TLS            *tls.Config
	SASL           sasl.Mechanism
	AllowPlaintext bool // another DC's brokers without TLS: the link is encrypted below, or they are a local mirror's
}

// ApplierOptions say how logs are applied. DC is required.
type ApplierOptions struct {
	DC          string        // the own one, whose cache is purged
	Group       string        // of consumers, which all processes of this DC share; "" = cache-purge.<DC>
	StartWindow time.Duration // without a position, reading begins so long ago; 0 = 1 h
	FirstRun    bool          // the group is new: to have no position is no gap. For one start only
	MaxParked   int           // keys of a source that wait for their cache server; with more, reading it stops; 0 = 10,000
	Logger      *slog.Logger  // nil = discard
	Events      Events
}

// Events are called as things happen, from the goroutine that noticed, which is the Applier's own: return soon, and do not
// panic, for nobody recovers it. Nil fields are legal.
type Events struct {
	OnGap        func(context.Context, GapInfo)        // a part of a log is lost; the epoch of this DC is raised for it next
	OnProgress   func(context.Context, ProgressInfo)   // every 10 s, for each source
	OnBadMessage func(context.Context, BadMessageInfo) // a message that is none, or newer than this release: it is skipped
}

// GapInfo goes with Events.OnGap.
type GapInfo struct {
	DC        string // whose log
	Partition int
	From, To  int64     // offsets: what was to be read, where reading goes on; From -1 = not known
	Until     time.Time // what is lost was logged before this
	Kind      GapKind
}

// GapKind is why there is a gap.
type GapKind string

// The kinds of gaps.
const (
	GapRetention = GapKind(kafkalog.Retention) // the log was cut beyond the position
	GapRecreated = GapKind(kafkalog.Recreated) // the topic was made anew
	GapLost      = GapKind(kafkalog.Lost)      // there is no position
	GapSkipped   = GapKind(kafkalog.Skipped)   // offsets are missing
)

// ProgressInfo goes with Events.OnProgress, and is what Applier.Explain tells of a source.
type ProgressInfo struct {
	DC      string `json:"dc"`
	Behind  int64  `json:"behind"` // messages that this DC has not finished, in all its processes; only if Known
	Known   bool   `json:"known"`  // false = the source did not say
	Parked  int    `json:"parked"` // keys, in this process, that wait for their cache server
	Blocked bool   `json:"blocked"`
	Err     string `json:"error,omitempty"` // why it is not known
}

// String says it in words.
func (p ProgressInfo) String() string {
	text := fmt.Sprintf("%s: behind by %d", p.DC, p.Behind)
	if !p.Known {
		text = fmt.Sprintf("%s: not known how far behind: %s", p.DC, p.Err)
	}
	if p.Parked > 0 {
		text += fmt.Sprintf("; %d keys wait for their cache server", p.Parked)
	}
	if p.Blocked {
		text += ", and reading waits for them"
	}
	return text
}

// BadMessageInfo goes with Events.OnBadMessage.
type BadMessageInfo struct {
	DC        string // whose log
	Partition int
	Offset    int64
	Err       error
}

func (o ApplierOptions) checked() (ApplierOptions, error) {
	if err := dcname.Check(o.DC); err != nil {
		return o, fmt.Errorf("ApplierOptions.DC: %w", err)
	}
	if o.StartWindow < 0 || o.MaxParked < 0 {
		return o, errors.New("ApplierOptions.StartWindow, MaxParked: they cannot be negative")
	}
	if o.Group == "" {
		o.Group = groupPrefix + o.DC
	}
	if o.MaxParked == 0 {
		o.MaxParked = defaultParked
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

const (
	groupPrefix   = "cache-purge."
	defaultParked = 10_000
)

// check refuses what crosses the border of the DC in plaintext.
func (s Source) check(dc, own string) error {
	if err := dcname.Check(dc); err != nil {
		return fmt.Errorf("source: %w", err)
	}
	if dc != own && s.TLS == nil && !s.AllowPlaintext {
		return fmt.Errorf("source of DC %q: Source.TLS is nil: traffic to another DC is encrypted: set TLS, or "+
			"Source.AllowPlaintext if the link is encrypted below or the brokers are a local mirror's", dc)
	}
	return nil
}
