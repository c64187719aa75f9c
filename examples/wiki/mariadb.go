package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/go-sql-driver/mysql"
)

// mariaDB is a test bed's servers: in each DC reads go to the replica, and writes to a's primary, from b through the link.
type mariaDB struct {
	dbs      map[string]database // by DC
	origin   uint32              // server_id of a's primary, whose heartbeat tells the age
	bPrimary *sql.DB
	link     *linkControl
	opened   []*sql.DB
}

const wikiDatabase = "wiki"

func openMariaDB(ctx context.Context, cfg config) (databases, error) {
	bed, err := readEnvFile(cfg.servers)
	if err != nil {
		return nil, fmt.Errorf("-servers: %w", err)
	}
	m := &mariaDB{dbs: map[string]database{}}
	if err := m.open(ctx, bed, cfg); err != nil {
		return nil, errors.Join(fmt.Errorf("-servers %s: %w", cfg.servers, err), m.close())
	}
	return m, nil
}

func (m *mariaDB) open(ctx context.Context, bed testBed, cfg config) error {
	remote, err := tlsConfig(bed.ca)
	if err != nil {
		return err
	}
	primaryA, nameA, err := m.connect("MARIADB_A", bed.primaryA, nil)
	if err != nil {
		return err
	}
	replicaA, nameRA, err := m.connect("MARIADB_A_REPLICA", bed.replicaA, nil)
	if err != nil {
		return err
	}
	replicaB, nameRB, err := m.connect("MARIADB_B_REPLICA", bed.replicaB, nil)
	if err != nil {
		return err
	}
	aViaB, linkB, err := m.connect("MARIADB_A_VIA_B", bed.aViaB, remote)
	if err != nil {
		return err
	}
	var linkA string
	if m.bPrimary, _, err = m.connect("MARIADB_B", bed.primaryB, nil); err != nil {
		return err
	}
	if _, linkA, err = m.connect("MARIADB_B_VIA_A", bed.bViaA, remote); err != nil {
		return err
	}
	m.dbs[dcA] = database{read: replicaA, readName: "MariaDB replica of a (" + nameRA + ")", write: primaryA, age: m.heartbeat(replicaA)}
	m.dbs[dcB] = database{read: replicaB, readName: "MariaDB replica of b (" + nameRB + ")", write: aViaB, age: m.heartbeat(replicaB)}
	if m.link, err = newLinkControl(ctx, bed.control, linkA, linkB); err != nil {
		return err
	}
	if err := m.createDatabase(ctx, bed.primaryA); err != nil {
		return fmt.Errorf("%sMARIADB_A (%s): %w", envPrefix, nameA, err)
	}
	if cfg.lagSet {
		return m.setLag(ctx, cfg.lag)
	}
	return nil
}

// createDatabase makes the wiki's database on a's primary, and learns the server's id.
func (m *mariaDB) createDatabase(ctx context.Context, dsn string) error {
	c, err := mysql.ParseDSN(dsn)
	if err != nil {
		return err
	}
	c.Timeout, c.ReadTimeout, c.WriteTimeout = patient, patient, patient
	k, err := mysql.NewConnector(c)
	if err != nil {
		return err
	}
	db := sql.OpenDB(k)
	defer func() { _ = db.Close() }() // the pools of the wiki follow
	if _, err := db.ExecContext(ctx, "CREATE DATABASE IF NOT EXISTS "+wikiDatabase+" CHARACTER SET utf8mb4"); err != nil {
		return err
	}
	return db.QueryRowContext(ctx, "SELECT @@server_id").Scan(&m.origin)
}

// patient bounds each step of talking to a server. A link that swallows everything shows as an error after it.
const patient = 5 * time.Second

// connect makes the pool of one server, without connecting. What crosses the link is encrypted and verified.
func (m *mariaDB) connect(variable, dsn string, secure *tls.Config) (db *sql.DB, addr string, err error) {
	c, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, "", fmt.Errorf("%s%s: %w", envPrefix, variable, err)
	}
	c.DBName = wikiDatabase
	c.Timeout, c.ReadTimeout, c.WriteTimeout = patient, patient, patient
	c.Logger = &mysql.NopLogger{} // every error is also returned
	if secure != nil {
		c.TLS = secure.Clone()
		if c.TLS.ServerName, _, err = net.SplitHostPort(c.Addr); err != nil {
			return nil, "", fmt.Errorf("%s%s: %w", envPrefix, variable, err)
		}
	}
	k, err := mysql.NewConnector(c)
	if err != nil {
		return nil, "", fmt.Errorf("%s%s: %w", envPrefix, variable, err)
	}
	db = sql.OpenDB(k)
	db.SetMaxOpenConns(32)
	m.opened = append(m.opened, db)
	return db, c.Addr, nil
}

