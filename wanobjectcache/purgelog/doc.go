// Package purgelog carries purges through Kafka, so that a DC which cannot be reached gets them later.
//
// # Model
//
// Each DC has a topic of purges in its own Kafka, <dc>.cache-purge. A [Log] appends to it: it is what
// wanobjectcache.Options.PurgeLog wants, and a purge call returns when the log has accepted. Each DC runs an [Applier] in
// some of its processes, which reads the topics of all DCs and replays them into its own cache: those of other DCs across
// the link, and its own, which repairs purges that failed here. A purge that has arrived already, as it mostly has, changes
// nothing; one that comes late takes only values that are older than it and its hold-off.
//
// The processes of a DC share a consumer group, and so the partitions. A purge whose cache server does not answer is parked
// and tried again, from 100 ms on, doubling to 5 s, while others go on. What is committed is the offset of the first purge
// that is not done.
//
// A log that has lost purges before they were read has a gap. Nobody knows what it purged, so everything that this DC
// stored before the end of the gap, and a hold-off more, counts as absent from then on: [wanobjectcache.Cache.RaiseEpoch].
// The load on the databases that follows is the price of never serving what was purged.
//
// # Guaranteed
//
//   - Append returned nil: all in-sync replicas of the topic have the purges.
//   - What the log keeps is applied in every DC that runs an Applier, at least once, after any cut, crash or restart, and
//     takes no newer value along.
//   - A gap is told (Events.OnGap), never jumped, and is not over before the epoch is raised.
//   - No source holds up another. A cache server that is down holds up its own keys only, until ApplierOptions.MaxParked of
//     them wait: then its source waits too, and nothing is given up.
//   - A source that does not answer is Known = false in [ProgressInfo], never "behind by 0".
//   - Nothing goes to another DC's brokers in plaintext, unless Source.AllowPlaintext says that it may.
//
// # Not guaranteed
//
//   - Delivery beyond the topic's retention: that is a gap.
//   - Noticing a topic that is deleted, made anew and filled beyond the position within moments while it is read. Do not
//     delete it: the group's position goes with it, and the next start is a gap.
//   - Order. It does not matter: of two purges of a key the stricter counts.
//   - That a failed Append was not written: an error that wraps wanobjectcache.ErrUnknownOutcome may have been.
//
// # Topics
//
// Topics are not created by this package. Use replication factor 3 with min.insync.replicas 2, cleanup.policy delete (with
// compact, offsets are missing: gaps), retention.ms of 7 days, and as many partitions as processes should share the work:
//
//	kafka-topics.sh --bootstrap-server a-kafka1:9092 --create --topic a.cache-purge --partitions 6 --replication-factor 3 \
//	    --config min.insync.replicas=2 --config retention.ms=604800000
//
// Kafka forgets a group's position some time after its last member left (offsets.retention.minutes, 7 days): the start
// after that is a gap. So is the very first one, unless ApplierOptions.FirstRun says that the group is new. Set it for that
// start only: later it would hide the loss of a position.
//
// # Quickstart
//
// In DC a, whose cache is purged through the log too:
//
//	log, err := purgelog.NewLog([]string{"a-kafka1:9092", "a-kafka2:9092"}, &purgelog.LogOptions{DC: "a"})
//	if err != nil {
//		return err
//	}
//	defer log.Close(context.Background())
//	cache, err := wanobjectcache.New(poolA, &wanobjectcache.Options{
//		DC: "a", Remote: map[string]wanobjectcache.Store{"b": poolB}, PurgeLog: log, Freshness: wanobjectcache.FromContext,
//	})
//	if err != nil {
//		return err
//	}
//	applier, err := purgelog.NewApplier(cache, map[string]purgelog.Source{
//		"a": {Brokers: []string{"a-kafka1:9092", "a-kafka2:9092"}},
//		"b": {Brokers: []string{"b-kafka1:9093", "b-kafka2:9093"}, TLS: &tls.Config{RootCAs: roots}},
//	}, &purgelog.ApplierOptions{DC: "a", Events: purgelog.Events{OnGap: page}})
//	if err != nil {
//		return err
//	}
//	return applier.Run(ctx) // until ctx ends; close the cache after it
//
// Watch Behind of [Applier.Explain] or Events.OnProgress, and be woken by OnGap.
//
// The messages are described in wanobjectcache/FORMAT.md.
package purgelog
