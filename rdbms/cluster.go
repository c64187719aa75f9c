package rdbms

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Cluster is one primary and its replicas, as this process uses them. It is safe for concurrent use.
type Cluster struct {
	name   string
	opts   Options
	engine Engine
	random func() float64 // [0, 1)
	base   time.Time      // when it was made: see steady

	view   atomic.Pointer[snapshot]
	budget budget

	life    context.Context //nolint:containedctx // of what waits in the background; ends with Close
	end     context.CancelFunc
	waiters sync.WaitGroup
	ended   chan struct{} // closed by Close
	changed chan struct{} // the servers did

	handles [3]pool // by role

	mu       sync.Mutex // of what follows, and of making snapshots
	closed   bool
	runs     chan struct{} // closed when Run has returned; nil = it does not run
	hosts    []*host
	config   Config
	records  map[*host]*record
	book     *lagBook
	readOnly ReadOnlyInfo // as last told
	warned   map[warningKey]time.Time
}

// record is what the monitor keeps of a server from probe to probe.
type record struct {
	verdict
	hysteresis hysteresis
	told       told
}

// role says what a *sql.DB of a cluster stands for.
type role int

const (
	rolePrimary role = iota
	roleReplica
	roleAuto
)

// New makes a cluster. It does no I/O and starts no goroutine: [Cluster.Run] watches the servers. An error names the
// field that cannot be used.
func New(config Config, options *Options) (*Cluster, error) {
	var o Options
	if options != nil {
		o = *options
	}
	o, err := o.checked()
	if err != nil {
		return nil, err
	}
	c := &Cluster{
		name: config.Name, opts: o, engine: o.Engine, random: rand.Float64, base: time.Now(),
		ended: make(chan struct{}), changed: make(chan struct{}, 1),
		records: map[*host]*record{}, warned: map[warningKey]time.Time{},
		book: newLagBook(o.Heartbeat),
	}
	c.budget.begun, c.budget.share = c.base, o.PrimaryShare
	if c.engine == nil {
		c.engine = newBuiltin(o.Heartbeat.Table, o.LagFromReplicaStatus)
	}
	c.life, c.end = context.WithCancel(context.Background())
	for r := range c.handles {
		c.handles[r].connector, c.handles[r].idle = &connector{cluster: c, role: role(r)}, idleVirtual
	}
	if err := c.SetServers(config); err != nil {
		c.end()
		return nil, err
	}
	return c, nil
}

// idleVirtual is how many virtual connections are kept: they are small, and hold no socket.
const idleVirtual = 1000

// Primary returns the database for what must happen on the primary: writes, transactions that write, reads that must be
// current. It is the same value each time, and belongs to the cluster: do not close it.
func (c *Cluster) Primary() *sql.DB { return c.db(rolePrimary) }

// Replica returns the database for reads. Each statement goes to a server that is near, healthy and fresh enough, and
// within one scope all of them to the same. Exec is ErrReplicaWrite, and every transaction is READ ONLY.
func (c *Cluster) Replica() *sql.DB { return c.db(roleReplica) }

// Auto returns a database that looks at each statement's text: what is surely a plain read goes where [Cluster.Replica]
// sends it, all else to the primary. It is for code that knows one *sql.DB only. A SELECT that calls a stored function
// which writes looks like a read.
func (c *Cluster) Auto() *sql.DB { return c.db(roleAuto) }

func (c *Cluster) db(r role) *sql.DB { return c.handles[r].open() }

// SetServers changes the servers while the cluster is in use. They are told apart by name and address: survivors keep
// their connections and what is known of them, removed ones serve what they have begun and no more. On error nothing has
// changed. The cluster's name cannot change.
func (c *Cluster) SetServers(config Config) error {
	if config.Name != c.name {
		return fmt.Errorf("rdbms: cluster %s: Config.Name: %q: a cluster keeps its name", c.name, config.Name)
	}
	if err := config.check(); err != nil {
		return fmt.Errorf("rdbms: cluster %s: %w", c.name, err)
	}
	config.Servers = slices.Clone(config.Servers)
	links := make([]link, len(config.Servers))
	for i := range config.Servers {
		config.Servers[i].Groups = maps.Clone(config.Servers[i].Groups)
		var err error
		if links[i], err = config.Servers[i].connect(c.opts.DC, c.opts.Engine == nil); err != nil {
			return fmt.Errorf("rdbms: cluster %s: Config.Servers[%d] (%s): %w", c.name, i, config.Servers[i].Name, err)
		}
	}
	before := c.view.Load()
	removed, warnings, err := c.install(config, links)
	if err != nil {
		return err
	}
	c.signal()
	if now := c.view.Load(); before != nil && before.primary.host != now.primary.host {
		now.primary.look() // its heartbeat is what the others are measured by, and it may be writable since a moment
	}
	for _, h := range removed {
		_ = h.close() // of idle connections: nobody is waiting for them
	}
	for _, w := range warnings {
		c.warn(context.Background(), w)
	}
	return nil
}

