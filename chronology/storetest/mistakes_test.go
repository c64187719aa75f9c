package storetest_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/multidc/multidc/chronology"
)

type (
	fn     = func(old []byte) ([]byte, error)
	get    func(ctx context.Context, s *optimist, key string) ([]byte, bool, error)
	update func(ctx context.Context, s *optimist, key string, ttl time.Duration, f fn) error
)

// broken is a store of which a method is replaced; nil = as it is.
type broken struct {
	*optimist

	get    get
	update update
}

func (b *broken) Get(ctx context.Context, key string) ([]byte, bool, error) {
	if b.get == nil {
		return b.optimist.Get(ctx, key)
	}
	return b.get(ctx, b.optimist, key)
}

func (b *broken) Update(ctx context.Context, key string, ttl time.Duration, f fn) error {
	if b.update == nil {
		return b.optimist.Update(ctx, key, ttl, f)
	}
	return b.update(ctx, b.optimist, key, ttl, f)
}

func gets(g get) func(*optimist) chronology.Store {
	return func(o *optimist) chronology.Store { return &broken{optimist: o, get: g} }
}

func updates(u update) func(*optimist) chronology.Store {
	return func(o *optimist) chronology.Store { return &broken{optimist: o, update: u} }
}

// spoilt is the store itself, with a field changed.
func spoilt(spoil func(*optimist)) func(*optimist) chronology.Store {
	return func(o *optimist) chronology.Store {
		spoil(o)
		return o
	}
}

// fns changes what fn is given.
func fns(given func(old []byte) []byte) func(*optimist) chronology.Store {
	return updates(func(ctx context.Context, s *optimist, key string, ttl time.Duration, f fn) error {
		return s.Update(ctx, key, ttl, func(old []byte) ([]byte, error) { return f(given(old)) })
	})
}

// results changes what fn returns.
func results(returned func(value []byte) []byte) func(*optimist) chronology.Store {
	return updates(func(ctx context.Context, s *optimist, key string, ttl time.Duration, f fn) error {
		return s.Update(ctx, key, ttl, func(old []byte) ([]byte, error) {
			value, err := f(old)
			return returned(value), err
		})
	})
}

// errs changes what an Update says.
func errs(said func(error) error) func(*optimist) chronology.Store {
	return updates(func(ctx context.Context, s *optimist, key string, ttl time.Duration, f fn) error {
		return said(s.Update(ctx, key, ttl, f))
	})
}

// ttls changes how long values live.
func ttls(change func(time.Duration) time.Duration) func(*optimist) chronology.Store {
	return updates(func(ctx context.Context, s *optimist, key string, ttl time.Duration, f fn) error {
		return s.Update(ctx, key, change(ttl), f)
	})
}

// keys changes the key of both methods.
func keys(change func(string) string) func(*optimist) chronology.Store {
	return func(o *optimist) chronology.Store {
		return &broken{o,
			func(ctx context.Context, s *optimist, key string) ([]byte, bool, error) {
				return s.Get(ctx, change(key))
			},
			func(ctx context.Context, s *optimist, key string, ttl time.Duration, f fn) error {
				return s.Update(ctx, change(key), ttl, f)
			}}
	}
}

