package storetest_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/multidc/multidc/chronology"
)

// optimist is a store that finds conflicts by versions, as memcached does, and can fall silent. Its fields spoil it.
type optimist struct {
	mu     sync.Mutex
	last   int
	items  map[string]versioned
	silent atomic.Bool

	attempts    int
	blind       bool // an Update does not look whether another one came between
	blindFirst  bool // nor does one of a missing key
	retryWrites bool // a write without an answer is tried again
}

type versioned struct {
	value   []byte
	version int
	ends    time.Time
}

var errNoAnswer = errors.New("no answer")

// ask is a request: without an answer it ends with the context.
func (o *optimist) ask(ctx context.Context) error {
	if o.silent.Load() {
		<-ctx.Done()
		return errNoAnswer
	}
	return ctx.Err()
}

func (o *optimist) read(ctx context.Context, key string) (versioned, error) {
	if err := o.ask(ctx); err != nil {
		return versioned{}, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.live(key), nil
}

// live is the zero value for what is missing.
func (o *optimist) live(key string) versioned {
	if item := o.items[key]; time.Now().Before(item.ends) {
		item.value = append([]byte{}, item.value...)
		return item
	}
	return versioned{}
}

func (o *optimist) Get(ctx context.Context, key string) (value []byte, ok bool, err error) {
	item, err := o.read(ctx, key)
	return item.value, item.version > 0, err
}

func (o *optimist) Update(ctx context.Context, key string, ttl time.Duration, fn func([]byte) ([]byte, error)) error {
	for range o.attempts {
		item, err := o.read(ctx, key)
		if err != nil {
			return err
		}
		value, err := fn(item.value)
		if err != nil {
			return err
		}
		if err := o.ask(ctx); err != nil && o.retryWrites {
			_, _ = fn(item.value)
			return err
		} else if err != nil {
			return err
		}
		if o.swap(key, versioned{value, item.version, time.Now().Add(ttl)}) {
			return nil
		}
	}
	return chronology.ErrContended
}

// swap stores an item in place of one of its version.
func (o *optimist) swap(key string, item versioned) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.live(key).version != item.version && !o.blind && (!o.blindFirst || item.version > 0) {
		return false
	}
	o.last++
	item.value, item.version = bytes.Clone(item.value), o.last
	o.items[key] = item
	return true
}
