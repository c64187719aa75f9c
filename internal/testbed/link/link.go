// Package link is the link between two datacenters as far as one server is concerned: a TCP proxy that can be cut,
// made to swallow everything, slowed and reset.
//
// It is our own because github.com/Shopify/toxiproxy/v2 (2.12.0) lacks two of the four: its reset_peer leaves an
// established idle connection alone and closes others without a RST, and its timeout toxic throws away what it
// swallowed, so that healing it breaks every connection, where a real link that comes back delivers what TCP still
// holds. It also dials the server inside its accept loop, so that one server that does not answer stops the proxy
// from being cut.
package link

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/multidc/multidc/internal/testbed/proc"
)

// Modes of a link, as State says them.
const (
	Open      = "open"
	Cut       = "cut"
	BlackHole = "blackhole"
)

// State is what a link does at the moment.
type State struct {
	Mode    string        // Open, Cut or BlackHole
	Latency time.Duration // added to each direction, so a round trip takes twice as much longer

	changed chan struct{} // closed when a newer state holds
}

// Link is one proxy. Its verbs may be called in any order and any number of times; each returns when it holds.
type Link struct {
	addr, upstream string
	ctx            context.Context // ends at Close; it is the life of what the link started, not of a call
	cancel         context.CancelFunc
	running        sync.WaitGroup // accept loops and connections

	verbs sync.Mutex // one verb at a time

	mu       sync.Mutex
	state    State
	listener net.Listener // nil while cut
	conns    map[*conn]struct{}
}

// Listen opens a link: whoever connects to addr reaches upstream.
func Listen(addr, upstream string) (*Link, error) {
	l := &Link{
		addr: addr, upstream: upstream, conns: map[*conn]struct{}{},
		state: State{Mode: Open, changed: make(chan struct{})},
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	if err := l.open(); err != nil {
		l.cancel()
		return nil, err
	}
	return l, nil
}

// Addr is where the link listens.
func (l *Link) Addr() string { return l.addr }

// Upstream is the server's own address.
func (l *Link) Upstream() string { return l.upstream }

// State returns what the link does now.
func (l *Link) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state
}

// Cut closes the connections and refuses new ones, as if the other side's host were gone.
func (l *Link) Cut() {
	l.verbs.Lock()
	defer l.verbs.Unlock()
	l.set(func(s *State) { s.Mode = Cut })
	l.refuse()
	l.drop(false)
}

// BlackHole lets nothing through and closes nothing: connects succeed, nothing is answered, as on a link that loses
// every packet. What was under way is delivered after Heal.
func (l *Link) BlackHole() error {
	l.verbs.Lock()
	defer l.verbs.Unlock()
	l.set(func(s *State) { s.Mode = BlackHole })
	return l.open()
}

// Latency delays each direction by d from now on, also what is under way; 0 ends it. Data keep their order.
func (l *Link) Latency(d time.Duration) {
	l.verbs.Lock()
	defer l.verbs.Unlock()
	l.set(func(s *State) { s.Latency = d })
}

// Reset ends every connection with a TCP reset, once, and returns how many there were. New ones are not affected.
func (l *Link) Reset() int {
	l.verbs.Lock()
	defer l.verbs.Unlock()
	return l.drop(true)
}

// Heal undoes Cut, BlackHole and Latency.
func (l *Link) Heal() error {
	l.verbs.Lock()
	defer l.verbs.Unlock()
	l.set(func(s *State) { s.Mode, s.Latency = Open, 0 })
	return l.open()
}

// Close ends the link for good and waits for all its goroutines.
func (l *Link) Close() {
	l.verbs.Lock()
	defer l.verbs.Unlock()
	l.cancel()
	l.set(func(s *State) { s.Mode = Cut })
	l.refuse()
	l.drop(false)
	l.running.Wait()
}

func (l *Link) set(change func(*State)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.state.changed)
	change(&l.state)
	l.state.changed = make(chan struct{})
}

func (l *Link) open() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listener != nil {
		return nil
	}
	if l.ctx.Err() != nil {
		return fmt.Errorf("link %s is closed", l.addr)
	}
	listener, err := net.Listen("tcp", l.addr)
	if err != nil {
		return fmt.Errorf("open link to %s: %w", l.upstream, err)
	}
	l.listener = listener
	l.running.Go(func() { l.accept(listener) })
	return nil
}

func (l *Link) refuse() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listener != nil {
		_ = proc.WhileNothingForks(l.listener.Close) // or Heal could find the port still taken
		l.listener = nil
	}
}

func (l *Link) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return // closed: only refuse does that
		}
		l.admit(client.(*net.TCPConn))
	}
}

func (l *Link) admit(client *net.TCPConn) {
	c := &conn{link: l, client: client}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state.Mode == Cut { // accepted in the moment of the cut
		_ = client.Close()
		return
	}
	c.ctx, c.cancel = context.WithCancel(l.ctx)
	l.conns[c] = struct{}{}
	l.running.Go(func() {
		c.serve()
		l.forget(c)
	})
}

func (l *Link) forget(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

func (l *Link) drop(reset bool) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	dropped := 0
	for c := range l.conns {
		if c.abort(reset) {
			dropped++
		}
	}
	return dropped
}
