package chronology

import (
	"context"
	"time"
)

// Cluster is a set of database servers with one writable copy, or one in each DC. rdbms.Cluster.Positions() is one.
//
// A position says how far a server's data are. It is opaque here: printable ASCII, at most 4 KiB; one of a failed-over
// primary must stay meaningful, or be refused.
//
// Three more methods are used where a Cluster has them:
//
//	Lagged(ctx) bool             // a server that has not reached what is required served this request
//	Reached(ctx) (bool, error)   // some near replica is known to have reached what is required; without it: it is
//	Phase(ctx, name string)      // the request's phase: "GET", "PostSend-GET", "POST-nonwrite"
type Cluster interface {
	// Name is the same in every DC, [a-z0-9-]{1,32}.
	Name() string
	// WriterDC is the DC where writes go now; "" = every DC writes its own copy.
	WriterDC() string
	// Attach returns a context that carries a request's state, or ctx if it does already.
	Attach(ctx context.Context) context.Context
	// Require makes the reads of this request include position, which was read at asOf; called again, both are included.
	// "" only limits the lag: the client wrote at asOf. wait is how long a read may wait for a replica, negative = not at all, 0 = the
	// cluster's default; onTimeout is a [TimeoutPolicy]. With an error, as for a malformed position, nothing is required.
	Require(ctx context.Context, position string, asOf time.Time, wait time.Duration, onTimeout string) error
	// Captured returns a position that includes the last commit of this request, and when that was read. Without a commit
	// wrote is false and all else zero. With wrote, "" means that there are no positions, or with an error that it could
	// not be read. It returns when ctx ends.
	Captured(ctx context.Context) (wrote bool, position string, asOf time.Time, err error)
	// Merge returns a position that includes both; an error if they cannot be compared. It does no I/O.
	Merge(a, b string) (string, error)
}

type lagged interface {
	Lagged(ctx context.Context) bool
}

type reacher interface {
	Reached(ctx context.Context) (bool, error)
}

type phaser interface {
	Phase(ctx context.Context, name string)
}

// database is a Cluster with its abilities, probed once.
type database struct {
	Cluster

	name    string
	hash    uint32 // of the name, in tokens
	lagged  lagged
	reacher reacher
	phaser  phaser
}

func newDatabase(c Cluster) *database {
	d := &database{Cluster: c, name: c.Name()}
	d.hash = clusterHash(d.name)
	d.lagged, _ = c.(lagged)
	d.reacher, _ = c.(reacher)
	d.phaser, _ = c.(phaser)
	return d
}
