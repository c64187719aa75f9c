package rdbms

import (
	"context"
	"database/sql/driver"
	"slices"
)

// stmt is a prepared statement of a virtual connection. It is prepared on the borrowed connection at its first use there,
// and lost with that: once for each *sql.Conn or *sql.Tx, but anew for each use of a *sql.DB.
type stmt struct {
	conn  *conn
	query string

	inner driver.Stmt // nil = not prepared
	on    *lease
}

// Close implements driver.Stmt.
func (s *stmt) Close() error {
	s.drop()
	return nil
}

// drop forgets what was prepared. The server forgets it with the session at the latest.
func (s *stmt) drop() {
	if s.inner != nil {
		_ = s.inner.Close()
		s.on.prepared = slices.DeleteFunc(s.on.prepared, func(one *stmt) bool { return one == s })
		s.inner, s.on = nil, nil
	}
}

// NumInput implements driver.Stmt: the server counts.
func (*stmt) NumInput() int { return -1 }

// ExecContext implements driver.StmtExecContext.
func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.conn.exec(ctx, statement{text: s.query, args: args, prepared: s})
}

// QueryContext implements driver.StmtQueryContext.
func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.conn.query(ctx, statement{text: s.query, args: args, prepared: s})
}

// Exec implements driver.Stmt; database/sql calls ExecContext.
func (s *stmt) Exec(args []driver.Value) (driver.Result, error) {
	return s.ExecContext(context.Background(), named(args))
}

// Query implements driver.Stmt; database/sql calls QueryContext.
func (s *stmt) Query(args []driver.Value) (driver.Rows, error) {
	return s.QueryContext(context.Background(), named(args))
}

func named(args []driver.Value) []driver.NamedValue {
	list := make([]driver.NamedValue, len(args))
	for i, a := range args {
		list[i] = driver.NamedValue{Ordinal: i + 1, Value: a}
	}
	return list
}
