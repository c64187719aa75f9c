package mcclient

import (
	"errors"
	"fmt"
)

// What an error of a [Pool] is; it also names the server, and wraps the cause. What is none of these, such as a key that
// memcached does not take, was not sent.
var (
	ErrNotFound       = errors.New("memcached: no such item")
	ErrConflict       = errors.New("memcached: an item is there already, or was changed since it was read")
	ErrUnavailable    = errors.New("memcached: server not reached, or a read not answered")
	ErrUnknownOutcome = errors.New("memcached: write sent and not answered, or not as expected: it may have happened")
	ErrOverloaded     = fmt.Errorf("%w: too many requests to it are under way", ErrUnavailable)
	ErrClosed         = errors.New("memcached: pool is closed")
)

// serverError is a failure of one server. It reads without its kind, which the adapters name in their own words.
type serverError struct {
	server      *server
	kind, cause error
}

func (e *serverError) Error() string {
	return fmt.Sprintf("memcached server %s (%s): %v", e.server.name, e.server.address, e.cause)
}

func (e *serverError) Unwrap() []error { return []error{e.kind, e.cause} }

// dialError is why there is no connection: nothing was sent.
type dialError struct{ error }

func (e *dialError) Unwrap() error { return e.error }

func unsent(err error) bool {
	var dial *dialError
	return errors.As(err, &dial)
}
