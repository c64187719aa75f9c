// Package chronology lets a client see its own writes, wherever its next request lands: what a write reached on the primary
// database is remembered for the client for a few seconds, and its reads include it. The model is MediaWiki's
// ChronologyProtector.
//
// # Model
//
// Databases are known through [Cluster]; package rdbms has one (Cluster.Positions). After a request that wrote, the
// middleware asks each cluster for a position that includes the write, such as a GTID, and gives the client a cookie.
// When the client comes back the position is required of the database layer, which reads from a replica that has reached
// it, waits for one, or does what [TimeoutPolicy] says. Where the positions are is the mode:
//
//   - store mode (Options.Store): in a store of this DC. The cookie holds an index and an id. A client that lands in
//     another DC is not protected there, so a second, sticky cookie (UseDC=primary) leads it home: a router such as
//     dcroute obeys it.
//   - token mode (Options.Keys, and no Store): in the cookie itself, signed. It works in every DC at once; the sticky
//     cookie only saves waits.
//   - sticky mode (neither): nowhere. Only the sticky cookie is set, and New logs a warning.
//
// # Guaranteed
//
//   - For Window after its write a client that keeps its cookies reads data that include the write, or gets the outcome
//     of the policy: the primary's data, data flagged as stale, or an error. Never older data in silence, but for the
//     holes below; those that can be seen raise Events.OnHole. The skew between two hosts' clocks shortens Window.
//   - A request without a cookie costs no store call, no signature check and no wait; one with a bad cookie at most a
//     signature check.
//   - Nobody can make a request wait for a position that this application did not issue: tokens are signed, and the ids
//     of the store have 128 random bits.
//   - A failure of chronology's own (store down, bad cookie) never fails a request.
//
// # Not guaranteed
//
//   - A write after the headers have gone: no cookie can tell the client. Store mode still stores it: a client that has a
//     cookie already finds it there. Buffer what you send, or write first.
//   - Store mode in another DC than the store's, or when the store lost the entry.
//   - Token mode, two writes of one client in parallel: the browser keeps one cookie.
//   - A position that is too long for a token or an entry: its cluster's lag is limited instead.
//   - Two devices of one user; and reads later than Window: set it above the lag that you expect.
//   - Caches in front of the application must be bypassed by requests that carry the cookies cp, cpPosIndex or UseDC.
//     Responses that set one are made private.
//
// # Quickstart
//
//	own, err := chronology.New([]chronology.Cluster{db.Positions()}, &chronology.Options{ // db is an *rdbms.Cluster
//		DC:   "b",
//		Keys: []chronology.Key{{ID: 1, Secret: secret}}, // the same in every DC
//	})
//	if err != nil {
//		return err
//	}
//	mux.HandleFunc("GET /wiki/{title}", func(w http.ResponseWriter, r *http.Request) {
//		row := db.Replica().QueryRowContext(r.Context(), query, r.PathValue("title")) // includes this client's last edit
//		…
//	})
//	return http.ListenAndServe(addr, own.Middleware(mux))
//
// The middleware must be inside a router that may send the request elsewhere (dcroute), and outside whatever writes when
// the handler has returned, such as a session's commit.
//
// Outside HTTP a token carries what a request wrote: into a job ([Protector.Token], then [Protector.Resume] where it runs),
// or to another service ([TokenHeader]).
//
// # Which mode
//
// Token mode, unless positions are long (sets of many MySQL GTIDs) or one client writes in parallel; then store mode, with
// ClientID. Cookies, tokens and store values are described in FORMAT.md.
package chronology
