package wanobjectcache

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// The errors to test for with errors.Is.
var (
	// ErrNotFound: there is surely no such thing. A loader that returns an error which wraps it says so; GroupOptions.
	// NegativeTTL caches that.
	ErrNotFound = errors.New("wanobjectcache: not found")
	// ErrUnavailable: the key's cache server could not be reached.
	ErrUnavailable = errors.New("wanobjectcache: cache server unavailable")
	// ErrUnknownOutcome: a write to a cache server was sent and not answered. It may have happened.
	ErrUnknownOutcome = errors.New("wanobjectcache: outcome of the write unknown")
	// ErrConflict: by a Store: something is there already, or was changed since it was read.
	ErrConflict = errors.New("wanobjectcache: changed by somebody else")
	// ErrTooLarge: the value is larger than the store takes. Nothing was sent.
	ErrTooLarge = errors.New("wanobjectcache: value too large")
	// ErrOverloaded: too many requests to a server, or a DC, are under way. Nothing was sent.
	ErrOverloaded = errors.New("wanobjectcache: too many requests under way")
	// ErrUnsupported: the group has no loader for this call.
	ErrUnsupported = errors.New("wanobjectcache: group has no loader")
	// ErrClosed: the cache was closed.
	ErrClosed = errors.New("wanobjectcache: cache is closed")
	// ErrNotLogged: the purge was not accepted by Options.PurgeLog. It was sent to the DCs all the same.
	ErrNotLogged = errors.New("wanobjectcache: purge not logged")
	// ErrLoadTimeout: the loader did not return within GroupOptions.LoadTimeout.
	ErrLoadTimeout = errors.New("wanobjectcache: load timed out")
	// ErrKeyCollision: different ids of one call have the same key.
	ErrKeyCollision = errors.New("wanobjectcache: different ids have one key")
)

// ended is why a context has ended, nil if it has not. It matches the context's own error and its cause.
func ended(ctx context.Context) error {
	err := ctx.Err()
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); !errors.Is(cause, err) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return context.Cause(ctx)
}

// mostTold is how many errors of several ids are in the text of them all.
const mostTold = 10

// severalError is the errors of several ids: the text of the first, and the number of the others.
type severalError struct{ errs []error }

// several joins errors, none of which is nil.
func several(errs []error) error {
	if len(errs) <= mostTold {
		return errors.Join(errs...)
	}
	return &severalError{errs}
}

func (e *severalError) Error() string {
	var b strings.Builder
	for _, err := range e.errs[:mostTold] {
		b.WriteString(err.Error() + "\n")
	}
	fmt.Fprintf(&b, "and %d more", len(e.errs)-mostTold)
	return b.String()
}

func (e *severalError) Unwrap() []error { return e.errs }

// PanicError is a panic of a loader. It is raised again in the call that began the load; others who waited for it get it
// as an error.
type PanicError struct {
	Value any
	Stack []byte
}

// Error shows the value and the stack.
func (e *PanicError) Error() string {
	return fmt.Sprintf("wanobjectcache: loader panicked: %v\n%s", e.Value, e.Stack)
}

// Unwrap returns the value if it is an error, but no ErrNotFound: a panic does not say that there is no such thing.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
