package peers

import (
	"database/sql"
	"testing"

	"github.com/jmoiron/sqlx"
)

type page struct {
	ID     int    `db:"id"     gorm:"primaryKey"`
	Title  string `db:"title"`
	Server string `db:"server"`
}

// sqlx runs its verbs over a handle.
func (h handle) sqlx(t *testing.T) {
	ctx := request(t)
	db := sqlx.NewDb(h.DB, "mysql")
	title := h.name + " by sqlx"
	p := page{Title: title, Server: "0"}

	_, err := db.NamedExecContext(ctx, "INSERT INTO page (title, server) VALUES (:title, @@server_id)", p)
	if !h.refusedHere(err) {
		t.Error("NamedExec:", err)
	}
	if h.writes == "" {
		title = "Primary by sqlx" // that of another request: there is no wait for it, nor need for one by now
	}
	if err := db.GetContext(ctx, &p, "SELECT * FROM page WHERE title = ?", title); err != nil || nameOf(p.Server) != a1 {
		t.Errorf("Get: %+v, %v", p, err)
	}
	var server string
	query, args, err := sqlx.In("SELECT @@server_id FROM page WHERE title IN (?)", []string{title, "another"})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.GetContext(ctx, &server, db.Rebind(query), args...); err != nil || nameOf(server) != h.reads {
		t.Errorf("In: %s, %v, want %s", nameOf(server), err, h.reads)
	}
	var list []page
	if err := db.SelectContext(ctx, &list, "SELECT * FROM page ORDER BY id"); err != nil || len(list) == 0 {
		t.Errorf("Select: %d rows, %v", len(list), err)
	}
	const named = "SELECT *, @@server_id AS server FROM (SELECT id, title FROM page WHERE title = :title) AS p"
	rows, err := db.NamedQueryContext(ctx, named, page{Title: title})
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for ; rows.Next(); n++ {
		if err := rows.StructScan(&p); err != nil || nameOf(p.Server) != h.reads {
			t.Errorf("NamedQuery: %+v, %v, want it from %s", p, err, h.reads)
		}
	}
	if err := rows.Err(); err != nil || n != 1 {
		t.Errorf("NamedQuery: %d rows, %v", n, err)
	}
	h.sqlxStatements(t, db, title)
	h.sqlxTransaction(t, db, title)
}

func (h handle) sqlxStatements(t *testing.T, db *sqlx.DB, title string) {
	ctx := request(t)
	stmt, err := db.PreparexContext(ctx, "SELECT @@server_id FROM page WHERE title = ?")
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close()
	named, err := db.PrepareNamedContext(ctx, "SELECT @@server_id FROM page WHERE title = :title")
	if err != nil {
		t.Fatal(err)
	}
	defer named.Close()
	for range 3 {
		var server string
		if err := stmt.GetContext(ctx, &server, title); err != nil || nameOf(server) != h.reads {
			t.Errorf("Preparex: %s, %v, want %s", nameOf(server), err, h.reads)
		}
		if err := named.GetContext(ctx, &server, page{Title: title}); err != nil || nameOf(server) != h.reads {
			t.Errorf("PrepareNamed: %s, %v, want %s", nameOf(server), err, h.reads)
		}
	}
	row := map[string]any{}
	if err := db.QueryRowxContext(ctx, "SELECT id, title FROM page WHERE title = ?", title).MapScan(row); err != nil || len(row) != 2 {
		t.Errorf("MapScan: %v, %v", row, err)
	}
	insert, err := db.PreparexContext(ctx, addPage)
	if err != nil {
		t.Fatal(err)
	}
	defer insert.Close()
	if _, err := insert.ExecContext(ctx, h.name+" by a statement of sqlx"); !h.refusedHere(err) {
		t.Error("Exec of a statement:", err)
	}
}

func (h handle) sqlxTransaction(t *testing.T, db *sqlx.DB, title string) {
	ctx := request(t)
	stmt, err := db.PreparexContext(ctx, "SELECT @@server_id FROM page WHERE title = ?")
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close()
	for _, readOnly := range []bool{false, true} {
		tx, err := db.BeginTxx(ctx, &sql.TxOptions{ReadOnly: readOnly})
		if err != nil {
			t.Fatal(err)
		}
		want := h.reads
		if h.writes != "" && !readOnly {
			want = h.writes
		}
		var server string
		for range 2 {
			within := tx.StmtxContext(ctx, stmt) //nolint:sqlclosecheck // it is the transaction's
			if err := within.GetContext(ctx, &server, title); err != nil || nameOf(server) != want {
				t.Errorf("Stmtx, read-only %t: %s, %v, want %s", readOnly, nameOf(server), err, want)
			}
		}
		_, err = tx.NamedExecContext(ctx, "UPDATE page SET server = 0 WHERE title = :title", page{Title: h.name + " by sqlx"})
		if readOnly && err == nil || !readOnly && !h.refusedHere(err) {
			t.Errorf("NamedExec, read-only %t: %v", readOnly, err)
		}
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
	}
	conn, err := db.Connx(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var server string
	if err := conn.GetContext(ctx, &server, whoQuery); err != nil || nameOf(server) != h.reads {
		t.Errorf("Connx: %s, %v", nameOf(server), err)
	}
}
