// Package wanobjectcache is a cache-aside cache for applications that live in several datacenters (DCs): every DC fills its
// own cache servers from its own database replicas, and only invalidations cross the border.
//
// # Model
//
// A [Cache] works on the [Store] of its DC: memory, or memcached. A [Group] is the values of one kind: how their keys are
// made, how they are loaded, how long they are good. [Group.Get] returns what is in the cache, or loads it;
// [Group.Delete] purges, in every DC, what has changed.
//
// Delete does not delete: it leaves a tombstone for the hold-off (11 s), in which the key refuses what is loaded, because a
// replica may still show what was there before. What is loaded meanwhile goes to an interim key for a moment. After the
// hold-off every replica has the change, or a lag that is reported too large.
//
// A value is stored by an Add (nothing was there) or a CAS (against what was there before the load): neither can undo a
// purge. With it go facts about the age of the data that was read (package rdbms reports them by itself): data that is too
// old is refused, or stored for 30 s at most, as is data of unknown age.
//
// Loads of one key are shared: in the process by joining, between processes by a lock with a life of 10 s. Values that are
// about to expire, or are very popular, are loaded anew in the background now and then, which also repairs a lost purge.
//
// # Guaranteed
//
//   - No stale value sticks: once the hold-off after a purge's arrival in a DC is over, no value older than the commit that
//     the purge belongs to is stored there with more than 30 s left. It holds if the commit comes within MaxCommitDelay of
//     the Delete, the reported ages are true, clocks are within MaxClockSkew, and the tombstone is not lost.
//   - A fill never undoes a purge, not even one that was stalled for longer than the hold-off.
//   - No load from before a purge is joined after it.
//   - Delivery is told for each DC: done, failed, unknown or pending. Nothing is reported as done that may not be.
//   - Tags never move backwards.
//   - An unreachable cache server is no miss: Peek returns an error; Get loads, stores nothing and takes no lock.
//   - Staleness only by a policy that was chosen, and visible in [Result].
//   - One load for each key and process at a time, and for a cold key one in a DC.
//
// # Not guaranteed
//
//   - That a reader sees his own write in cached values of other keys: package chronology and rdbms are for that.
//   - Anything about a key within its hold-off but "loaded after the purge was sent".
//   - Anything if the tombstone is lost within the hold-off (eviction, restart), if the commit comes later than
//     MaxCommitDelay, or if Unreplicated is declared of a database that has replicas.
//   - Several keys at once, and durability: this is a cache.
//
// Prefer validation over purges where you can: keys that never change their meaning, short TTLs, a version inside the value.
// Call Delete as the last thing before COMMIT, never only after it: a process that dies in between leaves nothing behind
// then. And treat what Get returns as immutable: callers share it.
//
// # Quickstart
//
//	cache, err := wanobjectcache.New(wanobjectcache.NewMemory(nil), &wanobjectcache.Options{
//		Freshness: wanobjectcache.Unreplicated, // one database, no replicas
//	})
//	if err != nil {
//		return err
//	}
//	users, err := wanobjectcache.NewGroup(cache, "user", &wanobjectcache.GroupOptions[int64, User]{
//		TTL:  time.Hour,
//		Load: db.UserByID, // func(ctx, int64) (User, error)
//	})
//	if err != nil {
//		return err
//	}
//	user, err := users.Get(ctx, 42) // loads once; afterwards a hit
//	_, err = users.Delete(ctx, 42)  // in the transaction that changes the row, last thing before COMMIT
//
// With two DCs only this differs:
//
//	cache, err := wanobjectcache.New(poolA, &wanobjectcache.Options{ // poolA, poolB: memcached.New(…)
//		DC: "a", Remote: map[string]wanobjectcache.Store{"b": poolB},
//		Freshness: wanobjectcache.FromContext, // rdbms scopes report by themselves
//	})
//
// The rules come from MediaWiki's WANObjectCache, where they have served Wikipedia since 2015.
package wanobjectcache
