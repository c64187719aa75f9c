package purgelog

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"

	"github.com/multidc/multidc/internal/dcname"
	"github.com/multidc/multidc/wanobjectcache"
)

// LogOptions say where purges are logged. DC is required.
type LogOptions struct {
	DC      string         // the own one
	Topic   string         // "" = <DC>.cache-purge
	Timeout time.Duration  // of an Append, in all; 0 = 1 s
	TLS     *tls.Config    // nil = plaintext, for brokers are those of the own DC
	SASL    sasl.Mechanism // nil = none
}

// Log is a [wanobjectcache.PurgeLog] on the Kafka of this DC.
type Log struct {
	opts   LogOptions
	writer *kafka.Writer
	closed atomic.Bool
}

const (
	topicSuffix  = ".cache-purge"
	appendLimit  = time.Second
	batchTimeout = 5 * time.Millisecond
	batchSize    = 1000 // messages in one request, of some 150 bytes each

	// A write that fails is tried again while its Append waits, and a moment longer at most.
	attempts     = 8
	firstBackoff = 20 * time.Millisecond
	mostBackoff  = 200 * time.Millisecond

	metadataAge = 2 * time.Second
)

// NewLog makes a log on the brokers (host:port) of this DC. It does no I/O and starts no goroutine. An error names the option
// that cannot be used.
func NewLog(brokers []string, options *LogOptions) (*Log, error) {
	var o LogOptions
	if options != nil {
		o = *options
	}
	if err := dcname.Check(o.DC); err != nil {
		return nil, fmt.Errorf("purgelog: LogOptions.DC: %w", err)
	}
	if len(brokers) == 0 {
		return nil, errors.New("purgelog: NewLog needs the brokers of this DC, host:port")
	}
	if o.Timeout < 0 {
		return nil, errors.New("purgelog: LogOptions.Timeout: it cannot be negative")
	}
	o.Topic, o.Timeout = cmp.Or(o.Topic, o.DC+topicSuffix), cmp.Or(o.Timeout, appendLimit)
	return &Log{opts: o, writer: &kafka.Writer{
		Addr: kafka.TCP(brokers...), Topic: o.Topic, Balancer: kafka.Murmur2Balancer{}, RequiredAcks: kafka.RequireAll,
		BatchSize: batchSize, BatchTimeout: batchTimeout, WriteTimeout: o.Timeout, ReadTimeout: o.Timeout,
		MaxAttempts: attempts, WriteBackoffMin: firstBackoff, WriteBackoffMax: mostBackoff,
		Transport: &kafka.Transport{
			DialTimeout: o.Timeout, MetadataTTL: metadataAge, MetadataTopics: []string{o.Topic}, TLS: o.TLS, SASL: o.SASL,
		},
	}}, nil
}

// Append writes purges to the log and returns nil when all in-sync replicas have all of them: within LogOptions.Timeout. An
// error is about some or all of them. One that wraps [wanobjectcache.ErrUnknownOutcome] means that no answer came, so they
// may be there; [wanobjectcache.ErrUnavailable] that they are not.
func (l *Log) Append(ctx context.Context, purges []wanobjectcache.Purge) error {
	if l.closed.Load() {
		return fmt.Errorf("purgelog: %w", wanobjectcache.ErrClosed)
	}
	messages := make([]kafka.Message, len(purges))
	for i, p := range purges {
		key, value, err := encode(p)
		if err != nil {
			return fmt.Errorf("purgelog: %w", err)
		}
		messages[i] = kafka.Message{Key: key, Value: value}
	}
	ctx, cancel := context.WithTimeout(ctx, l.opts.Timeout)
	defer cancel()
	return l.explained(l.writer.WriteMessages(ctx, messages...), len(messages))
}

// explained says what the error of a write means for the purges.
func (l *Log) explained(err error, all int) error {
	failed, sent := all, errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	if each := (kafka.WriteErrors)(nil); errors.As(err, &each) {
		failed, sent, err = each.Count(), true, firstOf(each)
	}
	where := fmt.Sprintf("purgelog: %d of %d purges were not accepted by topic %q of DC %q", failed, all, l.opts.Topic, l.opts.DC)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.ErrClosedPipe):
		return fmt.Errorf("purgelog: %w", wanobjectcache.ErrClosed)
	case errors.Is(err, kafka.UnknownTopicOrPartition):
		return fmt.Errorf("%s: it does not exist: create it: %w: %w", where, wanobjectcache.ErrUnavailable, err)
	case !sent:
		return fmt.Errorf("%s: %w: %w", where, wanobjectcache.ErrUnavailable, err)
	}
	return fmt.Errorf("%s within %v, and may arrive all the same: %w: %w", where, l.opts.Timeout, wanobjectcache.ErrUnknownOutcome, err)
}

func firstOf(each kafka.WriteErrors) error {
	for _, err := range each {
		if err != nil {
			return err
		}
	}
	return nil
}

// Close waits until what is under way has its result, or ctx ends, and ends the connections.
func (l *Log) Close(ctx context.Context) error {
	l.closed.Store(true)
	transport := l.writer.Transport.(*kafka.Transport)
	defer transport.CloseIdleConnections()
	ended := make(chan error, 1)
	go func() { ended <- l.writer.Close() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return fmt.Errorf("purgelog: closing: %w", context.Cause(ctx))
	}
}
