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

func TestReplayKeepsOrderAndNumbers(t *testing.T) {
	c := open(t, t.TempDir(), 0)
	start(t, c)
	write(t, c, "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
	for i := range 20 {
		write(t, c, "INSERT INTO t (v) VALUES (?)", strconv.Itoa(i))
		write(t, c, "UPDATE t SET v = v || '+' || (SELECT count(*) FROM t)") // wrong in any other order
	}
	caughtUp(t, c)
	same(t, c, "t")
	same(t, c, "multidc_log")
	same(t, c, "multidc_position")
	require.Equal(t, 41, count(t, seen(t, c, "b", "b"), "SELECT n FROM multidc_position"))
}

func TestTransactionIsReplayedWhole(t *testing.T) {
	c := open(t, t.TempDir(), 0)
	write(t, c, "CREATE TABLE t (v)")
	tx, err := seen(t, c, "a", "a").BeginTx(t.Context(), nil)
	require.NoError(t, err)
	for i := range 50 {
		_, err := tx.ExecContext(t.Context(), "INSERT INTO t VALUES (?)", i)
		require.NoError(t, err)
	}
	require.NoError(t, tx.Commit())

	shown := map[int]bool{}
	c.step = func(string) { // between any two steps b shows none or all of it
		var n int
		if c.files["b"].QueryRowContext(t.Context(), "SELECT count(*) FROM t").Scan(&n) == nil { // else the table is not there yet
			shown[n] = true
		}
	}
	stop := start(t, c)
	caughtUp(t, c)
	stop()
	require.Equal(t, map[int]bool{0: true, 50: true}, shown)
}

func TestLagDelaysReplayAndAge(t *testing.T) {
	c := open(t, t.TempDir(), 0)
	start(t, c)
	write(t, c, "CREATE TABLE t (v)")
	caughtUp(t, c)
	require.Eventually(t, func() bool { return !c.UpTo("b").IsZero() }, patience, time.Millisecond)

	c.SetLag(time.Hour)
	write(t, c, "INSERT INTO t VALUES (1)")
	written := time.Now()
	require.Never(t, func() bool { return count(t, seen(t, c, "b", "b"), "SELECT count(*) FROM t") > 0 }, 300*time.Millisecond, 20*time.Millisecond)
	s, err := c.State(t.Context())
	require.NoError(t, err)
	require.Equal(t, int64(1), s.DCs[1].Behind)
	require.Equal(t, time.Hour, s.Lag)
	require.True(t, s.DCs[1].UpTo.Before(written), "b claims to be newer than a statement it has not")

	c.SetLag(0)
	caughtUp(t, c)
	require.Eventually(t, func() bool { return c.UpTo("b").After(written) }, patience, time.Millisecond)
}

func TestDueAndTheClock(t *testing.T) {
	now := time.Unix(1000, 0)
	at := func(d time.Duration) int64 { return now.Add(d).UnixNano() }
	require.Equal(t, time.Second, due(at(0), time.Second, now))
	require.Equal(t, 400*time.Millisecond, due(at(-600*time.Millisecond), time.Second, now))
	require.LessOrEqual(t, due(at(-time.Hour), time.Second, now), time.Duration(0))
	require.Zero(t, due(at(time.Hour), time.Second, now), "committed before the clock was set back: not an hour's wait")
}

func TestCutAndHeal(t *testing.T) {
	c := open(t, t.TempDir(), 0)
	start(t, c)
	write(t, c, "CREATE TABLE t (v)")
	caughtUp(t, c)
	require.Eventually(t, func() bool { return !c.UpTo("b").IsZero() }, patience, time.Millisecond)

	across := seen(t, c, "b", "a")
	conn, err := across.Conn(t.Context())
	require.NoError(t, err)
	tx, err := across.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "INSERT INTO t VALUES ('lost')")
	require.NoError(t, err)

	c.Cut()
	known := c.UpTo("b")
	require.ErrorIs(t, conn.PingContext(t.Context()), ErrUnavailable, "an open connection")
	_, err = across.ExecContext(t.Context(), "INSERT INTO t VALUES ('lost too')")
	require.ErrorIs(t, err, ErrUnavailable, "a new connection")
	require.ErrorIs(t, tx.Commit(), ErrUnavailable, "a commit after the cut")
	write(t, c, "INSERT INTO t VALUES ('kept')")
	require.Never(t, func() bool { return count(t, seen(t, c, "b", "b"), "SELECT count(*) FROM t") > 0 }, 250*time.Millisecond, 20*time.Millisecond)
	require.Equal(t, known, c.UpTo("b"), "a cut replica learns nothing")

	c.Heal()
	require.ErrorIs(t, conn.PingContext(t.Context()), ErrUnavailable, "a connection does not outlive a cut")
	require.NoError(t, conn.Close())
	_, err = across.ExecContext(t.Context(), "INSERT INTO t VALUES ('after')")
	require.NoError(t, err)
	caughtUp(t, c)
	require.Equal(t, "string kept|\nstring after|\n", dump(t, seen(t, c, "b", "b"), "t"))
	same(t, c, "t")
}

