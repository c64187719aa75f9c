package storetest_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/multidc/multidc/wanobjectcache"
)

type (
	store = wanobjectcache.Store
	item  = wanobjectcache.StoreItem
	read  func(ctx context.Context, s store, keys []string, out []item) error
	write func(ctx context.Context, s store, key string, it item, ttl time.Duration) error
)

// broken is a store of which some methods are replaced; nil = as they are.
type broken struct {
	store

	get           read
	add, cas, set write
}

func (b broken) GetMulti(ctx context.Context, keys []string, out []item) error {
	if b.get == nil {
		return b.store.GetMulti(ctx, keys, out)
	}
	return b.get(ctx, b.store, keys, out)
}

func (b broken) Add(ctx context.Context, key string, it item, ttl time.Duration) error {
	if b.add == nil {
		return b.store.Add(ctx, key, it, ttl)
	}
	return b.add(ctx, b.store, key, it, ttl)
}

func (b broken) CAS(ctx context.Context, key string, it item, ttl time.Duration) error {
	if b.cas == nil {
		return b.store.CAS(ctx, key, it, ttl)
	}
	return b.cas(ctx, b.store, key, it, ttl)
}

func (b broken) Set(ctx context.Context, key string, it item, ttl time.Duration) error {
	if b.set == nil {
		return b.store.Set(ctx, key, it, ttl)
	}
	return b.set(ctx, b.store, key, it, ttl)
}

func gets(get read) func(store) store {
	return func(s store) store { return broken{store: s, get: get} }
}
func adds(add write) func(store) store {
	return func(s store) store { return broken{store: s, add: add} }
}
func cass(cas write) func(store) store {
	return func(s store) store { return broken{store: s, cas: cas} }
}
func sets(set write) func(store) store {
	return func(s store) store { return broken{store: s, set: set} }
}

// ttls changes the TTL of all writes.
func ttls(change func(time.Duration) time.Duration) func(store) store {
	return func(s store) store {
		return broken{
			store: s,
			add: func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
				return s.Add(ctx, key, it, change(ttl))
			},
			cas: func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
				return s.CAS(ctx, key, it, change(ttl))
			},
			set: func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
				return s.Set(ctx, key, it, change(ttl))
			},
		}
	}
}

// look reads one key.
func look(ctx context.Context, s store, key string) item {
	out := make([]item, 1)
	_ = s.GetMulti(ctx, []string{key}, out)
	return out[0]
}

