package kafkalog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/multidc/multidc/internal/backoff"
)

// Partition is one that this process has, for as long as it has it. Next is for one goroutine, Done for any.
type Partition struct {
	ID int

	f         *Follower
	client    *client
	committed int64 // when it was assigned; negative = nothing was
	located   bool
	queue     queue

	mu      sync.Mutex // of the tracker, and of sent
	tracker tracker
	sent    int64 // what was committed last
}

// retry is for a broker that does not answer.
var retry = backoff.Policy{First: 100 * time.Millisecond, Max: 5 * time.Second, Spread: 0.2}

// Next waits for what comes next: a gap, or up to Options.Batch messages. It ends with an error only when ctx, which the
// partition's work was given, does: the partition is given away then. What a broker does not answer is asked again.
func (p *Partition) Next(ctx context.Context) (Batch, error) {
	for failures := 0; ; {
		err := p.fill(ctx)
		if err == nil || len(p.queue.list) > 0 {
			p.f.works()
			if batch, ok := p.queue.give(p.f.opts.Batch, time.Now()); ok {
				return p.handOut(batch), nil
			}
		}
		if ctx.Err() != nil {
			return Batch{}, fmt.Errorf("kafkalog: partition %d is no longer ours: %w", p.ID, context.Cause(ctx))
		}
		if err == nil {
			p.caughtUp()
			failures = 0
			continue
		}
		failures++
		p.f.failed(ctx, err)
		_ = retry.Sleep(ctx, failures) // that ctx has ended is seen above
	}
}

// Done says that the message or gap with this Seq is finished.
func (p *Partition) Done(seq uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tracker.done(seq)
}

// fill reads until there is something to hand out, or a fetch found nothing.
func (p *Partition) fill(ctx context.Context) error {
	if !p.located {
		if err := p.locate(ctx); err != nil {
			return err
		}
	}
	if len(p.queue.list) == 0 {
		if err := p.fetch(ctx, maxWait); err != nil {
			return err
		}
	}
	full := time.Now().Add(p.f.opts.Linger)
	for len(p.queue.list) > 0 && len(p.queue.list) < p.f.opts.Batch && p.more(ctx, full) {
	}
	return nil
}

// more fetches once more, if there is time. An error is nothing yet: what is there goes out first, and the next fetch fails
// again.
func (p *Partition) more(ctx context.Context, until time.Time) bool {
	left := time.Until(until)
	return left >= time.Millisecond && ctx.Err() == nil && p.fetch(ctx, left) == nil
}

// locate compares the position with what the broker has.
func (p *Partition) locate(ctx context.Context) error {
	has, err := p.client.bounds(ctx, p.ID)
	if err != nil {
		return err
	}
	if p.committed >= 0 {
		p.move(resume(p.committed, has))
		return nil
	}
	window := time.Now().Add(-p.f.opts.StartWindow)
	since, err := p.client.since(ctx, p.ID, window)
	if err != nil {
		return err
	}
	p.move(begin(since, window, has, p.f.isNew(p.ID)))
	return nil
}

func (p *Partition) move(to int64, gap *Gap) {
	if gap != nil {
		gap.Partition = p.ID
	}
	p.queue.move(to, gap)
	p.located = true
	p.f.saw(p.ID)
	if gap == nil {
		p.caughtUp()
	}
}

// caughtUp notes that all before the queue's position was handed out.
func (p *Partition) caughtUp() {
	if len(p.queue.list) > 0 || p.queue.open != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tracker.next = p.queue.next
}

func (p *Partition) fetch(ctx context.Context, wait time.Duration) error {
	records, err := p.client.fetch(ctx, p.ID, p.queue.next, wait)
	p.queue.take(records) // those before an error too
	if !errors.Is(err, kafka.OffsetOutOfRange) {
		return err
	}
	if err := p.relocate(ctx); err != nil {
		return err
	}
	return p.fetch(ctx, wait) // the first message after the gap says when that ends
}

// relocate is for a position that the broker refuses: the log was cut, or made anew, while it was followed.
func (p *Partition) relocate(ctx context.Context) error {
	has, err := p.client.bounds(ctx, p.ID)
	if err != nil {
		return err
	}
	to, gap := resume(p.queue.next, has)
	if gap == nil {
		return fmt.Errorf("offset %d was refused, and is between %d and %d: %w", to, has.first, has.end, kafka.OffsetOutOfRange)
	}
	if open := p.queue.open; open != nil { // one gap after another: nothing came in between
		gap.From = open.From
		if open.Kind == Recreated {
			gap.Kind = Recreated
		}
	}
	p.move(to, gap)
	return nil
}

// handOut numbers what is handed out.
func (p *Partition) handOut(b Batch) Batch {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b.Gap != nil {
		if b.Gap.Kind == Recreated {
			p.tracker.uproot()
		}
		b.Gap.Seq = p.tracker.add(nowhere, b.Gap.To)
	}
	for i := range b.Messages {
		m := &b.Messages[i]
		m.Seq = p.tracker.add(m.Offset, m.Offset+1)
	}
	return b
}

// toCommit is where another process would begin, if that is not what was committed last.
func (p *Partition) toCommit() (int64, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tracker.next == nowhere {
		return 0, false // nothing is known yet
	}
	offset, ok := p.tracker.position()
	return offset, ok && offset != p.sent
}

func (p *Partition) wasCommitted(offset int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent = offset
}

// reached is where reading goes on, and how much before that is unfinished.
func (p *Partition) reached() (next int64, unfinished int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tracker.next, p.tracker.unfinished()
}
