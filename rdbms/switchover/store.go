package switchover

import "context"

// Store keeps one document. It does not look into it: any bytes up to 64 KiB are stored as they are.
// Implementations honour ctx, and are safe for concurrent use, also by several processes.
// rdbmstest.TestStore is their conformance suite.
//
// The store must not live in the databases whose primary it names: they become read-only when it matters, and
// a compare-and-swap on two writable primaries is none.
type Store interface {
	// Load returns the document and its revision, an opaque text. ErrNotFound: the store answered, and has none;
	// any other error: nothing is known.
	Load(ctx context.Context) (raw []byte, rev string, err error)

	// CompareAndSwap replaces the document of revision rev and returns the new one's revision; rev "" means that
	// no document must exist yet. ErrConflict: another revision is there, and stays. ErrUnknownOutcome: sent, and
	// no answer came (before ctx ended, perhaps), or its permanence is in doubt. ErrUnsupported: this store cannot be written from here.
	// After any other error nothing was, and will be, written.
	CompareAndSwap(ctx context.Context, raw []byte, rev string) (newRev string, err error)
}

// Watcher is an optional ability of a [Store].
type Watcher interface {
	// Watch sends a hint when the document's revision is, or becomes, another than rev, and at each further
	// change. Hints are coalesced: one that nobody has taken stands for all later ones. The channel is closed
	// when ctx ends or the watch is lost.
	Watch(ctx context.Context, rev string) (<-chan struct{}, error)
}
