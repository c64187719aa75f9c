package rdbmstest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/heartbeat"
)

var probeTests = []engineTest{
	{name: "identity", run: probeIdentity},
	{name: "a restart changes the identity", run: probeRestart},
	{name: "read only", run: probeReadOnly},
	{name: "lag", run: probeLag},
	{name: "position", run: probePosition, positions: true},
	{name: "no positions", run: probeNoPositions},
}

func probeIdentity(b *bench) {
	primary, replica := b.probe(b.Primary), b.probe(b.Replica)
	if primary.Identity == "" || replica.Identity == "" || primary.Identity == replica.Identity {
		b.Errorf("the identities are %q and %q: two servers must differ", primary.Identity, replica.Identity)
	}
	if primary.ServerID == replica.ServerID && primary.ServerID != 0 {
		b.Errorf("two servers have the ServerID %d", primary.ServerID)
	}
	for range 3 { // nothing has happened, so nothing may seem to have
		b.write()
		again := b.probe(b.Primary)
		if again.Identity != primary.Identity || again.ServerID != primary.ServerID || again.ReadOnly != primary.ReadOnly {
			b.Errorf("the primary was %+v, and is %+v", primary, again)
		}
	}
}

func probeRestart(b *bench) {
	if b.Restart == nil {
		return
	}
	before, other := b.probe(b.Replica), b.probe(b.Primary)
	b.Restart()
	if after := b.probe(b.Replica); after.Identity == before.Identity || after.ServerID != before.ServerID {
		b.Errorf("restarted, a server has the identity %q (before: %q) and the ServerID %d (before: %d)",
			after.Identity, before.Identity, after.ServerID, before.ServerID)
	}
	if after := b.probe(b.Primary); after.Identity != other.Identity {
		b.Errorf("another server was restarted, and the identity became %q from %q", after.Identity, other.Identity)
	}
}

func probeReadOnly(b *bench) {
	if b.probe(b.Primary).ReadOnly {
		b.Error("a primary that takes writes is ReadOnly")
	}
	if b.ReadOnly == nil {
		return
	}
	for _, on := range []bool{true, false} {
		b.ReadOnly(on)
		if got := b.probe(b.Primary).ReadOnly; got != on {
			b.Errorf("read-only is %t, Probe says %t", on, got)
		}
	}
}

// An unknown lag has a reason, and is not zero.
func probeLag(b *bench) {
	b.write()
	b.replicate()
	for name, db := range map[string]*sql.DB{"primary": b.Primary, "replica": b.Replica} {
		p := b.probe(db)
		beats := len(p.Beats.Rows) > 0
		if beats && p.Beats.Now.IsZero() {
			b.Errorf("%s: heartbeat rows without the server's clock", name)
		}
		if !p.Lag.Known && (p.Lag.Value != 0 || !beats && p.Lag.Why == "") || p.Lag.Known && (p.Lag.Why != "" || p.Lag.Value < 0) {
			b.Errorf("%s: the lag is %+v with %d heartbeat rows: an unknown one has a Why and no Value, a known one a Value alone",
				name, p.Lag, len(p.Beats.Rows))
		}
		if name == "replica" && !beats && !p.Lag.Known && !b.h.NoLag {
			b.Errorf("replica: neither heartbeat rows nor a known lag, but %v: say so in EngineHarness.NoLag", p.Lag)
		}
		if beats && !slices.ContainsFunc(p.Beats.Rows, isBeat) {
			b.Errorf("%s: of the heartbeat rows %+v none has a server and a time", name, p.Beats.Rows)
		}
	}
}

func isBeat(row heartbeat.Row) bool {
	_, err := heartbeat.ParseTime(row.TS)
	return err == nil && row.ServerID != 0
}

func probePosition(b *bench) {
	b.write()
	b.replicate()
	want := b.written()
	for name, db := range map[string]*sql.DB{"primary": b.Primary, "replica": b.Replica} {
		if name == "replica" {
			b.await(want)
		}
		b.expect(true, b.probe(db).Applied, want, "Probe.Applied of the "+name+", which has it")
	}
}

