package dcroute

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// body is a request's, on its way to another DC: it knows whether anything was taken of it. Closing it does nothing: the
// transport closes what it has not read, even when no connection was made, and the body is needed again.
type body struct {
	from  io.Reader
	whole atomic.Bool // it was read to its end
	ended atomic.Bool

	mu    sync.Mutex // of the one Read at a time
	taken int64
	err   error
}

func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.from.Read(p)
	b.taken += int64(n)
	switch {
	case err == io.EOF:
		b.whole.Store(true)
	case err != nil:
		b.err = err
	}
	return n, err
}

func (b *body) Close() error { return nil }

// end is when the server takes the body back: a transport may read on for a while. It does not wait for a Read: the client
// may have stopped sending, and wait for an early answer.
func (b *body) end() { b.ended.Store(true) }

// untouched: nothing was taken, and, after end, nothing will be.
func (b *body) untouched() bool {
	if !b.mu.TryLock() {
		return false // somebody reads
	}
	defer b.mu.Unlock()
	return b.taken == 0
}

// failed is why the body could not be read to its end.
func (b *body) failed() error {
	if !b.mu.TryLock() {
		return nil
	}
	defer b.mu.Unlock()
	return b.err
}
