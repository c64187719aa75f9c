package wanobjectcache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/multidc/multidc/internal/dcname"
)

// The defaults, as the fields of Options name them, and what is not to be set.
const (
	defaultDC             = "local"
	defaultKeyspace       = "default"
	defaultCommitDelay    = 3 * time.Second
	defaultReadLag        = 7 * time.Second
	defaultLockWait       = 3 * time.Second
	defaultRefreshes      = 64
	defaultRefreshTimeout = 30 * time.Second
	defaultRemoteTimeout  = time.Second

	storeClock  = time.Second            // memcached counts whole seconds: a TTL of n lives between n - 1 and n
	futureLimit = time.Minute            // a record stamped further ahead than this and MaxClockSkew counts as absent
	maxHoldoff  = time.Hour              // of a purge in a log: with more, a wrong message would turn the cache off
	tagLife     = 365 * 24 * time.Hour   // of tags
	mutexLife   = 10 * time.Second       // of the lock on a key
	interimLife = 2 * time.Second        // of a value that was loaded while the key was purged, at least
	recentLeast = 50 * time.Millisecond  // a very new value is used again for so long,
	recentMost  = 100 * time.Millisecond // to so long
)

// Cache is a cache in one DC, which tells the other DCs of purges. Values are reached through groups: [NewGroup].
type Cache struct {
	local   Store
	remotes []*remote // by name
	opts    Options
	holdoff time.Duration

	refreshes chan struct{} // places for loads in the background
	resting   resting       // keys whose load failed a moment ago
	made      time.Time
	epoch     epoch

	closed atomic.Bool

	mu         sync.Mutex // of what follows, and of setting closed
	groups     []cutter
	background sync.WaitGroup  // loads, and deliveries: joined under mu
	life       context.Context //nolint:containedctx // of what goes on in the background
	end        context.CancelCauseFunc
}

// remote is another DC.
type remote struct {
	dc      string
	store   Store
	sending chan struct{} // places for keys under way
}

// maxSending is how many keys may be under way to a DC that does not answer.
const maxSending = 256

// New makes a cache over the pool of this DC. It does no I/O and starts no goroutine. An error names the option that cannot
// be used.
func New(local Store, options *Options) (*Cache, error) {
	if local == nil {
		return nil, errors.New("wanobjectcache: New needs the Store of this DC")
	}
	var o Options
	if options != nil {
		o = *options
	}
	o, err := o.checked()
	if err != nil {
		return nil, fmt.Errorf("wanobjectcache: %w", err)
	}
	c := &Cache{
		local: local, opts: o,
		holdoff:   o.MaxCommitDelay + o.MaxReadLag + o.MaxClockSkew + storeClock,
		refreshes: make(chan struct{}, max(o.MaxRefreshes, 0)), made: time.Now(),
	}
	if o.PurgeLog != nil && c.holdoff > maxHoldoff {
		return nil, fmt.Errorf("wanobjectcache: Options.MaxCommitDelay, MaxReadLag, MaxClockSkew: the hold-off, their sum and a second, is %v: "+
			"purges with more than %v cannot be logged", c.holdoff, maxHoldoff)
	}
	for _, dc := range slices.Sorted(maps.Keys(o.Remote)) {
		c.remotes = append(c.remotes, &remote{dc: dc, store: o.Remote[dc], sending: make(chan struct{}, maxSending)})
	}
	c.life, c.end = context.WithCancelCause(context.Background())
	return c, nil
}