func tlsConfig(ca string) (*tls.Config, error) {
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, fmt.Errorf("%sCA: %w", envPrefix, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%sCA: no certificate in %s", envPrefix, ca)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}

// heartbeat tells the age of what a server has by the row that pt-heartbeat writes on a's primary. No row, no table
// or no answer is no age.
func (m *mariaDB) heartbeat(db *sql.DB) func(context.Context) age {
	return func(ctx context.Context) age {
		var beat, now string
		err := db.QueryRowContext(ctx, "SELECT ts, UTC_TIMESTAMP(6) FROM heartbeat.heartbeat WHERE server_id = ?", m.origin).
			Scan(&beat, &now)
		if err != nil {
			return age{}
		}
		return beatAge(beat, now)
	}
}

// beatAge compares a heartbeat with the server's own clock.
func beatAge(beat, now string) age {
	then, err := parseStamp(beat)
	if err != nil {
		return age{}
	}
	at, err := parseStamp(now)
	if err != nil {
		return age{}
	}
	d := at.Sub(then)
	if d < -time.Second { // clocks that disagree so much tell nothing
		return age{}
	}
	return age{Known: true, Value: max(d, 0)}
}

func parseStamp(s string) (time.Time, error) {
	for _, form := range []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05"} { // fractions are read anyway
		if t, err := time.Parse(form, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time", s)
}

func (m *mariaDB) dialect() dialect { return mariadb }

func (m *mariaDB) dc(name string) database { return m.dbs[name] }

// run has nothing to do: the servers replicate by themselves.
func (m *mariaDB) run(context.Context) error { return nil }

func (m *mariaDB) state(ctx context.Context) clusterState {
	out := clusterState{
		Engine: "MariaDB servers of a test bed",
		LagIs:  "Latency of the link, in each direction: a statement that crosses it waits twice as long for its answer",
	}
	var err error
	if out.Link, out.Lag, err = m.link.state(ctx); err != nil {
		out.Problem = err.Error()
	}
	for _, dc := range []string{dcA, dcB} {
		d := m.dbs[dc]
		s := dcState{Name: dc, Primary: dc == primary, Reads: d.readName, Writes: "MariaDB primary of " + primary, Age: d.age(ctx)}
		if dc != primary {
			s.Writes += ", across the link"
		}
		if err := d.read.QueryRowContext(ctx, "SELECT @@gtid_slave_pos").Scan(&s.Position); err != nil {
			s.Problem = err.Error()
		}
		out.DCs = append(out.DCs, s)
	}
	return out
}

// maxLatency is what the test bed's links can do.
const maxLatency = time.Minute

func (m *mariaDB) setLag(ctx context.Context, d time.Duration) error {
	if d > maxLatency {
		return &problem{status: http.StatusBadRequest, Heading: "No such lag", Text: "The link's latency can be at most " + maxLatency.String() + "."}
	}
	return m.link.latency(ctx, d)
}

func (m *mariaDB) cut(ctx context.Context) error { return m.link.cut(ctx) }

func (m *mariaDB) heal(ctx context.Context) error { return m.link.heal(ctx) }

// classify: a connection that broke before the commit was sent has changed nothing; one that broke in it may have.
func (m *mariaDB) classify(err error, commit bool) error {
	var network net.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, mysql.ErrInvalidConn), errors.Is(err, io.EOF),
		errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &network), errors.Is(err, context.DeadlineExceeded):
		if commit {
			return fmt.Errorf("%w: %w", errUnknownOutcome, err)
		}
		return fmt.Errorf("%w: %w", errUnavailable, err)
	}
	return meansConflict(err)
}

// meansConflict finds two edits at once that the server has sorted out: a page made twice, a deadlock, a wait too long.
func meansConflict(err error) error {
	var told *mysql.MySQLError
	if errors.As(err, &told) && (told.Number == 1062 || told.Number == 1213 || told.Number == 1205) {
		return fmt.Errorf("%w: %w", errConflict, err)
	}
	return err
}

func (m *mariaDB) close() error {
	var errs []error
	for _, db := range m.opened {
		errs = append(errs, db.Close())
	}
	return errors.Join(errs...)
}
