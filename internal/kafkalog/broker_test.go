package kafkalog

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"github.com/multidc/multidc/internal/testservers"
)

// broker is a real one, with a topic of one partition of the test's own.
type broker struct {
	t      *testing.T
	addr   string
	topic  string
	client *kafka.Client
}

func newBroker(t *testing.T) *broker {
	t.Helper()
	b := brokerWithoutTopic(t)
	b.create()
	return b
}

func brokerWithoutTopic(t *testing.T) *broker {
	t.Helper()
	testservers.Shared(t, "kafka")
	return brokerAt(t, testservers.Var(t, "KAFKA_A"))
}

func brokerAt(t *testing.T, addr string) *broker {
	t.Helper()
	transport := &kafka.Transport{DialTimeout: 2 * time.Second}
	t.Cleanup(transport.CloseIdleConnections)
	return &broker{
		t: t, addr: addr, topic: fmt.Sprintf("kafkalog.%d.%s", rand.Uint32(), strings.ReplaceAll(t.Name(), "/", ".")),
		client: &kafka.Client{Addr: kafka.TCP(addr), Transport: transport, Timeout: 10 * time.Second},
	}
}

// within is for steps of a test, cleanups too.
func within(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick, late := time.NewTicker(10*time.Millisecond), time.After(40*time.Second)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("still not: %s", what)
		}
	}
}

func (b *broker) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *broker) create() {
	b.t.Helper()
	answer, err := b.client.CreateTopics(within(b.t, 20*time.Second), &kafka.CreateTopicsRequest{
		Topics: []kafka.TopicConfig{{Topic: b.topic, NumPartitions: 1, ReplicationFactor: 1}},
	})
	b.must(err)
	b.must(answer.Errors[b.topic])
}

func (b *broker) remove() {
	b.t.Helper()
	answer, err := b.client.DeleteTopics(within(b.t, 20*time.Second), &kafka.DeleteTopicsRequest{Topics: []string{b.topic}})
	b.must(err)
	b.must(answer.Errors[b.topic])
}

// createAgain waits until the name is free.
func (b *broker) createAgain() {
	b.t.Helper()
	for ctx := within(b.t, 20*time.Second); ; {
		answer, err := b.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{
			Topics: []kafka.TopicConfig{{Topic: b.topic, NumPartitions: 1, ReplicationFactor: 1}},
		})
		b.must(err)
		if answer.Errors[b.topic] == nil {
			return
		}
	}
}

func (b *broker) write(values ...string) {
	b.t.Helper()
	var records []kafka.Record
	for _, v := range values {
		records = append(records, kafka.Record{Time: time.Now(), Value: kafka.NewBytes([]byte(v))})
	}
	for ctx := within(b.t, 20*time.Second); ; {
		answer, err := b.client.Produce(ctx, &kafka.ProduceRequest{
			Topic: b.topic, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(records...),
		})
		if err == nil {
			err = answer.Error
		}
		if err == nil {
			return
		}
		if ctx.Err() != nil { // a new topic's leader is not known at once
			b.t.Fatal(err)
		}
	}
}

// commit sets the position of the group, which has no members.
func (b *broker) commit(offset int64) {
	b.t.Helper()
	answer, err := b.client.OffsetCommit(within(b.t, 20*time.Second), &kafka.OffsetCommitRequest{
		GroupID: b.topic, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{b.topic: {{Offset: offset}}},
	})
	b.must(err)
	b.must(answer.Topics[b.topic][0].Error)
}

func (b *broker) committed() int64 {
	b.t.Helper()
	answer, err := b.client.OffsetFetch(within(b.t, 20*time.Second), &kafka.OffsetFetchRequest{
		GroupID: b.topic, Topics: map[string][]int{b.topic: {0}},
	})
	b.must(err)
	b.must(answer.Error)
	return answer.Topics[b.topic][0].CommittedOffset
}

// cut deletes what is before an offset, as retention does.
func (b *broker) cut(before int64) {
	b.t.Helper()
	request := &deleteRecords{TimeoutMs: 10_000, Topics: []deleteTopic{{Name: b.topic, Partitions: []deletePartition{{Offset: before}}}}}
	answer, err := b.client.Transport.RoundTrip(within(b.t, 20*time.Second), b.client.Addr, request)
	b.must(err)
	if code := answer.(*deletedRecords).Topics[0].Partitions[0].ErrorCode; code != 0 {
		b.t.Fatal(kafka.Error(code))
	}
}

