// Package dcroute decides in which DC an HTTP request is answered: a net/http middleware in front of the application, in
// every DC. A read is answered here, a write goes to the primary DC, as do the reads of a client that has just written;
// when that cannot be, the request is refused rather than run in the wrong place.
//
// # Model
//
// [Router.Decide] is a pure function of the request, the state (who is primary, what is read-only: [PrimarySource]), the
// rules ([RuleSet]) and the options; the first test that matches decides. [Router.Middleware] acts on it: the request goes to
// the next handler, or through a proxy to the other DC's router, which trusts the signed hop header and answers. Both
// have a view of who is primary, and either view may be old: the epoch in the hop header tells which is newer, so a write is
// never run by a DC that one of the two knows not to be the primary.
//
// A client that wrote gets the cookie UseDC=primary for ten seconds, and is sent to the primary DC while it has it: that is
// the coarse net. To read one's own writes at the right position is the work of package chronology, inside.
//
// # Guaranteed
//
//   - A write is never handed to a DC that is not the primary by the newest state that router and receiver know between
//     them. When the primary cannot be reached it is 503, never another DC.
//   - A client that wrote goes to the primary for StickyTTL, whichever DC it enters.
//   - A forwarded request is not forwarded again. A loop ends in 508 after one hop, or two with keys in disorder.
//   - During a rollout one client always gets the same answer; raising the share only adds clients.
//   - A body is streamed, and not read before it is needed. The router never makes a request that is not idempotent run
//     twice.
//   - Every decision has a [Reason], seen in the answer (X-DC), in Events.OnDecision and in [Router.Trace].
//   - State that is not known is not "fine": reads are answered here, writes get 503.
//
// # Not guaranteed
//
//   - A router whose state is old, and whom nobody corrects, hands writes to the old primary until its next refresh. The
//     receiver's newer epoch, the state's fence and the database's read-only flag are the further nets.
//   - An upgraded connection, or a stream, stays with the DC it was spliced to when the primary moves.
//   - A read that turns out to write in a secondary DC is not moved: give its route a rule.
//   - No health checks, no balancing of load, no authentication of clients.
//
// # Quickstart
//
//	router, err := dcroute.New(state, &dcroute.Options{ // state is a *switchover.State
//		DC:        "b",
//		Upstreams: map[string]dcroute.Upstream{"a": {Addrs: []string{"https://app.a.example.net"}}},
//		HopKeys:   [][]byte{secret}, // the same in every DC
//		Rules:     &dcroute.RuleSet{Default: dcroute.HostConfig{Mode: dcroute.ModeLocal, Share: 200}}, // 2 % read in b
//	})
//	if err != nil {
//		return err
//	}
//	return http.ListenAndServe(addr, router.Middleware(own.Middleware(mux))) // own is a *chronology.Protector
//
// Without Rules everything goes to the primary: safe, and slow from afar. Raise HostConfig.Share step by step, here or in the
// state ([RolloutSource]). Call [MarkWrite] where the application commits, for example in rdbms's Events.OnWrote.
//
// Headers, cookies and the rule set's JSON are described in FORMAT.md.
package dcroute
