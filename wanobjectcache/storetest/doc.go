// Package storetest is the conformance suite of [wanobjectcache.Store], for who writes one. Standard library only.
//
//	func TestStore(t *testing.T) {
//		storetest.TestStore(t, storetest.Harness{
//			New: func(tb testing.TB) wanobjectcache.Store { return open(tb, address) },
//			Caps: storetest.Caps{
//				CoarseClock: true,
//				MaxValue:    917504,
//			},
//		})
//	}
//
// The harness tells what the store can do; what it cannot is not skipped but left out, and where the promise is weaker the
// weaker one is demanded. Each subtest has keys that nobody else has, under "WANCache:storetest:", so the suite may run on
// servers that others use at the same moment; it leaves less than 1 MB there, for a minute.
//
// What it demands:
//
//   - read: absent and expired items are told alike; a GetMulti answers for each key, in order, whatever out held before;
//     any bytes, flags and keys of up to 250 printable characters come back as they went in; the memory of a value is the
//     caller's, before a write and after a read.
//   - add, cas, set: an Add over anything is refused; a CAS is refused with every token but the one of what is there, the
//     same value stored anew included; what is refused changes nothing, tokens included.
//   - expiry: a negative TTL, however short, means gone at once, 0 for ever, a fraction of a second is not 0, and no
//     length is too much; a write replaces the time of the item that it replaces.
//   - limits: a value that is too large, and a context that has ended, are told as such, and change nothing.
//   - concurrency: of many writers one wins, and no update is lost.
//   - lost (with Caps.Break): a key whose server is gone is never told to be absent, and its writes never to be done or
//     refused; the other keys do not notice.
//
// It does not test how a store spreads its keys, how it dials or what it retries, nor how fast it is.
//
// # Time
//
// With Harness.Advance nil the suite really waits: about 3 s in all for a clock that ticks in seconds. A store that takes
// its time from package time is tested in a bubble, without waiting and to the hundredth of a second:
//
//	Harness{New: …, Run: synctest.Test, Advance: time.Sleep}
package storetest
