package rdbmstest_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/multidc/multidc/rdbms/rdbmstest"
)

func TestKV(t *testing.T) {
	inBubble(t, three, func(t *testing.T, c *cluster) {
		for _, step := range []struct {
			query    string
			args     []any
			affected int64
			want     string
		}{
			{"REPLACE INTO kv VALUES (?, ?)", []any{"k", "1"}, 1, "1"},
			{"replace into `kv` (`k`,`v`) values ('k', ?);", []any{[]byte("2")}, 2, "2"},
			{"/* who */ REPLACE INTO kv(k, v) VALUES ('k', 3)", nil, 2, "3"},
			{"UPDATE kv SET v = ? WHERE k = 'k'", []any{4}, 1, "4"},
			{"UPDATE kv SET v = ? WHERE k = 'k'", []any{4}, 0, "4"},
			{"DELETE FROM kv\n WHERE k=?", []any{"k"}, 1, ""},
			{"DELETE FROM kv WHERE k = ?", []any{"k"}, 0, ""},
			{"INSERT INTO kv VALUES ('k', 'a  b')", nil, 1, "a  b"},
		} {
			result, err := c.dbs["db1"].ExecContext(t.Context(), step.query, step.args...)
			if err != nil {
				t.Errorf("%s: %v", step.query, err)
				continue
			}
			if n, _ := result.RowsAffected(); n != step.affected {
				t.Errorf("%s: %d rows, want %d", step.query, n, step.affected)
			}
			c.want("db1", "k", step.want)
			c.want("db2", "k", step.want)
		}
		_, err := c.dbs["db1"].ExecContext(c.t.Context(), "INSERT INTO kv VALUES ('k', 'again')")
		wantNumber(t, err, 1062)
		var v string
		if err := c.dbs["db1"].QueryRowContext(c.t.Context(), "INSERT INTO kv VALUES ('r', 'x') RETURNING v").Scan(&v); err != nil || v != "x" {
			t.Errorf("RETURNING gives %q, %v", v, err)
		}
		if all := c.all(c.dbs["db2"]); all != "k=a  b r=x" {
			t.Errorf("the table has %s", all)
		}
		if got := c.row("db2", "SELECT v, k FROM kv ORDER BY k LIMIT 1"); got != "a  b k" {
			t.Errorf("the first row is %s", got)
		}
	})
}

func (c *cluster) all(from querier) string {
	c.t.Helper()
	rows, err := from.QueryContext(c.t.Context(), "SELECT k, v FROM kv")
	if err != nil {
		c.t.Fatal(err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var k, v string
		if err := rows.Scan(&k, &v); err != nil {
			c.t.Fatal(err)
		}
		all = append(all, k+"="+v)
	}
	if err := rows.Err(); err != nil {
		c.t.Fatal(err)
	}
	return strings.Join(all, " ")
}

func TestExpressions(t *testing.T) {
	inBubble(t, three, func(t *testing.T, c *cluster) {
		c.Set("db2", func(k *rdbmstest.Knobs) { k.Variables = map[string]string{"gtid_mode": "OFF", "hostname": "other"} })
		for query, want := range map[string]string{
			"SELECT 1": "1",
			"SELECT @@hostname, @@Server_ID, @@read_only":  "other 12 1",
			"SELECT @@global.gtid_mode AS mode, 'a, (b'":   "OFF a, (b",
			"SELECT NULL, @nothing":                        "nil nil",
			"SELECT @@version":                             "10.11.11-MariaDB-log",
			"SELECT UTC_TIMESTAMP(6), @@gtid_domain_id":    time.Now().UTC().Format("2006-01-02 15:04:05.000000") + " 1",
			"SELECT * FROM kv WHERE k = 'no such' LIMIT 1": "no row",
			"SELECT v FROM other WHERE k = 'k'":            "error 1064",
			"SELECT VERSION(), CONNECTION_ID()":            "10.11.11-MariaDB-log 1",
			"SELECT @@no_such_variable":                    "error 1193",
			"SELECT (SELECT VARIABLE_VALUE FROM performance_schema.global_status WHERE VARIABLE_NAME = 'Uptime')": "error 1146",
			"TRUNCATE kv":                      "error 1064",
			"SHOW GLOBAL STATUS LIKE 'uptime'": "Uptime " + strconv.Itoa(c.uptime("db2")),
			"SHOW ALL SLAVES STATUS":           "Yes Yes 0 nil",
			"SET SESSION wait_timeout = 5":     "no row",
		} {
			if got := c.row("db2", query); got != want {
				t.Errorf("%s: %s, want %s", query, got, want)
			}
		}
	})
}

// row is the first row of an answer, or its error.
func (c *cluster) row(server, query string) string {
	c.t.Helper()
	rows, err := c.dbs[server].QueryContext(c.t.Context(), query)
	if answer := (*mysql.MySQLError)(nil); errors.As(err, &answer) {
		return "error " + map[uint16]string{1064: "1064", 1193: "1193", 1146: "1146", 1227: "1227"}[answer.Number]
	}
	if err != nil {
		c.t.Fatal(err)
	}
	defer rows.Close()
	columns, _ := rows.Columns()
	values, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			c.t.Fatal(err)
		}
		return "no row"
	}
	if err := rows.Scan(into...); err != nil {
		c.t.Fatal(err)
	}
	var texts []string
	for _, v := range values {
		if !v.Valid {
			v.String = "nil"
		}
		texts = append(texts, v.String)
	}
	return strings.Join(texts, " ")
}

