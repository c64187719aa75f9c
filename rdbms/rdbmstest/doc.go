// Package rdbmstest helps to test what is built on rdbms: a fake cluster of database servers, and the conformance suites
// of the interfaces that others may implement.
//
// # A fake cluster
//
// [New] makes servers that answer rdbms, and your statements on one small table, without sockets, goroutines or a clock
// of their own. So a test runs in a bubble of testing/synctest, where a minute of replication lag takes no time:
//
//	func TestOwnWriteIsSeen(t *testing.T) {
//		synctest.Test(t, func(t *testing.T) {
//			fake := rdbmstest.New(t,
//				rdbmstest.Server{Name: "db1", DC: "a"}, // the primary
//				rdbmstest.Server{Name: "db2", DC: "a"},
//				rdbmstest.Server{Name: "db3", DC: "b", From: "db2"})
//			fake.Set("db2", func(k *rdbmstest.Knobs) { k.Lag = 300 * time.Millisecond })
//			cluster, err := rdbms.New(fake.Config(), &rdbms.Options{DC: "a"})
//			if err != nil {
//				t.Fatal(err)
//			}
//			defer cluster.Close(t.Context())
//			ctx := rdbms.WithScope(t.Context())
//			if _, err := cluster.Primary().ExecContext(ctx, "REPLACE INTO kv VALUES (?, ?)", "page", "new"); err != nil {
//				t.Fatal(err)
//			}
//			var text string
//			err = cluster.Replica().QueryRowContext(ctx, "SELECT v FROM kv WHERE k = ?", "page").Scan(&text)
//			if err != nil || text != "new" {
//				t.Errorf("%q, %v", text, err)
//			}
//		})
//	}
//
// Every server has a log and what it has applied of the others' logs. An event that was written at a time is on a
// follower Lag later, on its follower later by that one's Lag too, unless a stream is stopped. On the primary, and on both
// of a circular pair, a heartbeat row is rewritten every second by the server's clock, and replicates like any write: it
// moves the positions too. server_id is 11 for the first server, 12 for the second and so on; each DC has a
// gtid_domain_id.
//
// [Cluster.Set] turns the [Knobs] of a server: lag, stopped streams, a clock that is wrong, slow or hanging or refused
// answers, lost connections, read_only, a dead heartbeat writer, MySQL instead of MariaDB. [Cluster.Promote],
// [Cluster.Restart] and [Cluster.Rebuild] do what operators do. [Cluster.Counts] tells what arrived at a server.
//
// # Statements
//
// Built in is the table kv, with a text k as its key and a text v; values are placeholders or literals:
//
//	REPLACE INTO kv VALUES (?, ?)      INSERT INTO kv (k, v) VALUES (?, ?) [RETURNING v]
//	UPDATE kv SET v = ? WHERE k = ?    DELETE FROM kv WHERE k = ?
//	SELECT v FROM kv WHERE k = ?       SELECT k, v FROM kv [ORDER BY k] [LIMIT ?]
//
// Further SELECT of @@variables (SELECT @@hostname is who answers), @session variables and what rdbms asks, SET, SHOW
// REPLICA STATUS. [Cluster.Handle] answers any other statement, say those of your own tables.
//
// Transactions are REPEATABLE READ: their reads see what there was at their beginning, and what they write is one event,
// at their COMMIT. No rows are locked: of two transactions that write the same the last COMMIT wins. Errors are those of
// go-sql-driver/mysql: a write to a read-only server is a *mysql.MySQLError with Number 1290, a lost connection is
// mysql.ErrInvalidConn, or driver.ErrBadConn where nothing was sent.
//
// # Suites
//
// [TestEngine] is the conformance suite of [rdbms.Engine], [TestStore] that of [switchover.Store]: run them over your
// own.
package rdbmstest
