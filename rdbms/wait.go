package rdbms

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"sync"
	"time"
)

// waiting is the reads that wait for one server to apply a position. One goroutine asks the server for all of them, on one
// connection: a wait inside the server would cost a connection each.
type waiting struct {
	mu      sync.Mutex
	list    []*waiter
	running bool
}

type waiter struct {
	want string
	done chan struct{}
}

// join adds a waiter unless there are too many. start is true if somebody must begin to ask.
func (w *waiting) join(one *waiter, most int) (joined, start bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.list) >= most {
		return false, false
	}
	w.list = append(w.list, one)
	start, w.running = !w.running, true
	return true, start
}

func (w *waiting) leave(one *waiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := slices.Index(w.list, one); i >= 0 {
		w.list = slices.Delete(w.list, i, i+1)
	}
}

// over reports whether nobody waits any more; the asking ends then.
func (w *waiting) over() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running = len(w.list) > 0
	return !w.running
}

// wake wakes those who have what they wait for.
func (w *waiting) wake(reached func(want string) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = slices.DeleteFunc(w.list, func(one *waiter) bool {
		if !reached(one.want) {
			return false
		}
		close(one.done)
		return true
	})
}

// How often a server is asked for its position while somebody waits for one.
const (
	askFirst   = time.Millisecond
	askMost    = 20 * time.Millisecond
	askTimeout = time.Second
)

// await waits until a server has applied a position, for so long at most. It returns early when ctx or the cluster ends.
func (c *Cluster) await(ctx context.Context, h *host, want string, patience time.Duration) (reached bool) {
	one := &waiter{want: want, done: make(chan struct{})}
	joined, start := h.waiting.join(one, c.opts.MaxWaiters)
	if !joined {
		return false
	}
	defer h.waiting.leave(one)
	if start && !c.inBackground(func() { c.ask(h) }) { //nolint:contextcheck // it serves all who wait
		return false
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-one.done:
		return true
	case <-timer.C:
	case <-ctx.Done():
	case <-c.ended:
	}
	return false
}

// inBackground runs f in a goroutine that Close awaits. It returns false if the cluster is closed.
func (c *Cluster) inBackground(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.waiters.Go(f)
	return true
}

// ask asks a server for its position until nobody waits for it any more.
func (c *Cluster) ask(h *host) {
	var conn *sql.Conn
	defer func() {
		if conn != nil {
			_ = conn.Close()
		}
	}()
	for pause := askFirst; !h.waiting.over(); pause = min(2*pause, askMost) {
		if err := c.askOnce(h, &conn); err != nil && conn != nil {
			_ = conn.Close() // the pool finds out whether it is broken
			conn = nil
		}
		select {
		case <-time.After(pause):
		case <-c.life.Done():
		}
	}
}

func (c *Cluster) askOnce(h *host, conn **sql.Conn) (err error) {
	ctx, cancel := context.WithTimeout(c.life, askTimeout)
	defer cancel()
	if *conn == nil {
		if *conn, err = h.pool.conn(ctx); err != nil {
			return err
		}
	}
	began := time.Now()
	have, err := c.engine.Applied(ctx, *conn)
	if err != nil {
		return err
	}
	c.noteApplied(ctx, h, appliedMark{text: have, began: began, ended: time.Now()})
	h.waiting.wake(func(want string) bool { return c.includes(have, want) })
	return nil
}

// includes: what cannot be compared is not reached.
func (c *Cluster) includes(have, want string) bool {
	if have == "" {
		return false
	}
	ok, err := c.engine.Reached(have, want)
	return ok && err == nil
}

// askApplied asks on a connection that is about to be read from. Whatever is wrong with it, the server is not known any
// more to have anything.
func (c *Cluster) askApplied(ctx context.Context, l *lease, want string) bool {
	began := time.Now()
	have, err := c.engine.Applied(ctx, l.conn)
	if err != nil {
		l.broken = true
		l.server.applied.Store(nil)
		return false
	}
	c.noteApplied(ctx, l.server.host, appliedMark{text: have, began: began, ended: time.Now()})
	return c.includes(have, want)
}

