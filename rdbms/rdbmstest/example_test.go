package rdbmstest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/rdbmstest"
)

// The test that the package comment shows.
func TestOwnWriteIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := rdbmstest.New(t,
			rdbmstest.Server{Name: "db1", DC: "a"}, // the primary
			rdbmstest.Server{Name: "db2", DC: "a"},
			rdbmstest.Server{Name: "db3", DC: "b", From: "db2"})
		fake.Set("db2", func(k *rdbmstest.Knobs) { k.Lag = 300 * time.Millisecond })
		cluster, err := rdbms.New(fake.Config(), &rdbms.Options{DC: "a"})
		if err != nil {
			t.Fatal(err)
		}
		defer cluster.Close(t.Context())
		ctx := rdbms.WithScope(t.Context())
		if _, err := cluster.Primary().ExecContext(ctx, "REPLACE INTO kv VALUES (?, ?)", "page", "new"); err != nil {
			t.Fatal(err)
		}
		var text string
		err = cluster.Replica().QueryRowContext(ctx, "SELECT v FROM kv WHERE k = ?", "page").Scan(&text)
		if err != nil || text != "new" {
			t.Errorf("%q, %v", text, err)
		}
	})
}

// A demoted primary: SetServers follows, and the application goes on.
func TestSwitchover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := rdbmstest.New(t, rdbmstest.Server{Name: "db1"}, rdbmstest.Server{Name: "db2"})
		cluster, err := rdbms.New(fake.Config(), &rdbms.Options{DC: "a"})
		if err != nil {
			t.Fatal(err)
		}
		defer cluster.Close(t.Context())
		fake.Promote("db2")
		if _, err := cluster.Primary().ExecContext(t.Context(), "REPLACE INTO kv VALUES ('k', 'v')"); err == nil {
			t.Error("a read-only server has taken a write")
		}
		if err := cluster.SetServers(fake.Config()); err != nil {
			t.Fatal(err)
		}
		if err := cluster.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := cluster.Primary().ExecContext(t.Context(), "REPLACE INTO kv VALUES ('k', 'v')"); err != nil {
			t.Error(err)
		}
		if got := fake.Counts("db2").Writes; got != 1 {
			t.Errorf("%d writes on the new primary", got)
		}
	})
}
