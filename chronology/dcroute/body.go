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
	taken atomic.Int64
	whole atomic.Bool // it was read to its end

	mu    sync.Mutex
	err   error
	ended bool
}

func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.from.Read(p)
	b.taken.Add(int64(n))
	switch {
	case err == io.EOF:
		b.whole.Store(true)
	case err != nil:
		b.err = err
	}
	return n, err
}

func (b *body) Close() error { return nil }

// end is when the server takes the body back: a transport may read on for a while.
func (b *body) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
}

// failed is why the body could not be read to its end.
func (b *body) failed() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}
