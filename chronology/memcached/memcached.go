// Package memcached keeps the positions of chronology's store mode on memcached: a [Store] is the servers of one DC, for the
// processes of that DC.
//
// # Model
//
// Each key, which is a client's, has one server, chosen by the servers' addresses alone: so all processes of the DC must be
// given the same addresses, spelled alike, in any order. A server more or less moves only the keys that come to it or were
// its own. There is no failover: while a server is down its clients are not protected, which chronology's Events.OnHole
// tells.
//
// An Update reads the value with its version, and writes what fn makes of it only if that version is still there (memcached's
// gets, then add or cas); else it begins anew after a while, ten times in all: a random while of up to 8 ms after the first
// conflict, and up to twice as much after each further one.
//
// # Guaranteed
//
//   - Of Updates of one key at the same time none is lost; who had ten conflicts is told so: [chronology.ErrContended].
//   - A server that does not answer is an error, never a missing value. A write that was sent and not answered is an error
//     and not tried again: it may have happened.
//   - After a server was started anew its old connections cost one more try, and no error. Its values are lost.
//   - A Get returns when its context ends; an Update does when the request is over that is under way.
//
// # Not guaranteed
//
//   - A request has 50 ms to be sent, and for each line of its answer; connecting has 250 ms more.
//   - A write that was sent on a stale connection is sent once more, and may meet itself: fn is applied twice then. To a
//     merge of positions that makes no difference.
//   - Life is counted in whole seconds, rounded up, by the server's clock that ticks once a second: a value may go up to a
//     second early. It is 30 days at most.
//   - memcached may drop a value when its memory is full: watch evictions of items younger than a minute.
//   - A process has at most MaxIdle connections to a server, and a memcached that was started with defaults takes 1,024 in
//     all: with more than 16 processes give it a higher -c, or them a lower MaxIdle.
//
// # Quickstart
//
//	store, err := memcached.New([]string{"10.1.0.11:11211", "10.1.0.12:11211"}, nil)
//	if err != nil {
//		return err
//	}
//	defer store.Close()
//	own, err := chronology.New([]chronology.Cluster{db.Positions()}, &chronology.Options{DC: "a", Store: store})
//
// The servers must be in the DC of these processes: another DC has other ones, and its clients' positions are there.
package memcached

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/multidc/multidc/chronology"
	"github.com/multidc/multidc/internal/mcclient"
)

const (
	// timeout is short: who waits for the store makes a client wait.
	timeout = 50 * time.Millisecond
	// attempts of an Update, as chronology.Store says.
	attempts = 10
	// longest is what memcached takes for a number of seconds; anything larger is a date to it.
	longest = 30 * 24 * time.Hour
)

// Options of a [Store]. The zero value is good within a DC.
type Options struct {
	TLS     *tls.Config // nil = plaintext; without ServerName the host of each server's address is verified
	MaxIdle int         // connections to each server: all are kept open, and when all are in use requests wait; 0 = 64
}

// Store is the servers of one DC.
type Store struct{ pool *mcclient.Pool }

var _ chronology.Store = (*Store)(nil)

// New returns a store on these servers (host:port). It does no I/O.
func New(servers []string, opts *Options) (*Store, error) { return open(servers, client(opts)) }

// client are the options of the pool.
func client(opts *Options) *mcclient.Options {
	var o Options
	if opts != nil {
		o = *opts
	}
	return &mcclient.Options{TLS: o.TLS, MaxIdle: o.MaxIdle, Timeout: timeout}
}

func open(servers []string, o *mcclient.Options) (*Store, error) {
	if len(servers) == 0 {
		return nil, errors.New("chronology/memcached: no servers: give their addresses, host:port")
	}
	named := map[string]string{}
	for _, server := range servers {
		if _, twice := named[server]; twice {
			return nil, fmt.Errorf("chronology/memcached: the server %s is given twice", server)
		}
		named[server] = server
	}
	pool, err := mcclient.New(named, o)
	if err != nil {
		return nil, fmt.Errorf("chronology/memcached: %w", err)
	}
	return &Store{pool}, nil
}

// Close closes all connections, which ends requests that are under way. Afterwards all calls are errors. It returns nil.
func (s *Store) Close() error {
	s.pool.Close()
	return nil
}

// Get implements [chronology.Store].
func (s *Store) Get(ctx context.Context, key string) (value []byte, ok bool, err error) {
	item, err := s.read(ctx, key)
	if err != nil || item == nil {
		return nil, false, err
	}
	return item.Value, true, nil
}

// Update implements [chronology.Store].
func (s *Store) Update(ctx context.Context, key string, ttl time.Duration, fn func(old []byte) ([]byte, error)) error {
	for attempt := range attempts {
		if err := pause(ctx, attempt); err != nil {
			return err
		}
		item, err := s.read(ctx, key)
		if err != nil {
			return err
		}
		var old []byte
		if item != nil {
			old = item.Value
		}
		value, err := fn(old)
		if err != nil {
			return err
		}
		err = s.replace(ctx, item, &mcclient.Item{Key: key, Value: value, Expiration: seconds(ttl)})
		switch {
		case err == nil:
			return nil
		case errors.Is(err, mcclient.ErrConflict), errors.Is(err, mcclient.ErrNotFound): // or it has expired meanwhile
		default:
			return fmt.Errorf("chronology/memcached: write: %w", err)
		}
	}
	return chronology.ErrContended
}

// pause is before an attempt that is not the first: who all begin anew at once have the next conflict, but for one of them.
func pause(ctx context.Context, attempt int) error {
	if attempt == 0 {
		return nil
	}
	timer := time.NewTimer(rand.N(4 * time.Millisecond << attempt)) //nolint:gosec // it need not be secret
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("chronology/memcached: after conflict number %d: %w", attempt, ctx.Err())
	}
}

// read returns nil for a missing item. It takes the pool's way for several keys: that one ends with the context.
func (s *Store) read(ctx context.Context, key string) (*mcclient.Item, error) {
	answer := s.pool.GetMulti(ctx, []string{key})[0]
	if answer.Err != nil {
		return nil, fmt.Errorf("chronology/memcached: read: %w", answer.Err)
	}
	return answer.Items[0], nil
}

// replace writes an item in place of what was read, nil = nothing.
func (s *Store) replace(ctx context.Context, read, item *mcclient.Item) error {
	if read == nil {
		return s.pool.Add(ctx, item)
	}
	item.CasID = read.CasID
	return s.pool.CompareAndSwap(ctx, item)
}

// seconds is a time to live in memcached's words. Parts of a second count as a whole one: 0 would be for ever. What is over
// already is gone at once.
func seconds(ttl time.Duration) int32 {
	if ttl <= 0 {
		return -1
	}
	return int32((min(ttl, longest) + time.Second - 1) / time.Second)
}