var mistakes = []mistake{
	{test: "read/missing", name: "an error", wrong: gets(func(ctx context.Context, s *optimist, key string) ([]byte, bool, error) {
		value, ok, err := s.Get(ctx, key)
		if !ok {
			err = errors.New("not found")
		}
		return value, ok, err
	})},
	{test: "read/missing", name: "old is empty", wrong: fns(func(old []byte) []byte { return append([]byte{}, old...) })},
	{test: "read/missing", name: "an Update whose fn fails makes it", wrong: updates(
		func(ctx context.Context, s *optimist, key string, ttl time.Duration, f fn) error {
			var failed error
			err := s.Update(ctx, key, ttl, func(old []byte) (value []byte, _ error) {
				if value, failed = f(old); failed != nil {
					return old, nil
				}
				return value, nil
			})
			return errors.Join(err, failed)
		})},
	{test: "read/what was written", name: "a read is late by one", wrong: late},
	{test: "read/any bytes", name: "lines are trimmed", wrong: results(func(value []byte) []byte { return bytes.TrimRight(value, "\r\n") })},
	{test: "read/any bytes", name: "it is a text", wrong: results(func(value []byte) []byte { return bytes.ToValidUTF8(value, []byte("?")) })},
	{test: "read/an empty value", name: "is missing to fn", wrong: fns(func(old []byte) []byte {
		if len(old) == 0 {
			return nil
		}
		return old
	})},
	{test: "read/an empty value", name: "is missing to Get", wrong: gets(func(ctx context.Context, s *optimist, key string) ([]byte, bool, error) {
		value, ok, err := s.Get(ctx, key)
		return value, ok && len(value) > 0, err
	})},
	{test: "read/16 KiB", name: "cut", wrong: results(func(value []byte) []byte { return value[:min(len(value), 16<<10-1)] })},
	{test: "read/any key", name: "upper case is lower case", wrong: keys(strings.ToLower)},
	{test: "read/any key", name: "cut to 99", wrong: keys(func(key string) string { return key[:min(len(key), 99)] })},
	{test: "read/memory", name: "a read is not copied", wrong: aliased},
	{test: "update/fn is given what is there", name: "fn runs twice", wrong: updates(
		func(ctx context.Context, s *optimist, key string, ttl time.Duration, f fn) error {
			return s.Update(ctx, key, ttl, func(old []byte) ([]byte, error) {
				_, _ = f(bytes.Clone(old))
				return f(old)
			})
		})},
	{test: "update/fn is given what is there", name: "old is always nil", wrong: fns(func([]byte) []byte { return nil })},
	{test: "update/fn's error leaves the value", name: "the value is written all the same", wrong: updates(
		func(ctx context.Context, s *optimist, key string, ttl time.Duration, f fn) error {
			var failed error
			err := s.Update(ctx, key, ttl, func(old []byte) (value []byte, _ error) {
				value, failed = f(old)
				return value, nil
			})
			return errors.Join(err, failed)
		})},
	{test: "update/fn's error leaves the value", name: "another error", wrong: errs(func(err error) error {
		if err != nil {
			return errors.New("update failed")
		}
		return nil
	})},
	{test: "update/fn's error leaves the value", name: "no error", wrong: errs(func(error) error { return nil })},
	{test: "update/other keys stay", name: "all are one", wrong: keys(func(key string) string { return key[:len(key)-1] })},
	{test: "conflict/fn runs again", name: "the last one wins", wrong: spoilt(func(o *optimist) { o.blind = true })},
	{test: "conflict/of two first writes", name: "the last one wins", wrong: spoilt(func(o *optimist) { o.blindFirst = true })},
	{test: "conflict/fn runs again", name: "with what it was given before", wrong: updates(
		func(ctx context.Context, s *optimist, key string, ttl time.Duration, f fn) error {
			var first []byte
			return s.Update(ctx, key, ttl, func(old []byte) ([]byte, error) {
				if first == nil {
					first = bytes.Clone(old)
				}
				return f(bytes.Clone(first))
			})
		})},
	{test: "conflict/fn's error at the second run", name: "it is not looked at", wrong: updates(
		func(ctx context.Context, s *optimist, key string, ttl time.Duration, f fn) error {
			runs := 0
			return s.Update(ctx, key, ttl, func(old []byte) ([]byte, error) {
				value, err := f(old)
				if runs++; runs > 1 {
					return value, nil
				}
				return value, err
			})
		})},
	{test: "conflict/ten times", name: "nine", wrong: spoilt(func(o *optimist) { o.attempts = 9 })},
	{test: "conflict/ten times", name: "for ever", wrong: spoilt(func(o *optimist) { o.attempts = math.MaxInt })},
	{test: "conflict/ten times", name: "another error", wrong: errs(func(err error) error {
		if errors.Is(err, chronology.ErrContended) {
			return errors.New("busy")
		}
		return err
	})},
	{test: "expiry/expired", name: "never", waits: true, wrong: ttls(func(time.Duration) time.Duration { return time.Hour })},
	{test: "expiry/expired", name: "at once", wrong: ttls(func(ttl time.Duration) time.Duration {
		if ttl < time.Minute {
			return 0
		}
		return ttl
	})},
	{test: "expiry/expired", name: "a fraction of a second is for ever", waits: true, wrong: ttls(func(ttl time.Duration) time.Duration {
		if ttl < time.Second {
			return time.Hour
		}
		return ttl
	})},
	{test: "expiry/expired and not read", name: "fn still sees it", waits: true, wrong: unread},
	{test: "expiry/an update replaces the time", name: "the first one stays", waits: true, wrong: firstTime},
	{test: "expiry/an update replaces the time", name: "fn's error replaces it", waits: true, wrong: touched},
	{test: "context/cancelled", name: "an Update goes on", wrong: updates(
		func(ctx context.Context, s *optimist, key string, ttl time.Duration, f fn) error {
			_ = s.Update(context.WithoutCancel(ctx), key, ttl, f)
			return ctx.Err()
		})},
	{test: "context/cancelled", name: "missing", wrong: gets(func(ctx context.Context, s *optimist, key string) ([]byte, bool, error) {
		value, ok, _ := s.Get(ctx, key)
		return value, ok, nil
	})},
	{test: "context/a deadline that has passed", name: "a Get goes on", wrong: gets(
		func(ctx context.Context, s *optimist, key string) ([]byte, bool, error) {
			return s.Get(context.WithoutCancel(ctx), key)
		})},
	{test: "context/cancelled by fn", name: "undone, and told as done", wrong: errs(func(err error) error {
		if errors.Is(err, context.Canceled) {
			return nil
		}
		return err
	})},
	{test: "concurrency/1,000 updates of one key", name: "some are lost", wrong: spoilt(func(o *optimist) { o.blind = true })},
	{test: "concurrency/1,000 updates of one key", name: "a conflict is told as done", wrong: falselyDone},
	{test: "concurrency/1,000 updates of one key", name: "some are done twice", wrong: twice},
	{test: "concurrency/many keys", name: "mixed up", wrong: keys(func(key string) string { return strings.TrimSuffix(key, "1") })},
	{test: "lost/no answer", name: "a miss", wrong: gets(func(ctx context.Context, s *optimist, key string) ([]byte, bool, error) {
		value, ok, _ := s.Get(ctx, key)
		return value, ok, nil
	})},
	{test: "lost/no answer", name: "a Get of what it remembers", wrong: remembering},
	{test: "lost/no answer", name: "an Update is done", wrong: errs(unanswered(nil))},
	{test: "lost/no answer", name: "an Update is contended", wrong: errs(unanswered(chronology.ErrContended))},
	{test: "lost/no answer", name: "the context is not looked at", waits: true, wrong: gets(func(ctx context.Context, s *optimist, key string) ([]byte, bool, error) {
		return s.Get(context.WithoutCancel(ctx), key)
	})},
	{test: "lost/no answer", name: "fn runs over nothing", wrong: updates(
		func(ctx context.Context, s *optimist, key string, ttl time.Duration, f fn) error {
			err := s.Update(ctx, key, ttl, f)
			if errors.Is(err, errNoAnswer) {
				_, _ = f(nil)
			}
			return err
		})},
	{test: "lost/no answer to a write", name: "done", wrong: errs(unanswered(nil))},
	{test: "lost/no answer to a write", name: "contended", wrong: errs(unanswered(chronology.ErrContended))},
	{test: "lost/no answer to a write", name: "tried again", wrong: spoilt(func(o *optimist) { o.retryWrites = true })},
}

