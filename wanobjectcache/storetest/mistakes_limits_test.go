package storetest_test

import (
	"context"
	"errors"
	"time"

	"github.com/multidc/multidc/wanobjectcache"
)

var brokenTimes = []mistake{
	{test: "expiry/a negative ttl", name: "-1 ns becomes for ever", wrong: ttls(
		func(ttl time.Duration) time.Duration { return ttl.Truncate(time.Second) })},
	{test: "expiry/a negative ttl", name: "is for ever", wrong: ttls(
		func(ttl time.Duration) time.Duration { return max(ttl, 0) })},
	{test: "expiry/a negative ttl", name: "a CAS does not look at its token", wrong: cass(
		func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
			if ttl < 0 {
				return s.Set(ctx, key, it, ttl)
			}
			return s.CAS(ctx, key, it, ttl)
		})},
	{test: "expiry/a long ttl", name: "above 30 days it is a date", wrong: ttls(
		func(ttl time.Duration) time.Duration {
			if ttl > 30*24*time.Hour {
				return -1
			}
			return ttl
		})},
	{test: "expiry/a long ttl", name: "dates have 32 bits", wrong: ttls(
		func(ttl time.Duration) time.Duration {
			if date := time.Now().Add(ttl).Unix(); int64(int32(date)) != date {
				return -1
			}
			return ttl
		})},
	{test: "expiry/an expired item", name: "below a second is for ever", wrong: ttls(
		func(ttl time.Duration) time.Duration {
			if 0 < ttl && ttl < time.Second {
				return 0
			}
			return ttl
		})},
	{test: "expiry/an expired item", name: "below a second is at once", real: true, wrong: ttls(
		func(ttl time.Duration) time.Duration {
			if 0 < ttl && ttl < time.Second {
				return -1
			}
			return ttl
		})},
	{test: "expiry/an expired item", name: "an Add still sees it", wrong: func(s store) store {
		seen := map[string]bool{}
		return broken{store: s, add: func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
			if seen[key] {
				return wanobjectcache.ErrConflict
			}
			seen[key] = true
			return s.Add(ctx, key, it, ttl)
		}}
	}},
	{test: "expiry/an expired item that nobody read", name: "it refuses an Add", wrong: refusesUnread},
	{test: "expiry/an expired item", name: "a CAS says conflict", wrong: cass(
		func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
			if s.CAS(ctx, key, it, ttl) != nil {
				return wanobjectcache.ErrConflict
			}
			return nil
		})},
	{test: "expiry/a write replaces the time", name: "a Set keeps it", wrong: keepsTime(true)},
	{test: "expiry/a write replaces the time", name: "a CAS keeps it", wrong: keepsTime(false)},
	{test: "expiry/a write replaces the time", name: "a refused Add replaces it", wrong: adds(
		func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
			if there := look(ctx, s, key); there.Found {
				_ = s.Set(ctx, key, there, ttl)
			}
			return s.Add(ctx, key, it, ttl)
		})},
	{test: "expiry/the moment", name: "a tenth of a second late", wrong: ttls(
		func(ttl time.Duration) time.Duration {
			if 0 < ttl && ttl < time.Hour {
				return ttl + 100*time.Millisecond
			}
			return ttl
		})},
	{test: "expiry/the moment", name: "a tenth of a second early", wrong: ttls(
		func(ttl time.Duration) time.Duration {
			if ttl > time.Second {
				return ttl - 100*time.Millisecond
			}
			return ttl
		})},
	{test: "expiry/the moment", name: "rounded down", coarse: true, wrong: ttls(
		func(ttl time.Duration) time.Duration {
			if ttl > time.Second {
				return ttl.Truncate(time.Second)
			}
			return ttl
		})},
	{test: "expiry/31 days", name: "30 at most", wrong: ttls(
		func(ttl time.Duration) time.Duration { return min(ttl, 30*24*time.Hour) })},
}

// refusesUnread drops an item that has expired when somebody reads it, and not before.
func refusesUnread(s store) store {
	there := map[string]bool{}
	return broken{
		store: s,
		get: func(ctx context.Context, s store, keys []string, out []item) error {
			err := s.GetMulti(ctx, keys, out)
			for i, key := range keys {
				there[key] = out[i].Found
			}
			return err
		},
		add: func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
			if there[key] {
				return wanobjectcache.ErrConflict
			}
			there[key] = true
			return s.Add(ctx, key, it, ttl)
		},
		set: func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
			there[key] = true
			return s.Set(ctx, key, it, ttl)
		},
	}
}

// keepsTime lets a Set, or a CAS, leave the TTL of what it replaces.
func keepsTime(bySet bool) func(store) store {
	return func(s store) store {
		first := map[string]time.Duration{}
		keep := func(key string, ttl time.Duration, replaces bool) time.Duration {
			if old, there := first[key]; there && replaces {
				return old
			}
			first[key] = ttl
			return ttl
		}
		return broken{
			store: s,
			set: func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
				return s.Set(ctx, key, it, keep(key, ttl, bySet))
			},
			cas: func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
				return s.CAS(ctx, key, it, keep(key, ttl, !bySet))
			},
		}
	}
}

