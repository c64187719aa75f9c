package rdbms

import (
	"context"
	"time"
)

// Events are called as things happen, from the goroutine that noticed: return soon. Nil fields are legal.
type Events struct {
	OnServer    func(context.Context, ServerInfo)   // health, reason of the lag, breaker or identity of a server changed
	OnRead      func(context.Context, ReadInfo)     // a read left the normal path
	OnWaited    func(context.Context, WaitInfo)     // a read waited for a position
	OnWrote     func(context.Context, WriteInfo)    // a scope wrote: once for each commit. Wire dcroute's MarkWrite to it
	OnRefused   func(context.Context, WriteInfo)    // a write was refused: read-only, phase, Replica
	OnViolation func(context.Context, WriteInfo)    // a statement broke the promise of its phase; once for a scope and kind
	OnReadOnly  func(context.Context, ReadOnlyInfo) // the cluster became read-only, or writable
	OnWarning   func(context.Context, WarningInfo)  // something to be looked at, at most once a minute for each kind and server
}

// ReadInfo goes with Events.OnRead.
type ReadInfo struct {
	Cluster, Group, Server string
	Path                   ReadPath
	Lag                    Lag   // of the server that was read
	Err                    error // for ReadMoved: why the first server was left
}

// ReadPath says how a read left the normal path.
type ReadPath string

// The paths.
const (
	ReadLagged  ReadPath = "lagged"  // a replica that lags too far, or whose lag is unknown, was read
	ReadPrimary ReadPath = "primary" // the primary was read, which was not asked for
	ReadGroup   ReadPath = "group"   // no server of the group is usable: the servers without a group are read
	ReadMoved   ReadPath = "moved"   // a server failed, another was read
)

// WaitInfo goes with Events.OnWaited.
type WaitInfo struct {
	Cluster, Server string
	Waited          time.Duration
	Reached         bool
}

// WriteInfo goes with Events.OnWrote, OnRefused and OnViolation.
type WriteInfo struct {
	Cluster, Server string
	Query           string // literals replaced, at most 200 bytes; "" for a commit
	Caller          string // file:line of the caller outside of database/sql and this package; only with OnRefused and OnViolation
	Phase           Phase
	AsOf            time.Time // with OnWrote: by Options.Now, after the commit
	Err             error     // with OnRefused: what the caller got
}

// ReadOnlyInfo goes with Events.OnReadOnly.
type ReadOnlyInfo struct {
	Cluster, Reason string // Reason "" = writable again
	Source          ReadOnlySource
}

// WarningInfo goes with Events.OnWarning.
type WarningInfo struct {
	Cluster, Server string // Server "" = the cluster as a whole
	Kind            Warning
	Text            string
}

// Warning is a kind of warning.
type Warning string

// The warnings.
const (
	WarnConfig        Warning = "config"         // settings that do not go together
	WarnPlaintext     Warning = "plaintext"      // a server in another DC is reached without verified TLS, as AllowPlaintext says
	WarnDSN           Warning = "dsn"            // a parameter of the DSN was changed
	WarnSkew          Warning = "skew"           // the clocks disagree by more than 500 ms; lag is right nevertheless
	WarnSourceStale   Warning = "source stale"   // the origin's heartbeat row is not rewritten any more
	WarnSourceSuspect Warning = "source suspect" // the origin cannot be read, and its row stands still on all replicas
	WarnNoHeartbeat   Warning = "no heartbeat"   // the server shows no heartbeat: no table, no right to it, no row
	WarnRewound       Warning = "rewound"        // a server has an older position than before, or was restarted or rebuilt
)

// Health is the state of a server, as this process sees it.
type Health string

// The states.
const (
	HealthFresh    Health = "fresh"    // reads go there
	HealthDegraded Health = "degraded" // its lag is too large or unknown
	HealthDown     Health = "down"     // its breaker is open
	HealthProbing  Health = "probing"  // its breaker lets one try through
	HealthDrained  Health = "drained"
)
