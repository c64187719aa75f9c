package link

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// conn is one client's connection through a link.
type conn struct {
	link   *Link
	client *net.TCPConn
	ctx    context.Context // ends when the connection is dropped
	cancel context.CancelFunc

	mu     sync.Mutex
	server *net.TCPConn // nil until dialled
	over   bool
}

// serve lives as long as the connection.
func (c *conn) serve() {
	defer c.abort(false)
	if !c.held(time.Now()) {
		return
	}
	server, err := new(net.Dialer).DialContext(c.ctx, "tcp", c.link.upstream)
	if err != nil {
		// The server is gone: the nearest to its refusal that one who has accepted can say.
		c.abort(true)
		return
	}
	if !c.join(server.(*net.TCPConn)) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { c.copy(c.server, c.client) })
	both.Go(func() { c.copy(c.client, c.server) })
	both.Wait()
}

func (c *conn) join(server *net.TCPConn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		_ = server.Close()
		return false
	}
	c.server = server
	return true
}

// abort ends the connection now, with a TCP reset if asked. Only the first call does anything, and returns true.
func (c *conn) abort(reset bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return false
	}
	c.over = true
	c.cancel()
	for _, side := range []*net.TCPConn{c.client, c.server} {
		if side == nil {
			continue
		}
		if reset {
			_ = side.SetLinger(0)
		}
		_ = side.Close()
	}
	return true
}

// held waits until what came at that time may go on: through the latency, and as long as the link is not open. Cut, too,
// holds: what a black hole has swallowed must not slip through before a cut has dropped the connection.
// It returns false when the connection was dropped meanwhile.
func (c *conn) held(came time.Time) bool {
	for {
		state := c.link.State()
		wait := time.Until(came.Add(state.Latency))
		if state.Mode == Open && wait <= 0 {
			return c.ctx.Err() == nil
		}
		if !c.pause(state, wait) {
			return false
		}
	}
}

// pause waits for that time, for ever in a link that is not open, or until the link's state changes.
func (c *conn) pause(state State, wait time.Duration) bool {
	var due <-chan time.Time
	if state.Mode == Open {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-due:
	case <-state.changed:
	case <-c.ctx.Done():
		return false
	}
	return true
}

// piece is what one Read gave: data, or with err the end of that direction.
type piece struct {
	data []byte
	came time.Time
	err  error
}

// inFlight bounds what one direction holds while it waits. After that the sender is slowed down, as by a full
// window.
const inFlight = 64

func (c *conn) copy(to, from *net.TCPConn) {
	pieces := make(chan piece, inFlight)
	var reader sync.WaitGroup
	reader.Go(func() { c.read(from, pieces) })
	defer reader.Wait()
	for p := range pieces {
		if !c.held(p.came) {
			return
		}
		if !c.pass(to, p) {
			return
		}
	}
}

func (c *conn) read(from *net.TCPConn, pieces chan<- piece) {
	defer close(pieces)
	for {
		buffer := make([]byte, 16<<10)
		n, err := from.Read(buffer)
		select {
		case pieces <- piece{data: buffer[:n], came: time.Now(), err: err}:
		case <-c.ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// pass hands a piece on. An orderly end ends only this direction; anything else ends the connection with a reset, as
// it came.
func (c *conn) pass(to *net.TCPConn, p piece) bool {
	if _, err := to.Write(p.data); err != nil {
		c.abort(true)
		return false
	}
	switch {
	case p.err == nil:
		return true
	case errors.Is(p.err, io.EOF):
		_ = to.CloseWrite()
	default:
		c.abort(true)
	}
	return false
}
