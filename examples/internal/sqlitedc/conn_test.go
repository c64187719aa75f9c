package sqlitedc

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

func TestOnlyThePrimaryWrites(t *testing.T) {
	c := open(t, t.TempDir(), 0)
	start(t, c)
	write(t, c, "CREATE TABLE t (v)")
	caughtUp(t, c)
	for _, from := range []string{"a", "b"} {
		db := seen(t, c, from, "b")
		_, err := db.ExecContext(t.Context(), "INSERT INTO t VALUES (1)")
		require.ErrorIs(t, err, ErrReadOnly)
		require.ErrorContains(t, err, "DC b is not the primary: write to the database of DC a")
		var told interface{ ReadOnly() bool }
		require.True(t, errors.As(err, &told) && told.ReadOnly())
		_, err = db.ExecContext(t.Context(), "SELECT 1")
		require.NoError(t, err, "an Exec that only reads is fine")
	}
	tx, err := seen(t, c, "a", "a").BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "INSERT INTO t VALUES (1)")
	require.ErrorIs(t, err, ErrReadOnly)
	require.NoError(t, tx.Commit())
	same(t, c, "multidc_log")
}

func TestRefusedStatements(t *testing.T) {
	c := open(t, t.TempDir(), 0)
	db := seen(t, c, "a", "a")
	write(t, c, "CREATE TABLE t (id INTEGER PRIMARY KEY, v)")
	before := dump(t, db, "multidc_log")
	for query, says := range map[string]string{
		"INSERT INTO t (v) VALUES (random())":                "random: it depends on chance",
		"INSERT INTO t (v) VALUES (\"RANDOM\"())":            "depends on chance",
		"INSERT INTO t (v) SELECT hex(randomblob(8))":        "randomblob: it depends on chance",
		"UPDATE t SET v = datetime('now')":                   "datetime: it depends on the time",
		"UPDATE t SET v = CURRENT_TIMESTAMP":                 "current_timestamp: it depends on the time",
		"CREATE TABLE u (at TEXT DEFAULT CURRENT_TIMESTAMP)": "CURRENT_TIMESTAMP: it depends on the time",
		"INSERT INTO t (v) VALUES (last_insert_rowid())":     "depends on the connection",
		"PRAGMA foreign_keys = 0":                            "PRAGMA foreign_keys",
		"ATTACH 'other.db' AS other":                         "ATTACH",
		"VACUUM":                                             "VACUUM",
		"BEGIN":                                              "use BeginTx",
		"COMMIT":                                             "use BeginTx",
		"SAVEPOINT s":                                        "use BeginTx",
		"INSERT INTO t (v) VALUES (1); COMMIT":               "use BeginTx",
		"CREATE TEMP TABLE x (v)":                            "temporary",
		"CREATE TABLE temp.x (v)":                            "temporary",
		"CREATE VIEW temp.x AS SELECT 1":                     "temporary",
		"DELETE FROM multidc_log":                            "belong to sqlitedc",
		"DROP TABLE multidc_position":                        "belong to sqlitedc",
		"ALTER TABLE multidc_log RENAME TO mine":             "belong to sqlitedc",
		"CREATE TRIGGER temp.x AFTER INSERT ON t BEGIN DELETE FROM t; END":              "temporary",
		"CREATE TRIGGER x AFTER INSERT ON multidc_log BEGIN DELETE FROM t; END":         "belong to sqlitedc",
		"CREATE TABLE Multidc_More (v)":                                                 "belong to sqlitedc",
		"INSERT INTO t (v) SELECT name FROM pragma_table_info('t') WHERE 0 = changes()": "depends on the connection",
	} {
		_, err := db.ExecContext(t.Context(), query)
		require.ErrorIs(t, err, ErrRefused, query)
		require.ErrorContains(t, err, says, query)
	}
	for _, query := range []string{
		"INSERT INTO t (v) VALUES (1) RETURNING id", "SELECT 1; DELETE FROM t", "PRAGMA query_only = 0", "BEGIN",
		"PRAGMA journal_mode = delete", "CREATE TABLE x (v)",
	} {
		var v any
		require.ErrorIs(t, db.QueryRowContext(t.Context(), query).Scan(&v), ErrRefused, query)
	}
	require.Equal(t, before, dump(t, db, "multidc_log"), "nothing was logged")
	require.Zero(t, count(t, db, "SELECT count(*) FROM t"), "nothing was written")
	require.Equal(t, 2, count(t, db, "SELECT count(*) FROM pragma_table_info('t')"), "looking at the schema is fine")
	require.Equal(t, 1, count(t, db, "SELECT abs(random()) >= 0"), "so is chance in a read")
}

