package servers_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/gocql/gocql"

	"github.com/multidc/multidc/internal/testservers"
)

// cassandraSession connects to one node and no other, so that a test knows which side of a cut it is on.
func cassandraSession(t *testing.T, addr string) *gocql.Session {
	t.Helper()
	config := gocql.NewCluster(addr)
	config.DisableInitialHostLookup = true
	config.ProtoVersion = 4
	config.Timeout = 15 * time.Second
	config.Consistency = gocql.LocalQuorum
	config.MaxWaitSchemaAgreement = time.Second // rows waits for what counts
	session, err := config.CreateSession()
	if err != nil {
		t.Fatalf("%s: %v", addr, err)
	}
	t.Cleanup(session.Close)
	return session
}

func cql(t *testing.T, session *gocql.Session, statement string) {
	t.Helper()
	if err := session.Query(statement).WithContext(within(t, 30*time.Second)).Exec(); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// rows makes a keyspace with a table, in both DCs, of the test's own.
func rows(t *testing.T, session *gocql.Session) string {
	t.Helper()
	keyspace := fmt.Sprintf("testbed_%d_%d", os.Getpid(), time.Now().UnixMilli())
	cql(t, session, "CREATE KEYSPACE "+keyspace+" WITH replication = {'class': 'NetworkTopologyStrategy', 'a': 2, 'b': 2}")
	t.Cleanup(func() {
		// While nodes come back a busy one may close the connection before it has answered; dropping can be asked again.
		awaitCassandra(t, "the keyspace dropped", func() bool {
			return session.Query("DROP KEYSPACE IF EXISTS "+keyspace).WithContext(within(t, 30*time.Second)).Exec() == nil
		})
	})
	cql(t, session, "CREATE TABLE "+keyspace+".t (k text PRIMARY KEY)")
	awaitCassandra(t, "the table on every node", func() bool {
		insert := session.Query("INSERT INTO " + keyspace + ".t (k) VALUES ('made')").Consistency(gocql.All)
		return insert.WithContext(within(t, 10*time.Second)).Exec() == nil
	})
	return keyspace + ".t"
}

func has(t *testing.T, session *gocql.Session, table, key string) bool {
	t.Helper()
	var k string
	err := session.Query("SELECT k FROM "+table+" WHERE k = ?", key).WithContext(within(t, 20*time.Second)).Scan(&k)
	if err != nil && !errors.Is(err, gocql.ErrNotFound) {
		t.Fatalf("read %s: %v", key, err)
	}
	return err == nil
}

// awaitCassandra tries until it works.
func awaitCassandra(t *testing.T, what string, try func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !try() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within two minutes", what)
		case <-tick.C:
		}
	}
}

// A cut parts the DCs and nothing else: both sides go on for themselves, and come together after the heal.
func TestCassandraOverACut(t *testing.T) {
	testservers.Exclusive(t, "cassandra")
	a, b := cassandraSession(t, testservers.Vars(t, "CASSANDRA_A")[0]), cassandraSession(t, testservers.Vars(t, "CASSANDRA_B")[1])
	table := rows(t, a)
	links := testservers.Control(t).Between("a", "b", "cassandra")
	t.Cleanup(links.Heal)
	cql(t, a, "INSERT INTO "+table+" (k) VALUES ('before')")
	awaitCassandra(t, "a's row in b", func() bool { return has(t, b, table, "before") })

	links.Cut()
	cql(t, a, "INSERT INTO "+table+" (k) VALUES ('in a')")
	cql(t, b, "INSERT INTO "+table+" (k) VALUES ('in b')")
	if !has(t, a, table, "in a") || !has(t, b, table, "in b") {
		t.Error("a side has lost its own row")
	}
	if has(t, b, table, "in a") || has(t, a, table, "in b") {
		t.Error("a row crossed the cut")
	}
	each := a.Query("INSERT INTO " + table + " (k) VALUES ('everywhere')").Consistency(gocql.EachQuorum)
	if err := each.WithContext(within(t, 30*time.Second)).Exec(); err == nil {
		t.Error("EACH_QUORUM was reached over the cut")
	}
	if c, err := new(net.Dialer).DialContext(t.Context(), "tcp", testservers.Vars(t, "CASSANDRA_A_VIA_B")[0]); err == nil {
		_ = c.Close()
		t.Error("b's clients reach a through the cut")
	}

	links.Heal()
	awaitCassandra(t, "the rows of both sides on both", func() bool {
		return has(t, b, table, "in a") && has(t, a, table, "in b")
	})
	cql(t, cassandraSession(t, testservers.Vars(t, "CASSANDRA_A_VIA_B")[1]), "INSERT INTO "+table+" (k) VALUES ('through the link')")
}

func TestOneCassandraNode(t *testing.T) {
	testservers.Exclusive(t, "cassandra")
	a := cassandraSession(t, testservers.Vars(t, "CASSANDRA_A")[0])
	table := rows(t, a)
	node := testservers.Control(t).Server("cassandra-a-2")
	t.Cleanup(node.Start)
	cql(t, a, "INSERT INTO "+table+" (k) VALUES ('before')")
	node.Stop()
	quorum := a.Query("INSERT INTO " + table + " (k) VALUES ('never')")
	if err := quorum.WithContext(within(t, 30*time.Second)).Exec(); err == nil {
		t.Error("a quorum of two was reached by one")
	}
	if err := a.Query("INSERT INTO " + table + " (k) VALUES ('one')").Consistency(gocql.One).WithContext(within(t, 30*time.Second)).Exec(); err != nil {
		t.Errorf("the other node does not serve: %v", err)
	}
	node.Start()
	again := cassandraSession(t, testservers.Vars(t, "CASSANDRA_A")[1])
	awaitCassandra(t, "LOCAL_QUORUM through the restarted node", func() bool {
		var k string
		return again.Query("SELECT k FROM "+table+" WHERE k = 'before'").WithContext(within(t, 20*time.Second)).Scan(&k) == nil
	})
	node.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := again.Query("SELECT k FROM " + table + " WHERE k = 'before'").WithContext(ctx).Exec(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a paused node: %v, want no answer", err)
	}
	node.Resume()
	awaitCassandra(t, "the resumed node", func() bool {
		return has(t, cassandraSession(t, testservers.Vars(t, "CASSANDRA_A")[1]), table, "before")
	})
}
