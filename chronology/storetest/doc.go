// Package storetest is the conformance suite of [chronology.Store], for who writes one. Standard library only.
//
//	func TestStore(t *testing.T) {
//		storetest.TestStore(t, storetest.Harness{
//			New:   func(t *testing.T) chronology.Store { return open(t, address) },
//			Break: func(_ *testing.T, s chronology.Store) { s.(*Store).cut() },
//		})
//	}
//
// Each subtest has keys that nobody else has, of the form that chronology uses, under "storetest:", so the suite may run on
// servers that others use at the same moment; it leaves less than 1 MB there, for a minute.
//
// What it demands:
//
//   - read: what was never written is told as missing, to Get and to fn, and without an error; what an Update has written
//     the next Get returns, any bytes up to 16 KiB; an empty value is no missing one; the memory of a value is its holder's.
//   - update: fn gets what is there, or nil; its error is returned, and the value stays.
//   - conflict: when another Update came between, fn runs again with what that one wrote; after ten such runs it is
//     ErrContended. A store that locks instead has no conflicts, and is not asked for any.
//   - expiry: a value is gone after its TTL, for Get and for fn; a fraction of a second is not for ever. An Update replaces
//     the time, one whose fn failed does not.
//   - context: one that has ended is an error of both methods, and nothing is written.
//   - concurrency: of 1,000 Updates of one key at the same time, each tried again on ErrContended, none is lost and none is
//     done twice; a reader sees them come one by one. Other keys do not notice.
//   - lost (with Break): a store that does not answer is an error, never a miss and never a success; a write whose answer
//     does not come is one too, and is not tried again. Both methods return when their context ends.
//
// # Time
//
// The suite really waits for values to expire: about 3 s in all; and a second for a store that locks. A store whose clock ticks once a second may round a TTL
// up to whole seconds, and may then be up to a second early: with a TTL of 2 s the suite counts on the first second
// only, and it waits for the end as long as 15 s.
package storetest
