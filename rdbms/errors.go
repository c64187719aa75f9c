package rdbms

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// The errors to test for with errors.Is. An error that a server answered to a statement is passed on as it is.
var (
	// ErrUnavailable: no server could be reached, each was tried, or none is configured for these reads; or the connection
	// broke, and nothing was written.
	ErrUnavailable = errors.New("rdbms: no server available")
	// ErrUnknownOutcome: the connection broke while a write, or a commit, was under way. It may have happened or not, and
	// was not run again.
	ErrUnknownOutcome = errors.New("rdbms: outcome unknown")
	// ErrOverloaded: every server that could serve was tried in vain a moment ago, and none was tried now.
	ErrOverloaded = errors.New("rdbms: no server to be tried now")
	// ErrTooStale: no server is known to be as fresh as WithMaxStaleness demands.
	ErrTooStale = errors.New("rdbms: no server fresh enough")
	// ErrNotCaughtUp: the replica did not reach the required position in time.
	ErrNotCaughtUp = errors.New("rdbms: replica has not caught up")
	// ErrReadOnly: the cluster takes no writes. Errors that match it are a *ReadOnlyError.
	ErrReadOnly = errors.New("rdbms: read-only")
	// ErrReplicaWrite: a write was given to Cluster.Replica.
	ErrReplicaWrite = errors.New("rdbms: Replica() does not write: use Primary() or Auto()")
	// ErrWriteForbidden: the phase of the request allows no writes.
	ErrWriteForbidden = errors.New("rdbms: write forbidden in this phase")
	// ErrLagUnknown: the lag of a replica is not known.
	ErrLagUnknown = errors.New("rdbms: lag unknown")
	// ErrUnsupported: this cannot be done with a database handle that stands for several servers.
	ErrUnsupported = errors.New("rdbms: not supported")
	// ErrClosed: the cluster was closed.
	ErrClosed = errors.New("rdbms: cluster is closed")
)

// ServersError says which servers could not serve, and why. It is ErrUnavailable if they were tried, ErrOverloaded if
// none was; and it is every cause.
type ServersError struct {
	Cluster, Group string
	Servers        map[string]error // by name
	RetryAfter     time.Duration    // when the next server is tried again; 0 = unknown

	tried bool
}

// Error names the servers and their errors.
func (e *ServersError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v: cluster %s", e.kind(), e.Cluster)
	if e.Group != "" {
		fmt.Fprintf(&b, ", group %s", e.Group)
	}
	for i, name := range slices.Sorted(maps.Keys(e.Servers)) {
		b.WriteString(map[bool]string{true: ": ", false: "; "}[i == 0])
		fmt.Fprintf(&b, "%s: %s", name, causeText(e.Servers[name]))
	}
	if e.RetryAfter > 0 {
		fmt.Fprintf(&b, "; try again in %v", e.RetryAfter.Round(time.Millisecond))
	}
	return b.String()
}

// causeText leaves out what the whole error says already.
func causeText(err error) string {
	var lost *lostError
	if errors.As(err, &lost) {
		return lost.cause.Error()
	}
	return err.Error()
}

func (e *ServersError) kind() error {
	if e.tried {
		return ErrUnavailable
	}
	return ErrOverloaded
}

// Unwrap returns the kind and all causes.
func (e *ServersError) Unwrap() []error {
	all := []error{e.kind()}
	for _, name := range slices.Sorted(maps.Keys(e.Servers)) {
		all = append(all, e.Servers[name])
	}
	return all
}

// ReadOnlySource says who made a cluster read-only.
type ReadOnlySource string

// The sources.
const (
	ReadOnlyCluster ReadOnlySource = "cluster" // Options.ClusterReason
	ReadOnlyServer  ReadOnlySource = "server"  // read_only of the primary
)

// ReadOnlyError says why a write was refused. It is ErrReadOnly.
type ReadOnlyError struct {
	Cluster    string
	Reason     string
	Source     ReadOnlySource
	RetryAfter time.Duration // a guess: 10 s
	Cause      error         // what the server answered; nil = it was not asked
}

// Error says why, and when to try again.
func (e *ReadOnlyError) Error() string {
	text := fmt.Sprintf("%v: cluster %s: %s; try again in %v", ErrReadOnly, e.Cluster, e.Reason, e.RetryAfter)
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

// ReadOnly is true. By it a package that does not know this one can tell what the error means.
func (*ReadOnlyError) ReadOnly() bool { return true }

// Unwrap returns ErrReadOnly and the cause.
func (e *ReadOnlyError) Unwrap() []error {
	if e.Cause == nil {
		return []error{ErrReadOnly}
	}
	return []error{ErrReadOnly, e.Cause}
}
