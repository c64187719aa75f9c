package main

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// relay is the way from one datacenter's router to the other's: whoever connects to addr reaches upstream. It can be cut,
// and slowed.
type relay struct {
	addr, upstream string
	latency        atomic.Int64 // a time.Duration, in each direction

	shut func() // returns when nothing crosses any more; nil = it is cut
}

// listenRelay opens one on a free port.
func listenRelay(ctx context.Context, upstream string) (*relay, error) {
	r := &relay{addr: "127.0.0.1:0", upstream: upstream}
	return r, r.open(ctx)
}

// cut and open are called one at a time.
func (r *relay) cut() {
	if r.shut != nil {
		r.shut()
		r.shut = nil
	}
}

func (r *relay) open(ctx context.Context) error {
	if r.shut != nil {
		return nil
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", r.addr)
	if err != nil {
		return err
	}
	r.addr = l.Addr().String() // where it stays: while it is cut, connections are refused there
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return // it was cut
			}
			running.Go(func() { r.carry(ctx, near) })
		}
	})
	r.shut = func() {
		_ = l.Close() // whatever it says
		cancel()
		running.Wait()
	}
	return nil
}

// carry lives as long as the connection.
func (r *relay) carry(ctx context.Context, near net.Conn) {
	ctx, end := context.WithCancel(ctx)
	defer end()
	context.AfterFunc(ctx, func() { _ = near.Close() })
	far, err := new(net.Dialer).DialContext(ctx, "tcp", r.upstream)
	if err != nil {
		return
	}
	context.AfterFunc(ctx, func() { _ = far.Close() })
	var all sync.WaitGroup
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		pieces := make(chan piece, 64) // what is under way
		all.Go(func() { defer close(pieces); r.take(ctx, way[0], pieces) })
		all.Go(func() { defer end(); give(ctx, way[1], pieces) })
	}
	all.Wait()
}

// piece is what one Read gave, and when it is to arrive.
type piece struct {
	data []byte
	due  time.Time
}

func (r *relay) take(ctx context.Context, from net.Conn, to chan<- piece) {
	for {
		buffer := make([]byte, 16<<10)
		n, err := from.Read(buffer)
		select {
		case to <- piece{buffer[:n], time.Now().Add(time.Duration(r.latency.Load()))}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

func give(ctx context.Context, to net.Conn, from <-chan piece) {
	for p := range from {
		select {
		case <-time.After(time.Until(p.due)):
		case <-ctx.Done():
			return
		}
		if _, err := to.Write(p.data); err != nil {
			return
		}
	}
}
