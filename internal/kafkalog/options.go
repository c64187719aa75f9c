package kafkalog

import (
	"cmp"
	"crypto/tls"
	"errors"
	"log/slog"
	"time"

	"github.com/segmentio/kafka-go/sasl"
)

// Options of a [Follower]. Brokers, Topic and Group are required.
type Options struct {
	Brokers []string // host:port, of which one must answer
	Topic   string
	Group   string
	TLS     *tls.Config    // nil = plaintext
	SASL    sasl.Mechanism // nil = none

	StartWindow time.Duration // without a committed offset, reading begins with messages that are not older; 0 = 1 h
	FirstRun    bool          // the group is new: nothing committed is no gap, the first time that this process has a partition
	Batch       int           // messages at a time, at most; 0 = 500
	Linger      time.Duration // how long a batch waits for more after its first message; 0 = 50 ms
	Logger      *slog.Logger  // nil = discard
}

// The defaults, and what is not to be set.
const (
	defaultWindow = time.Hour
	defaultBatch  = 500
	defaultLinger = 50 * time.Millisecond

	maxWait     = 500 * time.Millisecond // of a fetch that finds nothing
	fetchBytes  = 1 << 20                // a fetch, about
	callLimit   = 5 * time.Second        // an answer may take so long, beyond what it is asked to wait
	dialLimit   = 3 * time.Second
	commitEvery = time.Second
	leaveLimit  = 5 * time.Second // for the last commit and for leaving the group, when Run ends

	heartbeat  = 2 * time.Second
	session    = 10 * time.Second // a process that is dead loses its partitions after this
	rejoin     = time.Second      // after an error
	watchEvery = 5 * time.Second  // for partitions that are new, or gone
	metadata   = 2 * time.Second  // how old it may be
)

func (o Options) checked() (Options, error) {
	switch {
	case len(o.Brokers) == 0:
		return o, errors.New("Options.Brokers: name at least one, host:port")
	case o.Topic == "":
		return o, errors.New("Options.Topic: it is required")
	case o.Group == "":
		return o, errors.New("Options.Group: it is required")
	case o.StartWindow < 0, o.Batch < 0, o.Linger < 0:
		return o, errors.New("Options.StartWindow, Batch, Linger: they cannot be negative")
	}
	o.StartWindow = cmp.Or(o.StartWindow, defaultWindow)
	o.Batch = cmp.Or(o.Batch, defaultBatch)
	o.Linger = cmp.Or(o.Linger, defaultLinger)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}
