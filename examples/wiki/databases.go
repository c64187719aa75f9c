package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/multidc/multidc/chronology"
	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/wanobjectcache"
)

// databases are the database servers of the two datacenters, whichever they are, and the cache servers beside them, which
// the same link joins.
type databases interface {
	engine() rdbms.Engine                               // nil = that of MariaDB, which rdbms has
	config(dc, primary string) rdbms.Config             // the servers as dc reaches them
	stores(dc string) (own, other wanobjectcache.Store) // the cache servers likewise; of the other DC's it only purges
	positions(dc string) chronology.Store               // where dc remembers its clients' edits, with -own store
	primary() string                                    // who takes the writes at the start
	promote(ctx context.Context, dc string) error       // returns when dc's server takes the writes
	movable() bool                                      // promote can do it
	dialect() dialect
	run(ctx context.Context) error // what replicates, until ctx ends
	close() error

	link(ctx context.Context) linkState
	setLag(ctx context.Context, d time.Duration) error
	cut(ctx context.Context) error
	heal(ctx context.Context) error

	// classify wraps an error of saving in errUnavailable or errUnknownOutcome if a connection broke, by which the
	// statement, or the Commit, was not answered; and in errConflict if somebody else was faster.
	classify(err error, commit bool) error
}

// linkState is shown on /_dc.
type linkState struct {
	Engine  string
	Link    string // open, cut, unknown
	Lag     time.Duration
	LagIs   string        // what the lag is a lag of
	Latency time.Duration // of whatever crosses the link
	Problem string        // why replication does not run
}

// age says how old data may be: it is a bound, so it is rounded upwards.
func age(l rdbms.Lag) string {
	switch {
	case !l.Known:
		return "not known"
	case l.Value == 0: // the primary's
		return "current"
	case l.Value < time.Minute:
		return fmt.Sprintf("up to %.1f s", (l.Value + 50*time.Millisecond - 1).Seconds())
	}
	return "up to " + (l.Value + time.Second - 1).Truncate(time.Second).String()
}

var (
	errUnavailable    = errors.New("the primary datacenter cannot be reached")
	errUnknownOutcome = errors.New("the connection broke while the edit was being saved")
)
