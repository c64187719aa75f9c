package rdbms_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/rdbmstest"
)

// Two goroutines of a request read after its commit: the second comes while the first asks for the position, and must not
// go ahead without.
func TestOwnWriteReadTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := rdbmstest.New(t, rdbmstest.Server{Name: "db1"}, rdbmstest.Server{Name: "db2"})
		fake.Set("db1", func(k *rdbmstest.Knobs) { k.Latency = 50 * time.Millisecond })
		fake.Set("db2", func(k *rdbmstest.Knobs) { k.Lag = 500 * time.Millisecond })
		cluster := open(t, fake, func(_ *rdbms.Config, o *rdbms.Options) { o.OnTimeout = rdbms.OnTimeoutError })
		run(t, cluster)
		ctx := rdbms.WithScope(context.Background())
		if err := put(ctx, cluster.Primary(), "k", "v"); err != nil {
			t.Fatal(err)
		}
		var reads sync.WaitGroup
		for i := range 5 {
			reads.Go(func() {
				time.Sleep(time.Duration(i) * 20 * time.Millisecond)
				if got, err := get(ctx, cluster.Replica(), "k"); got != "v" || err != nil {
					t.Errorf("reader %d: %q, %v", i, got, err)
				}
			})
		}
		reads.Wait()
	})
}
