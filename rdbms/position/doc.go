// Package position compares and merges replication positions: it answers "does this replica already have that
// write?" from texts that the servers give, without a server, a clock or a goroutine.
//
// # Model
//
// A position names a set of transactions. MariaDB names it by the last transaction of each replication domain
// (0-1-10: domain 0, written by server 1, sequence number 10; all earlier ones of the domain are included), MySQL by
// the intervals of transaction numbers of each server (3e11fa47-…:1-5:7-9). A [Position] is a value of either
// flavour, or the zero Position: no transactions at all.
//
//   - [ParseMariaDB] and [ParseMySQL] read what a server says of itself (@@gtid_binlog_pos, @@gtid_slave_pos,
//     @@gtid_current_pos; @@gtid_executed).
//   - [Position.String] and [Parse] carry a position through a cookie, a header or a store. The text names its flavour
//     and version; FORMAT.md describes it byte by byte.
//   - [Reached] asks whether one position includes another, [Merge] makes the one that includes both.
//   - [Position.Only] keeps one history of it. Do so when you capture a write: a wait for a history that somebody else
//     writes is a wait for somebody else.
//
// # Guaranteed
//
//   - Reached is true only if every wanted transaction is included. A MariaDB domain that is missing is not reached, a
//     gap in a MySQL set is a gap, and two flavours are an error, never true.
//   - MariaDB's order is that of the sequence numbers; the server's id plays no part, as in the server's own
//     MASTER_GTID_WAIT.
//   - Merge is idempotent, commutative and associative, and includes both of its arguments.
//   - Equal positions have equal texts, and a text that was parsed gives the same position again.
//   - Sizes are bounded: [MaxText] bytes, and 32 domains with MariaDB. What is larger is an error: go without a
//     position then, and bound the age of your reads instead.
//   - No function panics, whatever it is given, and a Position never changes: share it between goroutines at will.
//
// # Not guaranteed
//
//   - Nothing here knows whether two servers' histories have diverged: after a failover that lost writes, 0-1-9 and
//     0-2-9 are different transactions of which each "reaches" the other, as MariaDB sees it too.
//   - Positions by binlog file and offset are not understood; they compare on one server only.
//
// # Quickstart
//
// After a write read the primary's position; before a read of a replica ask it for its own.
//
//	wrote, err := position.ParseMariaDB(gtidBinlogPos) // SELECT @@gtid_binlog_pos, on the primary
//	if err != nil {
//		return err
//	}
//	cookie := wrote.Only(gtidDomainID).String() // SELECT @@gtid_domain_id: "m1:0-1-10"
//
//	want, err := position.Parse(cookie) // in the next request
//	if err != nil {
//		return err
//	}
//	have, err := position.ParseMariaDB(gtidSlavePos) // SELECT @@gtid_slave_pos, on the replica
//	if err != nil {
//		return err
//	}
//	fresh, err := position.Reached(have, want)
package position
