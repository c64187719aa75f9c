package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// databases is what the wiki needs of the databases of its two datacenters, whichever they are.
type databases interface {
	dc(name string) database
	dialect() dialect
	run(ctx context.Context) error // what replicates, until ctx ends
	close() error

	state(ctx context.Context) clusterState
	setLag(ctx context.Context, d time.Duration) error
	cut(ctx context.Context) error
	heal(ctx context.Context) error

	// classify wraps an error of a statement, or of a Commit, in errUnavailable or errUnknownOutcome if it is one.
	classify(err error, commit bool) error
}

// database is what one datacenter's application uses.
type database struct {
	read     *sql.DB // near, maybe behind
	readName string
	write    *sql.DB // the primary's, from another DC across the link
	age      func(context.Context) age
}

// age says how old what is read may be. The zero value is: not known.
type age struct {
	Known bool
	Value time.Duration // an upper bound
}

// Current: what is read includes everything that was committed before.
func (a age) Current() bool { return a.Known && a.Value == 0 }

// String rounds upwards: it is a bound.
func (a age) String() string {
	if !a.Known {
		return "unknown"
	}
	if a.Value < time.Minute {
		return fmt.Sprintf("%.1f s", (a.Value + 50*time.Millisecond - 1).Seconds())
	}
	return (a.Value + time.Second - 1).Truncate(time.Second).String()
}

func since(t time.Time) age {
	if t.IsZero() {
		return age{}
	}
	return age{Known: true, Value: max(time.Since(t), 0)}
}

// clusterState is shown on /_dc.
type clusterState struct {
	Engine  string
	Link    string // open, cut, unknown
	Lag     time.Duration
	LagIs   string // what the lag is a lag of
	Problem string // why replication does not run
	DCs     []dcState
}

// dcState is one datacenter's part of it.
type dcState struct {
	Name, Reads, Writes string
	Primary             bool
	Position, Behind    string
	Age                 age
	Problem             string
}

var (
	errUnavailable    = errors.New("the primary datacenter cannot be reached")
	errUnknownOutcome = errors.New("the connection broke while the edit was being saved")
)