// noteApplied keeps the newest position that a server is known to have. One that is lower than that, or of another
// identity, says that the server was rebuilt or reset: what it had it may not have any more.
func (c *Cluster) noteApplied(ctx context.Context, h *host, m appliedMark) {
	for {
		old := h.applied.Load()
		if old == nil {
			if h.applied.CompareAndSwap(nil, &m) {
				return
			}
			continue
		}
		rewound := old.identity != m.identity && old.identity != "" && m.identity != ""
		if m.identity == "" {
			m.identity = old.identity
		}
		if !rewound && old.text != "" && !c.includes(m.text, old.text) {
			if m.began.Before(old.ended) {
				return // asked at the same time: it may be the older answer
			}
			rewound = true
		}
		if !h.applied.CompareAndSwap(old, &m) {
			continue
		}
		if rewound {
			c.warn(ctx, WarningInfo{Server: h.name, Kind: WarnRewound, Text: fmt.Sprintf(
				"it was restarted or rebuilt, or its log was reset: it had %q, and has %q", old.text, m.text)})
		}
		return
	}
}

// wait lets the chosen server reach the required position, or follows the policy.
func (r *reading) wait(found choice, now time.Time) (*server, error) {
	policy, patience := r.patience()
	if r.need.outcome != outcomeTimedOut {
		reached, waited := r.awaitFor(found.server, patience)
		switch {
		case r.ctx.Err() != nil:
			return nil, r.ctx.Err()
		case reached:
			r.settle(outcomeReached)
			r.need.reached = r.need.reached.with(found.server.index)
			r.lagged = found.lagged
			return found.server, nil
		case r.cluster.isClosed(): // which ended the wait
			return nil, fmt.Errorf("rdbms: cluster %s: %w", r.cluster.name, ErrClosed)
		case waited:
			r.settle(outcomeTimedOut)
		}
	}
	switch {
	case policy == OnTimeoutError:
		return nil, fmt.Errorf("%w: cluster %s: %s has not reached %s in %v", ErrNotCaughtUp, r.cluster.name, found.server.name, r.need.position, patience)
	case policy == OnTimeoutPrimary && !r.holding:
		if p := r.toPrimary(now); p != nil {
			r.lagged = false
			return p, nil
		}
	}
	r.lagged, r.behind = true, true
	return found.server, nil
}

// patience is what the statement, the requirement or the options say, in this order.
func (r *reading) patience() (TimeoutPolicy, time.Duration) {
	policy, wait := r.call.onTimeout, r.call.wait
	if policy == "" {
		policy = r.need.onTimeout
	}
	if policy == "" {
		policy = r.cluster.opts.OnTimeout
	}
	if wait == 0 {
		wait = r.need.wait
	}
	if wait == 0 {
		wait = r.cluster.opts.Wait
	}
	return policy, min(wait, mostWait)
}

// What the wait leaves of the caller's time for the statement itself, and what is too short to wait for.
const (
	leaveForStatement = 50 * time.Millisecond
	shortestWait      = 5 * time.Millisecond
)

func (r *reading) awaitFor(s *server, patience time.Duration) (reached, waited bool) {
	if deadline, ok := r.ctx.Deadline(); ok {
		patience = min(patience, time.Until(deadline)-leaveForStatement)
	}
	if patience < shortestWait {
		return false, false
	}
	began := time.Now()
	reached = r.cluster.await(r.ctx, s.host, r.need.position, patience)
	if on := r.cluster.opts.Events.OnWaited; on != nil {
		on(r.ctx, WaitInfo{Cluster: r.cluster.name, Server: s.name, Waited: time.Since(began), Reached: reached})
	}
	return reached, true
}

// settle remembers how the request's one wait for this position ended.
func (r *reading) settle(o outcome) {
	r.call.scope.with(r.cluster, func(state *requestState) {
		if state.required.version == r.need.version {
			state.required.outcome = o
		}
	})
}
