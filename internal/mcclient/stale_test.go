package mcclient

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
)

// pooled returns a pool with that many idle connections, to a server that has dropped all of them since. On connections
// that are made later play goes on.
func pooled(t *testing.T, n int, play func(*session)) (*Pool, *scripted) {
	t.Helper()
	var all sync.WaitGroup
	all.Add(n)
	s := serve(t, nil, func(c *session) {
		if c.number >= n {
			play(c)
			return
		}
		if _, ok := c.next(); ok { // nobody is answered, and so has an idle connection to offer, before all are there
			all.Done()
			all.Wait()
			c.say("END\r\n")
			c.hang()
		}
	})
	p := one(t, slow(), s)
	var asked sync.WaitGroup
	for range n {
		asked.Go(func() {
			if _, err := p.Get(t.Context(), "key"); !errors.Is(err, ErrNotFound) {
				t.Errorf("filling the pool: %v", err)
			}
		})
	}
	asked.Wait()
	s.drop()
	return p, s
}

// Case Ng.
func TestAllPooledConnectionsAreStale(t *testing.T) {
	for what, request := range map[string]func(*Pool) error{
		"Get": func(p *Pool) error {
			if _, err := p.Get(t.Context(), "key"); !errors.Is(err, ErrNotFound) {
				return err
			}
			return nil
		},
		"GetMulti": func(p *Pool) error { return p.GetMulti(t.Context(), []string{"key", "another"})[0].Err },
		"Set":      func(p *Pool) error { return p.Set(t.Context(), &Item{Key: "key"}) },
		"Add":      func(p *Pool) error { return p.Add(t.Context(), &Item{Key: "key"}) },
		"CAS":      func(p *Pool) error { return p.CompareAndSwap(t.Context(), &Item{Key: "key"}) },
	} {
		p, s := pooled(t, 8, empty)
		if err := request(p); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if got := s.connections(); got != 9 {
			t.Errorf("%s: %d connections, want the 8 stale ones and a new one", what, got)
		}
	}
}

// A write that is tried again may meet itself. What the server says then is what is reported.
func TestAWriteTriedAgainReportsTheSecondAnswer(t *testing.T) {
	for _, tc := range []struct {
		answer string
		want   error
	}{{"NOT_STORED\r\n", ErrConflict}, {"EXISTS\r\n", ErrConflict}, {"NOT_FOUND\r\n", ErrNotFound}} {
		write := (*Pool).CompareAndSwap
		if strings.HasPrefix(tc.answer, "NOT_STORED") {
			write = (*Pool).Add
		}
		p, _ := pooled(t, 1, always(tc.answer))
		if err := write(p, t.Context(), &Item{Key: "key"}); !errors.Is(err, tc.want) {
			t.Errorf("answered with %q: got %v, want %v", tc.answer, err, tc.want)
		}
	}
}

// Once, and no more. Of a write it is not known then whether the server did it before it closed the connection.
func TestAServerThatClosesEveryConnection(t *testing.T) {
	s := serve(t, nil, func(c *session) { c.next() })
	p := one(t, slow(), s)
	if _, err := p.Get(t.Context(), "key"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Get: got %v, want ErrUnavailable", err)
	}
	if got := s.connections(); got != 2 {
		t.Errorf("Get: tried %d times, want 2", got)
	}
	if err := p.Set(t.Context(), &Item{Key: "key"}); !errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("Set: got %v, want ErrUnknownOutcome", err)
	}
	if got := s.connections(); got != 4 {
		t.Errorf("Set: tried %d times, want 2", got-2)
	}
}

// The second try was surely not sent, but the first one was.
func TestAServerThatGoesAway(t *testing.T) {
	p, s := pooled(t, 1, empty)
	s.stop()
	if err := p.Set(t.Context(), &Item{Key: "key"}); !errors.Is(err, ErrUnknownOutcome) || errors.Is(err, ErrUnavailable) {
		t.Errorf("Set: got %v, want ErrUnknownOutcome", err)
	}
	if err := p.Set(t.Context(), &Item{Key: "key"}); !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("another Set: got %v, want ErrUnavailable", err)
	}
}

// Nobody waits for a second try.
func TestNoSecondTryForWhoHasGone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := serve(t, nil, func(c *session) {
		c.next()
		cancel()
	})
	if err := one(t, slow(), s).Set(ctx, &Item{Key: "key"}); !errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("got %v, want ErrUnknownOutcome", err)
	}
	if got := s.heard(); len(got) != 1 {
		t.Errorf("the server heard %q, want one command", got)
	}
}

// lingering notes how long a connection that is closed tries to send what it has not sent.
type lingering struct {
	net.Conn
	seconds int
}

func (l *lingering) SetLinger(seconds int) error {
	l.seconds = seconds
	return nil
}

// A write that has timed out must not arrive later, after its key was purged.
func TestClosingDropsWhatIsNotSent(t *testing.T) {
	s := serve(t, nil, empty)
	o := slow()
	made := &lingering{seconds: -1}
	o.Dial = func(ctx context.Context, network, addr string) (_ net.Conn, err error) {
		made.Conn, err = new(net.Dialer).DialContext(ctx, network, addr)
		return made, err
	}
	if err := one(t, o, s).Set(t.Context(), &Item{Key: "key"}); err != nil {
		t.Fatal(err)
	}
	if made.seconds != 0 {
		t.Errorf("linger is %d, want 0", made.seconds)
	}
}
