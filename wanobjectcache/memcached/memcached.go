// Package memcached keeps a cache's records on memcached: a [Store] is the pool of one DC. It is a wanobjectcache.Store for
// that DC's own processes, and for the purges of those of other DCs.
//
// # Model
//
// A pool is a set of servers with names. Each key has one server, chosen by the names alone: the part of the key before
// "|#|" decides, so that what belongs to one value lies on one server. A host that is replaced takes over its keys by
// taking over its name; one more server takes only its own share of the keys from the others. There is no failover: keys
// of a server that is down are not cached meanwhile, and their purges fail, which the cache reports and its purge log
// repairs. A server that comes back with old contents would serve what was purged while it was away, unless there is such
// a log.
//
// All processes that use a pool, in whatever DC, must use the same names for its servers. The addresses may differ: one DC
// may reach the servers directly, another through a tunnel.
//
// # Guaranteed
//
//   - Each server has its own connections, so one that hangs delays nobody else's keys.
//   - A read of several keys asks all their servers at once, each with one command. A server that does not answer in time
//     is an error for its keys, the others' are there.
//   - A write that was sent and not answered is ErrUnknownOutcome, never a failure or a success. Not answered also means
//     answered with an error of the server's, such as being out of memory.
//   - After a server was started anew its old connections cost one more try, and no error.
//   - A record larger than MaxValue is ErrTooLarge before anything is sent.
//
// # Not guaranteed
//
//   - A request that is under way is not interrupted by its context: Options.Timeout bounds each of its steps.
//   - A process has at most MaxIdle connections to a server. A memcached that was started with defaults takes 1,024 in all:
//     with more than 16 processes give it a higher -c, or them a lower MaxIdle.
//   - A write that was tried again on a new connection may meet itself, and be ErrConflict although it happened. The cache
//     reads again then.
//   - Life is counted in whole seconds, by the server's clock that ticks once a second: an item may go up to a second
//     early. One of more than 30 days ends at a time of day that this process computes; beyond the year 2038, which
//     memcached does not know, it has no end.
//
// # Quickstart
//
//	pool, err := memcached.New(map[string]string{
//		"mc1": "10.1.0.11:11211",
//		"mc2": "10.1.0.12:11211",
//	}, nil)
//	if err != nil {
//		return err
//	}
//	defer pool.Close()
//	cache, err := wanobjectcache.New(pool, &wanobjectcache.Options{Freshness: wanobjectcache.Unreplicated})
//
// The pool of another DC wants encryption, else the cache refuses it:
//
//	remote, err := memcached.New(servers, &memcached.Options{TLS: &tls.Config{RootCAs: roots}})
//
// Start memcached with -I if records are larger than 896 KiB, and set MaxValue; watch for evictions of items younger than
// 11 s: a purge can be lost by them.
package memcached

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/multidc/multidc/internal/mcclient"
	"github.com/multidc/multidc/wanobjectcache"
)

// Options of a [Store]. The zero value is good within a DC; negative numbers are refused.
type Options struct {
	TLS            *tls.Config // nil = plaintext; without ServerName the host of each server's address is verified
	AllowPlaintext bool        // to servers of another DC: the link is encrypted below

	Timeout        time.Duration // of a request: to send it, and for each line of the answer; 0 = 250 ms
	ConnectTimeout time.Duration // of connecting, with the TLS handshake; 0 = 250 ms
	MultiTimeout   time.Duration // of a read of several keys; 0 = 1 s
	MaxIdle        int           // connections to each server: all are kept open, and when all are in use requests wait; 0 = 64
	MaxValue       int           // bytes of a record with its key, below the server's limit (-I) less 1 KiB; 0 = 917,504

	Dial func(ctx context.Context, network, addr string) (net.Conn, error) // connects, below TLS; nil = net.Dialer
}

// defaultMaxValue leaves an eighth of memcached's 1 MiB.
const defaultMaxValue = 896 << 10

// Store is the pool of one DC.
type Store struct {
	pool      *mcclient.Pool
	maxValue  int
	plaintext bool
}

var _ wanobjectcache.Store = (*Store)(nil)

// New returns a store on these servers: their addresses (host:port) by their names. It does no I/O.
func New(servers map[string]string, o *Options) (*Store, error) {
	var opts Options
	if o != nil {
		opts = *o
	}
	if opts.MaxValue < 0 {
		return nil, errors.New("wanobjectcache/memcached: Options.MaxValue is negative: give it a value, or 0 for the default")
	}
	pool, err := mcclient.New(servers, &mcclient.Options{
		Shard: shard, TLS: opts.TLS, Timeout: opts.Timeout, ConnectTimeout: opts.ConnectTimeout, MultiTimeout: opts.MultiTimeout,
		MaxIdle: opts.MaxIdle, Dial: opts.Dial,
	})
	if err != nil {
		return nil, fmt.Errorf("wanobjectcache/memcached: %w", err)
	}
	return &Store{pool, cmp.Or(opts.MaxValue, defaultMaxValue), opts.TLS == nil && !opts.AllowPlaintext}, nil
}

