package mcclient

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

func TestNewRefuses(t *testing.T) {
	good := map[string]string{"mc1": "10.0.0.1:11211"}
	for name, tc := range map[string]struct {
		servers map[string]string
		options Options
		want    string
	}{
		"no servers":           {nil, Options{}, "no memcached servers"},
		"no name":              {map[string]string{"": "10.0.0.1:11211"}, Options{}, "no name"},
		"no port":              {map[string]string{"mc1": "10.0.0.1"}, Options{}, `mc1: its address is "10.0.0.1"`},
		"an empty port":        {map[string]string{"mc1": "10.0.0.1:"}, Options{}, "want host:port"},
		"no host":              {map[string]string{"mc1": ":11211"}, Options{}, "want host:port"},
		"a negative Timeout":   {good, Options{Timeout: -1}, "Options.Timeout"},
		"... ConnectTimeout":   {good, Options{ConnectTimeout: -1}, "Options.ConnectTimeout"},
		"... MultiTimeout":     {good, Options{MultiTimeout: -1}, "Options.MultiTimeout"},
		"... number of idlers": {good, Options{MaxIdle: -1}, "Options.MaxIdle"},
	} {
		if _, err := New(tc.servers, &tc.options); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want an error with %q", name, err, tc.want)
		}
	}
	p, err := New(good, nil)
	if err != nil {
		t.Fatalf("New with nil options: %v", err)
	}
	p.Close()
}

func TestGet(t *testing.T) {
	s := serve(t, nil, always(value("there", "text")+"END\r\n"))
	item, err := one(t, slow(), s).Get(t.Context(), "there")
	if err != nil || string(item.Value) != "text" || item.Flags != 7 || item.CasID != 42 {
		t.Errorf("got %+v, %v", item, err)
	}
	if _, err := one(t, slow(), serve(t, nil, empty)).Get(t.Context(), "absent"); !errors.Is(err, ErrNotFound) || errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

// Whatever a server answers to a read that is no answer, it is unavailable and never a miss; the connection is not used again.
func TestGetFromAServerThatTalksNonsense(t *testing.T) {
	for name, answer := range map[string]string{
		"an error of the server's": "SERVER_ERROR out of memory\r\n",
		"an unknown command":       "ERROR\r\n",
		"another protocol":         "HTTP/1.1 400 Bad Request\r\n\r\n",
		"another key":              value("other", "text") + "END\r\n",
		"a length that is wrong":   "VALUE key 0 2 1\r\nlonger\r\nEND\r\n",
		"no length":                "VALUE key\r\nEND\r\n",
		"nothing printable":        "\x00\xff\x16\x03\x01\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, nil, always(answer))
			p := one(t, slow(), s)
			for range 2 {
				item, err := p.Get(t.Context(), "key")
				if !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrNotFound) || item != nil {
					t.Errorf("got %v, %v, want ErrUnavailable", item, err)
				}
				if err != nil && !strings.Contains(err.Error(), "mc1 ("+s.addr()+")") {
					t.Errorf("%q does not name the server", err)
				}
			}
			if got := s.connections(); got != 2 {
				t.Errorf("%d connections for two requests, want 2: the first one is out of step", got)
			}
		})
	}
}

func TestWhatAWriteComesTo(t *testing.T) {
	writes := map[string]func(*Pool) error{
		"add": func(p *Pool) error { return p.Add(t.Context(), &Item{Key: "key", Value: []byte("x")}) },
		"set": func(p *Pool) error { return p.Set(t.Context(), &Item{Key: "key", Value: []byte("x")}) },
		"cas": func(p *Pool) error {
			return p.CompareAndSwap(t.Context(), &Item{Key: "key", Value: []byte("x"), CasID: 42})
		},
	}
	for _, tc := range []struct {
		write, answer string
		want          error
	}{
		{"add", "STORED\r\n", nil},
		{"add", "NOT_STORED\r\n", ErrConflict},
		{"set", "STORED\r\n", nil},
		{"cas", "STORED\r\n", nil},
		{"cas", "EXISTS\r\n", ErrConflict},
		{"cas", "NOT_FOUND\r\n", ErrNotFound},
		{"cas", "NOT_STORED\r\n", ErrNotFound},
		{"add", "SERVER_ERROR out of memory storing object\r\n", ErrUnknownOutcome},
		{"set", "SERVER_ERROR object too large for cache\r\n", ErrUnknownOutcome},
		{"set", "NOT_STORED\r\n", ErrUnknownOutcome},
		{"cas", "garbage\r\n", ErrUnknownOutcome},
	} {
		p := one(t, slow(), serve(t, nil, always(tc.answer)))
		if err := writes[tc.write](p); !errors.Is(err, tc.want) {
			t.Errorf("%s, answered with %q: got %v, want %v", tc.write, tc.answer, err, tc.want)
		}
	}
}

// What is surely not sent is no unknown outcome.
func TestUnreachable(t *testing.T) {
	p := open(t, slow(), map[string]string{"mc1": nowhere(t)})
	_, err := p.Get(t.Context(), "key")
	for what, err := range map[string]error{
		"Get": err,
		"Set": p.Set(t.Context(), &Item{Key: "key"}),
		"Add": p.Add(t.Context(), &Item{Key: "key"}),
		"CAS": p.CompareAndSwap(t.Context(), &Item{Key: "key"}),
	} {
		if !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("%s: got %v, want ErrUnavailable alone", what, err)
		}
	}
}

