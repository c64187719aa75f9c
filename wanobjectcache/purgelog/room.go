package purgelog

import (
	"context"
	"sync"
)

// room counts what is parked, and lets readers wait while it is full. It is full with most in it; who entered before that
// was seen is in it too.
type room struct {
	most int

	mu    sync.Mutex
	in    int
	freed chan struct{} // closed when it is not full any more; nil = it is not full
}

func newRoom(most int) *room { return &room{most: most} }

func (r *room) enter() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.in++; r.in >= r.most && r.freed == nil {
		r.freed = make(chan struct{})
	}
}

func (r *room) leave(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.in -= n; r.in < r.most && r.freed != nil {
		close(r.freed)
		r.freed = nil
	}
}

// wait waits while the room is full. It ends with an error if ctx does.
func (r *room) wait(ctx context.Context) error {
	for {
		r.mu.Lock()
		freed := r.freed
		r.mu.Unlock()
		if freed == nil {
			return context.Cause(ctx)
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (r *room) state() (in int, full bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.in, r.freed != nil
}