// checked returns the options with their defaults, or an error that names the field.
func (o Options) checked() (Options, error) {
	if o.Freshness == nil {
		return o, errors.New("Options.Freshness: say how old the data may be that loaders read: Unreplicated (one database, no replicas), " +
			"FromContext (package rdbms, or your calls of Report, tell), or a function of your own")
	}
	if o.DC == "" && (len(o.Remote) > 0 || o.PurgeLog != nil) {
		return o, errors.New("Options.DC: it is required with Remote or PurgeLog: the name of the DC that this process runs in")
	}
	o.DC, o.Keyspace = cmp.Or(o.DC, defaultDC), cmp.Or(o.Keyspace, defaultKeyspace)
	if err := dcname.Check(o.DC); err != nil {
		return o, fmt.Errorf("Options.DC: %w", err)
	}
	if err := checkName(o.Keyspace); err != nil {
		return o, fmt.Errorf("Options.Keyspace: %w", err)
	}
	if err := o.checkRemote(); err != nil {
		return o, err
	}
	o.Remote = maps.Clone(o.Remote)
	o.MaxCommitDelay = orDefault(o.MaxCommitDelay, defaultCommitDelay)
	o.MaxReadLag = orDefault(o.MaxReadLag, defaultReadLag)
	o.MaxClockSkew = max(o.MaxClockSkew, 0)
	o.LockWait = orDefault(o.LockWait, defaultLockWait)
	if o.RefreshTimeout < 0 || o.RemoteTimeout < 0 {
		return o, errors.New("Options.RefreshTimeout, RemoteTimeout: they cannot be negative: what runs in the background must end")
	}
	o.MaxRefreshes = cmp.Or(o.MaxRefreshes, defaultRefreshes)
	o.RefreshTimeout = cmp.Or(o.RefreshTimeout, defaultRefreshTimeout)
	o.RemoteTimeout = cmp.Or(o.RemoteTimeout, defaultRemoteTimeout)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

// orDefault: zero is the default, negative is zero.
func orDefault(d, normal time.Duration) time.Duration {
	if d == 0 {
		return normal
	}
	return max(d, 0)
}

// plain is what a Store may answer that knows whether its connections are encrypted.
type plain interface{ Plaintext() bool }

func (o Options) checkRemote() error {
	for _, dc := range slices.Sorted(maps.Keys(o.Remote)) {
		if err := dcname.Check(dc); err != nil {
			return fmt.Errorf("Options.Remote: %w", err)
		}
		if dc == o.DC {
			return fmt.Errorf("Options.Remote: %q is the DC of this process: name the others", dc)
		}
		store := o.Remote[dc]
		if store == nil {
			return fmt.Errorf("Options.Remote: DC %s has no Store", dc)
		}
		if p, ok := store.(plain); ok && p.Plaintext() {
			return fmt.Errorf("Options.Remote: the connections to DC %s are not encrypted: give that pool TLS, or AllowPlaintext if the link is encrypted below", dc)
		}
	}
	return nil
}

// Holdoff returns how long a purged key refuses what is loaded: long enough that no replica can still show what was there
// before.
func (c *Cache) Holdoff() time.Duration { return c.holdoff }

// now is the time that stamps and compares.
func (c *Cache) now() micros { return microsOf(c.opts.Now()) }

// moment is when something began, by both clocks: a virtual machine that was suspended has lost time on the one, and the
// other may be set.
type moment struct{ wall, running time.Time }

func (c *Cache) moment() moment { return moment{c.opts.Now(), time.Now()} }

// since is how long ago that was, at least.
func (c *Cache) since(m moment) time.Duration {
	return max(elapsed(m.wall, c.opts.Now()), time.Since(m.running))
}

// cutter is a group, seen by purges.
type cutter interface {
	cut(bases []string)
	cutTags(tags []string)
	info() GroupInfo
}

func (c *Cache) enroll(g cutter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.groups = append(c.groups, g)
}

func (c *Cache) enrolled() []cutter {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.groups
}

// inBackground runs f in a goroutine that Close awaits. It returns false if the cache is closed.
func (c *Cache) inBackground(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed.Load() {
		return false
	}
	c.background.Go(f)
	return true
}

// untilClosed is a context that ends with ctx, or when Close gives up.
func (c *Cache) untilClosed(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(c.life, func() { cancel(context.Cause(c.life)) })
	return ctx, func() { stop(); cancel(nil) }
}

// Close waits for what goes on in the background: loads and deliveries of purges. When ctx ends first they are cancelled,
// and the error wraps its own. Calls after it return ErrClosed. The stores are yours to close, after it.
func (c *Cache) Close(ctx context.Context) error {
	c.mu.Lock()
	c.closed.Store(true)
	c.mu.Unlock()
	idle := make(chan struct{})
	go func() {
		c.background.Wait()
		close(idle)
	}()
	defer c.end(ErrClosed)
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wanobjectcache: closing: %w", ended(ctx))
	}
}

// warn logs, and raises OnWarning.
func (c *Cache) warn(ctx context.Context, w WarningInfo) {
	level := slog.LevelWarn
	if w.Kind == LoaderPanicked {
		level = slog.LevelError
	}
	c.opts.Logger.Log(ctx, level, "wanobjectcache: "+string(w.Kind), "group", w.Group, "key", w.Key, "dc", w.DC, "op", w.Op, "error", w.Err)
	if on := c.opts.Events.OnWarning; on != nil {
		on(ctx, w)
	}
}
