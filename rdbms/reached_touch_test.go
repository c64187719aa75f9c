package rdbms_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/rdbmstest"
)

// Reached is of everything required: of a later touch too.
func TestReachedOfAPositionAndALaterTouch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := rdbmstest.New(t, rdbmstest.Server{Name: "db1", DC: "a"}, rdbmstest.Server{Name: "db2", DC: "a"})
		fake.Set("db2", func(k *rdbmstest.Knobs) { k.Lag = 2 * time.Second })
		c := open(t, fake, nil)
		run(t, c)
		first := rdbms.WithScope(t.Context())
		if err := put(first, c.Primary(), "k", "1"); err != nil {
			t.Fatal(err)
		}
		wrote, position, asOf, err := c.Positions().Captured(first)
		if !wrote || position == "" || err != nil {
			t.Fatal(wrote, position, err)
		}
		time.Sleep(5 * time.Second)
		p := c.Positions()
		ctx := rdbms.WithScope(t.Context())
		if err := p.Require(ctx, position, asOf, -1, "primary"); err != nil {
			t.Fatal(err)
		}
		if ok, err := p.Reached(ctx); !ok || err != nil {
			t.Errorf("the position: %t, %v", ok, err)
		}
		if err := p.Require(ctx, "", time.Now(), -1, "primary"); err != nil {
			t.Fatal(err)
		}
		if ok, err := p.Reached(ctx); ok || err != nil {
			t.Errorf("and a touch of now, while the replica is 2 s behind: reached %t, %v", ok, err)
		}
		alone := rdbms.WithScope(t.Context())
		if err := p.Require(alone, "", time.Now(), -1, "primary"); err != nil {
			t.Fatal(err)
		}
		if ok, err := p.Reached(alone); ok || err != nil {
			t.Errorf("the touch alone: reached %t, %v", ok, err)
		}
		if p.Attach(ctx) != ctx {
			t.Error("Attach twice")
		}
		for _, bad := range []string{"m1:1-2", "bl:a:1", "é", "x"} {
			fresh := rdbms.WithScope(t.Context())
			if err := p.Require(fresh, bad, time.Now(), 0, "primary"); err == nil {
				t.Errorf("%q is required", bad)
			}
			if ok, _ := p.Reached(fresh); !ok {
				t.Errorf("%q: something is required", bad)
			}
		}
		if wrote, position, asOf, err := p.Captured(rdbms.WithScope(t.Context())); wrote || position != "" || !asOf.IsZero() || err != nil {
			t.Error(wrote, position, asOf, err)
		}
	})
}
