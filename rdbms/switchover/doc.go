// Package switchover answers, in every process of an application that lives in several datacenters (DCs), which
// DC is the primary, what is read-only, and which DCs are pooled.
//
// # Model
//
// One small document says it all ([Doc], FORMAT.md). It lies in a [Store], where every process reads it and an
// operator's command changes it. A [State] is one process's view: it polls the document, follows the store's
// hints where there are any, and answers requests from memory.
//
// The epoch numbers what matters: it rises by one whenever the primary or a read-only entry changes, and
// PrimaryEpoch is its value at the last change of the primary. Work that was begun under one primary can so be
// told from work under the next.
//
// The fence: a process that could not read the state for Options.MaxStale (30 s) refuses writes, since the
// primary may have moved without its knowledge. It goes on serving reads by the last state known. So whoever
// moves the primary need only wait for MaxStale to be sure of processes that cannot be asked. Age counts from
// the start of the last good read; a document that is refused, and a watch that says nothing, are no reads.
//
// # Guarantees
//
//   - In one process's view the epoch never falls, and the epoch that Primary returns rises exactly when the
//     primary changes.
//   - A process that has not read the state for MaxStale refuses writes: also one that was suspended, from the
//     moment it wakes.
//   - After the first load no request waits for the store or takes a lock, and answering allocates nothing.
//   - A corrupt, invalid or older document is refused; the last good one stays, and its age grows on.
//   - An Update is lost to no other writer, and an answer that got lost is looked into: the update is done once,
//     or the error says that the outcome is unknown.
//   - Fields that a later version added survive a write by this one.
//
// # Not guaranteed
//
//   - That all processes see a change at one instant: watches take about a second, polls ten, the fence thirty.
//   - That the databases agree: moving the primary in a proven order is the operator's work. Make the
//     application read-only, wait, set the old primary's servers read_only, wait until the new one has
//     everything, change Primary, make it writable, end the read-only time.
//   - Anything by wall clocks: Window.Until is shown to people and turned into Retry-After, and ends nothing.
//
// # Stores
//
// [NewMemory] is for tests and for applications of one process, [NewFile] for a file shared by the processes of
// one host, or distributed by other means and replaced atomically. Other stores implement [Store] and, if they
// can, [Watcher]; rdbmstest.TestStore is their conformance suite. No store may live in the databases whose
// primary it names.
//
// # Quickstart
//
//	state, err := switchover.New(switchover.NewFile("/etc/wiki/state.json"), &switchover.Options{DC: "a"})
//	if err != nil {
//		return err
//	}
//	state.OnChange(func(_, now switchover.Doc) {
//		if err := cluster.SetServers(configFor(now.Primary)); err != nil { // the old configuration stays
//			log.Error("servers not changed", "primary", now.Primary, "error", err)
//		}
//	})
//	if err := state.Refresh(ctx); err != nil { // the first load; without it the first answers are ErrUnavailable
//		log.Error("state not loaded yet", "error", err)
//	}
//	go state.Run(ctx)
//
//	dc, epoch, err := state.Primary(ctx) // from memory
//
// The file's first content, and an operator's command:
//
//	{"v":1,"epoch":1,"primary":"a","primary_epoch":1,"dcs":{"a":{"pooled":true},"b":{"pooled":true}}}
//
//	_, err = state.Update(ctx, func(d *switchover.Doc) error { d.Primary = "b"; return nil })
package switchover