func TestTransactionBegunBeforeACutStaysDead(t *testing.T) {
	c := open(t, t.TempDir(), 0)
	write(t, c, "CREATE TABLE t (v)")
	tx, err := seen(t, c, "b", "a").BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "INSERT INTO t VALUES (1)")
	require.NoError(t, err)
	c.Cut()
	c.Heal()
	_, err = tx.ExecContext(t.Context(), "INSERT INTO t VALUES (2)")
	require.ErrorIs(t, err, ErrUnavailable)
	require.ErrorIs(t, tx.Commit(), ErrUnavailable)
	require.Zero(t, count(t, seen(t, c, "a", "a"), "SELECT count(*) FROM t"))
}

func TestLogIsTrimmed(t *testing.T) {
	c := open(t, t.TempDir(), 0)
	start(t, c)
	write(t, c, "CREATE TABLE t (v)")
	tx, err := seen(t, c, "a", "a").BeginTx(t.Context(), nil)
	require.NoError(t, err)
	for i := range 3 * trimEvery {
		_, err := tx.ExecContext(t.Context(), "INSERT INTO t VALUES (?)", i)
		require.NoError(t, err)
	}
	require.NoError(t, tx.Commit())
	for _, dc := range []string{"a", "b"} {
		require.Eventually(t, func() bool {
			return count(t, c.files[dc], "SELECT count(*) FROM multidc_log") <= trimEvery
		}, patience, 5*time.Millisecond, dc)
		require.Equal(t, 3*trimEvery+1, count(t, c.files[dc], "SELECT n FROM multidc_position"), dc)
		require.Equal(t, 3*trimEvery+1, count(t, c.files[dc], "SELECT max(n) FROM multidc_log"), "the last is kept to compare by")
	}
	write(t, c, "INSERT INTO t VALUES ('next')")
	caughtUp(t, c)
	same(t, c, "t")
}

