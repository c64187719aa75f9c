package sqlitedc

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/rdbmstest"
)

func TestEngine(t *testing.T) {
	rdbmstest.TestEngine(t, rdbmstest.EngineHarness{
		Engine:    Engine{},
		Malformed: []string{"s1:", "s1:x", "s1:-1", "s1:+1", "s1:01", "s1: 1", "s1:1 ", "s1:9223372036854775808", "S1:1", "m1:1"},
		Errors: map[rdbms.Fault][]error{
			rdbms.FaultReadOnly:  {ErrReadOnly},
			rdbms.FaultStatement: {ErrRefused, ErrUnavailable, ErrDiverged},
		},
		New: engineServers,
	})
}

func engineServers(tb testing.TB) rdbmstest.EngineServers {
	tb.Helper()
	c := open(tb, tb.TempDir(), 0)
	start(tb, c)
	write(tb, c, "CREATE TABLE t (v)")
	s := rdbmstest.EngineServers{Primary: seen(tb, c, "a", "a"), Replica: seen(tb, c, "b", "b")}
	s.Write = func(ctx context.Context) error {
		_, err := s.Primary.ExecContext(ctx, "INSERT INTO t VALUES ('more')")
		return err
	}
	s.Replicate = func(context.Context) error {
		caughtUp(tb, c) //nolint:contextcheck // it has the test's
		require.Eventually(tb, func() bool { return !c.UpTo("b").IsZero() }, patience, time.Millisecond)
		return nil
	}
	s.Hold = func() func() {
		c.SetLag(time.Hour)
		return func() { c.SetLag(0) }
	}
	s.ReadOnly = func(on bool) {
		require.NoError(tb, c.SetPrimary(tb.Context(), map[bool]string{true: "b", false: "a"}[on]))
	}
	return s
}

func TestErrorsOfTheServerAreTold(t *testing.T) {
	c := open(t, t.TempDir(), 0)
	_, err := c.files["a"].ExecContext(t.Context(), "PRAGMA max_page_count = 1")
	require.NoError(t, err)
	_, err = c.files["a"].ExecContext(t.Context(), "CREATE TABLE t AS SELECT randomblob(100000) AS v")
	require.Equal(t, rdbms.FaultServer, Engine{}.Classify(err), err)
}

func TestIdentityChangesWhenOpenedAgain(t *testing.T) {
	dir := t.TempDir()
	identity := func() string {
		c, err := Open(t.Context(), dir, "a", "b", 0)
		require.NoError(t, err)
		defer func() { require.NoError(t, c.Close()) }()
		k, err := c.Connector("b", "a")
		require.NoError(t, err)
		db := sql.OpenDB(k)
		defer func() { require.NoError(t, db.Close()) }()
		conn, err := db.Conn(t.Context())
		require.NoError(t, err)
		defer func() { require.NoError(t, conn.Close()) }()
		p, err := Engine{}.Probe(t.Context(), conn)
		require.NoError(t, err)
		return p.Identity
	}
	before := identity()
	require.NotEqual(t, before, identity())
}

// An unknown lag has its reason, and what was known gets older while nothing comes across.
func TestLagOfAReplica(t *testing.T) {
	c := open(t, t.TempDir(), 0)
	probe := func(dc string) rdbms.Probe {
		conn, err := seen(t, c, dc, dc).Conn(t.Context())
		require.NoError(t, err)
		defer func() { require.NoError(t, conn.Close()) }()
		p, err := Engine{}.Probe(t.Context(), conn)
		require.NoError(t, err)
		return p
	}
	require.Equal(t, rdbms.Lag{Why: rdbms.LagStopped}, probe("b").Lag)
	require.True(t, probe("a").Lag.Known)
	c.SetLag(time.Hour)
	stop := start(t, c)
	require.Eventually(t, func() bool { return probe("b").Lag == rdbms.Lag{Why: rdbms.LagNotRead} }, patience, time.Millisecond)
	c.SetLag(0)
	require.Eventually(t, func() bool { return probe("b").Lag.Known }, patience, time.Millisecond)
	stop()
	before := probe("b").Lag.Value
	require.Greater(t, probe("b").Lag.Value, before)

	conn, err := seen(t, c, "a", "a").Conn(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	foreign := sql.OpenDB(c.views[view{"a", "a"}].inner)
	defer func() { require.NoError(t, foreign.Close()) }()
	other, err := foreign.Conn(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, other.Close()) }()
	_, err = Engine{}.Probe(t.Context(), other)
	require.ErrorContains(t, err, "is no connection of this package")
}

// rdbms must see a broken connection in what a cut link answers, and go elsewhere.
func TestCutLinkBreaksConnections(t *testing.T) {
	c := open(t, t.TempDir(), 0)
	start(t, c)
	conn, err := seen(t, c, "b", "a").Conn(t.Context())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }() // it is broken
	c.Cut()
	_, err = Engine{}.Probe(t.Context(), conn)
	var broken net.Error
	require.ErrorAs(t, err, &broken)
	require.ErrorIs(t, err, ErrUnavailable)
	require.NotErrorIs(t, err, driver.ErrBadConn, "database/sql would run it again by itself")
	_, err = seen(t, c, "b", "a").Conn(t.Context())
	require.ErrorAs(t, err, &broken)
}