func probeNoPositions(b *bench) {
	if !b.h.NoPositions {
		return
	}
	b.write()
	if w, a, p := b.written(), b.applied(b.Replica), b.probe(b.Replica).Applied; w != "" || a != "" || p != "" {
		b.Errorf("servers without positions have Written %q, Applied %q, Probe.Applied %q", w, a, p)
	}
}

var faultTests = []engineTest{
	{name: "a statement that nobody understands", run: faultStatement},
	{name: "a write on a read-only server", run: faultReadOnly},
	{name: "errors of the server", run: faultSamples},
	{name: "errors that are none of the server's", run: faultForeign},
}

func faultStatement(b *bench) {
	b.with(b.Replica, func(conn *sql.Conn) {
		_, err := conn.ExecContext(b.ctx, "NO SUCH STATEMENT")
		if err == nil {
			b.Fatal("the server takes NO SUCH STATEMENT")
		}
		b.classified(err, rdbms.FaultStatement)
		if _, err := b.engine.Probe(b.ctx, conn); err != nil {
			b.Errorf("Probe after a statement that failed: %v", err)
		}
	})
}

func faultReadOnly(b *bench) {
	if b.ReadOnly == nil {
		return
	}
	b.ReadOnly(true)
	defer b.ReadOnly(false)
	err := b.Write(b.ctx)
	if err == nil {
		b.Fatal("EngineServers.Write has written on a read-only server: use the account of an application")
	}
	b.classified(err, rdbms.FaultReadOnly)
}

func faultSamples(b *bench) {
	for fault, list := range b.h.Errors {
		for _, err := range list {
			b.classified(err, fault)
		}
	}
}

// What the engine does not know says nothing about the server: a breaker must not open because of it.
func faultForeign(b *bench) {
	for _, err := range []error{errors.New("something else"), sql.ErrNoRows, context.Canceled, context.DeadlineExceeded} {
		b.classified(err, rdbms.FaultStatement)
	}
}

// classified looks at the error as it came, and wrapped as callers wrap it.
func (b *bench) classified(err error, want rdbms.Fault) {
	b.Helper()
	for _, e := range []error{err, fmt.Errorf("wrapped: %w", err), errors.Join(errors.New("another"), err)} {
		if got := b.engine.Classify(e); got != want {
			b.Errorf("Classify(%v) is %s, want %s", e, faultName(got), faultName(want))
		}
	}
}

func faultName(f rdbms.Fault) string {
	switch f {
	case rdbms.FaultStatement:
		return "FaultStatement"
	case rdbms.FaultServer:
		return "FaultServer"
	case rdbms.FaultReadOnly:
		return "FaultReadOnly"
	}
	return fmt.Sprintf("Fault(%d)", f)
}

var cancelTests = []engineTest{
	{name: "a context that has ended", run: cancelEnded},
	{name: "a server that hangs", run: cancelHanging},
}

// asks are the methods that ask a server.
func (b *bench) asks() map[string]func(context.Context, *sql.Conn) error {
	return map[string]func(context.Context, *sql.Conn) error{
		"Probe":   func(ctx context.Context, c *sql.Conn) error { _, err := b.engine.Probe(ctx, c); return err },
		"Written": func(ctx context.Context, c *sql.Conn) error { _, err := b.engine.Written(ctx, c); return err },
		"Applied": func(ctx context.Context, c *sql.Conn) error { _, err := b.engine.Applied(ctx, c); return err },
	}
}

func cancelEnded(b *bench) {
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	for name, ask := range b.asks() {
		b.with(b.Primary, func(conn *sql.Conn) {
			if err := ask(ctx, conn); !errors.Is(err, context.Canceled) {
				b.Errorf("%s with a context that has ended: %v, want context.Canceled", name, err)
			}
		})
	}
}

func cancelHanging(b *bench) {
	if b.Hang == nil {
		return
	}
	for name, ask := range b.asks() {
		b.with(b.Primary, func(conn *sql.Conn) {
			release := b.Hang()
			defer release()
			ctx, cancel := context.WithTimeout(b.ctx, 50*time.Millisecond)
			defer cancel()
			begun := time.Now()
			// The server, or the driver, may tell in its own words that it was interrupted.
			if err := ask(ctx, conn); err == nil || time.Since(begun) > engineTimeout/2 {
				b.Errorf("%s of a server that hangs: %v after %v", name, err, time.Since(begun))
			}
		})
	}
}