// ALTER TABLE looks at the temporary schema too, which nothing else may.
func TestAlteredTablesAreReplayed(t *testing.T) {
	c := open(t, t.TempDir(), 0)
	start(t, c)
	for _, query := range []string{
		"CREATE TABLE t (v, w)", "INSERT INTO t VALUES (1, 2)", "ALTER TABLE t ADD COLUMN x", "ALTER TABLE t RENAME COLUMN w TO y",
		"ALTER TABLE t DROP COLUMN x", "ALTER TABLE t RENAME TO u", "INSERT INTO u (v, y) VALUES (3, 4)",
	} {
		write(t, c, query)
	}
	caughtUp(t, c)
	require.Equal(t, dump(t, seen(t, c, "a", "a"), "u"), dump(t, seen(t, c, "b", "b"), "u"))
}

// A trigger's body is judged when it would run.
func TestTriggersAreReplayedAndJudged(t *testing.T) {
	c := open(t, t.TempDir(), 0)
	start(t, c)
	write(t, c, "CREATE TABLE t (v); CREATE TABLE audit (v)")
	write(t, c, "CREATE TRIGGER good AFTER INSERT ON t BEGIN INSERT INTO audit VALUES (new.v || '!'); END")
	write(t, c, "INSERT INTO t VALUES ('x')")
	caughtUp(t, c)
	require.Equal(t, "string x!|\n", dump(t, seen(t, c, "b", "b"), "audit"))
	write(t, c, "CREATE TRIGGER bad AFTER INSERT ON t BEGIN INSERT INTO audit VALUES (random()); END")
	_, err := seen(t, c, "a", "a").ExecContext(t.Context(), "INSERT INTO t VALUES ('y')")
	require.ErrorIs(t, err, ErrRefused)
	caughtUp(t, c)
	same(t, c, "audit")
}

func TestOnlyWhatIsCommittedIsLogged(t *testing.T) {
	c := open(t, t.TempDir(), 0)
	start(t, c)
	db := seen(t, c, "a", "a")
	write(t, c, "CREATE TABLE t (v UNIQUE NOT NULL)")

	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "INSERT INTO t VALUES ('rolled back')")
	require.NoError(t, err)
	require.NoError(t, tx.Rollback())

	tx, err = db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "INSERT INTO t VALUES ('one')")
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "INSERT OR FAIL INTO t VALUES ('half'), ('one')") // SQLite alone would keep the first row
	require.Error(t, err)
	_, err = tx.ExecContext(t.Context(), "INSERT INTO t VALUES ('half'); INSERT INTO t VALUES (NULL)")
	require.Error(t, err)
	_, err = tx.ExecContext(t.Context(), "INSERT INTO t VALUES ('two')")
	require.NoError(t, err)
	require.NoError(t, tx.Commit())

	tx, err = db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "INSERT INTO t VALUES ('gone')")
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "INSERT OR ROLLBACK INTO t VALUES ('one')") // ends the transaction behind database/sql's back
	require.Error(t, err)
	_, err = tx.ExecContext(t.Context(), "INSERT INTO t VALUES ('escaped')")
	require.ErrorContains(t, err, "rolled back by an earlier statement")
	require.ErrorContains(t, tx.Commit(), "rolled back by an earlier statement")

	caughtUp(t, c)
	for _, dc := range []string{"a", "b"} {
		require.Equal(t, "string one|\nstring two|\n", dump(t, c.files[dc], "t"), dc)
	}
	require.Equal(t, 3, count(t, db, "SELECT count(*) FROM multidc_log"))
}

func TestDeferredForeignKeyFailsAtCommit(t *testing.T) {
	c := open(t, t.TempDir(), 0)
	start(t, c)
	write(t, c, "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE k (p REFERENCES p DEFERRABLE INITIALLY DEFERRED)")
	_, err := seen(t, c, "a", "a").ExecContext(t.Context(), "INSERT INTO k VALUES (7)")
	require.Error(t, err)
	write(t, c, "INSERT INTO p VALUES (7)")
	caughtUp(t, c)
	require.Zero(t, count(t, c.files["b"], "SELECT count(*) FROM k"))
	require.Equal(t, 2, count(t, c.files["b"], "SELECT max(n) FROM multidc_log"))
}

func TestCancelledContextLogsAllOrNothing(t *testing.T) {
	c := open(t, t.TempDir(), 0)
	start(t, c)
	write(t, c, "CREATE TABLE t (v)")
	db := seen(t, c, "a", "a")
	long := "INSERT INTO t WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 30000) SELECT n FROM r"
	committed := 0
	for i := range 30 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*2*time.Millisecond)
		if _, err := db.ExecContext(ctx, long); err == nil {
			committed++
		}
		cancel()
	}
	caughtUp(t, c)
	require.Equal(t, committed*30000, count(t, c.files["a"], "SELECT count(*) FROM t"))
	require.Equal(t, committed+1, count(t, c.files["a"], "SELECT n FROM multidc_position"))
	require.Equal(t, committed*30000, count(t, c.files["b"], "SELECT count(*) FROM t"))

	ctx, cancel := context.WithCancel(t.Context())
	tx, err := db.BeginTx(ctx, nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(ctx, "INSERT INTO t VALUES (-1)")
	require.NoError(t, err)
	cancel()
	require.Error(t, tx.Commit())
	require.Zero(t, count(t, db, "SELECT count(*) FROM t WHERE v = -1"))
}

