package sqlitedc

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"modernc.org/sqlite"
)

// connector opens connections to the database of one DC as another, or the same, sees it.
type connector struct {
	inner   driver.Connector
	cluster *Cluster
	from    string
	to      string
	link    *link // nil within a DC
}

// Connect implements driver.Connector.
func (k *connector) Connect(ctx context.Context) (driver.Conn, error) {
	path, err := k.link.open(k.from, k.to)
	if err != nil {
		return nil, err
	}
	dc, err := k.inner.Connect(ctx)
	if err != nil {
		return nil, err
	}
	raw, ok := dc.(rawConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("sqlitedc: a %T lacks what this package needs", dc), dc.Close())
	}
	c := &conn{rawConn: raw, connector: k, path: path}
	if err := raw.RegisterAuthorizer(c.authorize); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return c, nil
}

// Driver implements driver.Connector.
func (k *connector) Driver() driver.Driver { return k.inner.Driver() }

// rawConn is what is used of a connection of modernc.org/sqlite.
type rawConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
	sqlite.AuthorizerRegisterer
}

// conn logs what it commits. database/sql uses it from one goroutine at a time.
type conn struct {
	rawConn
	connector *connector
	path      path
	tx        *tx // nil outside a transaction

	// What authorize knows and finds out about the statement being compiled.
	mode   mode
	wrote  bool
	denied error
}

// authorize is called by SQLite for each action of a statement it compiles.
func (c *conn) authorize(action sqlite.AuthorizerActionCode, arg1, arg2, db, _ string) sqlite.AuthorizerReturnCode {
	if c.mode == modeInternal {
		return sqlite.AuthorizerOK
	}
	writes, err := judge(c.mode, action, arg1, arg2, db)
	if err == nil && writes {
		c.wrote = true
		err = c.mayWrite()
	}
	if err != nil {
		c.denied = err
		return sqlite.AuthorizerDeny
	}
	return sqlite.AuthorizerOK
}

func (c *conn) mayWrite() error {
	k := c.connector
	if err := k.cluster.roles.mayWrite(k.to); err != nil {
		return err
	}
	if c.tx != nil && c.tx.readOnly {
		return fmt.Errorf("%w: the transaction was begun read-only", ErrReadOnly)
	}
	return nil
}

// as runs f, in which SQLite compiles a caller's statement, and turns "not authorized" into the reason.
func (c *conn) as(m mode, f func() error) error {
	c.mode, c.wrote, c.denied = m, false, nil
	err := f()
	c.mode = modeInternal
	if err != nil && c.denied != nil {
		return c.denied
	}
	return err
}

// usable fails if the link is cut or SQLite has given up the transaction.
func (c *conn) usable() error {
	if c.tx != nil && c.tx.dead != nil {
		return c.tx.dead
	}
	return c.path.check()
}

// CheckNamedValue implements driver.NamedValueChecker.
func (c *conn) CheckNamedValue(nv *driver.NamedValue) error {
	value, err := driver.DefaultParameterConverter.ConvertValue(nv.Value)
	if t, ok := value.(time.Time); ok {
		value = t.UTC().Round(0) // a zone's name and the monotonic clock would not survive the log
	}
	nv.Value = value
	return err
}

// QueryContext implements driver.QueryerContext. It cannot write.
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (rows driver.Rows, err error) {
	if err := c.usable(); err != nil {
		return nil, err
	}
	err = c.as(modeQuery, func() error {
		rows, err = c.rawConn.QueryContext(ctx, query, args)
		return err
	})
	return rows, err
}

// ExecContext implements driver.ExecerContext. Outside a transaction the statement is one of its own.
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if c.tx != nil {
		return c.tx.exec(ctx, query, args)
	}
	t, err := c.begin(ctx, false)
	if err != nil {
		return nil, err
	}
	result, err := t.exec(ctx, query, args)
	if err != nil {
		return nil, errors.Join(err, t.Rollback())
	}
	if err := t.Commit(); err != nil { //nolint:contextcheck // as database/sql: the context was BeginTx's
		return nil, err
	}
	return result, nil
}

