package rdbms

import (
	"context"
	"database/sql"

	"github.com/multidc/multidc/rdbms/heartbeat"
)

// Engine answers for one kind of database server. The built-in one knows MariaDB and MySQL; with [Options.Engine] a
// cluster takes another. rdbmstest.TestEngine is its conformance suite.
//
// The cluster owns the monitor, the judging of lag, the pick, the waits and the breakers. Connections that it hands to
// an Engine are used by nobody else meanwhile, and are never in a transaction. A position is text that only the Engine
// understands: printable ASCII, at most 4 KiB, with a prefix that names its form; a text of another form, or a
// malformed one, is an error. All methods are called from several goroutines.
//
// A connection that broke (driver.ErrBadConn, io.EOF, errors of net and of TLS) is the cluster's matter: return such
// errors as they are, wrapped or not.
type Engine interface {
	// Probe reads what the monitor wants to know, of any server. It gets the monitor's own connection.
	Probe(ctx context.Context, conn *sql.Conn) (Probe, error)
	// Written returns a position that includes everything committed on this server, which is the primary, or was when it
	// took the commits in question; "" if it has none.
	Written(ctx context.Context, conn *sql.Conn) (string, error)
	// Applied returns the position that reads on this server include; "" if it has none.
	Applied(ctx context.Context, conn *sql.Conn) (string, error)
	// Reached reports whether a server that has applied have has all of want. Pure.
	Reached(have, want string) (bool, error)
	// Merge returns a position that includes both. Pure.
	Merge(a, b string) (string, error)
	// Classify says what an error means that a server answered.
	Classify(err error) Fault
}

// Probe is what one look at a server gave.
type Probe struct {
	Identity string            // changes when the server restarts or is rebuilt: what was known of it is dropped then
	ServerID uint32            // that of its own heartbeat row; 0 = none
	ReadOnly bool              // it refuses the application's writes
	Applied  string            // as Engine.Applied
	Beats    heartbeat.Reading // the heartbeat rows as read, unjudged; without any:
	Lag      Lag               // what the server itself says
	Notes    []string          // for Explain
}

// Fault is what an error of a server means.
type Fault int

// The faults.
const (
	FaultStatement Fault = iota // the statement's own: the server is well
	FaultServer                 // the server is not well; counts in its breaker
	FaultReadOnly               // the server is read-only
)