func TestArgumentsArriveAsTheyWere(t *testing.T) {
	c := open(t, t.TempDir(), 0)
	start(t, c)
	write(t, c, "CREATE TABLE t (n INTEGER PRIMARY KEY, v)")
	zone := time.FixedZone("LMT", 19*60+32)
	for _, v := range []any{
		nil, int64(math.MinInt64), int64(math.MaxInt64), 0.1, math.Inf(-1), math.Copysign(0, -1), true, false, []byte{},
		[]byte(nil), []byte{0, 255}, "", "naïve \x00 text", "broken \xff\xfe", time.Date(1899, 1, 2, 3, 4, 5, 678901234, zone), time.Now(),
	} {
		write(t, c, "INSERT INTO t (v) VALUES (?)", v)
	}
	write(t, c, "INSERT INTO t (v) VALUES (:second || :first)", sql.Named("first", 1), sql.Named("second", "two"))
	stmt, err := seen(t, c, "a", "a").PrepareContext(t.Context(), "INSERT INTO t (v) VALUES (?)")
	require.NoError(t, err)
	defer func() { require.NoError(t, stmt.Close()) }()
	for i := range 3 {
		_, err := stmt.ExecContext(t.Context(), i)
		require.NoError(t, err)
	}
	caughtUp(t, c)
	same(t, c, "t")
	require.Equal(t, 1, count(t, c.files["b"], "SELECT count(*) FROM t WHERE v = 'two1'"))
}

func TestLastInsertID(t *testing.T) {
	c := open(t, t.TempDir(), 0)
	write(t, c, "CREATE TABLE t (id INTEGER PRIMARY KEY, v)")
	write(t, c, "INSERT INTO t VALUES (40, 'x')")
	res, err := seen(t, c, "b", "a").ExecContext(t.Context(), "INSERT INTO t (v) VALUES ('y'), ('z')")
	require.NoError(t, err)
	id, err := res.LastInsertId()
	require.NoError(t, err)
	require.Equal(t, int64(42), id)
	n, err := res.RowsAffected()
	require.NoError(t, err)
	require.Equal(t, int64(2), n)
}

func TestOpenErrors(t *testing.T) {
	ctx := t.Context()
	for _, names := range [][2]string{{"", "b"}, {"a", "B"}, {"a", "../b"}, {"a", "a"}} {
		_, err := Open(ctx, t.TempDir(), names[0], names[1], 0)
		require.Error(t, err, names)
	}
	dir := t.TempDir()
	c := open(t, dir, 0)
	_, err := Open(ctx, dir, "a", "b", 0)
	require.ErrorContains(t, err, "another process has it open")
	_, err = c.Connector("a", "c")
	require.ErrorContains(t, err, `no database of DC "c"`)

	bad := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(bad, "a.db"), []byte("this is no database, but long enough to be looked at"), 0o600))
	_, err = Open(ctx, bad, "a", "b", 0)
	require.ErrorContains(t, err, "a.db")

	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = Open(ctx, filepath.Join(file, "dir"), "a", "b", 0)
	require.Error(t, err)
}

func TestDirectoryWithOddCharacters(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "100% data?x=1#y & more")
	c := open(t, dir, 0)
	write(t, c, "CREATE TABLE t (v)")
	require.FileExists(t, filepath.Join(dir, "a.db"))
	require.FileExists(t, filepath.Join(dir, "b.db"))
}

// Who writes takes turns: when one has done all its transactions the others have done nearly as many.
func TestWritersTakeTurns(t *testing.T) {
	c := open(t, t.TempDir(), 0)
	write(t, c, "CREATE TABLE t (v)")
	const writers, each = 5, 40
	var done [writers]atomic.Int32
	var group errgroup.Group
	for i := range writers {
		db := seen(t, c, "a", "a")
		group.Go(func() error {
			for done[i].Load() < each {
				tx, err := db.BeginTx(t.Context(), nil)
				if err != nil {
					return err
				}
				time.Sleep(time.Millisecond) // its work
				if err := tx.Commit(); err != nil {
					return err
				}
				if done[i].Add(1) == each {
					for j := range done {
						if n := done[j].Load(); n < each/2 {
							t.Errorf("when writer %d had done %d transactions writer %d had done %d", i, each, j, n)
						}
					}
				}
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())

	tx, err := seen(t, c, "a", "a").BeginTx(t.Context(), nil)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = seen(t, c, "a", "a").ExecContext(ctx, "INSERT INTO t VALUES (1)")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, tx.Rollback())
	write(t, c, "INSERT INTO t VALUES (2)") // who has given up has no turn
}
