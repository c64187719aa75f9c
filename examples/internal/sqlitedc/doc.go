// Package sqlitedc gives a program two datacenters' databases without a server: two SQLite files in one
// directory, one per DC, of which one takes the writes and the other follows after a settable lag.
//
// It is for demonstrations and tests. An application written against it meets what it will meet with real
// replication: a replica that is behind, a DC that cannot write, a link that can be cut, an edit that is not
// here yet. It is one process, one directory, one disk: it protects nothing against the loss of a machine, and
// nobody should keep data in it that they need. There is one primary, which can be moved, and no failover.
//
// # Model
//
// Every statement committed in the primary DC is written, with its arguments, to a log table of the same file, in
// the same SQLite transaction: what is committed is logged, and what is rolled back, or failed, is not. Statements
// are numbered from 1 without gaps. The number of the last one is a database's position (table multidc_position);
// it has reached a position when its own number is at least that. [Cluster.Run] replays the log onto the other
// file, transaction by transaction, once the lag has passed. What a transaction did, its rows in the log and the
// new position are committed there at once, so each is applied exactly once, also after a crash between any two
// steps.
//
// Both files keep the log rows under the same numbers with the same origin, down to what both have applied. So
// either can be the primary: [Cluster.SetPrimary] stops the writes, lets the other have what is missing, and turns the
// replay round. If the two disagree, or a number is missing, Run ends with [ErrDiverged] and touches nothing.
//
// [Engine] tells package rdbms about the databases: their positions, how far the replica is behind, which of them takes
// no writes.
//
// # The link
//
// [Cluster.Connector] leads to a database as it is seen from a DC. Seen from its own DC it is always there. Seen from the
// other it is behind the link: after [Cluster.Cut] new connections fail, open ones fail at their next statement or
// commit, and stay dead after [Cluster.Heal], as a TCP connection would. Once Cut has returned nothing crosses any
// more; a transaction that had not committed by then is rolled back.
//
// # What a statement may not do
//
// What is replayed has to give the same result on the other file. Statements are therefore refused, with an error
// that says what to do instead, if they use functions of time or chance (datetime, random, CURRENT_TIMESTAMP, also
// as a column's default), functions that depend on the connection (last_insert_rowid, changes), or anything that
// steps outside a logged transaction: PRAGMA, ATTACH, VACUUM, BEGIN, SAVEPOINT, temporary tables. Query never
// writes, not even by INSERT … RETURNING: what it did would be missing from the log. Arguments of type time.Time
// are stored in UTC. INSERT … SELECT without ORDER BY numbers its rows as SQLite finds them: give it an order.
package sqlitedc
