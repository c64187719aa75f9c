package rdbms_test

import (
	"context"
	"database/sql"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/rdbmstest"
)

// engineHarness is the built-in engine's, over whatever servers.
func engineHarness(servers func(testing.TB) rdbmstest.EngineServers) rdbmstest.EngineHarness {
	return rdbmstest.EngineHarness{
		Engine: rdbms.NewBuiltin(),
		New:    servers,
		Malformed: []string{
			"m1:1-2", "m1:1-2-x", "m1:1-2-3-4", "m1:4294967296-1-1", "m1:1-1-18446744073709551616",
			"g1:no-uuid:1", "g1:3e11fa47-71ca-11e1-9e33-c80aa9429562:0", "g1:3e11fa47-71ca-11e1-9e33-c80aa9429562:5-3", "g1:3e11fa47-71ca-11e1-9e33-c80aa9429562",
		},
		Errors: map[rdbms.Fault][]error{
			rdbms.FaultServer:   {&mysql.MySQLError{Number: 1040}, &mysql.MySQLError{Number: 1043}, &mysql.MySQLError{Number: 1053}},
			rdbms.FaultReadOnly: {&mysql.MySQLError{Number: 1290}, &mysql.MySQLError{Number: 1792}, &mysql.MySQLError{Number: 1836}},
			rdbms.FaultStatement: {
				&mysql.MySQLError{Number: 1020}, &mysql.MySQLError{Number: 1062}, &mysql.MySQLError{Number: 1064},
				&mysql.MySQLError{Number: 1205}, &mysql.MySQLError{Number: 1213},
			},
		},
	}
}

// The conformance suite over the fake servers, of both kinds.
func TestBuiltinEngineSuite(t *testing.T) {
	for name, isMySQL := range map[string]bool{"MariaDB": false, "MySQL": true} {
		t.Run(name, func(t *testing.T) {
			rdbmstest.TestEngine(t, engineHarness(func(tb testing.TB) rdbmstest.EngineServers {
				tb.Helper()
				return fakeServers(tb, isMySQL)
			}))
		})
	}
}

func fakeServers(tb testing.TB, isMySQL bool) rdbmstest.EngineServers {
	tb.Helper()
	fake := rdbmstest.New(tb, rdbmstest.Server{Name: "primary"}, rdbmstest.Server{Name: "replica"})
	config := fake.Config()
	var dbs [2]*sql.DB
	for i, server := range config.Servers {
		fake.Set(server.Name, func(k *rdbmstest.Knobs) { k.MySQL = isMySQL })
		dbs[i] = sql.OpenDB(server.Connector)
		tb.Cleanup(func() { _ = dbs[i].Close() })
	}
	turn := func(server string, change func(k *rdbmstest.Knobs, on bool)) func() func() {
		return func() func() {
			fake.Set(server, func(k *rdbmstest.Knobs) { change(k, true) })
			return func() { fake.Set(server, func(k *rdbmstest.Knobs) { change(k, false) }) }
		}
	}
	var written atomic.Int64
	return rdbmstest.EngineServers{
		Primary: dbs[0], Replica: dbs[1],
		Write: func(ctx context.Context) error {
			_, err := dbs[0].ExecContext(ctx, "REPLACE INTO kv VALUES ('written', ?)", strconv.FormatInt(written.Add(1), 10))
			return err
		},
		Replicate: func(context.Context) error { return nil }, // there is no lag
		Hold:      turn("replica", func(k *rdbmstest.Knobs, on bool) { k.StopApplying = on }),
		Hang:      turn("primary", func(k *rdbmstest.Knobs, on bool) { k.Hang = on }),
		ReadOnly:  func(on bool) { fake.Set("primary", func(k *rdbmstest.Knobs) { k.ReadOnly = on }) },
		Restart:   func() { fake.Restart("replica") },
	}
}
