package servers_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"go.uber.org/goleak"

	"github.com/multidc/multidc/internal/testservers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// everywhere are the four servers of a ring.
var everywhere = []string{"MARIADB_A", "MARIADB_A_REPLICA", "MARIADB_B", "MARIADB_B_REPLICA"}

func connect(t *testing.T, dsn string, change ...func(*mysql.Config)) *sql.DB {
	t.Helper()
	config, err := mysql.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	config.Logger = &mysql.NopLogger{}
	config.Timeout = 2 * time.Second
	for _, c := range change {
		c(config)
	}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func run(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// await reads one value again and again until it is as wanted.
func await(t *testing.T, db *sql.DB, query, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		var got sql.NullString
		err := db.QueryRowContext(ctx, query).Scan(&got)
		if err == nil && got.String == want {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("%s: %q, %v, want %q", query, got.String, err, want)
		}
	}
}

func value(t *testing.T, db *sql.DB, query string) string {
	t.Helper()
	var got sql.NullString
	if err := db.QueryRowContext(t.Context(), query).Scan(&got); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return got.String
}

func number(err error) uint16 {
	var refused *mysql.MySQLError
	if errors.As(err, &refused) {
		return refused.Number
	}
	return 0
}

func TestAWriteReachesEveryServer(t *testing.T) {
	a := connect(t, testservers.Var(t, "MARIADB_A"))
	name := fmt.Sprintf("testbed_%d", os.Getpid())
	run(t, a, "CREATE DATABASE "+name, "CREATE TABLE "+name+".t (v int)", "INSERT INTO "+name+".t VALUES (42)")
	t.Cleanup(func() { _, _ = a.ExecContext(context.WithoutCancel(t.Context()), "DROP DATABASE "+name) })
	for _, server := range everywhere {
		await(t, connect(t, testservers.Var(t, server)), "SELECT v FROM "+name+".t", "42")
	}
	await(t, connect(t, testservers.Var(t, "MARIADB_A_VIA_B")), "SELECT v FROM "+name+".t", "42")
	await(t, connect(t, testservers.Var(t, "MARIADB_B_REPLICA_VIA_A")), "SELECT v FROM "+name+".t", "42")
}

func TestBothOriginsBeatEverywhere(t *testing.T) {
	for _, server := range everywhere {
		db := connect(t, testservers.Var(t, server))
		for dc, id := range map[string]string{"a": "11", "b": "21"} {
			query := "SELECT ts FROM heartbeat.heartbeat WHERE datacenter = '" + dc + "' AND shard = 's1' AND server_id = " + id
			first := value(t, db, query)
			await(t, db, "SELECT ("+query+") > '"+first+"'", "1")
		}
		if n := value(t, db, "SELECT count(*) FROM heartbeat.heartbeat"); n != "2" {
			t.Errorf("%s has %s heartbeat rows, want 2", server, n)
		}
	}
}

func TestReadOnlyStopsTheApplicationOnly(t *testing.T) {
	const readOnly = 1290
	for _, server := range everywhere {
		_, err := connect(t, testservers.Var(t, server)).ExecContext(t.Context(), "CREATE DATABASE testbed_never")
		if server == "MARIADB_A" {
			if err != nil {
				t.Errorf("%s refuses the application: %v", server, err)
			}
			run(t, connect(t, testservers.Var(t, server)), "DROP DATABASE testbed_never")
		} else if number(err) != readOnly {
			t.Errorf("%s lets the application write: %v, want error 1290", server, err)
		}
		admin := connect(t, testservers.Var(t, server+"_ADMIN"))
		c, err := admin.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		name := "testbed_admin_" + strings.ToLower(server)
		for _, s := range []string{"SET SESSION sql_log_bin = 0", "CREATE DATABASE " + name, "DROP DATABASE " + name} {
			if _, err := c.ExecContext(t.Context(), s); err != nil {
				t.Errorf("%s refuses the admin: %s: %v", server, s, err)
			}
		}
		_ = c.Close()
	}
	const denied = 1227
	if _, err := connect(t, testservers.Var(t, "MARIADB_A_REPLICA")).ExecContext(t.Context(), "SHOW REPLICA STATUS"); number(err) != denied {
		t.Errorf("the application may see the replication: %v, want error %d", err, denied)
	}
}

func TestTLSIsVerifiedByTheCA(t *testing.T) {
	pem, err := os.ReadFile(testservers.Var(t, "CA"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatal("no certificate in the CA's file")
	}
	for _, server := range slices.Concat(everywhere, []string{"MARIADB_A_VIA_B"}) {
		db := connect(t, testservers.Var(t, server), func(c *mysql.Config) {
			c.TLS = &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}
		})
		var name, cipher string
		if err := db.QueryRowContext(t.Context(), "SHOW STATUS LIKE 'Ssl_cipher'").Scan(&name, &cipher); err != nil || cipher == "" {
			t.Errorf("%s: cipher %q, %v", server, cipher, err)
		}
	}
	strange := connect(t, testservers.Var(t, "MARIADB_A"), func(c *mysql.Config) {
		c.TLS = &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}
	})
	if err := strange.PingContext(t.Context()); err == nil {
		t.Error("a client that does not trust the CA was served")
	}
}