func TestAKeyThatMemcachedDoesNotTake(t *testing.T) {
	s := serve(t, nil, empty)
	p := one(t, slow(), s)
	for _, key := range []string{"a b", "a\r\nflush_all", strings.Repeat("x", 251)} {
		_, err := p.Get(t.Context(), key)
		for what, err := range map[string]error{
			"Get": err,
			"Set": p.Set(t.Context(), &Item{Key: key}),
		} {
			if err == nil || errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUnknownOutcome) {
				t.Errorf("%s of %q: got %v, want an error of its own", what, key, err)
			}
		}
	}
	if got := s.heard(); len(got) > 0 {
		t.Errorf("the server was sent %q", got)
	}
}

// Times out, and is not tried again: the server would have twice the load when it can bear it least.
func TestTimeout(t *testing.T) {
	s := serve(t, nil, hanging)
	o := slow()
	o.Timeout = 20 * time.Millisecond
	p := one(t, o, s)
	if _, err := p.Get(t.Context(), "key"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Get: got %v, want ErrUnavailable", err)
	}
	if err := p.Set(t.Context(), &Item{Key: "key"}); !errors.Is(err, ErrUnknownOutcome) || errors.Is(err, ErrUnavailable) {
		t.Errorf("Set: got %v, want ErrUnknownOutcome", err)
	}
	if got := s.heard(); len(got) != 2 {
		t.Errorf("the server heard %q, want each request once", got)
	}
}

func TestEndedContext(t *testing.T) {
	s := serve(t, nil, empty)
	p := one(t, slow(), s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := p.Get(ctx, "key")
	for what, err := range map[string]error{
		"Get":      err,
		"Set":      p.Set(ctx, &Item{Key: "key"}),
		"GetMulti": p.GetMulti(ctx, []string{"key"})[0].Err,
	} {
		if !errors.Is(err, context.Canceled) || !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("%s: got %v, want context.Canceled and ErrUnavailable", what, err)
		}
	}
	if got := s.connections(); got > 0 {
		t.Errorf("%d connections were made", got)
	}
}

// A context that ends under way: a read is of no use any more; of a write it holds what the server said.
func TestContextEndsMeanwhile(t *testing.T) {
	ending := func(answer string) (*Pool, context.Context) {
		ctx, cancel := context.WithCancel(t.Context())
		return one(t, slow(), serve(t, nil, func(c *session) {
			c.next()
			cancel()
			c.say(answer)
			c.hang()
		})), ctx
	}
	p, ctx := ending("STORED\r\n")
	if err := p.Set(ctx, &Item{Key: "key"}); err != nil || ctx.Err() == nil {
		t.Errorf("Set: got %v, context %v, want nil and a context that has ended", err, ctx.Err())
	}
	p, ctx = ending(value("key", "text") + "END\r\n")
	if item, err := p.Get(ctx, "key"); !errors.Is(err, context.Canceled) || item != nil {
		t.Errorf("Get: got %v, %v, want context.Canceled", item, err)
	}
}

// What hangs ends with the pool, and nothing is left of it (goleak).
func TestClose(t *testing.T) {
	s := serve(t, nil, hanging)
	p := open(t, slow(), map[string]string{"mc1": s.addr(), "mc2": s.addr()})
	ended := make(chan error, 3)
	go func() { _, err := p.Get(t.Context(), "key"); ended <- err }()
	go func() { ended <- p.Set(t.Context(), &Item{Key: "key"}) }()
	go func() { ended <- p.GetMulti(t.Context(), []string{"key", "another"})[0].Err }()
	soon(t, "all requests are there", func() bool { return len(s.heard()) >= 3 })
	p.Close()
	for range 3 {
		if err := <-ended; !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("a request that was under way: got %v", err)
		}
	}
	_, err := p.Get(t.Context(), "key")
	for what, err := range map[string]error{
		"Get":      err,
		"Set":      p.Set(t.Context(), &Item{Key: "key"}),
		"GetMulti": p.GetMulti(t.Context(), []string{"key"})[0].Err,
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s afterwards: got %v, want ErrClosed", what, err)
		}
	}
	p.Close()
}

// A connection that is made while the pool is closed is closed again.
func TestCloseWhileConnecting(t *testing.T) {
	s := serve(t, nil, empty)
	o := slow()
	var p *Pool
	var made net.Conn
	o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		p.Close()
		var err error
		made, err = new(net.Dialer).DialContext(ctx, network, addr)
		return made, err
	}
	p = one(t, o, s)
	if err := p.Set(t.Context(), &Item{Key: "key"}); !errors.Is(err, ErrClosed) || errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("got %v, want ErrClosed", err)
	}
	if _, err := made.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the connection is open: writing to it says %v", err)
	}
}

// Idle connections are kept, up to MaxIdle.
func TestConnectionsAreKept(t *testing.T) {
	s := serve(t, nil, empty)
	p := one(t, slow(), s)
	for range 10 {
		if err := p.Set(t.Context(), &Item{Key: "key"}); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.connections(); got != 1 {
		t.Errorf("%d connections for ten requests one after another", got)
	}
}
