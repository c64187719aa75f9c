// Package rdbms reads near and fresh, and writes to the one primary: it hands out ordinary *sql.DB values over a primary
// database and its replicas in several datacenters (DCs), and knows how far each replica is behind.
//
// # Model
//
// A [Cluster] knows one primary and its replicas. A monitor ([Cluster.Run]) measures the lag of each. A read gets a server
// that is near, healthy and fresh enough by a decision in memory; a write gets the primary. What the callers hold are
// *sql.DB values ([Cluster.Primary], [Cluster.Replica], [Cluster.Auto]), so sqlx, sqlc, gorm and ent work unchanged.
//
// A request has a scope ([WithScope]): its reads of a group stay on one server, and after it wrote they include what it
// wrote. Positions ([Cluster.Positions]) carry that to the client's next request, wherever that lands; package chronology
// does it.
//
// Lag is measured by heartbeat rows, pt-heartbeat's or those of package heartbeat: on the primary one row is rewritten
// every second, and its age on a replica says how far that is behind. The clocks of client, servers and writer may be
// wrong: the offset is measured on the primary itself and cancels.
//
// # How a server is chosen
//
// Class A is the servers of this DC whose lag is within the limit, class B those of other DCs, the nearest first, class C
// what is degraded: over the limit, or of unknown lag. The first class that is not empty serves. Within it two servers
// are drawn by weight, and the one that answers faster and has less to do is taken. A server that fails three times is
// left alone for a second and more, and then comes back slowly.
//
// # Guaranteed
//
//   - A pick touches no network, takes no lock shared between requests, and allocates nothing.
//   - Unknown lag is never zero. It has a reason, and the reason is shown.
//   - An explicit maximum staleness is kept, or the caller gets the primary or ErrTooStale: never older data in silence.
//   - A required position is reached before the query runs, or the chosen policy shows: primary, flag, or error.
//   - Losing replicas never turns the reads onto the primary; only a named budget of them goes there.
//   - A statement that may have written is never run again. A plain read whose connection breaks is moved to another
//     server, once.
//   - Within one scope a group is read from one server: no jumps back in time.
//   - In read-only mode a write fails before it touches a connection; a demoted server keeps no writers from the pool.
//
// # Not guaranteed
//
//   - Election, failover or promotion: [Cluster.SetServers] is told who the primary is, for example by
//     rdbms/switchover.
//   - Two statements of a scope share a server, not a snapshot. Age bounds staleness only where the replica commits in
//     order.
//   - [Cluster.Auto] reads the statements' text: a SELECT that calls a stored function which writes looks like a read.
//   - Without a heartbeat, and without the right to see the replica status, lag is unknown: reads are served, flagged.
//   - A query that hangs is not moved to another server while it hangs: give its context a deadline.
//
// Proved on MariaDB 10.11. MySQL is built by its documentation and not tested on a server yet. Other servers come through
// [Engine].
//
// # Quickstart
//
//	cluster, err := rdbms.New(rdbms.Config{Name: "main", Primary: "db1", Servers: []rdbms.Server{
//		{Name: "db1", DC: "a", DSN: "app:pw@tcp(10.1.0.1)/wiki"},
//		{Name: "db2", DC: "a", DSN: "app:pw@tcp(10.1.0.2)/wiki"},
//		{Name: "db3", DC: "b", DSN: "app:pw@tcp(10.2.0.1)/wiki?tls=true"},
//	}}, &rdbms.Options{DC: "a"})
//	if err != nil {
//		return err
//	}
//	go cluster.Run(ctx) // watches lag; pt-heartbeat or heartbeat.Writer beats
//
//	ctx := rdbms.WithScope(r.Context()) // once for each request; chronology's middleware does it too
//	_, err = cluster.Primary().ExecContext(ctx, "UPDATE page SET text=? WHERE id=?", text, id)
//	row := cluster.Replica().QueryRowContext(ctx, "SELECT text FROM page WHERE id=?", id) // near, and has the UPDATE
//
// For a report which may be a minute old, or a form which may not be old at all:
//
//	rows, err := cluster.Replica().QueryContext(rdbms.WithMaxStaleness(ctx, time.Minute), "SELECT …")
//	row := cluster.Replica().QueryRowContext(rdbms.WithPrimary(ctx), "SELECT …")
//
// The rules come from MediaWiki's rdbms library (LoadBalancer, LoadMonitor, ChronologyProtector's waits) and from
// power-of-two-choices (Mitzenmacher 2001).
package rdbms
