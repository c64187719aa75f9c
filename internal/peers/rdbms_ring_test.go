package peers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/multidc/multidc/internal/testservers"
	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/heartbeat"
)

// The servers of a ring by their name in a cluster, and by what they answer to "SELECT @@server_id".
const (
	a1, a2, b1, b2 = "a1", "a2", "b1", "b2"
	whoQuery       = "SELECT @@server_id"
)

var (
	ids = map[string]string{a1: "11", a2: "12", b1: "21", b2: "22"}
	// variables are where a process of DC a finds the servers: those of b over the link.
	variables = map[string]string{a1: "MARIADB_A", a2: "MARIADB_A_REPLICA", b1: "MARIADB_B_VIA_A", b2: "MARIADB_B_REPLICA_VIA_A"}
	admins    = map[string]string{a1: "MARIADB_A_ADMIN", a2: "MARIADB_A_REPLICA_ADMIN", b1: "MARIADB_B_ADMIN", b2: "MARIADB_B_REPLICA_ADMIN"}
	processes = map[string]string{a1: "mariadb-a", a2: "mariadb-a-replica", b1: "mariadb-b", b2: "mariadb-b-replica"}
)

// ring is a private ring as the tests of package rdbms use it: with the database wiki, and an admin's pool for each server.
type ring struct {
	*testservers.Instance

	admin map[string]*sql.DB
}

func newRing(t *testing.T, options testservers.MariaDBOptions) *ring {
	t.Helper()
	registerTLS(t)
	r := &ring{testservers.MariaDB(t, options), map[string]*sql.DB{}}
	for name, variable := range admins {
		r.admin[name] = connect(t, r.Var(variable))
	}
	exec(t, r.admin[a1], "CREATE DATABASE wiki", "CREATE TABLE wiki.kv (k varchar(64) PRIMARY KEY, v bigint NOT NULL)")
	for name := range admins {
		r.awaitTable(t, name, "kv")
	}
	return r
}

// awaitTable returns when a table of wiki is on a server.
func (r *ring) awaitTable(t *testing.T, server, table string) {
	t.Helper()
	await(t, r.admin[server], "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'wiki' AND TABLE_NAME = '"+table+"'", is("1"))
}

// process is the server itself, to be stopped and paused.
func (r *ring) process(name string) *testservers.Server { return r.Server(processes[name]) }

const ringTLS = "multidc-ring"

// registerTLS makes the name that DSNs of servers in another DC use.
func registerTLS(t *testing.T) {
	t.Helper()
	pem, err := os.ReadFile(testservers.Var(t, "CA"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	if err := mysql.RegisterTLSConfig(ringTLS, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}); err != nil {
		t.Fatal(err)
	}
}

// dsn is how a process of DC a reaches a server, with the application's account.
func (r *ring) dsn(server string) string {
	dsn := r.Var(variables[server]) + "wiki?parseTime=true&timeout=5s"
	if server == b1 || server == b2 {
		dsn += "&tls=" + ringTLS
	}
	return dsn
}

// config is these servers, the first of them the primary.
func (r *ring) config(servers ...string) rdbms.Config {
	config := rdbms.Config{Name: "ring", Primary: servers[0]}
	for _, name := range servers {
		config.Servers = append(config.Servers, rdbms.Server{Name: name, DC: name[:1], DSN: r.dsn(name)})
	}
	return config
}

// The tests look at the servers more often than an application would, and their heartbeats come twice a second.
const (
	poll = 100 * time.Millisecond
	beat = 500 * time.Millisecond
)

// watched is a cluster whose monitor runs, and what it told.
type watched struct {
	*rdbms.Cluster

	mu       sync.Mutex
	warnings []rdbms.WarningInfo
	waits    []rdbms.WaitInfo
	refused  []rdbms.WriteInfo
}

// watch makes a cluster and runs its monitor; both end with the test.
func watch(t *testing.T, config rdbms.Config, options rdbms.Options) *watched {
	t.Helper()
	w := new(watched)
	if options.DC == "" {
		options.DC = "a"
	}
	if options.Poll == 0 {
		options.Poll, options.PollRemote = poll, poll
	}
	if options.Heartbeat.Interval == 0 && !options.LagFromReplicaStatus {
		options.Heartbeat.Interval = beat
	}
	options.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	options.Events = rdbms.Events{
		OnWarning: func(_ context.Context, i rdbms.WarningInfo) { note(w, &w.warnings, i) },
		OnWaited:  func(_ context.Context, i rdbms.WaitInfo) { note(w, &w.waits, i) },
		OnRefused: func(_ context.Context, i rdbms.WriteInfo) { note(w, &w.refused, i) },
	}
	var err error
	if w.Cluster, err = rdbms.New(config, &options); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(w.Explain(context.Background()))
		}
		cancel()
		if err := errors.Join(<-ended, w.Close(context.Background())); err != nil {
			t.Error(err)
		}
	})
	return w
}

