package wanobjectcache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// DCResult is what became of a purge in one DC.
type DCResult struct {
	DC   string
	Done bool          // it is known: Err nil = purged
	Err  error         // ErrUnknownOutcome = sent, no answer came. It names the first keys that failed, and wraps the errors of all
	Took time.Duration // until it was known
}

// String says it in words.
func (r DCResult) String() string {
	switch {
	case !r.Done:
		return r.DC + ": pending"
	case r.Err == nil:
		return fmt.Sprintf("%s: done in %v", r.DC, r.Took.Round(10*time.Microsecond))
	case errors.Is(r.Err, ErrUnknownOutcome):
		return r.DC + ": unknown: " + r.Err.Error()
	}
	return r.DC + ": failed: " + r.Err.Error()
}

// MarshalJSON gives dc, state (done, failed, unknown, pending), error and took in milliseconds.
func (r DCResult) MarshalJSON() ([]byte, error) {
	state, text := "done", ""
	switch {
	case !r.Done:
		state = "pending"
	case errors.Is(r.Err, ErrUnknownOutcome):
		state = "unknown"
	case r.Err != nil:
		state = "failed"
	}
	if r.Err != nil {
		text = r.Err.Error()
	}
	return json.Marshal(struct {
		DC    string  `json:"dc"`
		State string  `json:"state"`
		Error string  `json:"error,omitempty"`
		Took  float64 `json:"took_ms"`
	}{r.DC, state, text, float64(r.Took) / float64(time.Millisecond)})
}

// mostNamed is how many keys an error names.
const mostNamed = 3

// keysError is why keys of a purge failed in a DC.
type keysError struct {
	named []string // the first of them
	errs  []error
}

// failed returns the first key that has an error, and a *keysError of all that have; or nothing.
func failed(keys []string, errs []error) (string, error) {
	var e *keysError
	for i, err := range errs {
		if err == nil {
			continue
		}
		if e == nil {
			e = new(keysError)
		}
		if e.errs = append(e.errs, err); len(e.errs) <= mostNamed {
			e.named = append(e.named, keys[i])
		}
	}
	if e == nil {
		return "", nil
	}
	return e.named[0], e
}

// Error stays short, however many they are.
func (e *keysError) Error() string {
	var b strings.Builder
	for i, key := range e.named {
		fmt.Fprintf(&b, "%s: %v; ", key, e.errs[i])
	}
	if more := len(e.errs) - len(e.named); more > 0 {
		fmt.Fprintf(&b, "and %d more keys", more)
	}
	return strings.TrimSuffix(b.String(), "; ")
}

// Unwrap returns all causes.
func (e *keysError) Unwrap() []error { return e.errs }

// unsent is the error of a key whose DC was given up, after so long.
type unsent time.Duration

func (u unsent) Error() string {
	return fmt.Sprintf("%v: not sent within Options.RemoteTimeout, %v", ErrUnavailable, time.Duration(u))
}

func (u unsent) Unwrap() error { return ErrUnavailable }

// Delivery follows a purge into all DCs.
type Delivery struct {
	mu      sync.Mutex
	results []DCResult // the local DC first
	logged  bool
	left    int // DCs that are not done
	all     chan struct{}
}

func newDelivery(local string, remotes []*remote) *Delivery {
	d := &Delivery{results: []DCResult{{DC: local}}, left: 1 + len(remotes), all: make(chan struct{})}
	for _, r := range remotes {
		d.results = append(d.results, DCResult{DC: r.dc})
	}
	return d
}

func (d *Delivery) set(i int, err error, took time.Duration) DCResult {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.results[i].Done, d.results[i].Err, d.results[i].Took = true, err, took
	if d.left--; d.left == 0 {
		close(d.all)
	}
	return d.results[i]
}

func (d *Delivery) setLogged() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.logged = true
}

// Results returns what is known by now, the local DC first.
func (d *Delivery) Results() []DCResult {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.results)
}

// Logged reports whether Options.PurgeLog has accepted the purge: then it will reach every DC.
func (d *Delivery) Logged() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.logged
}

// Wait waits until the result of every DC is known. It returns nil if all have purged, else a *DeliveryError; when ctx ends
// first, that with the cause of ctx.
func (d *Delivery) Wait(ctx context.Context) error {
	var over error
	select {
	case <-d.all:
	case <-ctx.Done():
		select {
		case <-d.all:
		default:
			over = ended(ctx)
		}
	}
	return errors.Join(d.failure(func(r DCResult) bool { return !r.Done || r.Err != nil }, nil), over)
}

// failure is a *DeliveryError of the DCs that are bad, or nil.
func (d *Delivery) failure(bad func(DCResult) bool, log error) error {
	all := d.Results()
	if log == nil && !slices.ContainsFunc(all, bad) {
		return nil
	}
	return &DeliveryError{Results: all, Log: log}
}

// String is one line.
func (d *Delivery) String() string {
	var parts []string
	for _, r := range d.Results() {
		parts = append(parts, r.String())
	}
	if d.Logged() {
		parts = append(parts, "logged")
	}
	return strings.Join(parts, "; ")
}

// DeliveryError says in which DCs a purge is not known to be done.
type DeliveryError struct {
	Results []DCResult
	Log     error // of the purge log: wraps ErrNotLogged
}

// Error names them.
func (e *DeliveryError) Error() string {
	var parts []string
	for _, r := range e.Results {
		if !r.Done || r.Err != nil {
			parts = append(parts, r.String())
		}
	}
	if e.Log != nil {
		parts = append(parts, e.Log.Error())
	}
	return "wanobjectcache: purge: " + strings.Join(parts, "; ")
}

// Unwrap returns all causes.
func (e *DeliveryError) Unwrap() []error {
	var all []error
	for _, r := range e.Results {
		if r.Err != nil {
			all = append(all, r.Err)
		}
	}
	if e.Log != nil {
		all = append(all, e.Log)
	}
	return all
}