// BeginTx implements driver.ConnBeginTx.
func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	level := sql.IsolationLevel(opts.Isolation)
	if level != sql.LevelDefault && level != sql.LevelSerializable {
		return nil, fmt.Errorf("sqlitedc: isolation level %s: SQLite has serializable only", level)
	}
	return c.begin(ctx, opts.ReadOnly)
}

func (c *conn) begin(ctx context.Context, readOnly bool) (*tx, error) {
	if err := c.usable(); err != nil {
		return nil, err
	}
	// A DC that is not the primary must not take the lock that the replay needs.
	k := c.connector
	locks, leave := !readOnly && k.cluster.roles.mayWrite(k.to) == nil, func() {}
	if locks {
		var err error
		if leave, err = k.cluster.queue(ctx, k.to); err != nil {
			return nil, err
		}
	}
	raw, err := c.rawConn.BeginTx(ctx, driver.TxOptions{ReadOnly: !locks})
	if err != nil {
		leave()
		return nil, err
	}
	c.tx = &tx{conn: c, raw: raw, readOnly: readOnly, leave: leave}
	return c.tx, nil
}

// queue waits for the turn to write, in the order of coming: SQLite itself lets whoever asks next go first, and who has bad
// luck for 5 s fails. Longer than that nobody waits here either: somebody may have forgotten to end a transaction.
func (c *Cluster) queue(ctx context.Context, dc string) (leave func(), err error) {
	patience := time.NewTimer(busyTimeout)
	defer patience.Stop()
	select {
	case c.writing[dc] <- struct{}{}:
		return func() { <-c.writing[dc] }, nil
	case <-patience.C:
		return func() {}, nil // SQLite says what is wrong
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// PrepareContext implements driver.ConnPrepareContext.
func (c *conn) PrepareContext(_ context.Context, query string) (driver.Stmt, error) {
	return &stmt{conn: c, query: query}, nil
}

// Prepare implements driver.Conn.
func (c *conn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

// Begin implements driver.Conn; database/sql calls BeginTx instead.
func (c *conn) Begin() (driver.Tx, error) {
	return c.begin(context.Background(), false)
}

// Ping implements driver.Pinger.
func (c *conn) Ping(ctx context.Context) error {
	if err := c.usable(); err != nil {
		return err
	}
	return c.rawConn.Ping(ctx)
}

// ResetSession implements driver.SessionResetter: a connection that a cut has killed is thrown away.
func (c *conn) ResetSession(ctx context.Context) error {
	if c.path.check() != nil {
		return driver.ErrBadConn
	}
	return c.rawConn.ResetSession(ctx)
}

// IsValid implements driver.Validator.
func (c *conn) IsValid() bool {
	return c.tx == nil && c.path.check() == nil && c.rawConn.IsValid()
}

// stmt keeps the text only: a statement is compiled as a Query or as an Exec, and which one is known when it runs.
type stmt struct {
	conn  *conn
	query string
}

// Close implements driver.Stmt.
func (s *stmt) Close() error { return nil }

// NumInput implements driver.Stmt: SQLite counts the arguments when the statement runs.
func (s *stmt) NumInput() int { return -1 }

// ExecContext implements driver.StmtExecContext.
func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.conn.ExecContext(ctx, s.query, args)
}

// QueryContext implements driver.StmtQueryContext.
func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.conn.QueryContext(ctx, s.query, args)
}

// Exec implements driver.Stmt; database/sql calls ExecContext instead.
func (s *stmt) Exec(args []driver.Value) (driver.Result, error) {
	return s.ExecContext(context.Background(), named(args))
}

// Query implements driver.Stmt; database/sql calls QueryContext instead.
func (s *stmt) Query(args []driver.Value) (driver.Rows, error) {
	return s.QueryContext(context.Background(), named(args))
}

func named(values []driver.Value) []driver.NamedValue {
	list := make([]driver.NamedValue, len(values))
	for i, v := range values {
		list[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return list
}
