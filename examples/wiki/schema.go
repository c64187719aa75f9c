package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/multidc/multidc/internal/backoff"
	"github.com/multidc/multidc/rdbms"
)

// dialect is where SQLite and MariaDB differ, in this wiki.
type dialect struct {
	tables    []string
	forUpdate string // ends a SELECT whose rows must not change until the commit
}

// A title is bytes, compared as bytes. Times are microseconds since 1970. A page is its newest revision.
var sqlite = dialect{tables: []string{
	`CREATE TABLE IF NOT EXISTS revision (
		id INTEGER PRIMARY KEY, title TEXT NOT NULL, text TEXT NOT NULL, summary TEXT NOT NULL,
		dc TEXT NOT NULL, at INTEGER NOT NULL, imported INTEGER NOT NULL)`,
	`CREATE INDEX IF NOT EXISTS revision_title ON revision (title, id)`,
	`CREATE INDEX IF NOT EXISTS revision_edits ON revision (imported, id)`,
	`CREATE TABLE IF NOT EXISTS page (title TEXT PRIMARY KEY, revision INTEGER NOT NULL)`,
}}

var mariadb = dialect{forUpdate: " FOR UPDATE", tables: []string{
	`CREATE TABLE IF NOT EXISTS revision (
		id BIGINT AUTO_INCREMENT PRIMARY KEY, title VARBINARY(255) NOT NULL, text MEDIUMTEXT NOT NULL, summary VARCHAR(255) NOT NULL,
		dc VARCHAR(32) NOT NULL, at BIGINT NOT NULL, imported BOOLEAN NOT NULL,
		KEY revision_title (title, id), KEY revision_edits (imported, id)) CHARACTER SET utf8mb4`,
	`CREATE TABLE IF NOT EXISTS page (title VARBINARY(255) PRIMARY KEY, revision BIGINT NOT NULL) CHARACTER SET utf8mb4`,
}}

// createTables makes the wiki's tables in the primary; they replicate as everything else does. It waits while nobody takes
// writes, as at the start when the primary was moved just before the end.
func createTables(ctx context.Context, db *sql.DB, d dialect) error {
	retry := backoff.Policy{First: 10 * time.Millisecond, Max: time.Second, Spread: 0.2}
	for n := 1; ; n++ {
		err := tryTables(ctx, db, d)
		if !errors.Is(err, rdbms.ErrReadOnly) {
			return err
		}
		if retry.Sleep(ctx, n) != nil {
			return err
		}
	}
}

func tryTables(ctx context.Context, db *sql.DB, d dialect) error {
	for _, statement := range d.tables {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("create the wiki's tables: %w", err)
		}
	}
	return nil
}