// unanswered tells an outcome that is not known as another one.
func unanswered(as error) func(error) error {
	return func(err error) error {
		if errors.Is(err, errNoAnswer) {
			return as
		}
		return err
	}
}

// late is a replica that has not got the last write.
func late(o *optimist) chronology.Store {
	var mu sync.Mutex
	before := map[string][]byte{}
	return &broken{o,
		func(_ context.Context, _ *optimist, key string) ([]byte, bool, error) {
			mu.Lock()
			defer mu.Unlock()
			return before[key], before[key] != nil, nil
		},
		func(ctx context.Context, s *optimist, key string, ttl time.Duration, f fn) error {
			return s.Update(ctx, key, ttl, func(old []byte) ([]byte, error) {
				mu.Lock()
				defer mu.Unlock()
				before[key] = bytes.Clone(old)
				return f(old)
			})
		}}
}

// aliased returns its own memory.
func aliased(o *optimist) chronology.Store {
	return &broken{optimist: o, get: func(_ context.Context, s *optimist, key string) ([]byte, bool, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		item, ok := s.items[key]
		return item.value, ok, nil
	}}
}

// unread drops what has expired when somebody reads it, and not before.
func unread(o *optimist) chronology.Store {
	var mu sync.Mutex
	known := map[string][]byte{}
	return &broken{o,
		func(ctx context.Context, s *optimist, key string) ([]byte, bool, error) {
			mu.Lock()
			defer mu.Unlock()
			delete(known, key)
			return s.Get(ctx, key)
		},
		func(ctx context.Context, s *optimist, key string, ttl time.Duration, f fn) error {
			mu.Lock()
			defer mu.Unlock()
			return s.Update(ctx, key, ttl, func(old []byte) ([]byte, error) {
				if old == nil {
					old = bytes.Clone(known[key])
				}
				value, err := f(old)
				if err == nil {
					known[key] = value
				}
				return value, err
			})
		}}
}

