package sqlitedc

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// schema is made in both files. One row of multidc_log is one statement; tx is the number of the first statement of
// its transaction; committed_at is in nanoseconds since 1970, by the clock of the primary.
const schema = `
CREATE TABLE IF NOT EXISTS multidc_log (
	n INTEGER PRIMARY KEY, tx INTEGER NOT NULL, origin TEXT NOT NULL, committed_at INTEGER NOT NULL,
	statement TEXT NOT NULL, args TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS multidc_log_tx ON multidc_log (tx);
CREATE TABLE IF NOT EXISTS multidc_position (one INTEGER PRIMARY KEY CHECK (one = 1), n INTEGER NOT NULL);
INSERT OR IGNORE INTO multidc_position VALUES (1, 0);`

// statement is one row of the log.
type statement struct {
	n, tx       int64
	origin      string
	committedAt int64
	text, args  string
}

// appendLog numbers the statements of a transaction that is about to commit. The lock that BEGIN IMMEDIATE took
// makes numbers and order of commits the same.
func appendLog(ctx context.Context, c *conn, done []statement) error {
	at := time.Now().UnixNano()
	for i, s := range done {
		if err := c.own(ctx, "UPDATE multidc_position SET n = n + 1"); err != nil {
			return err
		}
		err := c.own(ctx, "INSERT INTO multidc_log SELECT n, n - ?, ?, ?, ?, ? FROM multidc_position",
			int64(i), c.connector.to, at, s.text, s.args)
		if err != nil {
			return err
		}
	}
	return nil
}

// querier is what *sql.DB and *sql.Tx share.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func readPosition(ctx context.Context, db querier) (n int64, err error) {
	err = db.QueryRowContext(ctx, "SELECT n FROM multidc_position").Scan(&n)
	return n, err
}

// readStatement returns the log's row n; ok is false if the log no longer, or not yet, has it.
func readStatement(ctx context.Context, db querier, n int64) (s statement, ok bool, err error) {
	list, err := readLog(ctx, db, "n = ?", n)
	if err != nil || len(list) == 0 {
		return statement{}, false, err
	}
	return list[0], true, nil
}

// readTransaction returns the whole transaction that begins with statement n, in a log that ends with head.
func readTransaction(ctx context.Context, db querier, n, head int64) ([]statement, error) {
	list, err := readLog(ctx, db, "tx = ?", n)
	if err != nil {
		return nil, err
	}
	next := n
	for _, s := range list {
		if s.n != next {
			return nil, missing(next)
		}
		next++
	}
	if next == n {
		return nil, missing(n)
	}
	if next > head {
		return list, nil
	}
	// The next transaction has to follow at once: else this one may have lost its end.
	follower, ok, err := readStatement(ctx, db, next)
	if err == nil && (!ok || follower.tx != next) {
		err = missing(next)
	}
	return list, err
}

func missing(n int64) error {
	return fmt.Errorf("%w: statement %d is missing from the primary's log", ErrDiverged, n)
}

func readLog(ctx context.Context, db querier, where string, arg int64) (list []statement, err error) {
	rows, err := db.QueryContext(ctx,
		"SELECT n, tx, origin, committed_at, statement, args FROM multidc_log WHERE "+where+" ORDER BY n", arg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var s statement
		if err := rows.Scan(&s.n, &s.tx, &s.origin, &s.committedAt, &s.text, &s.args); err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, rows.Err()
}

// trimLog forgets what both DCs have applied, up to but without the last: by that one they are compared.
func trimLog(ctx context.Context, db *sql.DB, applied int64) error {
	_, err := db.ExecContext(ctx, "DELETE FROM multidc_log WHERE n < ?", applied)
	return err
}
