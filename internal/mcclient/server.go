package mcclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"syscall"

	"github.com/bradfitz/gomemcache/memcache"
)

// server is one server of a pool, with a client that knows no other.
type server struct {
	name     string
	address  string
	hash     uint64 // of the name
	client   *memcache.Client
	places   chan struct{} // taken by requests under way
	answered atomic.Uint64 // requests
	outlived atomic.Int32  // requests whose callers have gone
}

func newServer(name, at string, o *Options, l *live) (*server, error) {
	if name == "" {
		return nil, fmt.Errorf("the memcached server at %q has no name: give it one, it decides which keys are its own", at)
	}
	host, port, err := net.SplitHostPort(at)
	if err != nil || host == "" || port == "" {
		return nil, fmt.Errorf("memcached server %s: its address is %q: want host:port", name, at)
	}
	s := &server{name: name, address: at, hash: hash(name), client: memcache.NewFromSelector(&single{at})}
	s.client.Timeout = cmp.Or(o.Timeout, defaultTimeout)
	s.client.MaxIdleConns = cmp.Or(o.MaxIdle, defaultMaxIdle)
	s.places = make(chan struct{}, s.client.MaxIdleConns)
	s.client.DialContext = newDialer(host, o, l).dial
	return s, nil
}

// single is a server's own selector, and its address; it is one pointer, so that choosing it allocates nothing. gomemcache's
// ServerList would look hosts up once, when it is made.
type single struct{ address string }

func (s *single) Network() string                     { return "tcp" }
func (s *single) String() string                      { return s.address }
func (s *single) PickServer(string) (net.Addr, error) { return s, nil }
func (s *single) Each(f func(net.Addr) error) error   { return f(s) }

// get is the hit path.
func (s *server) get(ctx context.Context, key string) (*Item, error) {
	item, err := s.client.Get(key)
	if s.staleConnection(ctx, err) {
		item, err = s.client.Get(key)
	}
	if err != nil {
		return nil, s.unread(err)
	}
	if item.Key != key {
		_ = s.client.Close() // that connection is among them
		return nil, s.failed(ErrUnavailable, fmt.Errorf("it was asked for %q and answers with %q", key, item.Key))
	}
	return item, nil
}

// mostKeys is how many keys one command has: memcached answers nothing before it has read them all, and that must come
// within Timeout.
const mostKeys = 10_000

// getMulti returns an item, or nil, for each key.
func (s *server) getMulti(ctx context.Context, keys []string) ([]*Item, error) {
	items := make([]*Item, 0, len(keys))
	for some := range slices.Chunk(keys, mostKeys) {
		if err := ctx.Err(); err != nil {
			return nil, s.failed(ErrUnavailable, err)
		}
		found, err := s.client.GetMulti(some)
		if s.staleConnection(ctx, err) {
			found, err = s.client.GetMulti(some)
		}
		if err != nil {
			return nil, s.unread(err)
		}
		for _, key := range some {
			items = append(items, found[key])
		}
	}
	return items, nil
}

func (s *server) unread(err error) error {
	switch {
	case errors.Is(err, memcache.ErrCacheMiss):
		return ErrNotFound
	case errors.Is(err, memcache.ErrMalformedKey):
		return s.refused(err)
	}
	return s.failed(ErrUnavailable, err)
}

// command is a write, and what it means when the server says NOT_STORED.
type command struct {
	send      func(*memcache.Client, *Item) error
	notStored error
}

var (
	add = command{(*memcache.Client).Add, ErrConflict}
	set = command{(*memcache.Client).Set, ErrUnknownOutcome}
	cas = command{(*memcache.Client).CompareAndSwap, ErrNotFound}
)

func (s *server) write(ctx context.Context, c command, item *Item) error {
	err := c.send(s.client, item)
	if !s.staleConnection(ctx, err) {
		return s.outcome(c, err)
	}
	again := c.send(s.client, item)
	if unsent(again) { // but the first one was sent
		return s.failed(ErrUnknownOutcome, fmt.Errorf("%w; tried again: %w", err, again))
	}
	return s.outcome(c, again)
}

func (s *server) outcome(c command, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, memcache.ErrCASConflict):
		return ErrConflict
	case errors.Is(err, memcache.ErrCacheMiss):
		return ErrNotFound
	case errors.Is(err, memcache.ErrNotStored):
		return c.notStored
	case errors.Is(err, memcache.ErrMalformedKey):
		return s.refused(err)
	case unsent(err):
		return s.failed(ErrUnavailable, err)
	}
	return s.failed(ErrUnknownOutcome, err)
}

// staleConnection says whether to try once more, because the server had closed the connection. When it was started anew
// all of them are stale, so none is kept: the next try dials.
func (s *server) staleConnection(ctx context.Context, err error) bool {
	stale := err != nil && !unsent(err) &&
		(errors.Is(err, io.EOF) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET))
	if !stale || ctx.Err() != nil {
		return false
	}
	_ = s.client.Close() // its idle connections; it stays usable
	return true
}

func (s *server) failed(kind, cause error) error { return &serverError{s, kind, cause} }

func (s *server) refused(err error) error {
	return fmt.Errorf("memcached server %s was not asked: %w: at most 250 bytes, no spaces or control characters", s.name, err)
}