// shard is the part of a key that a value shares with its mutex and interim value.
func shard(key string) string {
	before, _, _ := strings.Cut(key, "|#|")
	return before
}

// Plaintext says that the servers are reached without encryption, and that nobody has allowed it: a cache refuses such a
// store for another DC.
func (s *Store) Plaintext() bool { return s.plaintext }

// Close closes all connections, which ends requests that are under way. Afterwards all calls are ErrClosed.
func (s *Store) Close() { s.pool.Close() }

// GetMulti implements wanobjectcache.Store. The read of one key, which is what a hit is, has a short way.
func (s *Store) GetMulti(ctx context.Context, keys []string, out []wanobjectcache.StoreItem) error {
	if len(keys) == 1 {
		item, err := s.pool.Get(ctx, keys[0])
		if errors.Is(err, mcclient.ErrNotFound) {
			err = nil
		}
		out[0] = found(item, inWords(err))
		return out[0].Err
	}
	var errs []error
	for _, answer := range s.pool.GetMulti(ctx, keys) {
		if answer.Err != nil {
			err := inWords(answer.Err)
			errs = append(errs, err)
			for _, i := range answer.Keys {
				out[i] = found(nil, err)
			}
			continue
		}
		for n, i := range answer.Keys {
			out[i] = found(answer.Items[n], nil)
		}
	}
	return errors.Join(errs...)
}

func found(item *mcclient.Item, err error) wanobjectcache.StoreItem {
	if item == nil {
		return wanobjectcache.StoreItem{Err: err}
	}
	return wanobjectcache.StoreItem{Value: item.Value, Flags: item.Flags, Token: item, Found: true}
}

// Add implements wanobjectcache.Store.
func (s *Store) Add(ctx context.Context, key string, item wanobjectcache.StoreItem, ttl time.Duration) error {
	return s.write(ctx, s.pool.Add, key, item, 0, ttl)
}

// Set implements wanobjectcache.Store.
func (s *Store) Set(ctx context.Context, key string, item wanobjectcache.StoreItem, ttl time.Duration) error {
	return s.write(ctx, s.pool.Set, key, item, 0, ttl)
}

// CAS implements wanobjectcache.Store.
func (s *Store) CAS(ctx context.Context, key string, item wanobjectcache.StoreItem, ttl time.Duration) error {
	read, ok := item.Token.(*mcclient.Item)
	if !ok {
		return fmt.Errorf("wanobjectcache/memcached: CAS with the token %v: it must come from GetMulti of this store", item.Token)
	}
	return s.write(ctx, s.pool.CompareAndSwap, key, item, read.CasID, ttl)
}

type sender func(ctx context.Context, item *mcclient.Item) error

func (s *Store) write(ctx context.Context, send sender, key string, item wanobjectcache.StoreItem, token uint64, ttl time.Duration) error {
	if size := len(key) + len(item.Value); size > s.maxValue {
		return fmt.Errorf("%w: %d bytes with the key, at most %d go: raise Options.MaxValue, and memcached's -I, or split the value",
			wanobjectcache.ErrTooLarge, size, s.maxValue)
	}
	return inWords(send(ctx, &mcclient.Item{
		Key: key, Value: item.Value, Flags: item.Flags, Expiration: expiration(ttl, time.Now()), CasID: token,
	}))
}

// inWords is an error of the pool as one of the cache.
func inWords(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, mcclient.ErrConflict):
		return wanobjectcache.ErrConflict
	case errors.Is(err, mcclient.ErrNotFound):
		return wanobjectcache.ErrNotFound
	case errors.Is(err, mcclient.ErrUnknownOutcome):
		return fmt.Errorf("%w: %w", wanobjectcache.ErrUnknownOutcome, err)
	case errors.Is(err, mcclient.ErrClosed):
		return fmt.Errorf("%w: %w", wanobjectcache.ErrClosed, err)
	case errors.Is(err, mcclient.ErrOverloaded):
		return fmt.Errorf("%w, %w: %w", wanobjectcache.ErrUnavailable, wanobjectcache.ErrOverloaded, err)
	case errors.Is(err, mcclient.ErrUnavailable):
		return fmt.Errorf("%w: %w", wanobjectcache.ErrUnavailable, err)
	}
	return fmt.Errorf("wanobjectcache/memcached: %w", err)
}
