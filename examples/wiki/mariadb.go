package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/multidc/multidc/chronology"
	positions "github.com/multidc/multidc/chronology/memcached"
	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/wanobjectcache"
)

// mariaDB is a test bed's servers, and its memcached. pt-heartbeat beats on the primaries, which is all that rdbms needs to know the lag.
type mariaDB struct {
	first   string
	servers map[string][]rdbms.Server // as each DC reaches them
	pools   map[string]pools          // likewise
	own     map[string]*positions.Store
	control *linkControl
}

const wikiDatabase = "wiki"

func openMariaDB(ctx context.Context, cfg config, primary string) (databases, error) {
	bed, err := readEnvFile(cfg.servers)
	if err != nil {
		return nil, fmt.Errorf("-servers: %w", err)
	}
	m := &mariaDB{first: primary, servers: map[string][]rdbms.Server{}, pools: map[string]pools{}, own: map[string]*positions.Store{}}
	if err := m.open(ctx, bed, cfg); err != nil {
		return nil, fmt.Errorf("-servers %s: %w", cfg.servers, err)
	}
	return m, nil
}

func (m *mariaDB) open(ctx context.Context, bed testBed, cfg config) error {
	secure, err := tlsConfig(bed.ca)
	if err != nil {
		return err
	}
	var links []string
	for _, dc := range []string{dcA, dcB} {
		var far []string
		if m.pools[dc], far, err = bed.openPools(dc); err != nil {
			return err
		}
		links = append(links, far...)
		if m.own[dc], err = bed.openPositions(dc); err != nil {
			return err
		}
		for _, b := range bedDatabases {
			c, err := bed.reach(b, dc)
			if err != nil {
				return err
			}
			if b.dc != dc { // what crosses the link is encrypted and verified
				links = append(links, c.Addr)
				c.TLS = secure.Clone()
				if c.TLS.ServerName, _, err = net.SplitHostPort(c.Addr); err != nil {
					return fmt.Errorf("%s%s: %w", envPrefix, b.from(dc), err)
				}
			}
			k, err := mysql.NewConnector(c)
			if err != nil {
				return fmt.Errorf("%s%s: %w", envPrefix, b.from(dc), err)
			}
			m.servers[dc] = append(m.servers[dc], rdbms.Server{Name: b.name, DC: b.dc, Connector: k, Encrypted: c.TLS != nil})
		}
	}
	if m.control, err = newLinkControl(ctx, bed.control, links...); err != nil {
		return err
	}
	if err := m.createDatabase(ctx, bed); err != nil {
		return err
	}
	if cfg.lagSet {
		return m.setLag(ctx, cfg.lag)
	}
	return nil
}

// createDatabase makes the wiki's database on the primary.
func (m *mariaDB) createDatabase(ctx context.Context, bed testBed) error {
	at := slices.IndexFunc(bedDatabases, func(b bedServer) bool { return b.name == primaryServer(m.first) })
	c, err := bed.reach(bedDatabases[at], m.first)
	if err != nil {
		return err
	}
	c.DBName = ""
	k, err := mysql.NewConnector(c)
	if err != nil {
		return err
	}
	db := sql.OpenDB(k)
	defer func() { _ = db.Close() }() // the pools of the wiki follow
	_, err = db.ExecContext(ctx, "CREATE DATABASE IF NOT EXISTS "+wikiDatabase+" CHARACTER SET utf8mb4")
	if err != nil {
		return fmt.Errorf("%s: %w", primaryServer(m.first), err)
	}
	return nil
}

// patient bounds each step of talking to a server. A link that swallows everything shows as an error after it.
const patient = 5 * time.Second

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

func (m *mariaDB) engine() rdbms.Engine { return nil }

func (m *mariaDB) config(dc, primary string) rdbms.Config {
	return rdbms.Config{Name: "wiki", Primary: primaryServer(primary), Servers: m.servers[dc]}
}

func (m *mariaDB) stores(dc string) (own, other wanobjectcache.Store) {
	return m.pools[dc][dc], m.pools[dc][otherDC(dc)]
}

func (m *mariaDB) positions(dc string) chronology.Store { return m.own[dc] }

// primaryServer is the server of a DC that can be the primary.
func primaryServer(dc string) string { return "mariadb-" + dc }

func (m *mariaDB) primary() string { return m.first }

// promote has nothing to do: whoever changes the state has switched the servers before.
func (m *mariaDB) promote(context.Context, string) error { return nil }

func (m *mariaDB) movable() bool { return false }

func (m *mariaDB) dialect() dialect { return mariadb }

// run has nothing to do: the servers replicate by themselves.
func (m *mariaDB) run(context.Context) error { return nil }

func (m *mariaDB) link(ctx context.Context) linkState {
	out := linkState{
		Engine: "MariaDB and memcached, of a test bed",
		LagIs:  "Latency of the link, in each direction: a statement that crosses it waits twice as long for its answer",
	}
	var err error
	if out.Link, out.Lag, err = m.control.state(ctx); err != nil {
		out.Problem = err.Error()
	}
	out.Latency = out.Lag
	return out
}

// maxLatency is what the test bed's links can do.
const maxLatency = time.Minute

func (m *mariaDB) setLag(ctx context.Context, d time.Duration) error {
	if d > maxLatency {
		return &problem{status: http.StatusBadRequest, Heading: "No such lag", Text: "The link's latency can be at most " + maxLatency.String() + "."}
	}
	return m.control.latency(ctx, d)
}

func (m *mariaDB) cut(ctx context.Context) error { return m.control.cut(ctx) }

func (m *mariaDB) heal(ctx context.Context) error { return m.control.heal(ctx) }

// classify: what the server has not answered has changed nothing, unless it was the commit, which may have.
func (m *mariaDB) classify(err error, commit bool) error {
	var told *mysql.MySQLError
	switch {
	case errors.As(err, &told):
		return meansConflict(told, err)
	case commit:
		return fmt.Errorf("%w: %w", errUnknownOutcome, err)
	}
	return fmt.Errorf("%w: %w", errUnavailable, err)
}

// meansConflict finds two edits at once that the server has sorted out: a page made twice, a deadlock, a wait too long.
func meansConflict(told *mysql.MySQLError, err error) error {
	if told.Number == 1062 || told.Number == 1213 || told.Number == 1205 {
		return fmt.Errorf("%w: %w", errConflict, err)
	}
	return err
}

func (m *mariaDB) close() error {
	for _, p := range m.pools {
		p.close()
	}
	var errs []error
	for _, s := range m.own {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}
