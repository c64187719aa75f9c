// Package testservers gives tests the real servers of the test bed (internal/testbed), which runs two datacenters, a
// and b, on this machine. It knows them by the variables MULTIDC_TEST_… that the test bed sets; a test that misses
// one is skipped and says which, or fails if MULTIDC_TEST_REQUIRE is 1, as ./test sets it.
//
// The shared servers are there for all packages at the same time, so a test uses a database, topic or key prefix of
// its own on them:
//
//	dsn := testservers.Var(t, "MARIADB_A") // the application's account on a's primary
//
// Who stops, pauses, cuts or reconfigures takes servers of its own. They answer in seconds and end with the test:
//
//	ring := testservers.MariaDB(t, testservers.MariaDBOptions{Heartbeat: true})
//	db, err := sql.Open("mysql", ring.Var("MARIADB_B"))
//	ring.Between("a", "b").Cut()
//
// What is too dear to start twice is used under a lease: [Shared] by everybody, [Exclusive] by who stops or cuts it.
package testservers
