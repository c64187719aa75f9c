package peers

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// everywhere are the four servers of a ring.
var everywhere = []string{"MARIADB_A", "MARIADB_A_REPLICA", "MARIADB_B", "MARIADB_B_REPLICA"}

// connect opens a pool of one server, which is closed with the test. The driver's own complaints go nowhere.
func connect(t *testing.T, dsn string, change ...func(*mysql.Config)) *sql.DB {
	t.Helper()
	config, err := mysql.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	config.Logger = &mysql.NopLogger{}
	config.Timeout = 2 * time.Second
	for _, c := range change {
		c(config)
	}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func exec(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// value reads one value as text, "" if NULL.
func value(t *testing.T, db *sql.DB, query string) string {
	t.Helper()
	var got sql.NullString
	if err := db.QueryRowContext(t.Context(), query).Scan(&got); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return got.String
}

// await asks a server again and again until the answer is as wanted.
func await(t *testing.T, db *sql.DB, query string, wanted func(string) bool) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		var got sql.NullString
		err := db.QueryRowContext(ctx, query).Scan(&got)
		if err == nil && wanted(got.String) {
			return got.String
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: still %q, %v", query, got.String, err)
		case <-tick.C:
		}
	}
}

func is(want string) func(string) bool  { return func(got string) bool { return got == want } }
func not(want string) func(string) bool { return func(got string) bool { return got != want } }

// refusal is the number of the error that a server answered, 0 if it was none.
func refusal(err error) uint16 {
	var refused *mysql.MySQLError
	if errors.As(err, &refused) {
		return refused.Number
	}
	return 0
}