// firstTime lets a value end when the one that it replaces would have.
func firstTime(o *optimist) chronology.Store {
	var mu sync.Mutex
	ends := map[string]time.Time{}
	return &broken{optimist: o, update: func(ctx context.Context, s *optimist, key string, ttl time.Duration, f fn) error {
		mu.Lock()
		if time.Now().After(ends[key]) {
			ends[key] = time.Now().Add(ttl)
		}
		ttl = time.Until(ends[key])
		mu.Unlock()
		return s.Update(ctx, key, ttl, f)
	}}
}

// touched gives the value the new time although fn fails.
func touched(o *optimist) chronology.Store {
	return &broken{optimist: o, update: func(ctx context.Context, s *optimist, key string, ttl time.Duration, f fn) error {
		err := s.Update(ctx, key, ttl, f)
		if err == nil {
			return nil
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if item := s.live(key); item.version > 0 {
			item.ends = time.Now().Add(ttl)
			s.items[key] = item
		}
		return err
	}}
}

// falselyDone says of each tenth Update that it is done, as if it had met others ten times and had given up.
func falselyDone(o *optimist) chronology.Store {
	var updates atomic.Int32
	return &broken{optimist: o, update: func(ctx context.Context, s *optimist, key string, ttl time.Duration, f fn) error {
		if updates.Add(1)%10 == 0 {
			return nil
		}
		return s.Update(ctx, key, ttl, f)
	}}
}

// twice does an Update again that was told to be contended, and was told to nobody.
func twice(o *optimist) chronology.Store {
	o.attempts = 1
	return &broken{optimist: o, update: func(ctx context.Context, s *optimist, key string, ttl time.Duration, f fn) error {
		done := 0
		err := s.Update(ctx, key, ttl, f)
		for done < 1 && errors.Is(err, chronology.ErrContended) {
			if err = s.Update(ctx, key, ttl, f); err == nil {
				done++
				err = chronology.ErrContended
			}
		}
		return err
	}}
}

// remembering answers from its own memory when the store is silent.
func remembering(o *optimist) chronology.Store {
	var mu sync.Mutex
	known := map[string][]byte{}
	return &broken{o,
		func(ctx context.Context, s *optimist, key string) ([]byte, bool, error) {
			value, ok, err := s.Get(ctx, key)
			mu.Lock()
			defer mu.Unlock()
			if value := known[key]; errors.Is(err, errNoAnswer) && value != nil {
				return bytes.Clone(value), true, nil
			}
			return value, ok, err
		},
		func(ctx context.Context, s *optimist, key string, ttl time.Duration, f fn) error {
			return s.Update(ctx, key, ttl, func(old []byte) ([]byte, error) {
				value, err := f(old)
				mu.Lock()
				defer mu.Unlock()
				known[key] = bytes.Clone(value)
				return value, err
			})
		}}
}
