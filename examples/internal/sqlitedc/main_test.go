package sqlitedc

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(crashDir) != "" {
		os.Exit(crashChild())
	}
	goleak.VerifyTestMain(m)
}

const patience = 20 * time.Second

// open opens a cluster of a (primary) and b on dir, closed with the test.
func open(tb testing.TB, dir string, lag time.Duration) *Cluster {
	tb.Helper()
	c, err := Open(tb.Context(), dir, "a", "b", lag)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, c.Close()) })
	return c
}

// start runs the replay until the test, or the returned function, ends it.
func start(tb testing.TB, c *Cluster) (stop func()) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	ended := false
	stop = func() {
		if !ended {
			ended = true
			cancel()
			require.NoError(tb, <-done)
		}
	}
	tb.Cleanup(stop)
	return stop
}

// seen is the database of a DC as another sees it, through the same connections as long as the test lasts.
func seen(tb testing.TB, c *Cluster, from, to string) *sql.DB {
	tb.Helper()
	k, err := c.Connector(from, to)
	require.NoError(tb, err)
	if db, known := handles.Load(k); known {
		return db.(*sql.DB)
	}
	db := sql.OpenDB(k)
	handles.Store(k, db)
	tb.Cleanup(func() {
		handles.Delete(k)
		require.NoError(tb, db.Close())
	})
	return db
}

var handles sync.Map // connector to *sql.DB

// write runs statements on the primary, seen from its own DC.
func write(tb testing.TB, c *Cluster, query string, args ...any) {
	tb.Helper()
	_, err := seen(tb, c, "a", "a").ExecContext(tb.Context(), query, args...)
	require.NoError(tb, err, query)
}

// caughtUp waits until b has what a has now.
func caughtUp(tb testing.TB, c *Cluster) {
	tb.Helper()
	require.Eventually(tb, func() bool {
		s, err := c.State(tb.Context())
		require.NoError(tb, err)
		require.NotErrorIs(tb, s.Err, ErrDiverged)
		return s.DCs[1].Behind == 0
	}, patience, 2*time.Millisecond)
}

// dump is all rows of a table, as text with the types.
func dump(tb testing.TB, db *sql.DB, table string) string {
	tb.Helper()
	rows, err := db.QueryContext(tb.Context(), "SELECT * FROM "+table)
	require.NoError(tb, err)
	defer func() { require.NoError(tb, rows.Close()) }()
	columns, err := rows.Columns()
	require.NoError(tb, err)
	var out strings.Builder
	for rows.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(any)
		}
		require.NoError(tb, rows.Scan(values...))
		for _, v := range values {
			fmt.Fprintf(&out, "%T %[1]v|", *v.(*any))
		}
		out.WriteByte('\n')
	}
	require.NoError(tb, rows.Err())
	return out.String()
}

// same checks that both files hold the same rows of a table.
func same(tb testing.TB, c *Cluster, table string) {
	tb.Helper()
	require.Equal(tb, dump(tb, c.files["a"], table), dump(tb, c.files["b"], table))
}

func count(tb testing.TB, db *sql.DB, query string) (n int) {
	tb.Helper()
	require.NoError(tb, db.QueryRowContext(tb.Context(), query).Scan(&n))
	return n
}
