// Package lease hands out, kind by kind, leases on servers that are too dear to start twice: shared by many, or
// exclusive to one.
package lease

import (
	"context"
	"slices"
	"sync"
)

// Table holds the leases of every kind. The zero Table is ready for use.
//
// Leases are granted strictly in the order in which they were asked for, so nobody starves: those who ask for a
// shared lease after one who waits for the exclusive one wait behind it.
type Table struct {
	mu     sync.Mutex
	queues map[string]*queue
}

type queue struct {
	holders   int
	exclusive bool // the one holder holds it alone
	waiting   []*waiter
}

type waiter struct {
	exclusive bool
	granted   chan struct{}
}

// Take waits for a lease and returns the function that gives it back. It returns ctx's error if ctx ends first; then
// there is nothing to give back.
func (t *Table) Take(ctx context.Context, kind string, exclusive bool) (release func(), err error) {
	w := &waiter{exclusive: exclusive, granted: make(chan struct{})}
	t.change(kind, func(q *queue) { q.waiting = append(q.waiting, w) })
	release = sync.OnceFunc(func() { t.change(kind, (*queue).leave) })
	select {
	case <-w.granted:
		return release, nil
	case <-ctx.Done():
	}
	gone := false
	t.change(kind, func(q *queue) { gone = q.remove(w) })
	if !gone { // granted in the same moment
		release()
	}
	return nil, ctx.Err()
}

// change alters a queue and grants what may be granted then.
func (t *Table) change(kind string, how func(*queue)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	q := t.queues[kind]
	if q == nil {
		q = &queue{}
		if t.queues == nil {
			t.queues = map[string]*queue{}
		}
		t.queues[kind] = q
	}
	how(q)
	q.grant()
}

func (q *queue) grant() {
	for len(q.waiting) > 0 {
		first := q.waiting[0]
		if q.exclusive || first.exclusive && q.holders > 0 {
			return
		}
		q.waiting = q.waiting[1:]
		q.holders++
		q.exclusive = first.exclusive
		close(first.granted)
	}
}

func (q *queue) leave() {
	q.holders--
	q.exclusive = false
}

func (q *queue) remove(w *waiter) bool {
	at := slices.Index(q.waiting, w)
	if at < 0 {
		return false
	}
	q.waiting = slices.Delete(q.waiting, at, at+1)
	return true
}
