// Package multidc is the map of a library of primitives that let one application run, live, in two or more
// datacenters (DCs). It holds no code: each primitive is a package of its own, and an application imports the
// one it needs. The README says which of them exist today.
//
//	          readers                                   editors
//	     GET  │      │ GET                          POST │
//	   ┌──────▼─┐  ┌─▼──────┐     dcroute: unsafe verbs  │ and sticky clients go to the primary DC
//	   │ DC b   │  │ DC a   │◄───────────────────────────┘
//	   │ (sec.) │  │ (prim.)│
//	   └──┬─────┘  └──┬─────┘
//	every DC has its own: memcached · SQL replicas · Kafka · Cassandra nodes · object store
//
// # Which package for which problem
//
//   - A cached value is stale in the other DC, or a slow loader writes an old value back after an invalidation:
//     wanobjectcache fills each DC's cache locally and broadcasts only deletes (WANObjectCache).
//   - Reads should go to a near replica, but not to one that lags: rdbms hands out *sql.DB values that pick by
//     measured lag, and knows the one primary (Rdbms).
//   - A user saves, the next page comes from a replica or a DC that does not have it yet: chronology carries the
//     position of his write with him (ChronologyProtector); its child dcroute sends writes to the primary DC.
//   - Counters, tokens, drafts, rendered pages that every DC must be able to write at any time: mainstash
//     converges, the last write wins (MainStash).
//   - Log in anywhere, log out everywhere: sessionstore (sessions on Cassandra, Kask).
//   - Work to be done later, enqueued where the request is, run where the primary database is: jobqueue
//     (Kafka job queue, change propagation).
//   - Files that must be in every DC although one was down when they were written: filebackend
//     (FileBackendMultiWrite).
//
// # How they fit
//
// Three ideas run through all of it. Local first: a request never waits for the link between DCs unless its
// author asked for it. Honest state: unknown is never reported as fine; unknown lag is not zero, a store that
// cannot be reached is not a miss, a write that timed out has not failed, its outcome is unknown. Invalidate,
// don't replicate, wherever a value can be rebuilt.
//
// No package imports another of these seven. Where they meet, the one that needs something declares a small
// interface and the application joins them: examples/wiki is one application that uses every package that
// exists, living in two DCs with one command.
package multidc