var brokenLimits = []mistake{
	{test: "limits/a large value", name: "64 KiB at most", wrong: sets(
		func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
			if len(it.Value) > 1<<16 {
				return wanobjectcache.ErrTooLarge
			}
			return s.Set(ctx, key, it, ttl)
		})},
	{test: "limits/a large value", name: "cut to 64 KiB", wrong: cass(
		func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
			it.Value = it.Value[:min(len(it.Value), 1<<16)]
			return s.CAS(ctx, key, it, ttl)
		})},
	{test: "limits/a value that is too large", name: "says yes", wrong: sets(
		func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
			if err := s.Set(ctx, key, it, ttl); !errors.Is(err, wanobjectcache.ErrTooLarge) {
				return err
			}
			return nil
		})},
	{test: "limits/a value that is too large", name: "removes the old one", wrong: sets(
		func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
			err := s.Set(ctx, key, it, ttl)
			if errors.Is(err, wanobjectcache.ErrTooLarge) {
				_ = s.Set(ctx, key, item{}, -1)
			}
			return err
		})},
	{test: "limits/a value that is too large", name: "another error", wrong: adds(
		func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
			if s.Add(ctx, key, it, ttl) != nil {
				return errors.New("SERVER_ERROR object too large for cache")
			}
			return nil
		})},
	{test: "limits/a context that has ended", name: "a write goes on", wrong: sets(
		func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
			_ = s.Set(context.WithoutCancel(ctx), key, it, ttl)
			return ctx.Err()
		})},
	{test: "limits/a context that has ended", name: "a read goes on", wrong: gets(
		func(ctx context.Context, s store, keys []string, out []item) error {
			return s.GetMulti(context.WithoutCancel(ctx), keys, out)
		})},
	{test: "limits/a context that has ended", name: "absent", wrong: gets(
		func(ctx context.Context, s store, keys []string, out []item) error {
			if ctx.Err() != nil {
				clear(out)
				return ctx.Err()
			}
			return s.GetMulti(ctx, keys, out)
		})},
	{test: "limits/a deadline that has passed", name: "unknown outcome", wrong: adds(
		func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
			err := s.Add(ctx, key, it, ttl)
			if ctx.Err() != nil {
				return errors.Join(err, wanobjectcache.ErrUnknownOutcome)
			}
			return err
		})},
	{test: "limits/a deadline that has passed", name: "a CAS goes on", wrong: cass(
		func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
			return s.CAS(context.WithoutCancel(ctx), key, it, ttl)
		})},
}

var brokenPools = []mistake{
	{test: "lost/a server", name: "its keys are absent", lose: true, wrong: gets(
		func(ctx context.Context, s store, keys []string, out []item) error {
			err := s.GetMulti(ctx, keys, out)
			for i := range out {
				out[i].Err = nil
			}
			return err
		})},
	{test: "lost/a server", name: "no error of the call", lose: true, wrong: gets(
		func(ctx context.Context, s store, keys []string, out []item) error {
			_ = s.GetMulti(ctx, keys, out)
			return nil
		})},
	{test: "lost/a server", name: "all keys are lost", lose: true, wrong: gets(
		func(ctx context.Context, s store, keys []string, out []item) error {
			err := s.GetMulti(ctx, keys, out)
			if err != nil {
				for i := range out {
					out[i] = item{Err: err}
				}
			}
			return err
		})},
	{test: "lost/a server", name: "the others are not filled in", lose: true, wrong: gets(
		func(ctx context.Context, s store, keys []string, out []item) error {
			err := s.GetMulti(ctx, keys, out)
			for i := range out {
				if err != nil && out[i].Err == nil {
					out[i] = item{}
				}
			}
			return err
		})},
	{test: "lost/a server", name: "writes are done", lose: true, wrong: sets(
		func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
			_ = s.Set(ctx, key, it, ttl)
			return nil
		})},
	{test: "lost/a server", name: "an Add is refused", lose: true, wrong: adds(
		func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
			if s.Add(ctx, key, it, ttl) != nil {
				return wanobjectcache.ErrConflict
			}
			return nil
		})},
	{test: "lost/a server", name: "a CAS finds nothing", lose: true, wrong: cass(
		func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
			err := s.CAS(ctx, key, it, ttl)
			if errors.Is(err, wanobjectcache.ErrUnavailable) {
				return wanobjectcache.ErrNotFound
			}
			return err
		})},
	{test: "lost/a server", name: "it is never tried again", lose: true, wrong: func(s store) store {
		var lost error
		return broken{store: s, set: func(ctx context.Context, s store, key string, it item, ttl time.Duration) error {
			if lost == nil {
				lost = s.Set(ctx, key, it, ttl)
			}
			return lost
		}}
	}},
	{test: "lost/a server", name: "it is not missed", lose: true, wrong: func(store) store { return wanobjectcache.NewMemory(nil) }},
}
