// Package kafkalog follows a Kafka topic with offsets compared: what the log lost is told as a [Gap], never jumped.
//
// kafka-go's Reader moves to the first message that is left when the one it wants is gone, and says so to its logger only.
// Whoever keeps something up to date from a log (purges of a cache) must know: what was in between did happen. So here the
// position of the group is compared with what the broker has, when a partition is assigned and whenever the broker refuses
// the position, and the offset of each message with the one before it.
//
// A [Follower] is one member of a consumer group on one topic. The group shares out the partitions; for each the follower
// calls a function of its user, which takes what comes next with [Partition.Next] and reports with [Partition.Done] what it
// has finished, in any order. What is committed is the offset of the lowest message that is not finished, at most once a
// second and when the partition is given away. So everything is handed out at least once, and what was not finished comes
// again after a crash. An unfinished gap holds the commit too: the next process finds the same gap.
//
// # What is a gap
//
//   - the committed offset is below the first one that is left: retention took what was in between;
//   - the committed offset, or the one that is wanted next, is beyond the end: the topic was made anew (or the broker lost
//     its end). Reading goes on at the first message;
//   - nothing was committed: the group is new, which Options.FirstRun says, or its position was lost. Kafka forgets it with
//     the topic, and some time after the group's last member (offsets.retention.minutes, 7 days). Reading goes on at what is
//     not older than Options.StartWindow;
//   - a message is not the successor of the one before it. Markers of transactions are known, and are none.
//
// # What is not noticed
//
// A topic that is made anew and filled beyond the position within moments, while it is followed: offsets are all that there
// is to compare. A topic with cleanup.policy compact shows gaps where messages were compacted: use delete.
package kafkalog
