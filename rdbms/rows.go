package rdbms

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"io"
	"reflect"
)

// rows passes a server's rows on as they come, column types and further result sets included.
type rows struct {
	cluster *Cluster
	lease   *lease
	inner   *sql.Rows
	ctx     context.Context //nolint:containedctx // the query's
	columns []string
	types   []*sql.ColumnType

	cells       []cell
	into        []any
	inlineCells [inlineColumns]cell
	inlineInto  [inlineColumns]any
}

// inlineColumns is up to how many columns a result needs no more memory.
const inlineColumns = 8

func newRows(ctx context.Context, c *Cluster, l *lease, inner *sql.Rows) (*rows, error) {
	r := &rows{cluster: c, lease: l, inner: inner, ctx: ctx}
	return r, r.describe()
}

// describe looks at the columns of the result set.
func (r *rows) describe() (err error) {
	if r.columns, err = r.inner.Columns(); err != nil {
		return r.failed(err)
	}
	n := len(r.columns)
	r.types, r.cells, r.into = nil, r.inlineCells[:0], r.inlineInto[:0]
	if n > inlineColumns {
		r.cells, r.into = make([]cell, 0, n), make([]any, 0, n)
	}
	r.cells = r.cells[:n]
	// The query's context may close the inner rows, and with them a row's memory, while the caller looks at it.
	shared := r.ctx.Done() != nil
	for i := range r.cells {
		r.cells[i].clone = shared
		r.into = append(r.into, &r.cells[i])
	}
	return nil
}

// Columns implements driver.Rows.
func (r *rows) Columns() []string { return r.columns }

// Close implements driver.Rows.
func (r *rows) Close() error { return r.inner.Close() }

// Next implements driver.Rows.
func (r *rows) Next(dest []driver.Value) error {
	if !r.inner.Next() {
		if err := r.inner.Err(); err != nil {
			return r.failed(err)
		}
		return io.EOF
	}
	if err := r.inner.Scan(r.into...); err != nil {
		return r.failed(err)
	}
	for i := range dest {
		dest[i] = r.cells[i].value
	}
	return nil
}

// failed: rows that were handed out are never fetched from elsewhere.
func (r *rows) failed(err error) error {
	_, err = r.cluster.answered(r.ctx, r.lease, err)
	return err
}

// HasNextResultSet implements driver.RowsNextResultSet. database/sql closes rows that have ended, unless there is more.
func (r *rows) HasNextResultSet() bool {
	_, err := r.inner.Columns()
	return err == nil
}

// NextResultSet implements driver.RowsNextResultSet.
func (r *rows) NextResultSet() error {
	if r.inner.NextResultSet() {
		return r.describe()
	}
	if err := r.inner.Err(); err != nil {
		return r.failed(err)
	}
	return io.EOF
}

// cell takes a value as the driver gives it, which Scan into an any would not.
type cell struct {
	value driver.Value
	clone bool
}

// Scan implements sql.Scanner.
func (c *cell) Scan(value any) error {
	if b, ok := value.([]byte); ok && c.clone {
		value = bytes.Clone(b)
	}
	c.value = value
	return nil
}

func (r *rows) typeOf(i int) *sql.ColumnType {
	if r.types == nil {
		types, err := r.inner.ColumnTypes()
		if err != nil {
			types = make([]*sql.ColumnType, len(r.columns))
		}
		r.types = types
	}
	return r.types[i]
}

// ColumnTypeDatabaseTypeName implements driver.RowsColumnTypeDatabaseTypeName.
func (r *rows) ColumnTypeDatabaseTypeName(i int) string {
	if t := r.typeOf(i); t != nil {
		return t.DatabaseTypeName()
	}
	return ""
}

// ColumnTypeLength implements driver.RowsColumnTypeLength.
func (r *rows) ColumnTypeLength(i int) (int64, bool) {
	if t := r.typeOf(i); t != nil {
		return t.Length()
	}
	return 0, false
}

// ColumnTypeNullable implements driver.RowsColumnTypeNullable.
func (r *rows) ColumnTypeNullable(i int) (nullable, ok bool) {
	if t := r.typeOf(i); t != nil {
		return t.Nullable()
	}
	return false, false
}

// ColumnTypePrecisionScale implements driver.RowsColumnTypePrecisionScale.
func (r *rows) ColumnTypePrecisionScale(i int) (precision, scale int64, ok bool) {
	if t := r.typeOf(i); t != nil {
		return t.DecimalSize()
	}
	return 0, 0, false
}

// ColumnTypeScanType implements driver.RowsColumnTypeScanType.
func (r *rows) ColumnTypeScanType(i int) reflect.Type {
	if t := r.typeOf(i); t != nil && t.ScanType() != nil {
		return t.ScanType()
	}
	return reflect.TypeFor[any]()
}
