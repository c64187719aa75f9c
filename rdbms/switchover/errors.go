package switchover

import "errors"

// The errors to test for with errors.Is.
var (
	// ErrNotFound: the store was reached, and has no document.
	ErrNotFound = errors.New("switchover: there is no state document")
	// ErrUnavailable: the state was never loaded, or the store could not be read.
	ErrUnavailable = errors.New("switchover: state unavailable")
	// ErrStale: the state was not read for longer than Options.MaxStale. What comes with it is the last known:
	// good for reads, not for writes.
	ErrStale = errors.New("switchover: state is older than MaxStale")
	// ErrConflict: the document is not the one that was to be replaced. Nothing was written.
	ErrConflict = errors.New("switchover: the state document was changed by another writer")
	// ErrContended: ten attempts in a row met a change by somebody else. Nothing was written; try later.
	ErrContended = errors.New("switchover: too many writers at once")
	// ErrUnknownOutcome: a write was sent, and no answer came. Read the document to learn what became of it.
	ErrUnknownOutcome = errors.New("switchover: outcome of the write unknown")
	// ErrUnsupported: this store cannot be written from here.
	ErrUnsupported = errors.New("switchover: store is read-only")
	// ErrInvalid: a document, or a change of one, breaks the rules of Doc.Validate.
	ErrInvalid = errors.New("switchover: invalid state document")
)