func TestPrivateRingOptions(t *testing.T) {
	ring := testservers.MariaDB(t, testservers.MariaDBOptions{
		Heartbeat: true, BothWritable: true, BinlogFormat: "STATEMENT", Durable: true,
	})
	for _, server := range everywhere {
		db := connect(t, ring.Var(server))
		for variable, want := range map[string]string{
			"binlog_format": "STATEMENT", "sync_binlog": "1", "innodb_flush_log_at_trx_commit": "1",
			"read_only": map[bool]string{true: "1", false: "0"}[strings.HasSuffix(server, "REPLICA")],
		} {
			if got := value(t, db, "SELECT @@global."+variable); got != want {
				t.Errorf("%s: %s is %s, want %s", server, variable, got, want)
			}
		}
		await(t, db, "SELECT count(*) FROM heartbeat.heartbeat WHERE file IS NOT NULL", "2")
	}
	a, b := connect(t, ring.Var("MARIADB_A")), connect(t, ring.Var("MARIADB_B"))
	run(t, a, "CREATE DATABASE d", "CREATE TABLE d.t (id int AUTO_INCREMENT PRIMARY KEY, who char(1))")
	await(t, b, "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'd'", "1")
	run(t, a, "INSERT INTO d.t (who) VALUES ('a')")
	run(t, b, "INSERT INTO d.t (who) VALUES ('b')")
	for _, server := range everywhere {
		await(t, connect(t, ring.Var(server)), "SELECT group_concat(who ORDER BY who) FROM d.t", "a,b")
	}
	if got := value(t, connect(t, testservers.Var(t, "MARIADB_A")), "SELECT @@global.binlog_format"); got != "ROW" {
		t.Errorf("the shared ring logs in %s, want ROW", got)
	}
}

func TestRingSurvivesStopPauseAndCut(t *testing.T) {
	ring := testservers.MariaDB(t, testservers.MariaDBOptions{})
	a := connect(t, ring.Var("MARIADB_A"))
	replicaA, b, replicaB := connect(t, ring.Var("MARIADB_A_REPLICA")), connect(t, ring.Var("MARIADB_B")), connect(t, ring.Var("MARIADB_B_REPLICA"))
	run(t, a, "CREATE DATABASE d", "CREATE TABLE d.t (v int)", "INSERT INTO d.t VALUES (1)")
	const count = "SELECT count(*) FROM d.t"
	for _, db := range []*sql.DB{replicaA, b, replicaB} {
		await(t, db, count, "1")
	}

	// A stopped replica refuses; started again it has its data and what it missed.
	ring.Server("mariadb-a-replica").Stop()
	if err := replicaA.PingContext(t.Context()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the stopped replica: %v, want a refused connection", err)
	}
	run(t, a, "INSERT INTO d.t VALUES (2)")
	ring.Server("mariadb-a-replica").Start()
	await(t, replicaA, count, "2")

	// A paused server answers nothing.
	ring.Server("mariadb-b-replica").Pause()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := replicaB.PingContext(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the paused replica: %v, want no answer", err)
	}
	ring.Server("mariadb-b-replica").Resume()
	await(t, replicaB, count, "2")

	// A cut stops the replication between the DCs, and the way of b's clients to a; inside of each DC all goes on.
	ring.Between("a", "b").Cut()
	run(t, a, "INSERT INTO d.t VALUES (3)")
	await(t, replicaA, count, "3")
	if got := value(t, b, count); got != "2" {
		t.Errorf("through a cut link came row %s", got)
	}
	if err := connect(t, ring.Var("MARIADB_A_VIA_B")).PingContext(t.Context()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("b reaches a through the cut: %v", err)
	}
	ring.Between("a", "b").Heal()
	await(t, b, count, "3")
	await(t, replicaB, count, "3")
	await(t, connect(t, ring.Var("MARIADB_A_VIA_B")), count, "3")
}

func TestAStoppedHeartbeatStandsStill(t *testing.T) {
	ring := testservers.MariaDB(t, testservers.MariaDBOptions{Heartbeat: true})
	b := connect(t, ring.Var("MARIADB_B"))
	ring.Server("heartbeat-a").Stop()
	const beat = "SELECT ts FROM heartbeat.heartbeat WHERE datacenter = "
	// What was under way has arrived once b's own row, which comes later, has moved twice.
	for range 2 {
		own := value(t, b, beat+"'b'")
		await(t, b, "SELECT ("+beat+"'b') > '"+own+"'", "1")
	}
	still := value(t, b, beat+"'a'")
	own := value(t, b, beat+"'b'")
	await(t, b, "SELECT ("+beat+"'b') > '"+own+"'", "1")
	if got := value(t, b, beat+"'a'"); got != still {
		t.Errorf("the stopped heartbeat beat on: %s, then %s", still, got)
	}
	ring.Server("heartbeat-a").Start()
	await(t, b, "SELECT ("+beat+"'a') > '"+still+"'", "1")
}
