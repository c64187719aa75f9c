package rdbms

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"reflect"
)

// rows passes a server's rows on as they come, column types and further result sets included. A connection that breaks
// between two rows is noticed; the rows that were handed out are never fetched from elsewhere.
type rows struct {
	driver.Rows

	once    driver.Stmt // ends with the rows; nil = none does
	cluster *Cluster
	lease   *lease
	ctx     context.Context //nolint:containedctx // the query's
}

func newRows(ctx context.Context, c *Cluster, l *lease, f fetched) *rows {
	return &rows{Rows: f.rows, once: f.once, cluster: c, lease: l, ctx: ctx}
}

// Close implements driver.Rows.
func (r *rows) Close() error {
	err := r.Rows.Close()
	if r.once != nil {
		err = errors.Join(err, r.once.Close())
	}
	return err
}

// Next implements driver.Rows.
func (r *rows) Next(dest []driver.Value) error { return r.seen(r.Rows.Next(dest)) }

// seen judges an error of the rows; their end is none.
func (r *rows) seen(err error) error {
	if err == nil || err == io.EOF { //nolint:errorlint // as database/sql: what wraps it is a lost connection
		return err
	}
	_, err = r.cluster.answered(r.ctx, r.lease, err)
	return err
}

// HasNextResultSet implements driver.RowsNextResultSet.
func (r *rows) HasNextResultSet() bool {
	n, ok := r.Rows.(driver.RowsNextResultSet)
	return ok && n.HasNextResultSet()
}

// NextResultSet implements driver.RowsNextResultSet.
func (r *rows) NextResultSet() error {
	if n, ok := r.Rows.(driver.RowsNextResultSet); ok {
		return r.seen(n.NextResultSet())
	}
	return io.EOF
}

// ColumnTypeDatabaseTypeName implements driver.RowsColumnTypeDatabaseTypeName; as the next ones it says what database/sql
// assumes where the driver does not tell.
func (r *rows) ColumnTypeDatabaseTypeName(i int) string {
	if t, ok := r.Rows.(driver.RowsColumnTypeDatabaseTypeName); ok {
		return t.ColumnTypeDatabaseTypeName(i)
	}
	return ""
}

// ColumnTypeLength implements driver.RowsColumnTypeLength.
func (r *rows) ColumnTypeLength(i int) (int64, bool) {
	if t, ok := r.Rows.(driver.RowsColumnTypeLength); ok {
		return t.ColumnTypeLength(i)
	}
	return 0, false
}

// ColumnTypeNullable implements driver.RowsColumnTypeNullable.
func (r *rows) ColumnTypeNullable(i int) (nullable, ok bool) {
	if t, ok := r.Rows.(driver.RowsColumnTypeNullable); ok {
		return t.ColumnTypeNullable(i)
	}
	return false, false
}

// ColumnTypePrecisionScale implements driver.RowsColumnTypePrecisionScale.
func (r *rows) ColumnTypePrecisionScale(i int) (precision, scale int64, ok bool) {
	if t, ok := r.Rows.(driver.RowsColumnTypePrecisionScale); ok {
		return t.ColumnTypePrecisionScale(i)
	}
	return 0, 0, false
}

// ColumnTypeScanType implements driver.RowsColumnTypeScanType.
func (r *rows) ColumnTypeScanType(i int) reflect.Type {
	if t, ok := r.Rows.(driver.RowsColumnTypeScanType); ok {
		return t.ColumnTypeScanType(i)
	}
	return reflect.TypeFor[any]()
}
