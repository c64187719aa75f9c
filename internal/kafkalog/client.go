package kafkalog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// client asks one cluster about one topic. All that it waits for is bounded.
type client struct {
	kafka     kafka.Client
	transport *kafka.Transport
	topic     string
	group     string
}

func newClient(o Options, dial Dialer) *client {
	transport := &kafka.Transport{
		Dial: dial, DialTimeout: dialLimit, MetadataTTL: metadata, MetadataTopics: []string{o.Topic}, SASL: o.SASL,
	}
	return &client{
		kafka:     kafka.Client{Addr: kafka.TCP(o.Brokers...), Transport: transport},
		transport: transport, topic: o.Topic, group: o.Group,
	}
}

func (c *client) close() { c.transport.CloseIdleConnections() }

// partitions are those of the topic.
func (c *client) partitions(ctx context.Context) ([]int, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	answer, err := c.kafka.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{c.topic}})
	if err != nil {
		return nil, err
	}
	var ids []int
	for _, t := range answer.Topics {
		if errors.Is(t.Error, kafka.UnknownTopicOrPartition) {
			return nil, fmt.Errorf("topic %q does not exist: create it: %w", c.topic, t.Error)
		}
		if t.Error != nil {
			return nil, t.Error
		}
		for _, p := range t.Partitions {
			ids = append(ids, p.ID)
		}
	}
	return ids, nil
}

// bounds asks for what a partition has.
func (c *client) bounds(ctx context.Context, partition int) (bounds, error) {
	answer, err := c.offsets(ctx, partition, kafka.FirstOffsetOf(partition), kafka.LastOffsetOf(partition))
	return bounds{answer.FirstOffset, answer.LastOffset}, err
}

// since asks for the offset of the first message that is not older than t; -1 = there is none.
func (c *client) since(ctx context.Context, partition int, t time.Time) (int64, error) {
	answer, err := c.offsets(ctx, partition, kafka.TimeOffsetOf(partition, t))
	for offset := range answer.Offsets {
		return offset, err
	}
	return -1, err
}

func (c *client) offsets(ctx context.Context, partition int, ask ...kafka.OffsetRequest) (kafka.PartitionOffsets, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	answer, err := c.kafka.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{c.topic: ask}})
	if err != nil {
		return kafka.PartitionOffsets{}, err
	}
	for _, p := range answer.Topics[c.topic] {
		if p.Partition == partition {
			return p, p.Error
		}
	}
	return kafka.PartitionOffsets{}, fmt.Errorf("topic %q: no answer about partition %d", c.topic, partition)
}

// committed asks for the group's offsets; -1 = none.
func (c *client) committed(ctx context.Context, partitions []int) (map[int]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	answer, err := c.kafka.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: c.group, Topics: map[string][]int{c.topic: partitions}})
	if err != nil {
		return nil, err
	}
	if answer.Error != nil {
		return nil, answer.Error
	}
	offsets := map[int]int64{}
	for _, p := range answer.Topics[c.topic] {
		if p.Error != nil {
			return nil, p.Error
		}
		offsets[p.Partition] = p.CommittedOffset
	}
	return offsets, nil
}

// record is one of a partition's log. A marker of a transaction takes an offset too.
type record struct {
	Message
	marker bool
}

// fetch returns what follows from an offset on. It waits for a message for so long.
func (c *client) fetch(ctx context.Context, partition int, from int64, wait time.Duration) ([]record, error) {
	ctx, cancel := context.WithTimeout(ctx, wait+callLimit)
	defer cancel()
	answer, err := c.kafka.Fetch(ctx, &kafka.FetchRequest{
		Topic: c.topic, Partition: partition, Offset: from, MinBytes: 1, MaxBytes: fetchBytes, MaxWait: max(wait, time.Millisecond),
	})
	if err != nil {
		return nil, err
	}
	if answer.Error != nil {
		return nil, answer.Error
	}
	records, err := readAll(answer.Records)
	for i := range records {
		records[i].Partition = partition
	}
	return records, err
}

// readAll reads the batches one by one: the stream of them would hide markers of transactions, whose offsets would then be
// missing.
func readAll(from kafka.RecordReader) (all []record, err error) {
	stream, ok := from.(*protocol.RecordStream)
	if !ok {
		return readBatch(all, from)
	}
	for _, batch := range stream.Records {
		if all, err = readBatch(all, batch); err != nil {
			return all, err
		}
	}
	return all, nil
}

func readBatch(all []record, batch kafka.RecordReader) ([]record, error) {
	_, marker := batch.(*protocol.ControlBatch)
	for {
		r, err := batch.ReadRecord()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		m := Message{Offset: r.Offset, Time: r.Time}
		if m.Key, err = content(r.Key); err != nil {
			return all, err
		}
		if m.Value, err = content(r.Value); err != nil {
			return all, err
		}
		all = append(all, record{m, marker})
	}
}

func content(b kafka.Bytes) ([]byte, error) {
	if b == nil {
		return nil, nil
	}
	defer b.Close()
	return kafka.ReadAll(b)
}