func TestDivergence(t *testing.T) {
	cases := map[string]struct{ file, damage, says string }{
		"same number of other origin": {"b", "UPDATE multidc_log SET origin = 'b' WHERE n = 2", "statement 2 is of b in b and of a in a"},
		"replica ahead":               {"b", "UPDATE multidc_position SET n = 9", "b has 9 statements, the primary a only 4"},
		"gap":                         {"a", "DELETE FROM multidc_log WHERE n = 3", "statement 3 is missing"},
		"end of a transaction lost":   {"a", "DELETE FROM multidc_log WHERE n = 4; UPDATE multidc_position SET n = 5", "statement 4 is missing"},
		"arguments unreadable":        {"a", "UPDATE multidc_log SET args = '[{}]' WHERE n = 3", "statement 3: argument 1: : unknown kind"},
		"data changed behind":         {"b", "INSERT INTO t VALUES (2)", "statement 3, which the primary has committed, fails"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			c := open(t, t.TempDir(), 0)
			stop := start(t, c)
			write(t, c, "CREATE TABLE t (v UNIQUE)")
			write(t, c, "INSERT INTO t VALUES (?)", 1)
			caughtUp(t, c)
			stop()
			tx, err := seen(t, c, "a", "a").BeginTx(t.Context(), nil)
			require.NoError(t, err)
			for _, v := range []int{2, 3} {
				_, err := tx.ExecContext(t.Context(), "INSERT INTO t VALUES (?)", v)
				require.NoError(t, err)
			}
			require.NoError(t, tx.Commit())
			_, err = c.files[test.file].ExecContext(t.Context(), test.damage)
			require.NoError(t, err)
			before := dump(t, c.files["b"], "t")

			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			err = c.Run(ctx)
			require.ErrorIs(t, err, ErrDiverged)
			require.ErrorContains(t, err, test.says)
			require.Equal(t, before, dump(t, c.files["b"], "t"), "b is as it was")
			s, err := c.State(t.Context())
			require.NoError(t, err)
			require.ErrorIs(t, s.Err, ErrDiverged)
		})
	}
}

// What a is to b can be turned round at the next start: the log is the same on both sides.
func TestPrimaryMovesBetweenRuns(t *testing.T) {
	dir := t.TempDir()
	c, err := Open(t.Context(), dir, "a", "b", 0)
	require.NoError(t, err)
	stop := start(t, c)
	write(t, c, "CREATE TABLE t (v)")
	caughtUp(t, c)
	stop()
	require.NoError(t, c.Close())

	c, err = Open(t.Context(), dir, "b", "a", 0)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	start(t, c)
	_, err = seen(t, c, "a", "b").ExecContext(t.Context(), "INSERT INTO t VALUES (1)")
	require.NoError(t, err)
	caughtUp(t, c)
	same(t, c, "t")
	same(t, c, "multidc_log")
}

func TestConcurrentWriters(t *testing.T) {
	c := open(t, t.TempDir(), 0)
	start(t, c)
	write(t, c, "CREATE TABLE t (id INTEGER PRIMARY KEY, v)")
	primary := map[string]*sql.DB{"a": seen(t, c, "a", "a"), "b": seen(t, c, "b", "a")}
	local := map[string]*sql.DB{"a": seen(t, c, "a", "a"), "b": seen(t, c, "b", "b")}
	var wg sync.WaitGroup
	for w := range 6 {
		wg.Go(func() {
			from := []string{"a", "b"}[w%2]
			for i := range 15 {
				if _, err := primary[from].ExecContext(t.Context(), "INSERT INTO t (v) VALUES (?)", fmt.Sprintf("%s%d/%d", from, w, i)); err != nil {
					t.Error(err)
				}
				var n int
				if err := local[from].QueryRowContext(t.Context(), "SELECT count(*) FROM multidc_log").Scan(&n); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	caughtUp(t, c)
	require.Equal(t, 90, count(t, c.files["a"], "SELECT count(*) FROM t"))
	same(t, c, "t")
}

func TestOneRunAtATime(t *testing.T) {
	c := open(t, t.TempDir(), 0)
	start(t, c)
	require.Eventually(t, c.running.Load, patience, time.Millisecond)
	require.ErrorContains(t, c.Run(context.Background()), "running already")
}

func TestLooksAreBounded(t *testing.T) {
	var p progress
	begin := time.Now().Add(-time.Hour)
	for i := range 10 * maxLooks {
		p.sees(begin.Add(time.Duration(i)*time.Millisecond), int64(i))
		require.LessOrEqual(t, len(p.looks), maxLooks)
	}
	require.True(t, p.upTo().IsZero(), "nothing applied yet: unknown")
	p.has(2200, 0)
	reached := p.upTo()
	require.LessOrEqual(t, reached.Sub(begin), 2200*time.Millisecond, "never newer than what was applied")
	require.Positive(t, reached.Sub(begin))
	p.has(10*maxLooks, 2*time.Hour)
	require.Equal(t, reached, p.upTo(), "news takes the lag to arrive")
}
