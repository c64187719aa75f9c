package rdbmstest

import (
	"maps"
	"time"
)

// Knobs are the state of one server, as [Cluster.Set] changes it. What is set stays until it is set otherwise.
type Knobs struct {
	// ReadOnly: the application's writes are refused with error 1290. Off on the first server, on on the others.
	ReadOnly bool

	// Lag is how long after its source this server has what was written, so the lags along a chain add up. LagOf says
	// otherwise for single origins: the servers where something was written first, by name. Jitter is added to both,
	// up to so much for each event, by the seed. Events keep their order. A lag that is raised shows as it grows: at
	// once there is nothing new, and what was there stays.
	Lag    time.Duration
	LagOf  map[string]time.Duration
	Jitter time.Duration

	// Stopped are the origins whose events do not arrive here, nor further down the chain; the others' go on. With
	// StopApplying none does: the SQL thread is stopped. What was missed comes when the knob is cleared.
	Stopped      map[string]bool
	StopApplying bool

	// Beats: its heartbeat writer runs, which rewrites the server's own row every BeatEvery (0 = 1 s) with the server's
	// own clock, on a read-only server too. On on the first server and on those that follow each other.
	Beats     bool
	BeatEvery time.Duration

	// BeatRows changes the heartbeat rows on the way to the client: now is the server's clock. nil = as they are.
	BeatRows func(now time.Time, rows []BeatRow) []BeatRow
	// BeatErrno answers who reads the heartbeat table: 1146 = the table is not there, 1142 = no right to it.
	BeatErrno uint16

	// Skew is how far the server's clock is ahead.
	Skew time.Duration

	// MySQL: it answers as MySQL 8.0 does, and refuses MariaDB's variables. Else it is MariaDB 10.11.
	MySQL bool
	// Variables are further variables, or other values, by their names without @@; Status likewise the columns of SHOW
	// REPLICA STATUS. Status columns with the value "NULL" are NULL.
	Variables map[string]string
	Status    map[string]string

	// Latency is how long each statement takes, ConnectLatency each connect.
	Latency, ConnectLatency time.Duration
	// Hang: statements take until their context ends, which costs the connection, or the knob is cleared. A ROLLBACK
	// does not wait; it loses the connection. HangConnects: likewise for connects.
	Hang, HangConnects bool

	// Down: the server is not there. Its connections are lost, connects are refused, it neither beats nor applies.
	// Cleared, it has started anew.
	Down bool
	// Refuse: connects are refused by its host, as a *net.OpError. Connections that there are live on.
	Refuse bool
	// ConnectError is what connects fail with; nil = they do not. MaxConnections is how many connections there may be,
	// further connects fail with error 1040; 0 = any number.
	ConnectError   error
	MaxConnections int

	// Faults are what goes wrong with statements. Of those that match a statement the first happens.
	Faults []Fault
}

// Fault is what goes wrong with a statement. What is not set does not happen.
type Fault struct {
	// Match is a text that the statement contains; "" = every statement. Calls that are no statements in database/sql
	// are called START TRANSACTION, START TRANSACTION READ ONLY, COMMIT, ROLLBACK and PING.
	Match string
	Times int // after so many statements the fault is gone; 0 = never

	Errno uint16 // the statement is not run, the answer is a *mysql.MySQLError with this number
	Err   error  // the statement is not run, the answer is this error
	Lose  Loss   // the connection is lost
}

// Loss says when a connection is lost.
type Loss int

// The losses. What the client sees is what go-sql-driver makes of them.
const (
	_          Loss = iota
	LoseUnsent      // before the statement is sent: driver.ErrBadConn
	LoseUnrun       // the statement is sent, and not run: mysql.ErrInvalidConn
	LoseAnswer      // the statement is run, the answer does not come: mysql.ErrInvalidConn
)

// BeatRow is a row of the heartbeat table. The columns shard and datacenter are there if a row has one of them.
type BeatRow struct {
	ServerID          uint32
	TS                any // a string, or nil for NULL
	Shard, Datacenter string
}

// Counts are what clients did to a server since New, [Cluster.Admin] apart.
type Counts struct {
	Connects    int // connections that were asked for, also in vain
	Refused     int // of these those that failed, for whatever reason
	Open        int // connections now
	MostOpen    int // connections at one time, at most
	Running     int // statements under way now
	MostRunning int // statements under way at one time, at most

	Reads  int // SELECTs of data, prepared or not
	Writes int // statements that change data, whether they succeeded or not
	Looks  int // what asks for the server's state alone: variables, status
	Beats  int // reads of the heartbeat table

	Begins, Commits, Rollbacks, Prepares, Pings int

	Queries map[string]int // every statement, by its text; those of transactions and pings as Fault.Match has them
}

func (c Counts) clone() Counts {
	c.Queries = maps.Clone(c.Queries)
	return c
}
