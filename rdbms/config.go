package rdbms

import (
	"database/sql/driver"
	"log/slog"
	"time"

	"github.com/multidc/multidc/rdbms/heartbeat"
)

// Config names the servers of a cluster.
type Config struct {
	Name    string // of the cluster, [a-z0-9-]{1,32}: it ends up in positions' owners, errors and events
	Primary string // the name of the server that takes the writes
	Servers []Server
}

// Server is one database server.
type Server struct {
	Name string // unique in its cluster, [A-Za-z0-9._-]{1,64}
	DC   string // where it stands

	// DSN says how to reach it, in the form of github.com/go-sql-driver/mysql; a timeout for connecting is 3 s unless it
	// says otherwise. Or give a Connector; with Options.Engine it must be that. Exactly one of the two.
	DSN       string
	Connector driver.Connector

	Encrypted      bool // with Connector: its connections are encrypted, and the server's certificate is verified
	AllowPlaintext bool // in another DC: the link is encrypted below, so the connection need not be

	Weight int            // share of the reads that name no group; 0 = 1 for a replica without Groups, else none; negative = none
	Groups map[string]int // group to weight, at least 1: for reads under WithGroup

	MaxLag           time.Duration // 0 = Options.MaxLag; negative = a static or delayed copy on purpose, its lag is never tested
	MaxOpen, MaxIdle int           // connections to this server; 0 = 100, 10
	Drained          bool          // no new use; what runs may finish
}

// Options are how this process uses a cluster. Only DC is required.
type Options struct {
	DC     string // where this process runs
	Engine Engine // nil = MariaDB and MySQL, told apart by their version

	// Heartbeat says where the heartbeat rows are; the zero Source is the primary's row in heartbeat.heartbeat, written
	// every second. LagFromReplicaStatus asks SHOW REPLICA STATUS instead: whole seconds, and a right that most
	// applications' accounts lack. Both are for the built-in Engine only.
	Heartbeat            heartbeat.Source
	LagFromReplicaStatus bool

	Poll       time.Duration // between two looks at a server of this DC, ± 20 %; 0 = 1 s
	PollRemote time.Duration // likewise, of another DC; 0 = 5 s
	MaxLag     time.Duration // a replica further behind is read only if no other is left; 0 = 6 s. MaxLag + Poll must not exceed wanobjectcache's MaxReadLag (7 s)

	StrictGroup     bool    // a group without usable servers fails; else the servers without a group serve it
	NoRemoteReads   bool    // no reads in other DCs
	StrictStaleness bool    // WithMaxStaleness that no replica meets is ErrTooStale; else the primary is read, within PrimaryShare
	PrimaryShare    float64 // of the recent reads, how many may go to the primary that did not ask for it; 0 = 0.05; negative = none; at most 1

	Wait       time.Duration // for a replica to reach the required position; 0 = 1 s, at most 10 s; negative = none
	OnTimeout  TimeoutPolicy // what a read does when it did not; "" = OnTimeoutPrimary
	MaxWaiters int           // reads that wait for one replica at a time, one more does not wait; 0 = 256

	ClusterReason func() string // why the application takes no writes, "" = it does; must be fast: switchover.State.ClusterReason
	Enforce       bool          // a write in phase GET fails instead of being reported only

	Logger *slog.Logger // nil = discard
	Events Events
	Now    func() time.Time // stamps asOf, nothing else; nil = time.Now
}

// TimeoutPolicy says what a read does when no replica reaches the required position in time.
type TimeoutPolicy string

// The policies.
const (
	OnTimeoutPrimary TimeoutPolicy = "primary" // read the primary, within Options.PrimaryShare; else as OnTimeoutStale
	OnTimeoutStale   TimeoutPolicy = "stale"   // read the replica, and say so: Served.Lagged
	OnTimeoutError   TimeoutPolicy = "error"   // fail with ErrNotCaughtUp
)

// Phase says what the statements of a request may do.
type Phase string

// The phases. Any other name limits nothing.
const (
	PhaseAny          Phase = ""              // everything; by WithPhase it exempts what runs under that context
	PhaseGET          Phase = "GET"           // a write, or a read that asks for the primary, is a violation
	PhasePostSendGET  Phase = "PostSend-GET"  // likewise
	PhasePOSTNonWrite Phase = "POST-nonwrite" // promised not to write and was routed near: a write fails
)
