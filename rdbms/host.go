package rdbms

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/multidc/multidc/internal/breaker"
)

// host is a server as this process uses it. It lives as long as the server's name and address stay the same; what the
// configuration says of it besides is in the snapshot.
type host struct {
	name, dc  string
	address   string // tells one address from another; never shown, it has the password
	connector *hostConnector

	pool    pool // the callers' connections
	watched pool // the monitor's

	breaker    breaker.Breaker
	inFlight   atomic.Int64
	latency    latency
	generation atomic.Uint64 // rises when the server's connections must not be kept any more
	applied    atomic.Pointer[appliedMark]
	waiting    waiting

	looking chan struct{} // one probe at a time
	kick    chan struct{} // look now
}

func newHost(name, dc string, l link) *host {
	now := time.Now()
	connector := &hostConnector{Connector: l.connector, timeout: l.timeout, begun: now}
	return &host{
		name: name, dc: dc, address: l.address, connector: connector, latency: latency{begun: now},
		pool: pool{connector: connector}, watched: pool{connector: l.connector},
		looking: make(chan struct{}, 1), kick: make(chan struct{}, 1),
	}
}

// appliedMark is the newest position that a server is known to have, and when that was read.
type appliedMark struct {
	text, identity string
	began, ended   time.Time // of the question
}

// renew lets no connection that is open now serve again: idle ones are closed, borrowed ones when they come back.
func (h *host) renew() {
	h.generation.Add(1)
	h.pool.closeIdle()
}

// look asks the monitor to probe the server now.
func (h *host) look() {
	select {
	case h.kick <- struct{}{}:
	default: // it will
	}
}

func (h *host) close() error {
	err := h.pool.close()
	if e := h.watched.close(); err == nil {
		err = e
	}
	return err
}

// hostConnector opens the connections of one server. It knows when it made the last one: a server can only have been
// restarted since an observation if there is a connection younger than that.
type hostConnector struct {
	driver.Connector

	timeout time.Duration // of connecting, handshake included
	begun   time.Time
	last    atomic.Int64 // nanoseconds since begun
}

// errSlowConnect is a failure of the server, unlike the end of the caller's context.
var errSlowConnect = errors.New("rdbms: connecting took too long")

// Connect implements driver.Connector.
func (c *hostConnector) Connect(ctx context.Context) (driver.Conn, error) {
	within, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	conn, err := c.Connector.Connect(within)
	if err == nil {
		c.last.Store(int64(time.Since(c.begun)))
		return conn, nil
	}
	if ctx.Err() == nil && within.Err() != nil {
		return nil, fmt.Errorf("%w: more than %v: %w", errSlowConnect, c.timeout, err)
	}
	return nil, err
}

// connectedSince reports whether a connection was made after a moment.
func (c *hostConnector) connectedSince(t time.Time) bool {
	return c.last.Load() >= int64(t.Sub(c.begun))
}

// pool is a *sql.DB that is opened by its first user, for sql.OpenDB starts a goroutine, and New must not.
type pool struct {
	connector driver.Connector

	db            atomic.Pointer[sql.DB]
	mu            sync.Mutex
	maxOpen, idle int
	closed        atomic.Bool
}

func (p *pool) limit(maxOpen, idle int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.maxOpen, p.idle = maxOpen, idle
	if db := p.db.Load(); db != nil {
		db.SetMaxOpenConns(maxOpen)
		db.SetMaxIdleConns(idle)
	}
}

// open returns the *sql.DB: a closed one after close.
func (p *pool) open() *sql.DB {
	if db := p.db.Load(); db != nil {
		return db
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if db := p.db.Load(); db != nil {
		return db
	}
	db := sql.OpenDB(p.connector)
	db.SetMaxOpenConns(p.maxOpen)
	db.SetMaxIdleConns(p.idle)
	if p.closed.Load() {
		_ = db.Close() // it has no connection
	}
	p.db.Store(db)
	return db
}

// errPoolClosed: the server has been taken out of the configuration, or the cluster was closed.
var errPoolClosed = errors.New("rdbms: the server is not in use any more")

// conn borrows a connection.
func (p *pool) conn(ctx context.Context) (*sql.Conn, error) {
	conn, err := p.open().Conn(ctx)
	if err != nil && p.closed.Load() {
		return nil, errPoolClosed
	}
	return conn, err
}

func (p *pool) closeIdle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if db := p.db.Load(); db != nil {
		db.SetMaxIdleConns(-1)
		db.SetMaxIdleConns(p.idle)
	}
}

func (p *pool) stats() (s sql.DBStats) {
	if db := p.db.Load(); db != nil {
		s = db.Stats()
	}
	return s
}

// close closes the idle connections; a borrowed one works on and is closed when it comes back.
func (p *pool) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed.Store(true)
	if db := p.db.Load(); db != nil {
		return db.Close()
	}
	return nil
}

// latency is a moving average over the last seconds. What nobody measures any more is forgotten, so that a server that
// was slow is tried again.
type latency struct {
	begun time.Time
	bits  atomic.Uint64 // float64, nanoseconds
	at    atomic.Int64  // of the last sample, nanoseconds since begun
}

const (
	latencyMemory = 2 * time.Second  // the weight of a sample falls to 1/e in so long
	latencyGrace  = 5 * time.Second  // without a sample the average holds so long,
	latencyFade   = time.Second      // then it falls to 1/e in so long,
	latencyEnd    = 10 * time.Second // and here it is forgotten
)

func (l *latency) add(now time.Time, sample time.Duration) {
	at := int64(now.Sub(l.begun))
	last := l.at.Swap(at)
	value := math.Float64frombits(l.bits.Load())
	age := time.Duration(at - last)
	if value == 0 || age > latencyEnd {
		value = float64(sample)
	} else {
		keep := math.Exp(-float64(max(age, 0)) / float64(latencyMemory))
		keep = min(keep, 0.99) // a thousand samples a second count too
		value = value*keep + float64(sample)*(1-keep)
	}
	l.bits.Store(math.Float64bits(value))
}

// now is the average; 0 = not known.
func (l *latency) now(now time.Time) float64 {
	value := math.Float64frombits(l.bits.Load())
	if value == 0 {
		return 0
	}
	age := time.Duration(int64(now.Sub(l.begun)) - l.at.Load())
	switch {
	case age <= latencyGrace:
		return value
	case age > latencyEnd:
		return 0
	}
	return value * math.Exp(-float64(age-latencyGrace)/float64(latencyFade))
}
