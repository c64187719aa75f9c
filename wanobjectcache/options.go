package wanobjectcache

import (
	"context"
	"log/slog"
	"math"
	"time"
)

// Indefinite is a TTL without end: a value lives until it is purged or evicted.
const Indefinite time.Duration = math.MaxInt64

// Options of a [Cache]. Freshness is required: it is what the guarantee rests on.
type Options struct {
	// Freshness says how old the data may be that loaders read: Unreplicated, FromContext, or a function of your own.
	Freshness Freshness

	DC     string           // the DC of this process; required with Remote or PurgeLog; "" = "local"
	Remote map[string]Store // the pools of the other DCs, by their names: only purges go there. nil = there is none, or their own appliers read the log

	PurgeLog PurgeLog // keeps purges until all DCs have them; nil = none
	Keyspace string   // the first part of every key, [A-Za-z0-9_-]{1,64}; "" = "default"

	// The terms of the hold-off, which is their sum and a second: with PurgeLog 1 h at most. Negative = 0.
	MaxCommitDelay time.Duration // from a Delete to the commit that it belongs to, at most; 0 = 3 s
	MaxReadLag     time.Duration // of the data that loaders read and that is stored for its full TTL; 0 = 7 s. Not less than what the database layer reads normally (rdbms: MaxLag 6 s + Poll 1 s)
	MaxClockSkew   time.Duration // between any two processes; 0 = none

	LockWait       time.Duration // for another process's load of the same key, at most; 0 = 3 s; negative = not at all
	MaxRefreshes   int           // loads in the background at a time, more are dropped; 0 = 64; negative = none: values are loaded anew when they have run out
	RefreshTimeout time.Duration // of such a load; 0 = 30 s
	RemoteTimeout  time.Duration // for a DC to confirm one key of a purge; 0 = 1 s

	Now    func() time.Time // stamps records and compares them; nil = time.Now
	Rand   func() float64   // dice in [0, 1); nil = math/rand
	Logger *slog.Logger     // nil = discard
	Events Events
}

// GroupOptions say how the values of one kind are loaded and kept. TTL is required.
type GroupOptions[K comparable, V any] struct {
	TTL      time.Duration                                       // how long a value is good; Indefinite = until purged
	Load     func(ctx context.Context, id K) (V, error)          // reads one value, with the context it is given
	LoadMany func(ctx context.Context, ids []K) (map[K]V, error) // reads several, for GetMany, and for Get if Load is nil; what is missing in the map is not found, also with an error that wraps ErrNotFound; any other error concerns all ids
	Key      func(id K) []string                                 // the parts of an id's key; nil = strings as they are, integers in decimal, and any other K needs it
	Codec    Codec[V]                                            // nil = string and []byte as they are, all else as JSON
	TTLFor   func(id K, v V) time.Duration                       // instead of TTL: 0 = TTL, negative = do not store
	Tags     func(id K) []Tag                                    // a purge of one of them purges the value; at most 64

	Freshness Freshness // nil = the cache's; Unreplicated for what is not in the database

	NegativeTTL      time.Duration // "no such thing" is cached so long; 0 or negative = not at all
	StaleIfError     time.Duration // a value that is stale since at most this long answers when the load fails; 0 or negative = none
	RetryAfter       time.Duration // after such a failure the key is not loaded again for so long; 0 = 5 s; negative = it is
	StaleWhileLocked time.Duration // a value that is stale since at most this long answers while another loads; 0 or negative = none
	LoadTimeout      time.Duration // cancels a load; 0 or negative = none

	LowTTL time.Duration // with less than this left a value may be loaded anew early; 0 = min(1 min, TTL); negative = never
	AgeNew time.Duration // a value older than this may be loaded anew for its popularity; 0 = 1 min; negative = never
	HotTTR time.Duration // how long after AgeNew a very popular one is loaded anew, about; 0 = 15 min; negative = never
}

// Freshness says how old the data may be that a load is about to read. It is asked just before each load, with the load's
// context; what is reported into that context while it runs is added.
type Freshness func(ctx context.Context) Facts

// Tag names what many values depend on: any text, like "site:7". One purge of it invalidates them all.
type Tag string

// Codec turns values into bytes and back.
type Codec[V any] interface {
	Append(dst []byte, v V) ([]byte, error) // to dst
	Decode(b []byte) (V, error)             // owns b
}