// options are of a group of the test's own.
func (b *broker) options() Options {
	return Options{Brokers: []string{b.addr}, Topic: b.topic, Group: b.topic, FirstRun: true, Linger: time.Millisecond}
}

// running is a follower whose batches the test takes one by one.
type running struct {
	t       *testing.T
	f       *Follower
	batches chan handed
	stop    func()
}

type handed struct {
	Batch
	p *Partition
}

// run calls after when the test has taken a batch.
func (b *broker) run(o Options, after ...func()) *running {
	b.t.Helper()
	f, err := New(o)
	b.must(err)
	r := &running{t: b.t, f: f, batches: make(chan handed)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- f.Run(ctx, func(ctx context.Context, p *Partition) {
			for {
				batch, err := p.Next(ctx)
				if err != nil {
					return
				}
				select {
				case r.batches <- handed{batch, p}:
				case <-ctx.Done():
					return
				}
				for _, do := range after {
					do()
				}
			}
		})
	}()
	stopped := false
	r.stop = func() {
		if cancel(); stopped {
			return
		}
		stopped = true
		if err := <-ended; err != nil {
			b.t.Errorf("Run ended with %v", err)
		}
	}
	b.t.Cleanup(r.stop)
	return r
}

func (r *running) next() handed {
	r.t.Helper()
	select {
	case h := <-r.batches:
		return h
	case <-time.After(40 * time.Second):
		r.t.Fatalf("nothing came: %v", r.f.lastError())
		return handed{}
	}
}

// values takes messages until there are as many as wanted, and returns them with their partition.
func (r *running) values(want ...string) (messages []Message, p *Partition) {
	r.t.Helper()
	var got []string
	for len(got) < len(want) {
		h := r.next()
		if h.Gap != nil {
			r.t.Fatalf("got %v, want a message", h.Gap)
		}
		for _, m := range h.Messages {
			got = append(got, string(m.Value))
		}
		messages, p = append(messages, h.Messages...), h.p
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		r.t.Fatalf("got %q, want %q", got, want)
	}
	return messages, p
}

func (r *running) gap(kind Kind, from, to int64) *Gap {
	r.t.Helper()
	h := r.next()
	if h.Gap == nil || h.Gap.Kind != kind || h.Gap.From != from || h.Gap.To != to {
		r.t.Fatalf("got %v and %d messages, want a gap from %d to %d: %s", h.Gap, len(h.Messages), from, to, kind)
	}
	return h.Gap
}

func (f *Follower) lastError() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// DeleteRecords, which kafka-go does not have.
type (
	deleteRecords struct {
		Topics    []deleteTopic `kafka:"min=v0,max=v1"`
		TimeoutMs int32         `kafka:"min=v0,max=v1"`
	}
	deleteTopic struct {
		Name       string            `kafka:"min=v0,max=v1"`
		Partitions []deletePartition `kafka:"min=v0,max=v1"`
	}
	deletePartition struct {
		ID     int32 `kafka:"min=v0,max=v1"`
		Offset int64 `kafka:"min=v0,max=v1"`
	}
	deletedRecords struct {
		ThrottleTimeMs int32          `kafka:"min=v0,max=v1"`
		Topics         []deletedTopic `kafka:"min=v0,max=v1"`
	}
	deletedTopic struct {
		Name       string             `kafka:"min=v0,max=v1"`
		Partitions []deletedPartition `kafka:"min=v0,max=v1"`
	}
	deletedPartition struct {
		ID           int32 `kafka:"min=v0,max=v1"`
		LowWatermark int64 `kafka:"min=v0,max=v1"`
		ErrorCode    int16 `kafka:"min=v0,max=v1"`
	}
)

func init() { protocol.Register(&deleteRecords{}, &deletedRecords{}) }

func (*deleteRecords) ApiKey() protocol.ApiKey  { return protocol.DeleteRecords } //nolint:revive // kafka-go names it so
func (*deletedRecords) ApiKey() protocol.ApiKey { return protocol.DeleteRecords } //nolint:revive // likewise
