package peers

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/multidc/multidc/rdbms"
)

// Case Xo. The three *sql.DB values of a cluster, as database/sql itself, sqlx and gorm use them: where everything goes, and
// that all else is as with one server.
func TestRingHandles(t *testing.T) {
	r := newRing(t, ptHeartbeat)
	exec(t, r.admin[a1],
		"CREATE TABLE wiki.page (id int unsigned PRIMARY KEY AUTO_INCREMENT, title varchar(100) NOT NULL UNIQUE, server int NOT NULL)",
		"CREATE TABLE wiki.kinds (id int PRIMARY KEY, big bigint unsigned, price decimal(10,3), ratio double, name varchar(20), "+
			"raw varbinary(20), at datetime(6), day date, nothing int, doc json)",
		"INSERT INTO wiki.kinds VALUES (1, 18446744073709551615, 12.5, 0.1, 'Ä', x'00ff', '2026-05-01 10:00:07.25', '2026-05-01', NULL, '{}'), "+
			"(2, 0, -0.001, 1e300, '', '', '1000-01-01', '9999-12-31', NULL, NULL)")
	r.awaitTable(t, a2, "kinds")
	await(t, r.admin[a2], "SELECT COUNT(*) FROM wiki.kinds", is("2"))
	w := watch(t, r.config(a1, a2), rdbms.Options{OnTimeout: rdbms.OnTimeoutError, Wait: 10 * time.Second})
	w.are(t, rdbms.HealthFresh, a2)
	direct := connect(t, r.dsn(a1))
	for _, h := range handles(w) {
		t.Run(h.name, func(t *testing.T) {
			t.Run("database/sql", h.plain)
			t.Run("session", func(t *testing.T) { h.session(t, direct) })
			t.Run("values", func(t *testing.T) { sameValues(t, h.DB, direct) })
			t.Run("counts", h.counts)
			t.Run("sqlx", h.sqlx)
			t.Run("gorm", func(t *testing.T) { h.gorm(t, false) })
			t.Run("gorm, prepared", func(t *testing.T) { h.gorm(t, true) })
		})
	}
	t.Run("result sets", func(t *testing.T) { resultSets(t, r) })
	t.Run("statements", func(t *testing.T) { preparedOnThree(t, r) })
	t.Run("Close", func(t *testing.T) { closedHandle(t, r) })
}

// handle is one of a cluster's values, and where it leads.
type handle struct {
	*sql.DB

	name    string
	reads   string // the server that is read, also in a read-only transaction
	writes  string // the server that is written, "" = none
	unknown string // that gets queries which are not surely plain reads
}

func handles(w *watched) []handle {
	return []handle{
		{w.Primary(), "Primary", a1, a1, a1},
		{w.Replica(), "Replica", a2, "", a2},
		{w.Auto(), "Auto", a2, a1, a1},
	}
}

// request is the context of one, with a scope as a middleware would give it.
func request(t *testing.T) context.Context {
	t.Helper()
	return rdbms.WithScope(t.Context())
}

// refusedHere reports whether an error is what a write gets where there are none; other handles must have none.
func (h handle) refusedHere(err error) bool {
	if h.writes == "" {
		return errors.Is(err, rdbms.ErrReplicaWrite)
	}
	return err == nil
}

// refusedOnTheWay is the same for a write that comes as a query, like INSERT … RETURNING: the replica itself refuses it.
func (h handle) refusedOnTheWay(err error) bool {
	return h.refusedHere(err) || h.writes == "" && errors.Is(err, rdbms.ErrReadOnly)
}

type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// goes checks which server a query is answered by.
func goes(t *testing.T, ctx context.Context, db querier, query, want string) { //nolint:revive // t first, as in all helpers
	t.Helper()
	var id string
	if err := db.QueryRowContext(ctx, query).Scan(&id); err != nil || nameOf(id) != want {
		t.Errorf("%s: answered by %s, %v, want %s", query, nameOf(id), err, want)
	}
}

const addPage = "INSERT INTO page (title, server) VALUES (?, @@server_id)"

