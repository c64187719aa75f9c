package wanobjectcache

import (
	"context"
	"time"
)

// Store is one DC's pool of cache servers: the extension point. [NewMemory] is one in this process, package memcached has
// the other; storetest.TestStore is the conformance suite. All methods are called from several goroutines.
//
// ttl is how long an item lives: 0 = for ever; negative = the write happens and the item is gone at once; more than 30
// days must work too. An item that has expired is as if it had never been there.
//
// A call ends soon after its ctx: at once, or when the store's own timeout for the step under way is over.
//
// A write that was sent and not answered is an error that wraps ErrUnknownOutcome: it may have happened. A server that
// could not be reached is ErrUnavailable, a value that is too large is ErrTooLarge, before anything is sent.
type Store interface {
	// GetMulti fills out[i] for keys[i]. Absent and expired are both Found = false. A key whose server did not answer has
	// Err, which wraps ErrUnavailable, and the call returns these errors joined, one for each server; the others are
	// filled in all the same. The memory of the values is the caller's.
	GetMulti(ctx context.Context, keys []string, out []StoreItem) error
	// Add stores an item if there is none; else it is ErrConflict.
	Add(ctx context.Context, key string, item StoreItem, ttl time.Duration) error
	// CAS stores an item in place of the one that GetMulti gave item.Token for. It is ErrConflict if that was replaced
	// since, ErrNotFound if it is not there any more.
	CAS(ctx context.Context, key string, item StoreItem, ttl time.Duration) error
	// Set stores an item in place of whatever is there.
	Set(ctx context.Context, key string, item StoreItem, ttl time.Duration) error
}

// StoreItem is what is stored under a key.
type StoreItem struct {
	Value []byte
	Flags uint32
	Token any   // from GetMulti, good for one CAS
	Found bool  // by GetMulti
	Err   error // likewise: the key's server did not answer
}