func TestReplicaStatus(t *testing.T) {
	inBubble(t, three, func(t *testing.T, c *cluster) {
		for _, step := range []struct {
			set        func(*rdbmstest.Knobs)
			after      time.Duration
			query, row string
		}{
			{func(*rdbmstest.Knobs) {}, 0, "SHOW REPLICA STATUS", "Yes Yes 0 nil"},
			{func(k *rdbmstest.Knobs) { k.Lag = time.Minute }, 5500 * time.Millisecond, "SHOW SLAVE STATUS", "Yes Yes 5 nil"},
			{func(k *rdbmstest.Knobs) { k.StopApplying = true }, 0, "SHOW REPLICA STATUS", "Yes No nil nil"},
			{func(k *rdbmstest.Knobs) {
				k.Status = map[string]string{"Slave_IO_Running": "Connecting", "Seconds_Behind_Master": "NULL", "SQL_Remaining_Delay": "3600"}
			}, 0, "SHOW REPLICA STATUS", "Connecting No nil 3600"},
			{func(k *rdbmstest.Knobs) { k.Faults = []rdbmstest.Fault{{Match: "STATUS", Errno: 1227}} }, 0, "SHOW SLAVE STATUS", "error 1227"},
		} {
			c.Set("db2", step.set)
			time.Sleep(step.after)
			if got := c.row("db2", step.query); got != step.row {
				t.Errorf("got %s, want %s", got, step.row)
			}
		}
		if got := c.row("db1", "SHOW REPLICA STATUS"); got != "no row" {
			t.Errorf("the primary replicates: %s", got)
		}
	})
}

func TestSession(t *testing.T) {
	inBubble(t, three, func(t *testing.T, c *cluster) {
		one, err := c.dbs["db1"].Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer one.Close()
		if _, err := one.ExecContext(t.Context(), "SET @x = 7"); err != nil {
			t.Fatal(err)
		}
		var x string
		if err := one.QueryRowContext(t.Context(), "SELECT @X").Scan(&x); err != nil || x != "7" {
			t.Errorf("the session has @x=%q, %v", x, err)
		}
		if got := c.row("db1", "SELECT @x"); got != "nil" {
			t.Errorf("another session has @x=%s", got)
		}
		if got := c.Counts("db1"); got.Open != 2 || got.Connects != 2 {
			t.Errorf("%+v, want two connections", got)
		}
	})
}

func TestTransactions(t *testing.T) {
	inBubble(t, three, func(t *testing.T, c *cluster) {
		c.write("db1", "k", "1")
		tx, err := c.dbs["db1"].BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		before := c.variable("db1", "gtid_binlog_pos")
		for _, value := range []string{"2", "3"} {
			if _, err := tx.ExecContext(c.t.Context(), "REPLACE INTO kv VALUES ('k', ?)", value); err != nil {
				t.Fatal(err)
			}
			if got := get(t, tx, "k"); got != value {
				t.Errorf("the transaction does not see its own write but %q", got)
			}
		}
		if _, err := tx.ExecContext(c.t.Context(), "INSERT INTO kv VALUES ('other', '')"); err != nil {
			t.Fatal(err)
		}
		c.want("db1", "k", "1")
		if got := c.all(tx); got != "k=3 other=" {
			t.Errorf("the transaction sees %s", got)
		}
		if got := c.variable("db1", "gtid_binlog_pos"); got != before {
			t.Errorf("the position moved before the commit")
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		c.want("db1", "k", "3")
		c.want("db2", "k", "3")
		tx, err = c.dbs["db1"].BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.ExecContext(c.t.Context(), "DELETE FROM kv WHERE k = 'k'"); err != nil {
			t.Fatal(err)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		c.want("db1", "k", "3")
		if got := c.Counts("db1"); got.Begins != 2 || got.Commits != 1 || got.Rollbacks != 1 || got.Queries["COMMIT"] != 1 {
			t.Errorf("%+v", got)
		}
	})
}

// A wait inside of a snapshot does not help (3.8).
func TestSnapshot(t *testing.T) {
	inBubble(t, three, func(t *testing.T, c *cluster) {
		c.Set("db2", func(k *rdbmstest.Knobs) { k.Lag = time.Second })
		c.write("db1", "k", "1")
		snapshot, err := c.dbs["db2"].BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		committed, err := c.dbs["db2"].BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelReadCommitted})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		c.want("db2", "k", "1")
		if got := get(t, snapshot, "k"); got != "" {
			t.Errorf("the snapshot has %q", got)
		}
		if got := get(t, committed, "k"); got != "1" {
			t.Errorf("READ COMMITTED has %q", got)
		}
		_, err = snapshot.ExecContext(c.t.Context(), "REPLACE INTO kv VALUES ('k', '2')")
		wantNumber(t, err, 1290) // as it was measured: read_only is told first
		c.Set("db2", func(k *rdbmstest.Knobs) { k.ReadOnly = false })
		_, err = snapshot.ExecContext(c.t.Context(), "REPLACE INTO kv VALUES ('k', '2')")
		wantNumber(t, err, 1792)
		_ = snapshot.Rollback()
		_ = committed.Rollback()
	})
}

