package kafkalog

import "time"

// Message is one message of a partition.
type Message struct {
	Partition  int
	Offset     int64
	Time       time.Time
	Key, Value []byte
	Seq        uint64 // for Partition.Done
}

// Batch is what comes next in a partition: a gap, or messages.
type Batch struct {
	Gap      *Gap
	Messages []Message
}

// queue is what was read of a partition and not handed out. It compares offsets, and is pure.
type queue struct {
	next int64 // the offset that is to be read next
	open *Gap  // a gap whose end is not known before a message comes, or none is there
	list []item
}

// item is a gap, or a message.
type item struct {
	gap     *Gap
	message Message
}

// move goes on at another offset. gap says why, nil = there is none.
func (q *queue) move(to int64, gap *Gap) { q.next, q.open = to, gap }

// take adds what a fetch has brought. Kafka sends whole batches: what lies before the wanted offset is dropped.
func (q *queue) take(records []record) {
	for _, r := range records {
		if r.Offset < q.next {
			continue
		}
		gap := q.open
		if gap == nil && r.Offset > q.next {
			gap = &Gap{Kind: Skipped, Partition: r.Partition, From: q.next, To: r.Offset}
		}
		if gap != nil {
			if gap.Until.IsZero() {
				gap.Until = r.Time
			}
			q.list = append(q.list, item{gap: gap})
		}
		if !r.marker {
			q.list = append(q.list, item{message: r.Message})
		}
		q.open, q.next = nil, r.Offset+1
	}
}

// give hands out the gap that is next, or up to n messages before the next gap. A gap that nothing follows ends now.
func (q *queue) give(n int, now time.Time) (b Batch, ok bool) {
	if len(q.list) == 0 && q.open != nil {
		if q.open.Until.IsZero() {
			q.open.Until = now
		}
		q.list, q.open = append(q.list, item{gap: q.open}), nil
	}
	for len(q.list) > 0 && len(b.Messages) < n {
		first := q.list[0]
		if first.gap != nil && len(b.Messages) > 0 {
			break
		}
		q.list = q.list[1:]
		if first.gap != nil {
			return Batch{Gap: first.gap}, true
		}
		b.Messages = append(b.Messages, first.message)
	}
	return b, len(b.Messages) > 0
}
