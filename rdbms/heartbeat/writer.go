package heartbeat

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"
)

// WriterOptions are what Writers differ in.
type WriterOptions struct {
	Table             string        // database.table, created if it is not there; "" = heartbeat.heartbeat
	Interval          time.Duration // between two beats, at least 10 ms; 0 = 1 s
	WriteWhenReadOnly bool          // beat on a server with read_only on too; the account needs READ_ONLY ADMIN
	Logger            *slog.Logger  // told when the Writer begins to beat, pauses and fails; nil = nobody
}

// Writer beats: it writes the heartbeat row of one server. Of the Writers of one server and table one beats, the others
// stand by.
type Writer struct {
	db                *sql.DB
	table, lock       string // as they stand in SQL
	interval          time.Duration
	writeWhenReadOnly bool
	logger            *slog.Logger
	running           atomic.Bool
}

// NewWriter makes a Writer for the server that db leads to. It does no I/O. db stays yours to close, after Run.
func NewWriter(db *sql.DB, options *WriterOptions) (*Writer, error) {
	var o WriterOptions
	if options != nil {
		o = *options
	}
	if db == nil {
		return nil, errors.New("heartbeat: NewWriter needs a *sql.DB of the server to write on")
	}
	table, err := quoted(o.Table)
	if err != nil {
		return nil, fmt.Errorf("heartbeat: WriterOptions.Table: %w", err)
	}
	if err := checkInterval(o.Interval); err != nil {
		return nil, fmt.Errorf("heartbeat: WriterOptions.Interval: %w", err)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Writer{
		db: db, table: table, lock: lockName(cmp.Or(o.Table, defaultTable)),
		interval: cmp.Or(o.Interval, defaultInterval), writeWhenReadOnly: o.WriteWhenReadOnly,
		logger: o.Logger.With("table", cmp.Or(o.Table, defaultTable)),
	}, nil
}

// lockName is short whatever the table's name is: a lock's name may have 64 characters.
func lockName(table string) string {
	sum := sha256.Sum256([]byte(table))
	return "multidc-hb." + hex.EncodeToString(sum[:])[:16]
}

// Run beats until ctx ends and returns its cause. What fails on the way is logged and tried again, on a new connection
// and after 100 ms that double to 5 s: a heartbeat has nobody who could handle its errors. A second Run of the same
// Writer is an error.
func (w *Writer) Run(ctx context.Context) error {
	if !w.running.CompareAndSwap(false, true) {
		return errors.New("heartbeat: this Writer is running already")
	}
	defer w.running.Store(false)
	var said complaint
	for failures := 0; ctx.Err() == nil; {
		worked, err := w.connection(ctx)
		if worked {
			failures = 0
		}
		if ctx.Err() == nil && said.isNew(err) {
			w.logger.WarnContext(ctx, "heartbeat: not beating, trying again", "error", err)
		}
		failures++
		pause(ctx, backoff(failures))
	}
	return fmt.Errorf("heartbeat: writer stopped: %w", context.Cause(ctx))
}

// backoff is how long to wait after so many failures in a row, ± 20 %: Writers that lost a server together do not
// return together.
func backoff(failures int) time.Duration {
	const first, most = 100 * time.Millisecond, 5 * time.Second
	wait := min(first<<min(failures-1, 10), most)
	return wait + time.Duration((rand.Float64()-0.5)*0.4*float64(wait)) //nolint:gosec // it parts crowds, and guards no secret
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// complaint remembers what was logged last, so that a server that is down for a day does not fill the log.
type complaint struct {
	text string
	at   time.Time
}

func (c *complaint) isNew(err error) bool {
	// The numbers of ports and connections differ each time.
	text := strings.Map(func(r rune) rune {
		if '0' <= r && r <= '9' {
			return -1
		}
		return r
	}, err.Error())
	if text == c.text && time.Since(c.at) < time.Minute {
		return false
	}
	c.text, c.at = text, time.Now()
	return true
}
