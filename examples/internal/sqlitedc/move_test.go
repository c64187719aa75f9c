package sqlitedc

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func insert(tb testing.TB, c *Cluster, from, to, value string) error {
	tb.Helper()
	_, err := seen(tb, c, from, to).ExecContext(tb.Context(), "INSERT INTO t VALUES (?)", value)
	return err
}

// followed waits until the replica has what the primary has, whichever they are.
func followed(tb testing.TB, c *Cluster, primary string) {
	tb.Helper()
	caughtUp(tb, c)
	s, err := c.State(tb.Context())
	require.NoError(tb, err)
	require.Equal(tb, primary, s.Primary)
	require.False(tb, s.Moving)
	same(tb, c, "t")
	same(tb, c, "multidc_position")
}

func TestPrimaryMovesWhileItRuns(t *testing.T) {
	c := open(t, t.TempDir(), 50*time.Millisecond)
	start(t, c)
	write(t, c, "CREATE TABLE t (v)")
	require.NoError(t, insert(t, c, "a", "a", "one"))
	require.NoError(t, c.SetPrimary(t.Context(), "b"), "it waits for the replay")
	require.Equal(t, "string one|\n", dump(t, c.files["b"], "t"), "b has all that a had before it takes writes")
	require.Equal(t, "b", c.Primary())
	require.NoError(t, insert(t, c, "a", "b", "two"))
	require.ErrorIs(t, insert(t, c, "b", "a", "lost"), ErrReadOnly)
	followed(t, c, "b")
	require.Equal(t, "string one|\nstring two|\n", dump(t, seen(t, c, "a", "a"), "t"))
	require.Eventually(t, func() bool { return time.Since(c.UpTo("a")) < time.Second }, patience, time.Millisecond)

	require.NoError(t, c.SetPrimary(t.Context(), "b"), "it is")
	require.NoError(t, c.SetPrimary(t.Context(), "a"), "and back")
	require.NoError(t, insert(t, c, "b", "a", "three"))
	followed(t, c, "a")
	require.ErrorContains(t, c.SetPrimary(t.Context(), "c"), `no DC "c"`)
}

// Whatever cannot get across keeps the primary where it is, with its data.
func TestPrimaryStaysWhereItIsIfTheOtherLacksSomething(t *testing.T) {
	for name, hinder := range map[string]func(*Cluster){
		"lag": func(c *Cluster) { c.SetLag(time.Hour) },
		"cut": (*Cluster).Cut,
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t, t.TempDir(), 0)
			start(t, c)
			write(t, c, "CREATE TABLE t (v)")
			caughtUp(t, c)
			hinder(c)
			require.NoError(t, insert(t, c, "a", "a", "one"))
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- c.SetPrimary(ctx, "b") }()
			require.Eventually(t, func() bool {
				s, err := c.State(t.Context())
				require.NoError(t, err)
				return s.Moving
			}, patience, time.Millisecond)
			err := insert(t, c, "a", "a", "refused")
			require.ErrorIs(t, err, ErrReadOnly)
			require.ErrorContains(t, err, "moves from DC a to DC b")
			cancel()
			err = <-ended
			require.ErrorIs(t, err, context.Canceled)
			require.ErrorContains(t, err, "DC b does not take over")
			require.NoError(t, insert(t, c, "a", "a", "two"))
			c.Heal()
			c.SetLag(0)
			followed(t, c, "a")
			require.Equal(t, "string one|\nstring two|\n", dump(t, c.files["b"], "t"))
		})
	}
}

// A transaction that has not committed when the primary moves must not commit after.
func TestTransactionDoesNotOutliveItsPrimary(t *testing.T) {
	c := open(t, t.TempDir(), 0)
	start(t, c)
	write(t, c, "CREATE TABLE t (v)")
	tx, err := seen(t, c, "a", "a").BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "INSERT INTO t VALUES ('too late')")
	require.NoError(t, err)
	require.NoError(t, c.SetPrimary(t.Context(), "b"))
	require.ErrorIs(t, tx.Commit(), ErrReadOnly)
	require.NoError(t, insert(t, c, "b", "b", "in time"))
	followed(t, c, "b")
	require.Equal(t, "string in time|\n", dump(t, c.files["a"], "t"))
}

// Everybody writes wherever the primary is while it goes to and fro: what was committed is in both, once.
func TestNothingIsLostWhileThePrimaryMoves(t *testing.T) {
	c := open(t, t.TempDir(), 0)
	start(t, c)
	write(t, c, "CREATE TABLE t (v UNIQUE)")
	dbs := map[string]*sql.DB{"a": seen(t, c, "a", "a"), "b": seen(t, c, "a", "b")}
	stop, committed := make(chan struct{}), make([]int, 4)
	var writers sync.WaitGroup
	for w := range committed {
		writers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := dbs[c.Primary()].ExecContext(t.Context(), "INSERT INTO t VALUES (?)", fmt.Sprint(w, n)); err == nil {
					committed[w]++
				}
			}
		})
	}
	for i := range 10 {
		require.NoError(t, c.SetPrimary(t.Context(), []string{"b", "a"}[i%2]), strconv.Itoa(i))
	}
	close(stop)
	writers.Wait()
	followed(t, c, "a")
	all := 0
	for _, n := range committed {
		all += n
	}
	require.Equal(t, all, count(t, c.files["a"], "SELECT count(*) FROM t"))
}

// Ended before all had crossed the link, and told to begin with the other as the primary: nothing is lost, nor diverged.
func TestTheNewerIsThePrimaryAtTheStart(t *testing.T) {
	dir := t.TempDir()
	c, err := Open(t.Context(), dir, "a", "b", time.Hour)
	require.NoError(t, err)
	write(t, c, "CREATE TABLE t (v)")
	require.NoError(t, insert(t, c, "a", "a", "kept"))
	require.NoError(t, c.Close())

	c, err = Open(t.Context(), dir, "b", "a", 0)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	require.Equal(t, "a", c.Primary())
	require.NoError(t, c.SetPrimary(t.Context(), "b"), "without Run")
	start(t, c)
	followed(t, c, "b")
	require.Equal(t, "string kept|\n", dump(t, c.files["b"], "t"))
}
