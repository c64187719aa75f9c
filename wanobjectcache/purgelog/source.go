package purgelog

import (
	"context"
	"sync"
	"time"

	"github.com/multidc/multidc/internal/backoff"
	"github.com/multidc/multidc/internal/kafkalog"
	"github.com/multidc/multidc/wanobjectcache"
)

// source is one DC's log.
type source struct {
	dc       string
	a        *Applier
	follower *kafkalog.Follower
	room     *room // for what is parked of all partitions
}

// partition is what is used of [kafkalog.Partition].
type partition interface {
	Next(ctx context.Context) (kafkalog.Batch, error)
	Done(seq uint64)
}

const (
	progressEvery = 10 * time.Second
	askLimit      = 10 * time.Second
	together      = 500 // purges in one Replay
)

// retryParked is for cache servers that do not answer.
var retryParked = backoff.Policy{First: 100 * time.Millisecond, Max: 5 * time.Second, Spread: 0.2}

// work applies one partition, until it is given away. What is parked then is read again by whoever has it next.
func (s *source) work(ctx context.Context, p *kafkalog.Partition) { s.apply(ctx, p, p.ID) }

func (s *source) apply(ctx context.Context, p partition, id int) {
	w := &worker{s: s, p: p, partition: id, wake: make(chan struct{}, 1)}
	var retrying sync.WaitGroup
	retrying.Go(func() { w.retry(ctx) })
	defer func() {
		retrying.Wait()
		s.room.leave(w.lot.len())
	}()
	for s.room.wait(ctx) == nil {
		batch, err := p.Next(ctx)
		switch {
		case err != nil:
			return
		case batch.Gap != nil:
			w.gap(ctx, batch.Gap)
		default:
			w.apply(ctx, batch.Messages)
		}
	}
}

// worker applies one partition: apply and gap from one goroutine, retry from another.
type worker struct {
	s         *source
	p         partition
	partition int
	wake      chan struct{} // something was parked

	mu  sync.Mutex
	lot lot
}

func (w *worker) apply(ctx context.Context, messages []kafkalog.Message) {
	purges, seqs := make([]wanobjectcache.Purge, 0, len(messages)), make([]uint64, 0, len(messages))
	for _, m := range messages {
		purge, err := decode(m.Value)
		if err != nil {
			w.s.bad(ctx, m, err)
			w.p.Done(m.Seq)
			continue
		}
		purges, seqs = append(purges, purge), append(seqs, m.Seq)
	}
	if len(purges) == 0 {
		return
	}
	for i, err := range w.s.a.cache.Replay(ctx, purges) {
		if err == nil || !w.park(purges[i], seqs[i]) {
			w.p.Done(seqs[i])
		}
	}
}

// park parks a purge, and returns whether its message waits for it.
func (w *worker) park(p wanobjectcache.Purge, seq uint64) bool {
	w.mu.Lock()
	first := w.lot.park(p, seq)
	w.mu.Unlock()
	if first {
		w.s.room.enter()
	}
	w.signal()
	return first
}

func (w *worker) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// gap tells of a gap, and has everything count as absent that what is lost may have purged.
func (w *worker) gap(ctx context.Context, g *kafkalog.Gap) {
	w.s.lost(ctx, g)
	until := g.Until
	if now := time.Now(); until.After(now) {
		until = now // by the clock of who wrote the message: what is lost is not from the future
	}
	until = until.Add(w.s.a.cache.Holdoff())
	if w.raiseTo(ctx, until) {
		w.p.Done(g.Seq)
		return
	}
	w.mu.Lock()
	w.lot.parkEpoch(until, g.Seq)
	w.mu.Unlock()
	w.signal()
}

func (w *worker) raiseTo(ctx context.Context, t time.Time) bool {
	err := w.s.a.cache.RaiseEpoch(ctx, t)
	if err != nil {
		w.s.a.opts.Logger.WarnContext(ctx, "purgelog: raising the epoch after a gap fails, and is tried again", "dc", w.s.dc, "err", err)
	}
	return err == nil
}

// retry tries what is parked again and again.
func (w *worker) retry(ctx context.Context) {
	for failures := 1; ; {
		w.mu.Lock()
		empty := w.lot.empty()
		w.mu.Unlock()
		if empty {
			failures = 1
			select {
			case <-w.wake:
			case <-ctx.Done():
				return
			}
		}
		if retryParked.Sleep(ctx, failures) != nil {
			return
		}
		failures++
		if w.retryAll(ctx) {
			failures = 1
		}
	}
}

// retryAll tries all once, and reports whether something could be done.
func (w *worker) retryAll(ctx context.Context) (some bool) {
	some = w.raise(ctx)
	w.mu.Lock()
	list := w.lot.all()
	w.mu.Unlock()
	for len(list) > 0 && ctx.Err() == nil {
		n := min(len(list), together)
		some = w.retryFew(ctx, list[:n]) || some
		list = list[n:]
	}
	return some
}

func (w *worker) retryFew(ctx context.Context, list []tried) (some bool) {
	purges := make([]wanobjectcache.Purge, len(list))
	for i, t := range list {
		purges[i] = t.purge
	}
	for i, err := range w.s.a.cache.Replay(ctx, purges) {
		if err != nil {
			continue
		}
		some = true
		w.mu.Lock()
		gone := w.lot.applied(list[i])
		w.mu.Unlock()
		if gone {
			w.p.Done(list[i].at.seq)
			w.s.room.leave(1)
		}
	}
	return some
}

// raise raises the epoch for the gaps that wait for it.
func (w *worker) raise(ctx context.Context) bool {
	w.mu.Lock()
	waiting := w.lot.epoch
	w.mu.Unlock()
	if len(waiting.seqs) == 0 || !w.raiseTo(ctx, waiting.to) {
		return false
	}
	w.mu.Lock()
	w.lot.raised(waiting)
	w.mu.Unlock()
	for _, seq := range waiting.seqs {
		w.p.Done(seq)
	}
	return true
}
