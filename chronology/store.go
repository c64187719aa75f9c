package chronology

import (
	"context"
	"time"
)

// Store keeps what clients wrote, in store mode: local to the DC, fast (1 ms), and read what was just written. It may lose
// entries; their clients are unprotected then. Both methods return soon after ctx ends. [Memory] and package memcached implement it.
type Store interface {
	// Get returns the value of a key: ok false = there is none, or it has expired; an error = it is not known, never a
	// miss.
	Get(ctx context.Context, key string) (value []byte, ok bool, err error)
	// Update replaces the value by fn of it, atomically, and lets it live for ttl. old is nil if there is none. fn is
	// pure, and runs again when another Update came between: after 10 times the error is ErrContended. An error of fn
	// changes nothing and is returned. With any other error the outcome may be unknown.
	Update(ctx context.Context, key string, ttl time.Duration, fn func(old []byte) ([]byte, error)) error
}