func (h handle) plain(t *testing.T) {
	ctx := t.Context()
	goes(t, ctx, h, whoQuery, h.reads)
	goes(t, ctx, h, " /* a comment */ (SELECT @@server_id)", h.reads)
	goes(t, ctx, h, "WITH one AS (SELECT @@server_id AS id) SELECT id FROM one", h.reads)
	if locking := "SELECT @@server_id FROM page RIGHT JOIN (SELECT 1) AS one ON TRUE FOR UPDATE"; h.writes != "" {
		goes(t, ctx, h, locking, h.unknown)
	} else if err := refused(t, h.DB, locking, nil); !errors.Is(err, rdbms.ErrReadOnly) {
		t.Error("a lock on a replica:", err)
	}
	var name, id string
	err := h.QueryRowContext(ctx, "SHOW VARIABLES WHERE Variable_name = 'server_id'").Scan(&name, &id)
	if err != nil || nameOf(id) != h.unknown {
		t.Errorf("SHOW is answered by %s, %v, want %s", nameOf(id), err, h.unknown)
	}
	goes(t, rdbms.WithPrimary(ctx), h, whoQuery, a1)
	goes(t, rdbms.WithMaxStaleness(ctx, 0), h, whoQuery, a1)

	_, err = h.ExecContext(ctx, addPage, h.name+" by Exec")
	if !h.refusedHere(err) {
		t.Error("Exec:", err)
	}
	if h.writes != "" {
		goes(t, ctx, h, "INSERT INTO page (title, server) VALUES ('"+h.name+" by Query', @@server_id) RETURNING server", h.writes)
	}
	h.transactions(t)
	if err := h.PingContext(ctx); err != nil {
		t.Error("Ping:", err)
	}
	if err := h.PingContext(rdbms.WithPrimary(ctx)); err != nil {
		t.Error("Ping of the primary:", err)
	}
}

