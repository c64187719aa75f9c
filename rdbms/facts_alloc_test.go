package rdbms

import (
	"context"
	"database/sql/driver"
	"errors"
	"testing"

	"github.com/multidc/multidc/internal/freshness"
)

// nowhere is a server that cannot be reached.
type nowhere struct{ driver.Connector }

func (nowhere) Connect(context.Context) (driver.Conn, error) { return nil, errors.New("nowhere") }

// Case Xi. Without a recorder facts cost nothing, and with one no memory.
func TestFactsAllocateNothing(t *testing.T) {
	c, err := New(Config{Name: "main", Primary: "db1", Servers: []Server{
		{Name: "db1", DC: "a", Connector: &nowhere{}}, {Name: "db2", DC: "a", Connector: &nowhere{}},
	}}, &Options{DC: "a"})
	if err != nil {
		t.Fatal(err)
	}
	var recorder freshness.Recorder
	for name, ctx := range map[string]context.Context{
		"no recorder": t.Context(), "a recorder": freshness.With(t.Context(), &recorder), "a scope": WithScope(t.Context()),
	} {
		view := c.view.Load()
		l := lease{server: view.servers[1]}
		r := reading{cluster: c, ctx: ctx, call: callOf(ctx), lease: &l, snapshot: view, group: view.groups[""]}
		in := &tx{conn: &conn{cluster: c}, lease: &l, ctx: ctx}
		if n := testing.AllocsPerRun(100, func() {
			r.tell()
			c.tellPrimary(ctx)
			c.report(ctx, in.lag, in.began)
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
