package rdbmstest

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/multidc/multidc/rdbms"
)

// EngineHarness connects an [rdbms.Engine] with its conformance suite.
type EngineHarness struct {
	Engine rdbms.Engine

	// New makes a primary and a replica of it, for one test alone. What must be closed goes into tb.Cleanup.
	New func(tb testing.TB) EngineServers

	// Malformed are position texts in the engine's own form, with a mistake.
	Malformed []string
	// Errors are errors that the server answers, and what they mean, beside those that the suite provokes.
	Errors map[rdbms.Fault][]error

	// NoPositions: the servers have none, Written and Applied say "".
	NoPositions bool
	// NoLag: Probe tells neither heartbeat rows nor a known lag.
	NoLag bool
}

// EngineServers are a primary and its replica. What is nil cannot be done, and its tests are left out.
type EngineServers struct {
	Primary, Replica *sql.DB

	// Write commits something more on the primary, as an application does, and returns its error.
	Write func(context.Context) error
	// Replicate returns when the replica has all that the primary has.
	Replicate func(context.Context) error
	// Hold keeps from the replica what is written from now on, until release.
	Hold func() (release func())
	// ReadOnly makes the primary read-only, or not.
	ReadOnly func(on bool)
	// Restart restarts the replica, so that its identity changes. Connections may be lost.
	Restart func()
	// Hang lets the primary answer nothing until release.
	Hang func() (release func())
}

// TestEngine is the conformance suite of rdbms.Engine.
func TestEngine(t *testing.T, h EngineHarness) {
	for _, subject := range []struct {
		name  string
		tests []engineTest
	}{
		{"probe", probeTests},
		{"positions", positionTests},
		{"texts", textTests},
		{"faults", faultTests},
		{"cancellation", cancelTests},
	} {
		t.Run(subject.name, func(t *testing.T) {
			for _, tc := range subject.tests {
				if tc.positions && h.NoPositions {
					continue
				}
				t.Run(tc.name, func(t *testing.T) { tc.run(newBench(t, h)) })
			}
		})
	}
}

type engineTest struct {
	name      string
	run       func(*bench)
	positions bool // it is about positions, which some servers do not have
}

// engineTimeout only ends a test that has failed.
const engineTimeout = 30 * time.Second

// bench is one test's engine with its servers.
type bench struct {
	*testing.T
	EngineServers

	h      EngineHarness
	engine rdbms.Engine
	ctx    context.Context //nolint:containedctx // that of the whole test
}

func newBench(t *testing.T, h EngineHarness) *bench {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), engineTimeout)
	t.Cleanup(cancel)
	return &bench{T: t, EngineServers: h.New(t), h: h, engine: h.Engine, ctx: ctx}
}

// with lends a connection, as the cluster does: nobody else uses it, and it is in no transaction.
func (b *bench) with(db *sql.DB, do func(*sql.Conn)) {
	b.Helper()
	conn, err := db.Conn(b.ctx)
	if err != nil {
		b.Fatalf("connecting: %v", err)
	}
	defer conn.Close()
	do(conn)
}

func (b *bench) write() {
	b.Helper()
	if err := b.Write(b.ctx); err != nil {
		b.Fatalf("EngineServers.Write: %v", err)
	}
}

func (b *bench) replicate() {
	b.Helper()
	if err := b.Replicate(b.ctx); err != nil {
		b.Fatalf("EngineServers.Replicate: %v", err)
	}
}

func (b *bench) probe(db *sql.DB) (p rdbms.Probe) {
	b.Helper()
	b.with(db, func(conn *sql.Conn) {
		b.Helper()
		var err error
		if p, err = b.engine.Probe(b.ctx, conn); err != nil {
			b.Fatalf("Probe: %v", err)
		}
	})
	return p
}

func (b *bench) written() (text string) {
	b.Helper()
	b.with(b.Primary, func(conn *sql.Conn) {
		b.Helper()
		var err error
		if text, err = b.engine.Written(b.ctx, conn); err != nil {
			b.Fatalf("Written: %v", err)
		}
	})
	return text
}

func (b *bench) applied(db *sql.DB) (text string) {
	b.Helper()
	b.with(db, func(conn *sql.Conn) {
		b.Helper()
		var err error
		if text, err = b.engine.Applied(b.ctx, conn); err != nil {
			b.Fatalf("Applied: %v", err)
		}
	})
	return text
}

func (b *bench) reached(have, want string) bool {
	b.Helper()
	ok, err := b.engine.Reached(have, want)
	if err != nil {
		b.Fatalf("Reached(%q, %q): %v", have, want, err)
	}
	return ok
}

func (b *bench) merged(x, y string) string {
	b.Helper()
	text, err := b.engine.Merge(x, y)
	if err != nil {
		b.Fatalf("Merge(%q, %q): %v", x, y, err)
	}
	return text
}

// expect wants have to have reached want, or not.
func (b *bench) expect(reached bool, have, want, what string) {
	b.Helper()
	if b.reached(have, want) != reached {
		b.Errorf("%s: Reached(%q, %q) is %t", what, have, want, !reached)
	}
}
