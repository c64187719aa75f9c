// Package sim simulates datacenters for tests: N DCs, links between them that delay, lose and part, and clocks
// that disagree. It is made for the bubbles of testing/synctest, where a minute of simulated time costs
// microseconds, and works outside of them too, in real time.
//
// [Run] plays one scenario with many seeds, each in a bubble of its own, and stops at the first that fails:
//
//	func TestLastWriteWins(t *testing.T) {
//		sim.Run(t, []string{"a", "b"}, func(t *testing.T, w *sim.World) {
//			w.Skew("b", 3*time.Second) // the clocks disagree, and messages overtake each other
//			w.Link("a", "b").Set(sim.Weather{Delay: 80 * time.Millisecond, Jitter: 200 * time.Millisecond})
//			a, b := &register{}, &register{}
//			var writers sync.WaitGroup
//			write := func(dc string, own, other *register, link *sim.Link) {
//				for i := range 10 {
//					w.Pause(dc, time.Second)
//					v := version{at: w.Now(dc), dc: dc, value: i}
//					own.merge(v)
//					link.Send(func() { other.merge(v) })
//				}
//			}
//			writers.Go(func() { write("a", a, b, w.Link("a", "b")) })
//			writers.Go(func() { write("b", b, a, w.Link("b", "a")) })
//			writers.Wait()
//			time.Sleep(time.Minute) // all messages have arrived
//			if a.get() != b.get() {
//				t.Errorf("diverged: a has %v, b has %v", a.get(), b.get())
//			}
//		})
//	}
//
// # Seeds
//
// Run plays the seeds 1 to 200, so that a green run stays green, or 1 to MULTIDC_TEST_SEEDS when that is set.
// A failure prints its seed and the command that plays it alone, by MULTIDC_TEST_SEED.
// Every link and every name given to [World.Rand] has a random stream of its own, drawn from the seed: what
// happens on one link does not shift the dice of another. The same seed so gives the same delays, losses and
// choices. What it does not fix is the order of goroutines that wake at the very same instant, which is the
// scheduler's: give such a race jitter, and the seeds will show both orders.
package sim
