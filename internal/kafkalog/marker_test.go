package kafkalog

import (
	"time"

	"github.com/segmentio/kafka-go"
)

// marker commits a transaction without messages.
func (b *broker) marker() {
	b.t.Helper()
	ctx, before := within(b.t, 30*time.Second), b.end()
	var id *kafka.InitProducerIDResponse
	request := &kafka.InitProducerIDRequest{TransactionalID: b.topic, TransactionTimeoutMs: 10_000, ProducerID: -1, ProducerEpoch: -1}
	eventually(b.t, "a transaction can begin", func() bool { // the topic of transactions is made for the first one
		var err error
		id, err = b.client.InitProducerID(ctx, request)
		return err == nil && id.Error == nil
	})
	producer := id.Producer
	eventually(b.t, "the partition is in the transaction", func() bool { // one that ends is waited for
		added, err := b.client.AddPartitionsToTxn(ctx, &kafka.AddPartitionsToTxnRequest{
			TransactionalID: b.topic, ProducerID: producer.ProducerID, ProducerEpoch: producer.ProducerEpoch,
			Topics: map[string][]kafka.AddPartitionToTxn{b.topic: {{Partition: 0}}},
		})
		return err == nil && added.Topics[b.topic][0].Error == nil
	})
	ended, err := b.client.EndTxn(ctx, &kafka.EndTxnRequest{
		TransactionalID: b.topic, ProducerID: producer.ProducerID, ProducerEpoch: producer.ProducerEpoch, Committed: true,
	})
	b.must(err)
	b.must(ended.Error)
	eventually(b.t, "the marker is there", func() bool { return b.end() > before })
}

// end is the offset that the next message will have.
func (b *broker) end() int64 {
	b.t.Helper()
	answer, err := b.client.ListOffsets(within(b.t, 20*time.Second), &kafka.ListOffsetsRequest{
		Topics: map[string][]kafka.OffsetRequest{b.topic: {kafka.LastOffsetOf(0)}},
	})
	b.must(err)
	return answer.Topics[b.topic][0].LastOffset
}