var brokenReads = []mistake{
	{test: "read/nothing there", name: "out keeps what it held", wrong: gets(
		func(ctx context.Context, s store, keys []string, out []item) error {
			old := slices.Clone(out)
			err := s.GetMulti(ctx, keys, out)
			for i := range out {
				if !out[i].Found {
					out[i] = old[i]
				}
			}
			return err
		})},
	{test: "read/nothing there", name: "absent is an error", wrong: gets(
		func(ctx context.Context, s store, keys []string, out []item) error {
			err := s.GetMulti(ctx, keys, out)
			for i := range out {
				if !out[i].Found {
					out[i].Err = wanobjectcache.ErrNotFound
				}
			}
			return err
		})},
	{test: "read/no keys", name: "an error", wrong: gets(
		func(ctx context.Context, s store, keys []string, out []item) error {
			if len(keys) == 0 {
				return errors.New("no keys")
			}
			return s.GetMulti(ctx, keys, out)
		})},
	{test: "read/any bytes", name: "an empty value is none", wrong: gets(
		func(ctx context.Context, s store, keys []string, out []item) error {
			err := s.GetMulti(ctx, keys, out)
			for i := range out {
				out[i].Found = len(out[i].Value) > 0
			}
			return err
		})},
	{test: "read/any bytes", name: "lines are trimmed", wrong: sets(
		func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
			it.Value = bytes.TrimRight(it.Value, "\r\n")
			return s.Set(ctx, key, it, ttl)
		})},
	{test: "read/any flags", name: "they have 16 bits", wrong: sets(
		func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
			it.Flags &= 0xffff
			return s.Set(ctx, key, it, ttl)
		})},
	{test: "read/any key", name: "upper case is lower case", wrong: func(s store) store { return renames{s, strings.ToLower} }},
	{test: "read/any key", name: "long ones are cut", wrong: func(s store) store {
		return renames{s, func(key string) string { return key[:min(len(key), 249)] }}
	}},
	{test: "read/a thousand keys", name: "out is in another order", wrong: gets(
		func(ctx context.Context, s store, keys []string, out []item) error {
			sorted := slices.Sorted(slices.Values(keys))
			return s.GetMulti(ctx, sorted, out)
		})},
	{test: "read/a thousand keys", name: "some are not asked for", wrong: gets(
		func(ctx context.Context, s store, keys []string, out []item) error {
			return s.GetMulti(ctx, keys[:min(len(keys), 500)], out)
		})},
	{test: "read/a key twice", name: "the second is missing", wrong: gets(
		func(ctx context.Context, s store, keys []string, out []item) error {
			err := s.GetMulti(ctx, keys, out)
			for i, key := range keys {
				if slices.Index(keys, key) < i {
					out[i] = item{}
				}
			}
			return err
		})},
	{test: "read/the caller's memory", name: "the store keeps the caller's slice", wrong: func(s store) store {
		given := map[string][]byte{}
		return broken{
			store: s,
			set: func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
				given[key] = it.Value
				return s.Set(ctx, key, it, ttl)
			},
			get: func(ctx context.Context, s store, keys []string, out []item) error {
				err := s.GetMulti(ctx, keys, out)
				for i, key := range keys {
					out[i].Value = bytes.Clone(given[key])
				}
				return err
			},
		}
	}},
	{test: "read/the caller's memory", name: "a read writes into what out held", wrong: gets(
		func(ctx context.Context, s store, keys []string, out []item) error {
			old := slices.Clone(out)
			err := s.GetMulti(ctx, keys, out)
			for i := range out {
				out[i].Value = append(old[i].Value[:0], out[i].Value...)
			}
			return err
		})},
	{test: "read/the caller's memory", name: "a read returns the store's slice", wrong: func(s store) store {
		kept := map[string][]byte{}
		return broken{
			store: s,
			set: func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
				kept[key] = bytes.Clone(it.Value)
				return s.Set(ctx, key, it, ttl)
			},
			get: func(ctx context.Context, s store, keys []string, out []item) error {
				err := s.GetMulti(ctx, keys, out)
				for i, key := range keys {
					out[i].Value = kept[key]
				}
				return err
			},
		}
	}},
}

// renames uses other keys.
type renames struct {
	store

	name func(string) string
}

func (r renames) GetMulti(ctx context.Context, keys []string, out []item) error {
	renamed := make([]string, len(keys))
	for i, key := range keys {
		renamed[i] = r.name(key)
	}
	return r.store.GetMulti(ctx, renamed, out)
}

func (r renames) Set(ctx context.Context, key string, it item, ttl time.Duration) error {
	return r.store.Set(ctx, r.name(key), it, ttl)
}

// byValue compares what is there, not when it was stored: the token is the value.
func byValue(s store) store {
	return broken{
		store: s,
		get: func(ctx context.Context, s store, keys []string, out []item) error {
			err := s.GetMulti(ctx, keys, out)
			for i := range out {
				if out[i].Found {
					out[i].Token = string(out[i].Value)
				}
			}
			return err
		},
		cas: func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
			if there := look(ctx, s, key); there.Found && string(there.Value) == it.Token {
				it.Token = there.Token
			}
			return s.CAS(ctx, key, it, ttl)
		},
	}
}

func setInstead(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
	return s.Set(ctx, key, it, ttl)
}

// touches stores an item that was refused a place anew, as it was.
func touches(ctx context.Context, s store, key string) {
	if there := look(ctx, s, key); there.Found {
		_ = s.Set(ctx, key, there, time.Minute)
	}
}

