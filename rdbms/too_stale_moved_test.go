package rdbms_test

import (
	"database/sql/driver"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/rdbmstest"
)

// A bounded read whose server breaks, while the other one is too old, is too stale: one was not tried, for its age alone.
func TestTooStaleAfterMoving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := rdbmstest.New(t, rdbmstest.Server{Name: "db1"}, rdbmstest.Server{Name: "db2"}, rdbmstest.Server{Name: "db3"})
		fake.Set("db3", func(k *rdbmstest.Knobs) { k.Lag = 4 * time.Second })
		cluster := open(t, fake, func(_ *rdbms.Config, o *rdbms.Options) { o.StrictStaleness = true })
		run(t, cluster)
		ctx := rdbms.WithMaxStaleness(t.Context(), 3*time.Second)
		if name, err := who(ctx, cluster.Replica()); err != nil || name != "db2" {
			t.Fatal(name, err)
		}
		lost := errors.New("lost")
		fake.Set("db2", func(k *rdbmstest.Knobs) {
			k.Faults = []rdbmstest.Fault{{Match: "@@hostname", Err: errors.Join(lost, driver.ErrBadConn)}}
		})
		if _, err := who(ctx, cluster.Replica()); !errors.Is(err, rdbms.ErrTooStale) || !errors.Is(err, lost) {
			t.Errorf("%v", err)
		}
	})
}
