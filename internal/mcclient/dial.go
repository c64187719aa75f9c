package mcclient

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"time"
)

// dialer connects to one server.
type dialer struct {
	dialBelow func(ctx context.Context, network, addr string) (net.Conn, error)
	tls       *tls.Config
	timeout   time.Duration
	live      *live
}

func newDialer(host string, o *Options, l *live) *dialer {
	d := &dialer{dialBelow: o.Dial, timeout: cmp.Or(o.ConnectTimeout, defaultTimeout), live: l}
	if d.dialBelow == nil {
		d.dialBelow = new(net.Dialer).DialContext
	}
	if o.TLS != nil {
		d.tls = o.TLS.Clone()
		d.tls.ServerName = cmp.Or(d.tls.ServerName, host)
	}
	return d
}

func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	// gomemcache's context ends with the Timeout of a request, which is another one.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.timeout)
	defer cancel()
	raw, err := d.dialBelow(ctx, network, addr)
	if err != nil {
		return nil, &dialError{err}
	}
	conn, err := d.live.add(raw)
	if err != nil {
		return nil, &dialError{err}
	}
	if d.tls == nil {
		return conn, nil
	}
	secure := tls.Client(conn, d.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, &dialError{fmt.Errorf("TLS handshake: %w: check RootCAs and ServerName of Options.TLS, and that the server speaks TLS", err)}
	}
	return secure, nil
}

// live is what of a pool must end with it: connections and goroutines.
type live struct {
	mu      sync.Mutex
	ended   bool
	conns   map[*conn]struct{}
	running sync.WaitGroup
}

// conn is a connection that the pool knows of until it is closed. gomemcache knows only the idle ones.
type conn struct {
	net.Conn
	live *live
}

func (l *live) add(raw net.Conn) (*conn, error) {
	if tcp, ok := raw.(interface{ SetLinger(sec int) error }); ok {
		// A connection is closed after a timeout, with a write perhaps still on its way: that must not arrive later.
		_ = tcp.SetLinger(0)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		_ = raw.Close()
		return nil, ErrClosed
	}
	if l.conns == nil {
		l.conns = map[*conn]struct{}{}
	}
	c := &conn{raw, l}
	l.conns[c] = struct{}{}
	return c, nil
}

func (c *conn) Close() error {
	c.live.mu.Lock()
	delete(c.live.conns, c)
	c.live.mu.Unlock()
	return c.Conn.Close()
}

// goDo runs f in a goroutine, unless the pool has ended.
func (l *live) goDo(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return false
	}
	l.running.Go(f)
	return true
}

func (l *live) end() {
	l.mu.Lock()
	l.ended = true
	for c := range l.conns {
		_ = c.Conn.Close()
	}
	clear(l.conns)
	l.mu.Unlock()
	l.running.Wait()
}
