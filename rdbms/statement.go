package rdbms

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
)

// statement is a text with its arguments, prepared by the caller if prepared is not nil.
//
// It runs on the driver's connection, as database/sql would run it, and not through the *sql.Conn that the connection was
// borrowed by: that would watch each query's context a second time, with a goroutine and rows of its own.
type statement struct {
	text     string
	args     []driver.NamedValue
	prepared *stmt
}

// fetched is the answer to a query.
type fetched struct {
	rows driver.Rows
	once driver.Stmt // was prepared for these rows alone, and ends with them
}

// query runs a statement that returns rows.
func (l *lease) query(ctx context.Context, s statement) (f fetched, err error) {
	if s.prepared == nil {
		if q, ok := l.driver.(driver.QueryerContext); ok {
			args, err := l.convert(nil, s.args)
			if err != nil {
				return f, err
			}
			if f.rows, err = q.QueryContext(ctx, s.text, args); !errors.Is(err, driver.ErrSkip) {
				return f, err
			}
		}
	}
	inner, once, err := l.prepare(ctx, s)
	if err != nil {
		return f, err
	}
	f.rows, err = l.queryPrepared(ctx, inner, s.args)
	switch {
	case once && err != nil:
		_ = inner.Close() // the error is the query's
	case once:
		f.once = inner
	}
	return f, err
}

// exec runs a statement that returns none.
func (l *lease) exec(ctx context.Context, s statement) (driver.Result, error) {
	if s.prepared == nil {
		if e, ok := l.driver.(driver.ExecerContext); ok {
			args, err := l.convert(nil, s.args)
			if err != nil {
				return nil, err
			}
			if result, err := e.ExecContext(ctx, s.text, args); !errors.Is(err, driver.ErrSkip) {
				return result, err
			}
		}
	}
	inner, once, err := l.prepare(ctx, s)
	if err != nil {
		return nil, err
	}
	if once {
		defer inner.Close()
	}
	return l.execPrepared(ctx, inner, s.args)
}

// prepare prepares a statement: the caller's is kept for as long as the connection is borrowed; one whose text alone the
// driver does not run with arguments serves once.
func (l *lease) prepare(ctx context.Context, s statement) (inner driver.Stmt, once bool, err error) {
	if p := s.prepared; p != nil && p.inner != nil && p.on == l {
		return p.inner, false, nil
	}
	if s.prepared != nil {
		s.prepared.drop()
	}
	if p, ok := l.driver.(driver.ConnPrepareContext); ok {
		inner, err = p.PrepareContext(ctx, s.text)
	} else {
		inner, err = l.driver.Prepare(s.text)
	}
	if err != nil || s.prepared == nil {
		return inner, true, err
	}
	s.prepared.inner, s.prepared.on = inner, l
	l.prepared = append(l.prepared, s.prepared)
	return inner, false, nil
}

func (l *lease) queryPrepared(ctx context.Context, inner driver.Stmt, args []driver.NamedValue) (driver.Rows, error) {
	args, err := l.convert(inner, args)
	if err != nil {
		return nil, err
	}
	if q, ok := inner.(driver.StmtQueryContext); ok {
		return q.QueryContext(ctx, args)
	}
	plain, err := unnamed(args)
	if err != nil {
		return nil, err
	}
	return inner.Query(plain) //nolint:staticcheck // for drivers that have nothing else
}

func (l *lease) execPrepared(ctx context.Context, inner driver.Stmt, args []driver.NamedValue) (driver.Result, error) {
	args, err := l.convert(inner, args)
	if err != nil {
		return nil, err
	}
	if e, ok := inner.(driver.StmtExecContext); ok {
		return e.ExecContext(ctx, args)
	}
	plain, err := unnamed(args)
	if err != nil {
		return nil, err
	}
	return inner.Exec(plain) //nolint:staticcheck // for drivers that have nothing else
}

// convert turns the caller's arguments into values of the driver: by the statement's checker or the connection's, and as
// database/sql does where they leave it to that.
func (l *lease) convert(inner driver.Stmt, args []driver.NamedValue) ([]driver.NamedValue, error) {
	checker, ok := inner.(driver.NamedValueChecker)
	if !ok {
		checker, _ = l.driver.(driver.NamedValueChecker)
	}
	kept := args[:0:len(args)]
	if len(args) > 0 {
		kept = make([]driver.NamedValue, 0, len(args)) // the caller's are used again if the read moves
	}
	for _, a := range args {
		err := driver.ErrSkip
		if checker != nil {
			err = checker.CheckNamedValue(&a)
		}
		if errors.Is(err, driver.ErrSkip) {
			a.Value, err = driver.DefaultParameterConverter.ConvertValue(a.Value)
		}
		switch {
		case errors.Is(err, driver.ErrRemoveArgument):
			continue
		case err != nil:
			return nil, fmt.Errorf("rdbms: converting argument %d: %w", a.Ordinal, err)
		}
		a.Ordinal = len(kept) + 1
		kept = append(kept, a)
	}
	if inner != nil {
		if want := inner.NumInput(); want >= 0 && want != len(kept) {
			return nil, fmt.Errorf("rdbms: the statement wants %d arguments, not %d", want, len(kept))
		}
	}
	return kept, nil
}

func unnamed(args []driver.NamedValue) ([]driver.Value, error) {
	plain := make([]driver.Value, len(args))
	for i, a := range args {
		if a.Name != "" {
			return nil, fmt.Errorf("%w: the driver knows no arguments with names", ErrUnsupported)
		}
		plain[i] = a.Value
	}
	return plain, nil
}