func note[T any](w *watched, list *[]T, one T) {
	w.mu.Lock()
	defer w.mu.Unlock()
	*list = append(*list, one)
}

// told returns what an event has told so far.
func told[T any](w *watched, list *[]T) []T {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(*list)
}

// warned reports whether there was a warning of this kind about a server.
func (w *watched) warned(kind rdbms.Warning, server string) bool {
	return slices.ContainsFunc(told(w, &w.warnings), func(i rdbms.WarningInfo) bool { return i.Kind == kind && i.Server == server })
}

// of returns what the cluster knows of a server.
func (w *watched) of(server string) rdbms.ServerInfo {
	for _, s := range w.Explain(context.Background()).Servers {
		if s.Name == server {
			return s
		}
	}
	return rdbms.ServerInfo{}
}

func (w *watched) health(server string) rdbms.Health { return w.of(server).Health }

// are waits until all these servers have a health.
func (w *watched) are(t *testing.T, health rdbms.Health, servers ...string) {
	t.Helper()
	for _, s := range servers {
		until(t, s+" is "+string(health), func() bool { return w.health(s) == health })
	}
}

// calibrated waits until lags are exact: the clock of the primary's heartbeat is known.
func (w *watched) calibrated(t *testing.T, servers ...string) {
	t.Helper()
	for _, s := range servers {
		until(t, "the lag of "+s+" is exact", func() bool {
			i := w.of(s)
			return i.Health == rdbms.HealthFresh && i.Lag.Known && i.Lag.Value < 2*beat
		})
	}
}

// until waits for something that is bound to happen.
func until(t *testing.T, what string, happened func() bool) {
	t.Helper()
	deadline := time.NewTimer(40 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !happened() {
		select {
		case <-deadline.C:
			t.Fatalf("in 40 s it did not happen that %s", what)
		case <-tick.C:
		}
	}
}

// who returns the name of the server that answers.
func who(ctx context.Context, db *sql.DB) (string, error) {
	var id string
	if err := db.QueryRowContext(ctx, whoQuery).Scan(&id); err != nil {
		return "", err
	}
	return nameOf(id), nil
}

func nameOf(id string) string {
	for name, one := range ids {
		if one == id {
			return name
		}
	}
	return "server " + id
}

// readers counts who answers n reads, each on its own.
func readers(t *testing.T, ctx context.Context, db *sql.DB, n int) map[string]int { //nolint:revive // t first, as in all helpers
	t.Helper()
	by := map[string]int{}
	for range n {
		name, err := who(ctx, db)
		if err != nil {
			t.Fatalf("after %v: %v", by, err)
		}
		by[name]++
	}
	return by
}

// only reports whether these servers, and all of these, are among the counted.
func only(by map[string]int, servers ...string) bool {
	for _, s := range servers {
		if by[s] == 0 {
			return false
		}
	}
	return len(by) == len(servers)
}

var ptHeartbeat = testservers.MariaDBOptions{Heartbeat: true}

func origins(list ...heartbeat.Origin) heartbeat.Source {
	return heartbeat.Source{Interval: beat, Origins: list}
}

func isTooStale(err error) bool { return errors.Is(err, rdbms.ErrTooStale) }
