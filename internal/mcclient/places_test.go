package mcclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// However many ask at once, there are no more connections than places, and each is answered.
func TestNoMoreConnectionsThanPlaces(t *testing.T) {
	s := serve(t, nil, empty)
	o := slow()
	o.MaxIdle = 4
	var open, most atomic.Int32
	o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if n := open.Add(1); n > most.Load() {
			most.Store(n)
		}
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		return &counted{Conn: c, open: &open}, err
	}
	p := one(t, o, s)
	var all sync.WaitGroup
	for i := range 300 {
		all.Go(func() {
			var err error
			switch key := fmt.Sprint("key", i); i % 3 {
			case 0:
				_, err = p.Get(t.Context(), key)
			case 1:
				err = p.GetMulti(t.Context(), []string{key, key + "b"})[0].Err
			default:
				err = p.Set(t.Context(), &Item{Key: key})
			}
			if err != nil && !errors.Is(err, ErrNotFound) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := most.Load(); got > 4 {
		t.Errorf("%d connections at a time, want 4 at most", got)
	}
}

// counted is a connection that counts until it is closed.
type counted struct {
	net.Conn

	open *atomic.Int32
	once sync.Once
}

func (c *counted) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}

// The last in the queue waits longer than Timeout, for one after another is answered.
func TestWaitingForASlowServer(t *testing.T) {
	s := serve(t, nil, func(c *session) {
		for _, ok := c.next(); ok; _, ok = c.next() {
			time.Sleep(25 * time.Millisecond)
			c.say("STORED\r\n")
		}
	})
	p := one(t, Options{Timeout: 500 * time.Millisecond, ConnectTimeout: patience, MaxIdle: 1}, s)
	var all sync.WaitGroup
	for range 40 {
		all.Go(func() {
			if err := p.Set(t.Context(), &Item{Key: "key"}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// occupied is a pool whose only connection is in use until the test ends, by a server that answers with drops.
func occupied(t *testing.T, timeout time.Duration) (p *Pool, s *scripted) {
	t.Helper()
	s = serve(t, nil, drip(patience))
	p = one(t, Options{Timeout: timeout, ConnectTimeout: patience, MultiTimeout: patience, MaxIdle: 1}, s)
	var asking sync.WaitGroup
	t.Cleanup(asking.Wait)
	t.Cleanup(p.Close)
	asking.Go(func() { p.GetMulti(context.WithoutCancel(t.Context()), manyKeys(2)) })
	soon(t, "the connection is in use", func() bool { return len(s.heard()) == 1 })
	return p, s
}

// A server that answers nobody within Timeout is not waited for. What was not sent has no unknown outcome.
func TestWaitingForAServerThatHangs(t *testing.T) {
	p, s := occupied(t, 300*time.Millisecond)
	_, read := p.Get(t.Context(), "key")
	for what, err := range map[string]error{"read": read, "write": p.Set(t.Context(), &Item{Key: "key"})} {
		if !errors.Is(err, ErrOverloaded) || !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("%s: got %v, want ErrOverloaded", what, err)
		}
	}
	if heard := s.heard(); len(heard) != 1 {
		t.Errorf("the server heard %q, want the first request alone", heard)
	}
}

func TestContextEndsInTheQueue(t *testing.T) {
	p, s := occupied(t, patience)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := p.Set(ctx, &Item{Key: "key"}); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("got %v, want context.DeadlineExceeded", err)
	}
	if heard := s.heard(); len(heard) != 1 {
		t.Errorf("the server heard %q, want the first request alone", heard)
	}
}

// Many keys are asked for in several commands: memcached begins to answer a command when it has all of its keys.
func TestGetMultiOfVeryManyKeys(t *testing.T) {
	s := serve(t, nil, echo)
	p := one(t, slow(), s)
	keys := manyKeys(2*mostKeys + 1)
	check(t, p, keys, p.GetMulti(t.Context(), keys), nil)
	if got := len(s.heard()); got != 3 {
		t.Errorf("%d keys in %d commands, want 3", len(keys), got)
	}
}
