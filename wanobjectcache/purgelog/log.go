package purgelog

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"

	"github.com/multidc/multidc/internal/dcname"
	"github.com/multidc/multidc/internal/kafkalog"
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
	places chan struct{}
}

const (
	topicSuffix  = ".cache-purge"
	appendLimit  = time.Second
	batchTimeout = 5 * time.Millisecond
	batchSize    = 100 // messages in one request, of some 150 bytes each

	// A write that fails is tried again while its Append waits, and a moment longer at most.
	attempts     = 8
	firstBackoff = 20 * time.Millisecond
	mostBackoff  = 200 * time.Millisecond

	metadataAge = 2 * time.Second

	// mostWriting is how many Appends may be under way, those whose callers have gone too: kafka-go keeps each until it
	// is written or has failed often enough, one after the other, and a broker that hangs would fill the memory.
	mostWriting = 1024
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
	return &Log{opts: o, places: make(chan struct{}, mostWriting), writer: &kafka.Writer{
		Addr: kafka.TCP(brokers...), Topic: o.Topic, Balancer: kafka.Murmur2Balancer{}, RequiredAcks: kafka.RequireAll,
		BatchSize: batchSize, BatchTimeout: batchTimeout, WriteTimeout: o.Timeout, ReadTimeout: o.Timeout,
		MaxAttempts: attempts, WriteBackoffMin: firstBackoff, WriteBackoffMax: mostBackoff,
		Transport: &wire{Transport: &kafka.Transport{
			Dial: kafkalog.Dial(o.TLS), DialTimeout: o.Timeout, MetadataTTL: metadataAge, MetadataTopics: []string{o.Topic}, SASL: o.SASL,
		}},
	}}, nil
}

// wire is the way to the brokers. Once it is cut, what is still to be written fails at once: kafka-go would go on trying each
// batch in its turn, for as long as they take.
type wire struct {
	*kafka.Transport

	cut atomic.Bool
}

func (w *wire) RoundTrip(ctx context.Context, addr net.Addr, r kafka.Request) (kafka.Response, error) {
	if w.cut.Load() {
		return nil, io.ErrClosedPipe
	}
	return w.Transport.RoundTrip(ctx, addr, r)
}

// Append writes purges to the log and returns nil when all in-sync replicas have all of them: within LogOptions.Timeout. An
// error is about some or all of them. One that wraps [wanobjectcache.ErrUnknownOutcome] means that no answer came, so they
// may be there; [wanobjectcache.ErrUnavailable] that they are not, and [wanobjectcache.ErrOverloaded] too: 1,024 Appends
// already wait for a broker that does not answer.
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
	select {
	case l.places <- struct{}{}:
	default:
		return fmt.Errorf("purgelog: %w: %d Appends have no answer yet", wanobjectcache.ErrOverloaded, mostWriting)
	}
	written := make(chan error, 1)
	go func() {
		defer func() { <-l.places }()
		written <- l.writer.WriteMessages(context.WithoutCancel(ctx), messages...)
	}()
	select {
	case err := <-written:
		return l.explained(err, len(messages))
	case <-ctx.Done():
		return l.explained(ctx.Err(), len(messages))
	}
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
	case errors.Is(err, io.ErrClosedPipe) && !sent:
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

// Close waits until what is under way has its result, or ctx ends, and ends the connections. What has no result by then
// may arrive or not.
func (l *Log) Close(ctx context.Context) error {
	l.closed.Store(true)
	transport := l.writer.Transport.(*wire)
	defer transport.CloseIdleConnections()
	ended := make(chan error, 1)
	go func() { ended <- l.writer.Close() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		transport.cut.Store(true)
		return fmt.Errorf("purgelog: closing: %w", context.Cause(ctx))
	}
}
