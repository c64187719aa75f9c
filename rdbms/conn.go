package rdbms

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"
)

// connector makes the virtual connections of one of a cluster's *sql.DB values.
type connector struct {
	cluster *Cluster
	role    role
}

// Connect implements driver.Connector. It reaches for no server: a virtual connection holds no socket.
func (k *connector) Connect(context.Context) (driver.Conn, error) {
	return &conn{cluster: k.cluster, role: k.role}, nil
}

// Driver implements driver.Connector.
func (k *connector) Driver() driver.Driver { return virtualDriver{} }

type virtualDriver struct{}

// Open implements driver.Driver.
func (virtualDriver) Open(string) (driver.Conn, error) {
	return nil, fmt.Errorf("%w: these connections come from an rdbms.Cluster, not from a name", ErrUnsupported)
}

// conn is a virtual connection. Its first statement borrows a connection of the server that it is for, which goes back
// when database/sql puts the virtual one back: so a caller's *sql.Conn or *sql.Tx stays on one server, and the next
// statement of a *sql.DB is free to go elsewhere. database/sql uses it from one goroutine at a time.
type conn struct {
	cluster *Cluster
	role    role
	near    lease // of a server to read from
	writing lease // of the primary
	tx      *tx   // nil outside of a transaction
}

// IsValid implements driver.Validator. database/sql calls it each time that the connection is put back.
func (v *conn) IsValid() bool {
	if v.tx != nil { // it was not ended: let the server do so
		v.tx.lease.broken = true
		v.tx.end()
	}
	v.near.release()
	v.writing.release()
	return true
}

// Close implements driver.Conn.
func (v *conn) Close() error {
	v.IsValid()
	return nil
}

// CheckNamedValue implements driver.NamedValueChecker: the server's own driver converts.
func (*conn) CheckNamedValue(*driver.NamedValue) error { return nil }

// Raw calls f with the driver's own connection, as (*sql.Conn).Raw does. Without one yet it borrows one.
func (v *conn) Raw(f func(driverConn any) error) error {
	for _, l := range []*lease{&v.writing, &v.near} {
		if l.held() {
			return l.conn.Raw(f)
		}
	}
	if err := v.Ping(context.Background()); err != nil {
		return err
	}
	if v.writing.held() {
		return v.writing.conn.Raw(f)
	}
	return v.near.conn.Raw(f)
}

// toPrimary reports whether a query goes to the primary by its author's will.
func (v *conn) toPrimary(ctx context.Context, query string) bool {
	switch v.role {
	case rolePrimary:
		return true
	case roleAuto:
		if !isRead(query) {
			return true
		}
	case roleReplica:
	}
	return callOf(ctx).wantsPrimary()
}

// QueryContext implements driver.QueryerContext.
func (v *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return v.query(ctx, statement{text: query, args: args})
}

// ExecContext implements driver.ExecerContext.
func (v *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return v.exec(ctx, statement{text: query, args: args})
}

func (v *conn) query(ctx context.Context, s statement) (driver.Rows, error) {
	if v.tx != nil {
		return v.tx.query(ctx, s)
	}
	if v.toPrimary(ctx, s.text) {
		return v.queryPrimary(ctx, s)
	}
	return v.queryNear(ctx, s)
}

// queryNear reads. A query that writes is the caller's mistake, which a replica refuses; if it comes to the primary all the
// same, what holds for writes holds for it.
func (v *conn) queryNear(ctx context.Context, s statement) (driver.Rows, error) {
	write := v.role == roleReplica && !isRead(s.text)
	r := v.cluster.read(ctx, &v.near)
	r.once = write
	for r.next() {
		onPrimary := write && v.near.server.primary
		if onPrimary {
			if err := v.cluster.mayQueryPrimary(ctx, s.text, true); err != nil {
				v.near.server.breaker.Cancelled(time.Now())
				return nil, err
			}
		}
		rows, err := v.near.query(ctx, s)
		if onPrimary && (err == nil || v.cluster.faultOf(ctx, err).unknownOutcome()) {
			v.cluster.wrote(ctx, v.near.server.host)
		}
		if r.served(err) {
			return newRows(ctx, v.cluster, &v.near, rows), nil
		}
	}
	return nil, r.err
}