// install puts a checked configuration in place and returns the hosts that are not in it any more.
func (c *Cluster) install(config Config, links []link) (removed []*host, warnings []WarningInfo, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, nil, ErrClosed
	}
	old, primary := c.hosts, c.config.Primary
	c.config, c.hosts = config, nil
	names := make([]string, len(config.Servers))
	for i, s := range config.Servers {
		h := findHost(old, s, links[i])
		if h == nil {
			h = newHost(s.Name, s.DC, links[i])
		}
		h.pool.limit(cmp.Or(s.MaxOpen, defaultMaxOpen), cmp.Or(s.MaxIdle, defaultMaxIdle))
		h.watched.limit(1, 1)
		if c.records[h] == nil {
			c.records[h] = new(record)
		}
		c.hosts = append(c.hosts, h)
		names[i] = s.Name
		warnings = append(warnings, links[i].warnings...)
		if s.Name != config.Primary {
			warnings = append(warnings, c.checkIntervals(s)...)
		}
	}
	for _, h := range old {
		if !slices.Contains(c.hosts, h) {
			removed = append(removed, h)
			delete(c.records, h)
		}
	}
	for i, h := range c.hosts {
		if names[i] == config.Primary && primary != config.Primary {
			c.records[h].probe.ReadOnly = false // that was the replica's; the next look, or the server itself, will say
		}
	}
	c.book.setServers(names, config.Primary)
	c.judgeAll()
	c.publish()
	return removed, warnings, nil
}

func findHost(hosts []*host, s Server, l link) *host {
	for _, h := range hosts {
		if h.name == s.Name && h.dc == s.DC && h.address == l.address && (s.Connector == nil || sameConnector(h.connector.Connector, s.Connector)) {
			return h
		}
	}
	return nil
}

// sameConnector: values that cannot be compared are not the same.
func sameConnector(a, b driver.Connector) bool {
	return reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable() && a == b
}

// checkIntervals warns of a MaxLag that a healthy replica cannot keep.
func (c *Cluster) checkIntervals(s Server) []WarningInfo {
	maxLag := cmp.Or(s.MaxLag, c.opts.MaxLag)
	if c.opts.Engine != nil || c.opts.LagFromReplicaStatus || maxLag < 0 {
		return nil
	}
	if least := 2*cmp.Or(c.opts.Heartbeat.Interval, time.Second) + c.opts.Poll; maxLag < least {
		return []WarningInfo{{Server: s.Name, Kind: WarnConfig, Text: fmt.Sprintf(
			"MaxLag %v is less than twice the heartbeat's interval and the poll interval, %v: a healthy replica may exceed it", maxLag, least)}}
	}
	return nil
}

func (c *Cluster) pollOf(dc string) time.Duration {
	if dc == c.opts.DC {
		return c.opts.Poll
	}
	return c.opts.PollRemote
}

// publish makes a snapshot of what is known; the caller holds the lock.
func (c *Cluster) publish() {
	servers := make([]*server, len(c.hosts))
	for i, h := range c.hosts {
		s, v := c.config.Servers[i], c.records[h].verdict
		servers[i] = &server{
			host: h, config: s, primary: s.Name == c.config.Primary, maxLag: cmp.Or(s.MaxLag, c.opts.MaxLag),
			verdict: v, youngUntil: v.at.Add(3 * c.pollOf(s.DC)),
		}
	}
	c.view.Store(newSnapshot(servers, c.opts.DC, c.runs != nil))
}

// signal tells Run that the servers have changed.
func (c *Cluster) signal() {
	select {
	case c.changed <- struct{}{}:
	default: // it will see
	}
}

// Close ends the cluster: Run returns, waits end, idle connections are closed, and those in use when they come back. It
// returns when Run and the waits have ended, or with the cause of ctx. Close it after what uses it.
func (c *Cluster) Close(ctx context.Context) error {
	c.mu.Lock()
	runs, first := c.runs, !c.closed
	if first {
		c.closed = true
		close(c.ended)
	}
	hosts := c.hosts
	c.mu.Unlock()
	c.end()
	var errs []error
	for r := range c.handles {
		errs = append(errs, c.handles[r].close())
	}
	for _, h := range hosts {
		errs = append(errs, h.close())
	}
	idle := make(chan struct{})
	go func() {
		defer close(idle)
		c.waiters.Wait()
		if runs != nil {
			<-runs
		}
	}()
	select {
	case <-idle:
	case <-ctx.Done():
		errs = append(errs, fmt.Errorf("rdbms: cluster %s: closing: %w", c.name, context.Cause(ctx)))
	}
	return errors.Join(errs...)
}

func (c *Cluster) isClosed() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}