func TestReadOnlyBeforeCommit(t *testing.T) {
	inBubble(t, three, func(t *testing.T, c *cluster) {
		tx, err := c.dbs["db1"].BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.ExecContext(c.t.Context(), "REPLACE INTO kv VALUES ('k', '1')"); err != nil {
			t.Fatal(err)
		}
		c.Set("db1", func(k *rdbmstest.Knobs) { k.ReadOnly = true })
		wantNumber(t, tx.Commit(), 1290)
		c.want("db1", "k", "")
		if _, err := c.Admin("db1").ExecContext(c.t.Context(), "REPLACE INTO kv VALUES ('k', 'admin')"); err != nil {
			t.Error(err)
		}
		c.want("db2", "k", "admin")
	})
}

func TestPreparedStatements(t *testing.T) {
	inBubble(t, three, func(t *testing.T, c *cluster) {
		c.write("db1", "k", "1")
		db := c.dbs["db1"]
		db.SetMaxOpenConns(1)
		stmt, err := db.PrepareContext(t.Context(), "SELECT v FROM kv WHERE k = ?")
		if err != nil {
			t.Fatal(err)
		}
		defer stmt.Close()
		for range 3 {
			var v string
			if err := stmt.QueryRowContext(c.t.Context(), "k").Scan(&v); err != nil || v != "1" {
				t.Errorf("%q, %v", v, err)
			}
		}
		if err := stmt.QueryRowContext(c.t.Context()).Err(); err == nil {
			t.Error("an argument is missing, and nobody minds")
		}
		c.Restart("db1")
		var v string
		if err := stmt.QueryRowContext(c.t.Context(), "k").Scan(&v); err != nil || v != "1" {
			t.Errorf("after the restart %q, %v", v, err)
		}
		if got := c.Counts("db1"); got.Prepares != 2 || got.Reads != 4 || got.Connects != 2 {
			t.Errorf("%+v, want 2 prepares, 4 reads, 2 connects", got)
		}
	})
}

func TestHandle(t *testing.T) {
	inBubble(t, three, func(t *testing.T, c *cluster) {
		c.Handle(func(_ context.Context, server, query string, args []driver.NamedValue) (*rdbmstest.Result, error) {
			switch {
			case strings.HasPrefix(query, "SELECT text"):
				return &rdbmstest.Result{Columns: []string{"text"}, Rows: [][]driver.Value{{server}, {args[0].Value}}}, nil
			case strings.HasPrefix(query, "INSERT INTO page"):
				return &rdbmstest.Result{Affected: 1, InsertID: 42}, nil
			}
			return nil, nil
		})
		if got := c.row("db2", "SELECT 1"); got != "1" {
			t.Errorf("what was not handled is %s", got)
		}
		var text string
		if err := c.dbs["db2"].QueryRowContext(c.t.Context(), "SELECT text FROM page WHERE id = ?", 5).Scan(&text); err != nil || text != "db2" {
			t.Errorf("%q, %v", text, err)
		}
		_, err := c.dbs["db2"].ExecContext(c.t.Context(), "INSERT INTO page VALUES (1)")
		wantNumber(t, err, 1290)
		before := c.mariadb("db1", "gtid_binlog_pos")
		result, err := c.dbs["db1"].ExecContext(c.t.Context(), "INSERT INTO page VALUES (1)")
		if err != nil {
			t.Fatal(err)
		}
		if id, _ := result.LastInsertId(); id != 42 {
			t.Errorf("insert id %d", id)
		}
		wantReached(t, before, c.mariadb("db1", "gtid_binlog_pos"), false)
		if got := c.Counts("db1"); got.Writes != 1 || c.Counts("db2").Reads != 1 {
			t.Errorf("%+v and %+v", got, c.Counts("db2"))
		}
	})
}

func TestRowsThatNobodyReads(t *testing.T) {
	inBubble(t, three, func(t *testing.T, c *cluster) {
		c.write("db1", "a", "1")
		c.write("db1", "b", "2")
		ctx, cancel := context.WithCancel(t.Context())
		rows, err := c.dbs["db1"].QueryContext(ctx, "SELECT k, v FROM kv")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		if !rows.Next() {
			t.Fatal("no row")
		}
		cancel()
		synctest.Wait()
		if rows.Next() || !errors.Is(rows.Err(), context.Canceled) {
			t.Errorf("after its context ended a query has a row, or %v", rows.Err())
		}
		if got := c.dbs["db1"].Stats().InUse; got != 0 {
			t.Errorf("%d connections in use", got)
		}
	})
}
