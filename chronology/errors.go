package chronology

import "errors"

// The errors to test for with errors.Is.
var (
	// ErrNoKeys: Token needs Options.Keys.
	ErrNoKeys = errors.New("chronology: no keys: give Options.Keys")
	// ErrBadToken: by Resume: the token is not ours, was altered, or is too old. Events.OnRejected has the reason.
	ErrBadToken = errors.New("chronology: bad token")
	// ErrContended: by a Store: ten times in a row another Update came between.
	ErrContended = errors.New("chronology: too many updates of one key at the same time")
)