func (h handle) transactions(t *testing.T) {
	ctx := request(t)
	tx, err := h.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := h.writes
	if want == "" {
		want = h.reads
	}
	goes(t, ctx, tx, whoQuery, want)
	if _, err := tx.ExecContext(ctx, addPage, h.name+" in a transaction"); !h.refusedHere(err) {
		t.Error("Exec in a transaction:", err)
	}
	goes(t, ctx, tx, whoQuery, want)
	if err := tx.Commit(); err != nil {
		t.Error("Commit:", err)
	}
	if h.writes != "" { // the same request sees it wherever it reads
		goes(t, ctx, h, "SELECT @@server_id FROM page WHERE title = '"+h.name+" in a transaction'", h.reads)
	}

	tx, err = h.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	goes(t, ctx, tx, whoQuery, h.reads)
	goes(t, ctx, tx, "SELECT @@server_id FROM (SELECT @@in_transaction AS yes) AS one WHERE yes", h.reads)
	if _, err := tx.ExecContext(ctx, addPage, h.name+" in a read-only transaction"); err == nil {
		t.Error("Exec in a read-only transaction succeeded")
	}
	if err := tx.Rollback(); err != nil {
		t.Error("Rollback:", err)
	}
	// As on Replica every transaction is read-only, so is one that was not asked to be.
	if h.writes == "" {
		tx, err := h.BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		var id int
		if err := tx.QueryRowContext(ctx, "INSERT INTO page (title, server) VALUES ('smuggled', 0) RETURNING id").Scan(&id); err == nil {
			t.Error("a write by Query was done in a transaction of Replica")
		}
		if err := tx.Rollback(); err != nil {
			t.Error("Rollback:", err)
		}
	}
	tx, err = h.BeginTx(rdbms.WithPrimary(ctx), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	goes(t, ctx, tx, whoQuery, a1)
	if err := tx.Rollback(); err != nil {
		t.Error("Rollback:", err)
	}
}

// session: a *sql.Conn stays on its server, with its session; its Raw leads to the driver's connection.
func (h handle) session(t *testing.T, direct *sql.DB) {
	ctx := t.Context()
	conn := connOf(t, h.DB)
	goes(t, ctx, conn, whoQuery, h.reads)
	variable := "@of_" + h.name // the servers' pools are shared: a later handle may get this session
	if _, err := conn.ExecContext(ctx, "SET "+variable+" = 42"); err != nil {
		t.Fatal("SET:", err)
	}
	var x sql.NullString
	if err := conn.QueryRowContext(ctx, "SELECT "+variable).Scan(&x); err != nil {
		t.Fatal(err)
	}
	if x.Valid != (h.name != "Auto") || x.Valid && x.String != "42" { // to Auto SET is a write, and it has two sessions
		t.Errorf("the session that is read has %q", x.String)
	}
	var own reflect.Type
	if err := connOf(t, direct).Raw(func(dc any) error {
		own = reflect.TypeOf(dc)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := conn.Raw(func(dc any) error {
		ours, ok := dc.(interface{ Raw(f func(any) error) error })
		if !ok {
			return fmt.Errorf("%T has no Raw", dc)
		}
		return ours.Raw(func(dc any) error {
			if reflect.TypeOf(dc) != own {
				return fmt.Errorf("Raw gave a %T", dc)
			}
			return nil
		})
	}); err != nil {
		t.Error(err)
	}
	if d, err := h.Driver().Open("name"); !errors.Is(err, rdbms.ErrUnsupported) {
		t.Errorf("Driver().Open: %v, %v", d, err)
	}
}

// sameValues: arguments and rows are the driver's, in both protocols, as are the columns' types.
func sameValues(t *testing.T, ours, direct *sql.DB) {
	for _, q := range []struct {
		query string
		args  []any
	}{
		{"SELECT * FROM kinds ORDER BY id", nil},
		{"SELECT * FROM kinds WHERE id < ? ORDER BY id", []any{10}},
		{
			"SELECT * FROM kinds WHERE big = ? AND name = ? AND raw = ? AND at = ?",
			[]any{uint64(math.MaxUint64), "Ä", []byte{0, 255}, time.Date(2026, 5, 1, 10, 0, 7, 250e6, time.UTC)},
		},
		{"SELECT ?, ?, ?, ?, ?", []any{nil, true, sql.NullString{String: "s", Valid: true}, sql.NullInt64{}, money(12)}},
		{"SELECT * FROM kinds WHERE FALSE", nil},
		{"SELECT 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12", nil},
	} {
		got, want := everything(t, ours, q.query, q.args), everything(t, direct, q.query, q.args)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n%v\nwant\n%v", q.query, got, want)
		}
	}
	for _, bad := range []struct {
		query string
		args  []any
	}{{"SELECT nonsense FROM kinds", nil}, {"SELECT nonsense FROM kinds WHERE id = ?", []any{1}}, {"SELECT :n", []any{sql.Named("n", 1)}}} {
		got, want := refused(t, ours, bad.query, bad.args), refused(t, direct, bad.query, bad.args)
		if got.Error() != want.Error() || refusal(got) != refusal(want) {
			t.Errorf("%s: %v, want %v", bad.query, got, want)
		}
	}
	var raw sql.RawBytes
	rows, err := ours.QueryContext(t.Context(), "SELECT raw FROM kinds WHERE id = 1")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	if !rows.Next() || rows.Scan(&raw) != nil || string(raw) != "\x00\xff" || rows.Err() != nil {
		t.Errorf("raw bytes: %q, %v", raw, rows.Err())
	}
}

// refused returns the error of a query that must have one.
func refused(t *testing.T, db *sql.DB, query string, args []any) error {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query, args...)
	if err == nil {
		defer rows.Close()
		t.Fatalf("%s was answered, %v", query, rows.Err())
	}
	return err
}

// money is a type with a conversion of its own.
type money int

func (m money) Value() (driver.Value, error) { return int64(m) * 100, nil }

// everything is all that can be seen of a result.
func everything(t *testing.T, db *sql.DB, query string, args []any) (all []any) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	types, err := rows.ColumnTypes()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range types {
		length, hasLength := c.Length()
		nullable, hasNullable := c.Nullable()
		precision, scale, hasSize := c.DecimalSize()
		all = append(all, c.Name(), c.DatabaseTypeName(), length, hasLength, nullable, hasNullable, precision, scale, hasSize, c.ScanType())
	}
	for rows.Next() {
		row, into := make([]any, len(types)), make([]any, len(types))
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		all = append(all, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// counts: the limits of database/sql are on what is under way.
func (h handle) counts(t *testing.T) {
	h.SetMaxOpenConns(2)
	defer h.SetMaxOpenConns(0)
	first, second := connOf(t, h.DB), connOf(t, h.DB)
	if s := h.Stats(); s.MaxOpenConnections != 2 || s.InUse != 2 {
		t.Errorf("with two in use: %+v", s)
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := who(short, h.DB); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a third beside two of two: %v", err)
	}
	for _, conn := range []*sql.Conn{first, second} {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := who(t.Context(), h.DB); err != nil {
		t.Error(err)
	}
	if s := h.Stats(); s.InUse != 0 {
		t.Errorf("with none in use: %+v", s)
	}
}
