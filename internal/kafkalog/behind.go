package kafkalog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Behind asks how many messages of the topic the group has not finished: in the partitions of this process as it knows
// them, in others by what is committed there, up to a second late. An error is "not known"; it is never 0 for want of an
// answer. It takes 10 s at most.
func (f *Follower) Behind(ctx context.Context) (int64, error) {
	f.mu.Lock()
	c, mine := f.client, slices.Clone(f.mine)
	f.mu.Unlock()
	if c == nil {
		return 0, errors.New("Run does not run in this process")
	}
	ids, err := c.partitions(ctx)
	if err != nil {
		return 0, err
	}
	at, err := c.committed(ctx, ids)
	if err != nil {
		return 0, err
	}
	open := map[int]int{}
	for _, p := range mine {
		if next, unfinished := p.reached(); next != nowhere {
			at[p.ID], open[p.ID] = next, unfinished
		}
	}
	counts, errs := make([]int64, len(ids)), make([]error, len(ids))
	var asking sync.WaitGroup
	for i, id := range ids {
		asking.Go(func() { counts[i], errs[i] = c.behind(ctx, id, at[id], open[id]) })
	}
	asking.Wait()
	var sum int64
	for _, n := range counts {
		sum += n
	}
	return sum, errors.Join(errs...)
}

func (c *client) behind(ctx context.Context, partition int, at int64, open int) (int64, error) {
	has, err := c.bounds(ctx, partition)
	switch {
	case err != nil:
		return 0, err
	case at < 0:
		return 0, fmt.Errorf("partition %d: nothing is committed yet", partition)
	case at > has.end:
		return 0, fmt.Errorf("partition %d: the position %d is beyond the end %d", partition, at, has.end)
	}
	return has.end - max(at, has.first) + int64(open), nil
}
