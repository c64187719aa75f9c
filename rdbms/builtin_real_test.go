package rdbms

import (
	"context"
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/multidc/multidc/internal/testservers"
	"github.com/multidc/multidc/rdbms/heartbeat"
)

// realDB opens a pool of one server, which is closed with the test. The driver's own complaints go nowhere.
func realDB(t *testing.T, dsn string, change ...func(*mysql.Config)) *sql.DB {
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

func realConn(t *testing.T, db *sql.DB) *sql.Conn {
	t.Helper()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func realExec(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// realEventually asks again and again until the answer is right.
func realEventually(t *testing.T, what string, right func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !right() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s: still not", what)
		case <-tick.C:
		}
	}
}

func realProbe(t *testing.T, b *builtin, db *sql.DB) Probe {
	t.Helper()
	conn := realConn(t, db)
	defer conn.Close()
	p, err := b.Probe(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func realWritten(t *testing.T, b *builtin, db *sql.DB) string {
	t.Helper()
	conn := realConn(t, db)
	defer conn.Close()
	p, err := b.Written(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// realReaches returns when a server has applied a position.
func realReaches(t *testing.T, b *builtin, db *sql.DB, want string) {
	t.Helper()
	conn := realConn(t, db)
	realEventually(t, "the server is at "+want, func() bool {
		have, err := b.Applied(t.Context(), conn)
		if err != nil {
			t.Fatal(err)
		}
		reached, err := b.Reached(have, want)
		if err != nil {
			t.Fatal(err)
		}
		return reached
	})
}

// The application's account, without any right to look at the replication, can probe all servers.
func TestBuiltinRealProbe(t *testing.T) {
	b := newBuiltin("", false)
	b.spoken.Store(1) // as if MySQL had been asked before
	identities := map[string]bool{}
	for name, want := range map[string]Probe{
		"MARIADB_A": {ServerID: 11, ReadOnly: false}, "MARIADB_A_REPLICA": {ServerID: 12, ReadOnly: true},
		"MARIADB_B": {ServerID: 21, ReadOnly: true}, "MARIADB_B_REPLICA": {ServerID: 22, ReadOnly: true},
	} {
		db := realDB(t, testservers.Var(t, name), func(c *mysql.Config) {
			c.ParseTime, c.Loc = name == "MARIADB_B", time.FixedZone("far", 5*3600)
		})
		p := realProbe(t, b, db)
		if p.ServerID != want.ServerID || p.ReadOnly != want.ReadOnly || p.Lag.Why != "" || len(p.Beats.Rows) < 2 {
			t.Errorf("%s: %+v", name, p)
		}
		if !strings.HasPrefix(p.Applied, "m1:1-") || !builtinNoted(p, "MariaDB 1") {
			t.Errorf("%s: applied %q, notes %q", name, p.Applied, p.Notes)
		}
		conn := realConn(t, db)
		for range 200 {
			v, err := selectValues(t.Context(), conn, []string{serverClock, mariadbUptime})
			if err != nil {
				t.Fatal(err)
			}
			// Another engine remembers nothing: the start is the same to the second.
			if i, err := newBuiltin("", false).identity("", v); err != nil || !strings.HasSuffix(p.Identity, i) {
				t.Fatalf("%s started at %q, and then %q, %v", name, p.Identity, i, err)
			}
		}
		identities[p.Identity] = true
	}
	if len(identities) != 4 {
		t.Errorf("four servers have the identities %v", identities)
	}
}

// The server refuses the application's account the status, and answers an administrator's.
func TestBuiltinRealReplicaStatus(t *testing.T) {
	b := newBuiltin("", true)
	if p := realProbe(t, b, realDB(t, testservers.Var(t, "MARIADB_A_REPLICA"))); p.Lag != unknown(LagNoRight) || p.Applied == "" {
		t.Errorf("without the right: %+v", p)
	}
	ring := testservers.MariaDB(t, testservers.MariaDBOptions{})
	replica := realDB(t, ring.Var("MARIADB_A_REPLICA_ADMIN"))
	lagIs := func(want Lag) func() bool { return func() bool { return realProbe(t, b, replica).Lag == want } }
	realEventually(t, "caught up", lagIs(known(0)))
	for _, statement := range []string{showReplicaStatus, showSlaveStatus} {
		sources, err := querySources(t.Context(), realConn(t, replica), statement)
		if err != nil || len(sources) != 1 || sources[0].lag() != known(0) {
			t.Errorf("%s: %v, %v", statement, sources, err)
		}
	}
	realExec(t, replica, "STOP SLAVE SQL_THREAD")
	realEventually(t, "SQL thread stopped", lagIs(unknown(LagStopped)))
	realExec(t, replica, "START SLAVE SQL_THREAD", "STOP SLAVE IO_THREAD")
	realEventually(t, "IO thread stopped", lagIs(unknown(LagStopped)))
	realExec(t, replica, "START SLAVE IO_THREAD")
	realEventually(t, "running again", lagIs(known(0)))
	ring.Server("mariadb-a").Stop()
	realEventually(t, "source gone, IO thread connecting", lagIs(unknown(LagStopped)))
	ring.Server("mariadb-a").Start()
	realEventually(t, "source back", lagIs(known(0)))

	// A second source is shown by one of the statements only, and the worst counts.
	realExec(t, replica, "CHANGE MASTER 'other' TO master_host = '127.0.0.1', master_port = 1, master_user = 'repl'")
	if p := realProbe(t, b, replica); p.Lag != unknown(LagStopped) || !builtinNoted(p, `connection "other"`) {
		t.Errorf("with a second source: %+v", p)
	}
	realExec(t, replica, "RESET SLAVE 'other' ALL", "STOP SLAVE", "RESET SLAVE ALL")
	if p := realProbe(t, b, replica); p.Lag != unknown(LagStopped) || !builtinNoted(p, "no source") {
		t.Errorf("without a source: %+v", p)
	}
}

// Case 75, and Written's side of 77: a position for what was committed, another only for another commit.
func TestBuiltinRealWritten(t *testing.T) {
	ring := testservers.MariaDB(t, testservers.MariaDBOptions{})
	b, a, replica := newBuiltin("", false), realDB(t, ring.Var("MARIADB_A")), realDB(t, ring.Var("MARIADB_A_REPLICA"))
	before := realWritten(t, b, a)
	realExec(t, a, "CREATE DATABASE IF NOT EXISTS w", "CREATE TABLE w.t (id INT PRIMARY KEY)", "INSERT INTO w.t VALUES (1)")
	one := realWritten(t, b, a)
	if reached, err := b.Reached(before, one); err != nil || reached || !strings.HasPrefix(one, "m1:1-11-") {
		t.Errorf("from %q to %q by an INSERT, %v", before, one, err)
	}
	inTx := func(readOnly bool, statement string, end func(*sql.Tx) error) {
		t.Helper()
		tx, err := a.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: readOnly})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
		if err := end(tx); err != nil {
			t.Fatal(err)
		}
	}
	inTx(false, "INSERT INTO w.t VALUES (2)", (*sql.Tx).Rollback)
	inTx(true, "SELECT COUNT(*) FROM w.t", (*sql.Tx).Commit)
	if now := realWritten(t, b, a); now != one {
		t.Errorf("nothing was committed, and %q became %q", one, now)
	}
	realReaches(t, b, replica, one)
	realReaches(t, b, realDB(t, ring.Var("MARIADB_B_REPLICA")), one)
	realReaches(t, b, a, one)
	var n int
	if err := replica.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM w.t").Scan(&n); err != nil || n != 1 {
		t.Errorf("the replica has reached the position and has %d rows, %v", n, err)
	}
}

// Case 90: a server that is promoted while somebody waits for its position, and writes itself then.
func TestBuiltinRealPromotion(t *testing.T) {
	ring := testservers.MariaDB(t, testservers.MariaDBOptions{})
	e, a, b := newBuiltin("", false), realDB(t, ring.Var("MARIADB_A")), realDB(t, ring.Var("MARIADB_B"))
	aAdmin, bAdmin := realDB(t, ring.Var("MARIADB_A_ADMIN")), realDB(t, ring.Var("MARIADB_B_ADMIN"))
	realExec(t, a, "CREATE DATABASE w", "CREATE TABLE w.t (id INT PRIMARY KEY)", "INSERT INTO w.t VALUES (1)")
	last := realWritten(t, e, a)

	realExec(t, aAdmin, "SET GLOBAL read_only = 1")
	if p := realProbe(t, e, a); !p.ReadOnly {
		t.Errorf("a is not read-only: %+v", p)
	}
	_, err := a.ExecContext(t.Context(), "INSERT INTO w.t VALUES (2)")
	if e.Classify(err) != FaultReadOnly || isTransport(err) {
		t.Errorf("a write to a read-only server: %v", err)
	}
	realReaches(t, e, b, last)
	// Without the way back gtid_slave_pos of b stays as it is.
	realExec(t, bAdmin, "STOP SLAVE", "SET GLOBAL read_only = 0")
	if p := realProbe(t, e, b); p.ReadOnly {
		t.Errorf("b is not writable: %+v", p)
	}
	realExec(t, b, "INSERT INTO w.t VALUES (2)")
	written := realWritten(t, e, b)
	if !strings.HasPrefix(written, "m1:2-21-") {
		t.Errorf("b has written %q: that is not its domain", written)
	}
	merged, err := e.Merge(last, written)
	if err != nil {
		t.Fatal(err)
	}
	realReaches(t, e, b, merged)
	var slave string
	if err := b.QueryRowContext(t.Context(), "SELECT @@gtid_slave_pos").Scan(&slave); err != nil {
		t.Fatal(err)
	}
	if reached, err := e.Reached("m1:"+slave, merged); err != nil || reached {
		t.Errorf("gtid_slave_pos %q has the promoted server's own write, %v: this test proves nothing", slave, err)
	}
	for _, server := range []string{"MARIADB_A", "MARIADB_A_REPLICA", "MARIADB_B_REPLICA"} {
		realReaches(t, e, realDB(t, ring.Var(server)), merged)
	}
}

func TestBuiltinRealRestart(t *testing.T) {
	ring := testservers.MariaDB(t, testservers.MariaDBOptions{})
	b, replica := newBuiltin("", false), realDB(t, ring.Var("MARIADB_A_REPLICA"))
	stranded := realConn(t, replica)
	realEventually(t, "up for longer than a start may move", func() bool {
		var up int
		err := stranded.QueryRowContext(t.Context(), "SELECT "+mariadbUptime).Scan(&up)
		return err == nil && up > int(startMoves.Seconds())
	})
	first := realProbe(t, b, replica)
	ring.Server("mariadb-a-replica").Stop()
	if _, err := b.Probe(t.Context(), stranded); !isTransport(err) {
		t.Errorf("of a dead server: %v is taken for the statement's", err)
	}
	if _, err := replica.Conn(t.Context()); !isTransport(err) {
		t.Errorf("connecting to a dead server: %v is taken for the statement's", err)
	}
	ring.Server("mariadb-a-replica").Start()
	if again := realProbe(t, b, replica); again.Identity == first.Identity {
		t.Errorf("restarted, and still %q", again.Identity)
	}
}

// Case 47, the engine's side, and 34: what a server refuses of the heartbeat, and another account than the application's.
func TestBuiltinRealRefusals(t *testing.T) {
	ring := testservers.MariaDB(t, testservers.MariaDBOptions{})
	b, a, admin := newBuiltin("", false), realDB(t, ring.Var("MARIADB_A")), realDB(t, ring.Var("MARIADB_A_ADMIN"))
	if p := realProbe(t, b, a); p.Lag != unknown(LagNoTable) || !strings.HasPrefix(p.Applied, "m1:") && p.Applied != "" {
		t.Errorf("without the table: %+v", p)
	}
	realExec(t, a, "CREATE DATABASE heartbeat",
		"CREATE TABLE heartbeat.heartbeat (ts varchar(26) NOT NULL, server_id int unsigned NOT NULL PRIMARY KEY)")
	if p := realProbe(t, b, a); p.Lag != unknown(LagNoRow) {
		t.Errorf("without a row: %+v", p)
	}
	realExec(t, admin, "CREATE USER poor IDENTIFIED BY 'poor'", "CREATE USER column_only IDENTIFIED BY 'poor'",
		"GRANT SELECT (ts) ON heartbeat.heartbeat TO column_only")
	for _, user := range []string{"poor", "column_only"} {
		account := realDB(t, ring.Var("MARIADB_A"), func(c *mysql.Config) { c.User, c.Passwd = user, "poor" })
		if p := realProbe(t, b, account); p.Lag != unknown(LagNoRight) || p.ServerID != 11 || p.Applied == "" {
			t.Errorf("account %s: %+v", user, p)
		}
		if written := realWritten(t, b, account); written == "" {
			t.Errorf("account %s sees no position", user)
		}
	}
	realExec(t, a, "INSERT INTO heartbeat.heartbeat VALUES (UTC_TIMESTAMP(6), 11)")
	p := realProbe(t, b, a)
	if len(p.Beats.Rows) != 1 || p.Lag.Why != "" {
		t.Fatalf("with a row: %+v", p)
	}
	if ts, err := heartbeat.ParseTime(p.Beats.Rows[0].TS); err != nil || p.Beats.Now.Sub(ts) > 10*time.Second {
		t.Errorf("the row: %+v, %v", p.Beats, err)
	}
	realExec(t, a, "CREATE TABLE heartbeat.page (id INT)", "INSERT INTO heartbeat.page VALUES (1)")
	if p := realProbe(t, newBuiltin("heartbeat.page", false), a); p.Lag != unknown(LagNoTable) {
		t.Errorf("another table: %+v", p)
	}
}

// Case 59: a server that is full says so when somebody connects.
func TestBuiltinRealTooManyConnections(t *testing.T) {
	ring := testservers.MariaDB(t, testservers.MariaDBOptions{})
	b, a := newBuiltin("", false), realDB(t, ring.Var("MARIADB_A"))
	realExec(t, realDB(t, ring.Var("MARIADB_A_ADMIN")), "SET GLOBAL max_connections = 10")
	for range 30 {
		conn, err := a.Conn(t.Context())
		if err == nil {
			t.Cleanup(func() { _ = conn.Close() })
			continue
		}
		if errorNumber(err) != errTooManyConnections || b.Classify(err) != FaultServer || isTransport(err) {
			t.Errorf("a full server: %v", err)
		}
		return
	}
	t.Error("30 connections fit into 10")
}
