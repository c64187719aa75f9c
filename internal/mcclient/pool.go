// Package mcclient is a pool of memcached servers with names, over gomemcache. It adds what that leaves out: a client for
// each server, so that an error names it; contexts; TLS; a bound for requests of many keys; one more try when a pooled
// connection turns out to be stale; and errors that are told apart by [errors.Is].
//
// The server of a key is chosen by the servers' names, so a host that is replaced keeps its keys by keeping its name, and
// one that is added or taken away moves only the keys that come to it or go with it.
//
// A context is looked at before and after each request. One that is under way is not interrupted: Options.Timeout bounds
// each of its steps (connecting has its own bound), and GetMulti leaves it behind when the context, or MultiTimeout, is
// over. A request to a server whose connections are all in use waits for one until the context ends, or the server has
// answered nobody for a Timeout: ErrOverloaded.
package mcclient

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

// Item is what is stored under a key. Expiration is in seconds as memcached takes it: 0 = for ever, negative = gone at
// once, more than 30 days = a Unix time.
type Item = memcache.Item

// Options of a [Pool]. Negative numbers are refused.
type Options struct {
	Shard func(key string) string // the part of a key that chooses its server; nil = the whole key

	TLS            *tls.Config   // nil = plaintext; without ServerName the host of the server's address is verified
	Timeout        time.Duration // of a request: to send it, and for each line of the answer; 0 = 250 ms
	ConnectTimeout time.Duration // of connecting, with the TLS handshake; 0 = 250 ms
	MultiTimeout   time.Duration // of a GetMulti; 0 = 1 s
	MaxIdle        int           // connections to each server: all are kept open, and when all are in use requests wait; 0 = 64

	Dial func(ctx context.Context, network, addr string) (net.Conn, error) // below TLS; nil = net.Dialer
}

const (
	defaultTimeout      = 250 * time.Millisecond
	defaultMultiTimeout = time.Second
	defaultMaxIdle      = 64
)

// Pool is a set of servers. Its methods may be called from several goroutines.
type Pool struct {
	servers      []*server // by name
	shard        func(key string) string
	multiTimeout time.Duration
	closed       atomic.Bool
	live         live
}

// New returns a pool of servers: their addresses (host:port) by their names. It does no I/O: an address is looked up when
// it is dialed.
func New(servers map[string]string, o *Options) (*Pool, error) {
	var opts Options
	if o != nil {
		opts = *o
	}
	if err := opts.check(); err != nil {
		return nil, err
	}
	if len(servers) == 0 {
		return nil, errors.New("no memcached servers: give each a name and an address")
	}
	p := &Pool{shard: opts.Shard, multiTimeout: cmp.Or(opts.MultiTimeout, defaultMultiTimeout)}
	for name, address := range servers {
		s, err := newServer(name, address, &opts, &p.live)
		if err != nil {
			return nil, err
		}
		p.servers = append(p.servers, s)
	}
	slices.SortFunc(p.servers, func(a, b *server) int { return strings.Compare(a.name, b.name) })
	return p, nil
}

func (o *Options) check() error {
	for name, negative := range map[string]bool{
		"Timeout": o.Timeout < 0, "ConnectTimeout": o.ConnectTimeout < 0, "MultiTimeout": o.MultiTimeout < 0, "MaxIdle": o.MaxIdle < 0,
	} {
		if negative {
			return fmt.Errorf("memcached: Options.%s is negative: give it a value, or 0 for the default", name)
		}
	}
	return nil
}

// Get returns the item of a key. It is ErrNotFound if there is none, else ErrUnavailable if the server did not answer.
func (p *Pool) Get(ctx context.Context, key string) (*Item, error) {
	s := p.server(key)
	if err := p.ready(ctx, s); err != nil {
		return nil, err
	}
	var item *Item
	err := s.inPlace(ctx, func() (err error) {
		item, err = s.get(ctx, key)
		return err
	})
	if over := ctx.Err(); over != nil {
		return nil, s.failed(ErrUnavailable, over)
	}
	return item, err
}

// Add stores an item if there is none under its key; else it is ErrConflict.
//
// Of a write that was sent and not answered it is unknown whether it happened: ErrUnknownOutcome, for all three. One that
// was sent on a stale connection is sent once more, so an item that is there already may be this one.
func (p *Pool) Add(ctx context.Context, item *Item) error { return p.write(ctx, add, item) }

// Set stores an item in place of whatever is there.
func (p *Pool) Set(ctx context.Context, item *Item) error { return p.write(ctx, set, item) }

// CompareAndSwap stores an item if what is under its key has its CasID, as read. It is ErrConflict if that was replaced
// since, ErrNotFound if there is nothing any more; either may be the work of this very write, as with Add.
func (p *Pool) CompareAndSwap(ctx context.Context, item *Item) error { return p.write(ctx, cas, item) }

func (p *Pool) write(ctx context.Context, c command, item *Item) error {
	s := p.server(item.Key)
	if err := p.ready(ctx, s); err != nil {
		return err
	}
	// What the server said holds, even if the context has ended meanwhile.
	return s.inPlace(ctx, func() error { return s.write(ctx, c, item) })
}

// ready says what keeps a request from being sent at all.
func (p *Pool) ready(ctx context.Context, s *server) error {
	if p.closed.Load() {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return s.failed(ErrUnavailable, err)
	}
	return nil
}

func (p *Pool) server(key string) *server { return p.servers[p.choose(key)] }

func (p *Pool) choose(key string) int {
	if len(p.servers) == 1 {
		return 0
	}
	if p.shard != nil {
		key = p.shard(key)
	}
	return choose(p.servers, hash(key))
}

// Close closes all connections, which ends what is under way, and waits until nothing of the pool runs any more: at most
// ConnectTimeout. Afterwards all calls are ErrClosed.
func (p *Pool) Close() {
	p.closed.Store(true)
	for _, s := range p.servers {
		_ = s.client.Close() // with a goodbye, where TLS has one
	}
	p.live.end()
}
