package switchover

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/multidc/multidc/internal/backoff"
)

// maxTries is how often Update meets another writer, or a lost answer, before it gives up.
const maxTries = 10

// betweenTries parts writers that met.
var betweenTries = backoff.Policy{First: 10 * time.Millisecond, Max: 500 * time.Millisecond, Spread: 0.5}

// Update changes the document in the store: it loads it, lets change work on a copy, sets the epochs and
// Updated, and writes it, provided nobody else wrote meanwhile; if somebody did, all of it again. So change may
// be called several times and must see when what it wants is already there; a change that changes nothing
// writes nothing. It returns the document as written, and this State holds it at once.
//
// Where the store has no document and none was ever read, change gets a zero Doc, and creates the first one.
//
// ErrInvalid: the change breaks a rule of [Doc.Validate]; ErrContended: ten other writers were faster;
// ErrUnsupported: the store cannot be written from here; change's own error comes as it is. In these cases
// nothing was written. An error that is ErrUnknownOutcome means that the document may have been written.
// A lost answer is looked into before: usually the outcome becomes known.
func (s *State) Update(ctx context.Context, change func(*Doc) error) (Doc, error) {
	u := update{state: s, change: change, id: newID()}
	var last error
	for try := 1; try <= maxTries; try++ {
		doc, err := u.try(ctx)
		switch {
		case err == nil:
			return doc, nil
		case errors.Is(err, ErrUnknownOutcome):
			u.unknown = true
		case !errors.Is(err, ErrConflict):
			return Doc{}, u.failed(err)
		}
		last = err
		if err := betweenTries.Sleep(ctx, try); err != nil {
			return Doc{}, u.failed(fmt.Errorf("switchover: updating the state: %w after: %w", err, last))
		}
	}
	return Doc{}, u.failed(fmt.Errorf("%w: %d tries, the last: %w", ErrContended, maxTries, last))
}

// update is one call of Update. Its id stays the same over all tries: a write whose answer was lost may still
// arrive at the store while the next try is made.
type update struct {
	state   *State
	change  func(*Doc) error
	id      string
	unknown bool // a write was sent of which we do not know
}

func (u *update) failed(err error) error {
	if u.unknown && !errors.Is(err, ErrUnknownOutcome) {
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	}
	return err
}

func (u *update) try(ctx context.Context) (Doc, error) {
	before, rev, err := u.load(ctx)
	if err != nil {
		return Doc{}, err
	}
	if before.Updated.ID == u.id { // an earlier try was written after all
		return before, nil
	}
	next := before.clone()
	if err := u.change(&next); err != nil {
		return Doc{}, err
	}
	next.follow(&before)
	if string(next.encode()) == string(before.encode()) && before.Epoch > 0 {
		return before, nil
	}
	next.Updated = Stamp{At: u.state.opts.Now(), By: u.state.opts.by(), ID: u.id, unknown: before.Updated.unknown}
	if err := next.Validate(&before); err != nil {
		return Doc{}, err
	}
	raw, err := next.Marshal()
	if err != nil {
		return Doc{}, err
	}
	return u.write(ctx, raw, rev)
}

// load returns the document as it is now; a zero one if the store never had any.
func (u *update) load(ctx context.Context) (before Doc, rev string, err error) {
	s := u.state
	if err := s.talk(ctx); err != nil {
		return Doc{}, "", err
	}
	defer s.hush()
	v, rev, err := s.load(ctx)
	switch {
	case err == nil:
		return v.doc.clone(), rev, nil
	case !errors.Is(err, ErrNotFound):
		return Doc{}, "", err
	}
	if held := s.view.Load(); held != nil {
		return Doc{}, "", fmt.Errorf("%w, though there was one of epoch %d: put it back by hand, with no lower epochs", err, held.doc.Epoch)
	}
	return Doc{}, "", nil
}

func (u *update) write(ctx context.Context, raw []byte, rev string) (Doc, error) {
	s := u.state
	if err := s.talk(ctx); err != nil {
		return Doc{}, err
	}
	defer s.hush()
	timed, cancel := context.WithTimeout(ctx, s.opts.FetchTimeout)
	defer cancel()
	start := time.Now()
	newRev, err := s.store.CompareAndSwap(timed, raw, rev)
	if err != nil {
		return Doc{}, fmt.Errorf("switchover: writing the state: %w", err)
	}
	s.saw(newRev)
	v, err := s.accept(ctx, raw, start)
	s.note(ctx, err)
	if err != nil {
		return Doc{}, err
	}
	return v.doc.clone(), nil
}

// follow sets what the caller of Update need not think of: epochs, and fields of later versions.
func (d *Doc) follow(before *Doc) {
	d.keepUnknown(before)
	d.Updated = before.Updated
	d.Epoch, d.PrimaryEpoch = before.Epoch, before.PrimaryEpoch
	moved := d.primaryChanged(before)
	if moved || d.readOnlyChanged(before) {
		d.Epoch++
	}
	if moved {
		d.PrimaryEpoch = d.Epoch
	}
}

func newID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // it never fails
	return hex.EncodeToString(id[:])
}