func (v *conn) queryPrimary(ctx context.Context, s statement) (driver.Rows, error) {
	write := !isRead(s.text)
	if err := v.cluster.mayQueryPrimary(ctx, s.text, write); err != nil {
		return nil, err
	}
	if err := v.cluster.borrowPrimary(ctx, &v.writing); err != nil {
		return nil, err
	}
	v.cluster.tellPrimary(ctx)
	rows, err := v.writing.query(ctx, s)
	if f, err := v.cluster.answered(ctx, &v.writing, err); err != nil {
		if !write {
			return nil, err
		}
		if f.unknownOutcome() {
			v.cluster.wrote(ctx, v.writing.server.host)
		}
		return nil, maybeRan(err)
	}
	if write {
		v.cluster.wrote(ctx, v.writing.server.host)
	}
	return newRows(ctx, v.cluster, &v.writing, rows), nil
}

func (v *conn) exec(ctx context.Context, s statement) (driver.Result, error) {
	if v.tx != nil {
		return v.tx.exec(ctx, s)
	}
	if v.role == roleReplica && !callOf(ctx).wantsPrimary() && setsSession(s.text) {
		return v.execNear(ctx, s)
	}
	if err := v.cluster.mayExec(ctx, v.role, s.text); err != nil {
		return nil, err
	}
	if err := v.cluster.borrowPrimary(ctx, &v.writing); err != nil {
		return nil, err
	}
	result, err := v.writing.exec(ctx, s)
	if f, err := v.cluster.answered(ctx, &v.writing, err); err != nil {
		if f.unknownOutcome() {
			v.cluster.wrote(ctx, v.writing.server.host)
		}
		return nil, maybeRan(err)
	}
	if changes(s.text, result) {
		v.cluster.wrote(ctx, v.writing.server.host)
	}
	return result, nil
}

// execNear runs what changes nothing but the session, which a caller's *sql.Conn keeps.
func (v *conn) execNear(ctx context.Context, s statement) (driver.Result, error) {
	r := v.cluster.read(ctx, &v.near)
	for r.next() {
		result, err := v.near.exec(ctx, s)
		if r.served(err) {
			return result, nil
		}
	}
	return nil, r.err
}

// Ping implements driver.Pinger.
func (v *conn) Ping(ctx context.Context) error {
	if v.role == rolePrimary || v.role == roleReplica && callOf(ctx).wantsPrimary() {
		if err := v.cluster.borrowPrimary(ctx, &v.writing); err != nil {
			return err
		}
		_, err := v.cluster.answered(ctx, &v.writing, v.writing.conn.PingContext(ctx))
		return err
	}
	r := v.cluster.read(ctx, &v.near)
	for r.next() {
		if r.served(v.near.conn.PingContext(ctx)) {
			return nil
		}
	}
	return r.err
}

// Prepare implements driver.Conn.
func (v *conn) Prepare(query string) (driver.Stmt, error) {
	return v.PrepareContext(context.Background(), query)
}

// PrepareContext implements driver.ConnPrepareContext. Nothing is asked of a server yet: see stmt.
func (v *conn) PrepareContext(_ context.Context, query string) (driver.Stmt, error) {
	return &stmt{conn: v, query: query}, nil
}

// Begin implements driver.Conn; database/sql calls BeginTx.
func (v *conn) Begin() (driver.Tx, error) {
	return v.BeginTx(context.Background(), driver.TxOptions{})
}

// BeginTx implements driver.ConnBeginTx. On Replica every transaction is read-only.
func (v *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if v.tx != nil {
		return nil, errors.New("rdbms: this connection is in a transaction already")
	}
	opts.ReadOnly = opts.ReadOnly || v.role == roleReplica
	if v.role == rolePrimary || !opts.ReadOnly || callOf(ctx).wantsPrimary() {
		return v.beginPrimary(ctx, opts)
	}
	r := v.cluster.read(ctx, &v.near)
	for r.next() {
		inner, err := v.near.begin(ctx, opts)
		if r.served(err) {
			return v.inTx(ctx, &v.near, inner, opts.ReadOnly), nil
		}
	}
	return nil, r.err
}

func (v *conn) beginPrimary(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if err := v.cluster.borrowPrimary(ctx, &v.writing); err != nil {
		return nil, err
	}
	v.writing.lag, v.writing.at = known(0), time.Now()
	inner, err := v.writing.begin(ctx, opts)
	if _, err := v.cluster.answered(ctx, &v.writing, err); err != nil {
		return nil, err
	}
	return v.inTx(ctx, &v.writing, inner, opts.ReadOnly), nil
}
