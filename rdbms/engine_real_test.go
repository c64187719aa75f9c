package rdbms_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/multidc/multidc/internal/testservers"
	"github.com/multidc/multidc/rdbms/rdbmstest"
)

// The conformance suite over real servers. The tests have them one after the other, each as the last one should have left
// them.
func TestBuiltinEngineSuiteReal(t *testing.T) {
	ring := &realRing{Instance: testservers.MariaDB(t, testservers.MariaDBOptions{Heartbeat: true}), t: t}
	ring.primary, ring.replica = ring.open("MARIADB_A", "engine"), ring.open("MARIADB_A_REPLICA", "")
	ring.primaryAdmin, ring.replicaAdmin = ring.open("MARIADB_A_ADMIN", ""), ring.open("MARIADB_A_REPLICA_ADMIN", "")
	ring.exec(ring.primaryAdmin, "CREATE DATABASE engine")
	ring.exec(ring.primaryAdmin, "CREATE TABLE engine.written (n bigint AUTO_INCREMENT PRIMARY KEY)")
	rdbmstest.TestEngine(t, engineHarness(func(tb testing.TB) rdbmstest.EngineServers {
		tb.Helper()
		return ring.servers()
	}))
}

// realRing is the primary and the replica of one DC.
type realRing struct {
	*testservers.Instance

	t                          *testing.T
	primary, replica           *sql.DB
	primaryAdmin, replicaAdmin *sql.DB
}

func (r *realRing) open(variable, database string) *sql.DB {
	r.t.Helper()
	config, err := mysql.ParseDSN(r.Var(variable) + database)
	if err != nil {
		r.t.Fatal(err)
	}
	config.Logger, config.Timeout = &mysql.NopLogger{}, 2*time.Second
	connector, err := mysql.NewConnector(config)
	if err != nil {
		r.t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	r.t.Cleanup(func() { _ = db.Close() })
	return db
}

func (r *realRing) exec(db *sql.DB, statement string) {
	r.t.Helper()
	if _, err := db.ExecContext(r.t.Context(), statement); err != nil {
		r.t.Errorf("%s: %v", statement, err)
	}
}

func (r *realRing) servers() rdbmstest.EngineServers {
	return rdbmstest.EngineServers{
		Primary: r.primary, Replica: r.replica,
		Write: func(ctx context.Context) error {
			_, err := r.primary.ExecContext(ctx, "INSERT INTO written VALUES ()")
			return err
		},
		Replicate: r.replicate,
		Hold: func() func() {
			r.exec(r.replicaAdmin, "STOP SLAVE SQL_THREAD")
			return func() { r.exec(r.replicaAdmin, "START SLAVE SQL_THREAD") }
		},
		ReadOnly: func(on bool) { r.exec(r.primaryAdmin, fmt.Sprintf("SET GLOBAL read_only = %t", on)) },
		Restart:  r.restart,
		Hang: func() func() {
			r.Server("mariadb-a").Pause()
			return func() { r.Server("mariadb-a").Resume() }
		},
	}
}

// replicate waits in the server, which no engine does.
func (r *realRing) replicate(ctx context.Context) error {
	var position string
	if err := r.primaryAdmin.QueryRowContext(ctx, "SELECT @@gtid_binlog_pos").Scan(&position); err != nil {
		return fmt.Errorf("the primary's position: %w", err)
	}
	var outcome int
	if err := r.replicaAdmin.QueryRowContext(ctx, "SELECT MASTER_GTID_WAIT(?, 20)", position).Scan(&outcome); err != nil {
		return fmt.Errorf("waiting for %s: %w", position, err)
	}
	if outcome != 0 {
		return fmt.Errorf("the replica has not reached %s in 20 s", position)
	}
	return nil
}

// restart waits until the server has been up for longer than an identity may move by itself.
func (r *realRing) restart() {
	r.t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for up := 0; up < 8; <-tick.C {
		if err := r.replicaAdmin.QueryRowContext(r.t.Context(), "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'UPTIME'").Scan(&up); err != nil {
			r.t.Fatal(err)
		}
	}
	r.Server("mariadb-a-replica").Stop()
	r.Server("mariadb-a-replica").Start()
	for r.replica.PingContext(r.t.Context()) != nil {
		<-tick.C
	}
}
