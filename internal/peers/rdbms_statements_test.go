package peers

import (
	"context"
	"database/sql"
	"reflect"
	"strconv"
	"testing"

	"github.com/multidc/multidc/rdbms"
)

// resultSets: a query that has several results gives them all.
func resultSets(t *testing.T, r *ring) {
	config := r.config(a1, a2)
	for i := range config.Servers {
		config.Servers[i].DSN += "&multiStatements=true"
	}
	w := watch(t, config, rdbms.Options{})
	w.are(t, rdbms.HealthFresh, a2)
	direct := connect(t, config.Servers[0].DSN)
	for _, h := range handles(w) {
		for _, query := range []string{"SELECT 1, 'one'; SELECT 2.5; SELECT 3 FROM kv WHERE FALSE; SELECT 4", "SELECT 1; SELECT nonsense"} {
			got, gotErr := allSets(t, h.DB, query)
			want, wantErr := allSets(t, direct, query)
			if !reflect.DeepEqual(got, want) || refusal(gotErr) != refusal(wantErr) {
				t.Errorf("%s: %s: %v, %v, want %v, %v", h.name, query, got, gotErr, want, wantErr)
			}
		}
	}
	goes(t, t.Context(), w.Auto(), "SELECT @@server_id; SELECT 2", a1) // a second statement could be anything
}

func allSets(t *testing.T, db *sql.DB, query string) (all []any, err error) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for {
		columns, err := rows.Columns()
		if err != nil {
			return all, err
		}
		all = append(all, columns)
		for rows.Next() {
			row, into := make([]any, len(columns)), make([]any, len(columns))
			for i := range row {
				into[i] = &row[i]
			}
			if err := rows.Scan(into...); err != nil {
				return all, err
			}
			all = append(all, row)
		}
		if !rows.NextResultSet() {
			return all, rows.Err()
		}
	}
}

// Case 122. One *sql.Stmt serves on three servers. It is prepared on each at its first use there, and after a restart again.
func preparedOnThree(t *testing.T, r *ring) {
	config := r.config(a1, a2, b2)
	config.Servers[0].Weight, config.Servers[2].DC = 1, "a" // three to draw from
	w := watch(t, config, rdbms.Options{})
	w.are(t, rdbms.HealthFresh, a2, b2)
	prepared := func() map[string]int {
		by := map[string]int{}
		for _, s := range []string{a1, a2, b2} {
			n, err := strconv.Atoi(value(t, r.admin[s], "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'COM_STMT_PREPARE'"))
			if err != nil {
				t.Fatal(err)
			}
			by[s] = n
		}
		return by
	}
	before := prepared()
	stmt, err := w.Replica().PrepareContext(t.Context(), "SELECT @@server_id + 0 * ?")
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close()
	if now := prepared(); !reflect.DeepEqual(now, before) {
		t.Errorf("prepared before its use: %v, it was %v", now, before)
	}
	ask := func() string {
		t.Helper()
		var id string
		if err := stmt.QueryRowContext(t.Context(), 1).Scan(&id); err != nil {
			t.Fatal(err)
		}
		return nameOf(id)
	}
	by := map[string]int{}
	until(t, "all three have answered", func() bool { by[ask()]++; return only(by, a1, a2, b2) })
	for s, n := range prepared() {
		if n <= before[s] {
			t.Errorf("%s has answered, and prepared nothing", s)
		}
	}

	r.process(a2).Stop()
	w.are(t, rdbms.HealthDown, a2)
	ask()
	r.process(a2).Start()
	w.are(t, rdbms.HealthFresh, a2)
	until(t, "a2 answers again", func() bool { return ask() == a2 })

	before = prepared()
	held, err := connOf(t, w.Replica()).PrepareContext(t.Context(), "SELECT @@server_id + 0 * ?")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	for range 10 {
		var id string
		if err := held.QueryRowContext(t.Context(), 1).Scan(&id); err != nil {
			t.Fatal(err)
		}
	}
	more := 0
	for s, n := range prepared() {
		more += n - before[s]
	}
	if more != 1 {
		t.Errorf("on one connection it was prepared %d times", more)
	}
}

// closedHandle: who closes a value closes it for all its users, and no other one.
func closedHandle(t *testing.T, r *ring) {
	w := watch(t, r.config(a1, a2), rdbms.Options{})
	w.are(t, rdbms.HealthFresh, a2)
	if err := w.Replica().Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := who(t.Context(), w.Replica()); err == nil {
		t.Error("a closed handle reads")
	}
	for _, db := range []*sql.DB{w.Primary(), w.Auto()} {
		if _, err := who(t.Context(), db); err != nil {
			t.Error(err)
		}
	}
	if err := w.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if _, err := who(t.Context(), w.Primary()); err == nil {
		t.Error("a closed cluster reads")
	}
}
