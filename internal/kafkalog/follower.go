package kafkalog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

// Follower is a member of a consumer group on one topic.
type Follower struct {
	opts Options

	mu     sync.Mutex
	client *client // nil = Run does not run
	mine   []*Partition
	seen   map[int]bool // partitions that this process has had: not new any more
	err    error        // of what is asked again; nil = the last answer was good
}

// New makes a follower. It does no I/O and starts no goroutine. An error names the option that cannot be used.
func New(o Options) (*Follower, error) {
	o, err := o.checked()
	if err != nil {
		return nil, err
	}
	return &Follower{opts: o, seen: map[int]bool{}}, nil
}

// Run follows the topic until ctx ends, and returns nil then. For each partition that this process is given it calls work
// in a goroutine of its own, with a context that ends when the partition is given away: work returns then, soon, and not
// before. What is finished by then is committed. Run returns when all has ended: 5 s after ctx at the latest, if work does.
func (f *Follower) Run(ctx context.Context, work func(context.Context, *Partition)) error {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	dial := speaking(f.opts.TLS, dialUntil(life))
	c := newClient(f.opts, dial)
	defer c.close()
	if err := f.start(c); err != nil {
		return err
	}
	defer f.stop()
	f.awaitTopic(ctx, c)
	group, err := kafka.NewConsumerGroup(f.config(dial))
	if err != nil {
		return fmt.Errorf("kafkalog: %w", err)
	}
	for {
		generation, err := group.Next(ctx)
		switch {
		case ctx.Err() != nil:
			defer time.AfterFunc(leaveLimit, end).Stop()
			return group.Close()
		case err != nil:
			f.failed(ctx, err)
		default:
			generation.Start(func(mine context.Context) {
				f.follow(mine, generation, c, work)
				f.awaitTopic(ctx, c)
			})
		}
	}
}

// awaitTopic returns when the topic is there, or ctx has ended. Without one kafka-go's group would ask for it, and so have a
// broker make it that may; and joins again and again, without a pause.
func (f *Follower) awaitTopic(ctx context.Context, c *client) {
	for failures := 1; ctx.Err() == nil; failures++ {
		_, err := c.partitions(ctx)
		if err == nil {
			return
		}
		f.failed(ctx, err)
		_ = retry.Sleep(ctx, failures)
	}
}

func (f *Follower) config(dial Dialer) kafka.ConsumerGroupConfig {
	return kafka.ConsumerGroupConfig{
		ID: f.opts.Group, Brokers: f.opts.Brokers, Topics: []string{f.opts.Topic},
		Dialer:            &kafka.Dialer{DialFunc: dial, Timeout: dialLimit, SASLMechanism: f.opts.SASL},
		HeartbeatInterval: heartbeat, SessionTimeout: session, RebalanceTimeout: session, JoinGroupBackoff: rejoin,
		WatchPartitionChanges: true, PartitionWatchInterval: watchEvery, Timeout: callLimit,
		StartOffset: kafka.FirstOffset, // which is negative: this is how "nothing was committed" is told
	}
}

func (f *Follower) start(c *client) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.client != nil {
		return errors.New("kafkalog: this Follower is run already")
	}
	f.client = c
	return nil
}

func (f *Follower) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.client, f.mine = nil, nil
}

// follow works on the partitions of one generation of the group.
func (f *Follower) follow(ctx context.Context, g *kafka.Generation, c *client, work func(context.Context, *Partition)) {
	var mine []*Partition
	for _, a := range g.Assignments[f.opts.Topic] {
		p := &Partition{ID: a.ID, f: f, client: c, committed: a.Offset, sent: a.Offset}
		p.tracker.next = nowhere
		mine = append(mine, p)
	}
	f.setMine(mine)
	defer f.setMine(nil)
	ctx, cancel := context.WithCancel(ctx) // kafka-go's own context is not one that others follow cheaply
	defer cancel()
	var working sync.WaitGroup
	for _, p := range mine {
		working.Go(func() { work(ctx, p) })
	}
	tick := time.NewTicker(commitEvery)
	defer tick.Stop()
	for last := false; !last; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			working.Wait()
			last = true
		}
		if err := f.commit(g, mine); err != nil {
			f.failed(ctx, err)
		}
	}
}

// commit commits what has moved.
func (f *Follower) commit(g *kafka.Generation, mine []*Partition) error {
	offsets := map[int]int64{}
	for _, p := range mine {
		if offset, ok := p.toCommit(); ok {
			offsets[p.ID] = offset
		}
	}
	if len(offsets) == 0 {
		return nil
	}
	if err := g.CommitOffsets(map[string]map[int]int64{f.opts.Topic: offsets}); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	for _, p := range mine {
		if offset, ok := offsets[p.ID]; ok {
			p.wasCommitted(offset)
		}
	}
	return nil
}

func (f *Follower) setMine(mine []*Partition) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mine = mine
}

// isNew reports whether nothing need be committed of a partition: on the first run, the first time.
func (f *Follower) isNew(partition int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.opts.FirstRun && !f.seen[partition]
}

func (f *Follower) saw(partition int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen[partition] = true
}

// failed notes an error of what is tried again, and logs the first in a row.
func (f *Follower) failed(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	f.mu.Lock()
	first := f.err == nil
	f.err = err
	f.mu.Unlock()
	if first {
		f.opts.Logger.WarnContext(ctx, "kafka: following a topic fails, and is tried again",
			"topic", f.opts.Topic, "group", f.opts.Group, "err", err)
	}
}

func (f *Follower) works() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = nil
}
