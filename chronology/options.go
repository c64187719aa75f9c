package chronology

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"time"

	"github.com/multidc/multidc/internal/dcname"
)

// Options of a [Protector]. DC is required. With Store it works in store mode, else with Keys in token mode.
type Options struct {
	DC    string // the DC this process runs in; required
	Store Store  // of this DC
	Keys  []Key  // one or two, the same in every DC: the first signs, both verify. Token and ClientID need them in any mode

	Window    time.Duration // protection after a write; 0 = 10 s; 1 s to 60 s
	Wait      time.Duration // of a read for a replica; 0 = 1 s, at most 10 s; negative = none
	OnTimeout TimeoutPolicy // then what; "" = OnTimeoutPrimary

	ClientID     func(*http.Request) string // store mode: the user's or session's id, "" = unknown; nil = writes of one client in parallel, before it has a cookie, are two clients'
	MaxTokenAge  time.Duration              // of WithToken and Resume; 0 = 24 h: a job runs later than a cookie lives
	StickyTTL    time.Duration              // of the sticky cookie; 0 = max(10 s, Window); negative = none is set
	CookieDomain string                     // of all cookies; "" = the host alone
	ForceSecure  bool                       // Secure on cookies although r.TLS is nil: TLS ends before us
	KeyPrefix    string                     // of keys in the store, [A-Za-z0-9._:-]{1,64}; "" = "cp"

	ReadTimeout    time.Duration // of a Get of the store; 0 = 50 ms
	WriteTimeout   time.Duration // of an Update of the store; 0 = 250 ms
	CaptureTimeout time.Duration // of reading positions, of all clusters together; 0 = 500 ms

	Logger *slog.Logger // nil = discard
	Events Events
	Now    func() time.Time // stamps cookies, tokens and touches; nil = time.Now
}

// Key signs tokens.
type Key struct {
	ID     byte   // is in the token
	Secret []byte // at least 32 bytes
}

// TimeoutPolicy is what a read does when no replica near has reached what it must include, after Options.Wait. The database
// layer carries it out.
type TimeoutPolicy string

// The policies.
const (
	OnTimeoutPrimary TimeoutPolicy = "primary" // read the primary, within the layer's budget for that; else as OnTimeoutStale
	OnTimeoutStale   TimeoutPolicy = "stale"   // read the replica, and flag the answer: X-Database-Lagged
	OnTimeoutError   TimeoutPolicy = "error"   // the layer's error; in rdbms ErrNotCaughtUp
)

// The defaults, as the fields of Options name them.
const (
	defaultWindow         = 10 * time.Second
	defaultWait           = time.Second
	defaultMaxTokenAge    = 24 * time.Hour
	defaultStickyTTL      = 10 * time.Second
	defaultKeyPrefix      = "cp"
	defaultReadTimeout    = 50 * time.Millisecond
	defaultWriteTimeout   = 250 * time.Millisecond
	defaultCaptureTimeout = 500 * time.Millisecond

	minWindow = time.Second
	maxWindow = time.Minute
	maxWait   = 10 * time.Second
	minSecret = 32
	maxKeys   = 2
)

var prefixForm = regexp.MustCompile(`\A[A-Za-z0-9._:-]{1,64}\z`)

// checked returns the options with their defaults, or an error that names the field.
func (o Options) checked() (Options, error) {
	if err := dcname.Check(o.DC); err != nil {
		return o, fmt.Errorf("Options.DC: %w", err)
	}
	if err := checkKeys(o.Keys); err != nil {
		return o, fmt.Errorf("Options.Keys: %w", err)
	}
	if o.ClientID != nil && (o.Store == nil || len(o.Keys) == 0) {
		return o, errors.New("Options.ClientID: it needs Store and Keys: the first key hides the ids")
	}
	if o.Window = cmp.Or(o.Window, defaultWindow); o.Window < minWindow || o.Window > maxWindow {
		return o, fmt.Errorf("Options.Window: %v: want %v to %v", o.Window, minWindow, maxWindow)
	}
	if o.Wait = cmp.Or(o.Wait, defaultWait); o.Wait > maxWait {
		return o, fmt.Errorf("Options.Wait: %v: want %v at most", o.Wait, maxWait)
	}
	switch o.OnTimeout = cmp.Or(o.OnTimeout, OnTimeoutPrimary); o.OnTimeout {
	case OnTimeoutPrimary, OnTimeoutStale, OnTimeoutError:
	default:
		return o, fmt.Errorf("Options.OnTimeout: %.100q: want primary, stale or error", string(o.OnTimeout))
	}
	o.StickyTTL = cmp.Or(o.StickyTTL, max(defaultStickyTTL, o.Window))
	if o.StickyTTL > 0 && o.StickyTTL < o.Window {
		return o, fmt.Errorf("Options.StickyTTL: %v is less than Window, %v: a client would be sent away from its own writes", o.StickyTTL, o.Window)
	}
	if o.KeyPrefix = cmp.Or(o.KeyPrefix, defaultKeyPrefix); !prefixForm.MatchString(o.KeyPrefix) {
		return o, fmt.Errorf("Options.KeyPrefix: %.100q: want 1 to 64 of A-Z a-z 0-9 . _ : -", o.KeyPrefix)
	}
	for _, d := range []struct {
		name   string
		field  *time.Duration
		normal time.Duration
	}{
		{"MaxTokenAge", &o.MaxTokenAge, defaultMaxTokenAge}, {"ReadTimeout", &o.ReadTimeout, defaultReadTimeout},
		{"WriteTimeout", &o.WriteTimeout, defaultWriteTimeout}, {"CaptureTimeout", &o.CaptureTimeout, defaultCaptureTimeout},
	} {
		if *d.field = cmp.Or(*d.field, d.normal); *d.field < 0 {
			return o, fmt.Errorf("Options.%s: %v is negative", d.name, *d.field) //nolint:staticcheck // a field's name
		}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o, nil
}

func checkKeys(keys []Key) error {
	if len(keys) > maxKeys {
		return fmt.Errorf("%d keys: want two at most, the one that signs and the one before or after it", len(keys))
	}
	for i, k := range keys {
		if len(k.Secret) < minSecret {
			return fmt.Errorf("the secret of key %d has %d bytes: want %d or more, random ones", k.ID, len(k.Secret), minSecret)
		}
		if i > 0 && k.ID == keys[0].ID {
			return fmt.Errorf("two keys have the id %d", k.ID)
		}
	}
	return nil
}
