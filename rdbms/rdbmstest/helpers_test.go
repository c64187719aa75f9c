package rdbmstest_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/multidc/multidc/rdbms/heartbeat"
	"github.com/multidc/multidc/rdbms/rdbmstest"
)

// cluster is a fake one with a *sql.DB for each server.
type cluster struct {
	*rdbmstest.Cluster

	t   *testing.T
	dbs map[string]*sql.DB
}

// inBubble runs a test over a cluster in a bubble.
func inBubble(t *testing.T, servers []rdbmstest.Server, test func(*testing.T, *cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		test(t, open(t, servers...))
	})
}

func open(t *testing.T, servers ...rdbmstest.Server) *cluster {
	t.Helper()
	c := &cluster{Cluster: rdbmstest.New(t, servers...), t: t, dbs: map[string]*sql.DB{}}
	for _, s := range c.Config().Servers {
		db := sql.OpenDB(s.Connector)
		t.Cleanup(func() { _ = db.Close() })
		c.dbs[s.Name] = db
	}
	return c
}

var (
	three    = []rdbmstest.Server{{Name: "db1", DC: "a"}, {Name: "db2", DC: "a"}, {Name: "db3", DC: "b"}}
	chain    = []rdbmstest.Server{{Name: "db1", DC: "a"}, {Name: "db2", DC: "b", From: "db1"}, {Name: "db3", DC: "b", From: "db2"}}
	circular = []rdbmstest.Server{{Name: "a1", DC: "a", From: "b1"}, {Name: "b1", DC: "b", From: "a1"}, {Name: "a2", DC: "a", From: "a1"}}
)

func (c *cluster) write(server, key, value string) {
	c.t.Helper()
	if _, err := c.dbs[server].ExecContext(c.t.Context(), "REPLACE INTO kv VALUES (?, ?)", key, value); err != nil {
		c.t.Fatalf("write on %s: %v", server, err)
	}
}

// want wants a value, "" for no row.
func (c *cluster) want(server, key, value string) {
	c.t.Helper()
	if got := c.get(server, key); got != value {
		c.t.Errorf("at %v %s has %s=%q, want %q", time.Now().UTC().Format("05.000"), server, key, got, value)
	}
}

type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func (c *cluster) get(server, key string) string {
	c.t.Helper()
	return get(c.t, c.dbs[server], key)
}

func get(t *testing.T, from querier, key string) (value string) {
	t.Helper()
	err := from.QueryRowContext(t.Context(), "SELECT v FROM kv WHERE k = ?", key).Scan(&value)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		t.Fatalf("read of %s: %v", key, err)
	}
	return value
}

func (c *cluster) variable(server, name string) string {
	c.t.Helper()
	var value string
	if err := c.dbs[server].QueryRowContext(c.t.Context(), "SELECT @@"+name).Scan(&value); err != nil {
		c.t.Fatalf("@@%s of %s: %v", name, server, err)
	}
	return value
}

func (c *cluster) reading(server string) heartbeat.Reading {
	c.t.Helper()
	conn, err := c.dbs[server].Conn(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close()
	reading, err := heartbeat.Read(c.t.Context(), conn, "")
	if err != nil {
		c.t.Fatal(err)
	}
	return reading
}

// age is how old a server's row is on another, by the other's clock.
func (c *cluster) age(server string, id uint32) time.Duration {
	c.t.Helper()
	reading := c.reading(server)
	for _, row := range reading.Rows {
		if row.ServerID == id {
			ts, err := heartbeat.ParseTime(row.TS)
			if err != nil {
				c.t.Fatal(err)
			}
			return reading.Now.Sub(ts)
		}
	}
	c.t.Fatalf("%s has no row of %d: %v", server, id, reading.Rows)
	return 0
}

// wantLag wants an age of that lag, and at most an interval between two beats more.
func (c *cluster) wantLag(server string, id uint32, lag time.Duration) {
	c.t.Helper()
	if age := c.age(server, id); age < lag || age >= lag+time.Second {
		c.t.Errorf("on %s the row of %d is %v old, want %v and up to 1 s more", server, id, age, lag)
	}
}

func wantNumber(t *testing.T, err error, number uint16) {
	t.Helper()
	if answer := (*mysql.MySQLError)(nil); !errors.As(err, &answer) || answer.Number != number {
		t.Errorf("got %v, want error %d", err, number)
	}
}