var brokenWrites = []mistake{
	{test: "add/where nothing is", name: "says yes", wrong: adds(
		func(context.Context, store, string, item, time.Duration) error { return nil })},
	{test: "add/where something is", name: "is a Set", wrong: adds(setInstead)},
	{test: "add/where something is", name: "an empty value is nothing", wrong: adds(
		func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
			if len(look(ctx, s, key).Value) == 0 {
				return s.Set(ctx, key, it, ttl)
			}
			return s.Add(ctx, key, it, ttl)
		})},
	{test: "add/where something is", name: "is refused silently", wrong: adds(
		func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
			if err := s.Add(ctx, key, it, ttl); !errors.Is(err, wanobjectcache.ErrConflict) {
				return err
			}
			return nil
		})},
	{test: "add/after a removal", name: "what is gone still refuses", wrong: func(s store) store {
		seen := map[string]bool{}
		return broken{
			store: s,
			set: func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
				seen[key] = true
				return s.Set(ctx, key, it, ttl)
			},
			add: func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
				if seen[key] {
					return wanobjectcache.ErrConflict
				}
				return s.Add(ctx, key, it, ttl)
			},
		}
	}},
	{test: "cas/what is there", name: "the flags stay", wrong: cass(
		func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
			it.Flags = look(ctx, s, key).Flags
			return s.CAS(ctx, key, it, ttl)
		})},
	{test: "cas/a token twice", name: "is a Set", wrong: cass(setInstead)},
	{test: "cas/an older token", name: "the token is the value", wrong: byValue},
	{test: "cas/an item that is gone", name: "is a Set then", wrong: cass(
		func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
			if !look(ctx, s, key).Found {
				return s.Set(ctx, key, it, ttl)
			}
			return s.CAS(ctx, key, it, ttl)
		})},
	{test: "cas/an item that is gone", name: "is a conflict", wrong: cass(
		func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
			if s.CAS(ctx, key, it, ttl) != nil {
				return wanobjectcache.ErrConflict
			}
			return nil
		})},
	{test: "cas/an item that came anew", name: "the token is the value", wrong: byValue},
	{test: "cas/a token that others tried to spoil", name: "a read spoils it", wrong: gets(
		func(ctx context.Context, s store, keys []string, out []item) error {
			err := s.GetMulti(ctx, keys, out)
			for _, key := range keys {
				touches(ctx, s, key)
			}
			return err
		})},
	{test: "cas/a token that others tried to spoil", name: "a refused Add spoils it", wrong: adds(
		func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
			touches(ctx, s, key)
			return s.Add(ctx, key, it, ttl)
		})},
	{test: "cas/a token that others tried to spoil", name: "a refused CAS spoils it", wrong: cass(
		func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
			err := s.CAS(ctx, key, it, ttl)
			if err != nil {
				touches(ctx, s, key)
			}
			return err
		})},
	{test: "cas/no token", name: "is a Set", wrong: cass(
		func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
			if it.Token == nil {
				return s.Set(ctx, key, it, ttl)
			}
			return s.CAS(ctx, key, it, ttl)
		})},
	{test: "set/over anything", name: "is an Add", wrong: sets(
		func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
			_ = s.Add(ctx, key, it, ttl)
			return nil
		})},
	{test: "set/over anything", name: "the same value is not written", wrong: sets(
		func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
			if there := look(ctx, s, key); there.Found && bytes.Equal(there.Value, it.Value) {
				return nil
			}
			return s.Set(ctx, key, it, ttl)
		})},
	{test: "set/over anything", name: "with a token it is a CAS", wrong: sets(
		func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
			if it.Token != nil && look(ctx, s, key).Found {
				return s.CAS(ctx, key, it, ttl)
			}
			return s.Set(ctx, key, it, ttl)
		})},
}

// pause gives others the time to come between.
func pause() { <-time.After(100 * time.Microsecond) }

var brokenRaces = []mistake{
	{test: "concurrency/no lost update", name: "compares, and swaps later", wrong: cass(
		func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
			if look(ctx, s, key).Token != it.Token {
				return wanobjectcache.ErrConflict
			}
			pause()
			return s.Set(ctx, key, it, ttl)
		})},
	{test: "concurrency/one add wins", name: "looks, and adds later", wrong: adds(
		func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
			if look(ctx, s, key).Found {
				return wanobjectcache.ErrConflict
			}
			pause()
			return s.Set(ctx, key, it, ttl)
		})},
	{test: "concurrency/no torn value", name: "value first, flags later", wrong: sets(
		func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
			half := it
			half.Flags = look(ctx, s, key).Flags
			_ = s.Set(ctx, key, half, ttl)
			pause()
			return s.Set(ctx, key, it, ttl)
		})},
	{test: "concurrency/no lost update", name: "competing clients are not seen", wrong: clientLock, shared: true},
}

// clientLock does a CAS under a lock of the client's own.
func clientLock(s store) store {
	var mu sync.Mutex
	return broken{store: s, cas: func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
		mu.Lock()
		defer mu.Unlock()
		if look(ctx, s, key).Token != it.Token {
			return wanobjectcache.ErrConflict
		}
		pause()
		return s.Set(ctx, key, it, ttl)
	}}
}
