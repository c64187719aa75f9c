package rdbms_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/rdbmstest"
)

// Case Xg. A request that wrote reads its own write from a replica, which it waits for.
func TestOwnWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := rdbmstest.New(t, rdbmstest.Server{Name: "db1"}, rdbmstest.Server{Name: "db2"}, rdbmstest.Server{Name: "db3", DC: "b"})
		fake.Set("db2", func(k *rdbmstest.Knobs) { k.Lag = 300 * time.Millisecond })
		cluster := open(t, fake, nil)
		run(t, cluster)
		t.Log(cluster.Explain(t.Context()))
		ctx := rdbms.WithScope(t.Context())
		if err := put(ctx, cluster.Primary(), "k", "v"); err != nil {
			t.Fatal(err)
		}
		got, err := get(ctx, cluster.Replica(), "k")
		if err != nil || got != "v" {
			t.Errorf("%q, %v", got, err)
		}
		t.Logf("%+v", cluster.Served(ctx))
	})
}
