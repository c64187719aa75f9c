// Package heartbeat reads and writes heartbeat rows: on each primary one row that is rewritten every second with the
// time. By replication it comes to every replica, and how old it is there says how far the replica is behind.
// The table is that of Percona's pt-heartbeat, so either program may write it and either may read it.
//
// # Model
//
// The table (default heartbeat.heartbeat) has one row for each server that writes, by its server_id, with ts, the UTC
// time of its last beat. [Read] fetches all rows of one server together with that server's clock, in one statement,
// and judges nothing: which row counts, and what its age means, is decided by package rdbms, which takes a [Source].
// A [Writer] writes the row of the server that it is connected to.
//
// # Guaranteed
//
//   - A reading is complete and unfiltered: rows with NULL, an empty string, a zero date or any other text for a time
//     are in it as they stand. [ParseTime] refuses them.
//   - Of all Writers of one server and table one writes at a time; when it ends, or loses the server, another takes over
//     within five intervals. One that vanished without closing its connection is given up by the server after 15 intervals,
//     at least 10 s.
//   - A time that was written is never younger than the commit that carries it, so lag is never understated by it.
//     Times are written as literals: a replica does not compute its own.
//   - A server with read_only on is not written to, unless asked for.
//   - A Writer never deletes a row and never uses REPLACE: under row-based replication either can stop a replica that
//     has not the same rows.
//   - A beat that comes too late is left out, never caught up with.
//
// # Not guaranteed
//
//   - Clocks: a row has the clock of the server that wrote it. pt-heartbeat writes that of its own host, in local time
//     unless started with --utc.
//   - A Writer is not an election: on two writable servers two Writers beat, each its own row.
//   - Columns beside ts and server_id are left alone. If you name an [Origin] by shard or datacenter, set these two
//     columns once by hand.
//
// # Rights
//
// Reading needs SELECT on the table. Writing needs SELECT, INSERT and UPDATE on it, CREATE if the table is not there,
// and READ_ONLY ADMIN for [WriterOptions.WriteWhenReadOnly].
//
// # Quickstart
//
// Give the Writer a plain *sql.DB of one server, one that no one else moves to another: it takes one connection of it
// for as long as it runs.
//
//	db, err := sql.Open("mysql", "heartbeat:secret@tcp(10.1.0.1)/")
//	if err != nil {
//		return err
//	}
//	writer, err := heartbeat.NewWriter(db, nil)
//	if err != nil {
//		return err
//	}
//	go writer.Run(ctx) // until ctx ends
//
// Reading, say for a dashboard of your own:
//
//	reading, err := heartbeat.Read(ctx, conn, "")
//	if err != nil {
//		return err // no table is error 1146, no right on it 1142: errors.As finds the driver's own error
//	}
//	for _, row := range reading.Rows {
//		if beat, err := heartbeat.ParseTime(row.TS); err == nil {
//			fmt.Println(row.ServerID, reading.Now.Sub(beat))
//		}
//	}
package heartbeat
