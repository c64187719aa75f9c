package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/multidc/multidc/chronology"
	"github.com/multidc/multidc/examples/internal/sqlitedc"
	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/wanobjectcache"
)

// embedded is two SQLite files, one per DC, and in the place of memcached two caches in memory.
type embedded struct {
	cluster *sqlitedc.Cluster
	servers map[string][]rdbms.Server // as each DC reaches them
	caches  map[string]wanobjectcache.Store
	own     map[string]*chronology.Memory
	log     io.Writer
	remove  string // the temporary directory
}

func openEmbedded(ctx context.Context, cfg config, primary string, log io.Writer) (databases, error) {
	e := &embedded{servers: map[string][]rdbms.Server{}, log: log, caches: map[string]wanobjectcache.Store{
		dcA: wanobjectcache.NewMemory(nil), dcB: wanobjectcache.NewMemory(nil),
	}, own: map[string]*chronology.Memory{dcA: chronology.NewMemory(0), dcB: chronology.NewMemory(0)}}
	dir := cfg.dataDir
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "multidc-wiki-"); err != nil {
			return nil, fmt.Errorf("data directory: %w", err)
		}
		e.remove = dir
	}
	var err error
	if e.cluster, err = sqlitedc.Open(ctx, dir, primary, otherDC(primary), cfg.lag); err != nil {
		return nil, errors.Join(fmt.Errorf("data directory: %w", err), e.removeDir())
	}
	for _, from := range []string{dcA, dcB} {
		for _, dc := range []string{dcA, dcB} {
			k, err := e.cluster.Connector(from, dc)
			if err != nil {
				return nil, errors.Join(err, e.close())
			}
			e.servers[from] = append(e.servers[from], rdbms.Server{
				Name: dc + ".db", DC: dc, Connector: k,
				Encrypted: true, // it never leaves the process
				Weight:    1,    // each DC has one file, so the primary is read too
			})
		}
	}
	return e, nil
}

func (e *embedded) engine() rdbms.Engine { return sqlitedc.Engine{} }

func (e *embedded) config(dc, primary string) rdbms.Config {
	return rdbms.Config{Name: "wiki", Primary: primary + ".db", Servers: e.servers[dc]}
}

func (e *embedded) stores(dc string) (own, other wanobjectcache.Store) {
	return e.caches[dc], farStore{e.caches[otherDC(dc)], e}
}

func (e *embedded) positions(dc string) chronology.Store { return e.own[dc] }

func (e *embedded) primary() string { return e.cluster.Primary() }

func (e *embedded) promote(ctx context.Context, dc string) error {
	return e.cluster.SetPrimary(ctx, dc)
}

func (e *embedded) movable() bool { return true }

func (e *embedded) dialect() dialect { return sqlite }

// run replays the primary onto the other. If the two have diverged the wiki goes on with what each has; /_dc says so.
func (e *embedded) run(ctx context.Context) error {
	err := e.cluster.Run(ctx)
	if errors.Is(err, sqlitedc.ErrDiverged) {
		fmt.Fprintln(e.log, "wiki: replication has stopped:", err)
		return nil
	}
	return err
}

func (e *embedded) link(ctx context.Context) linkState {
	out := linkState{
		Engine: "SQLite and memory, embedded", Link: "open",
		LagIs: "A transaction is replayed in the other datacenter this long after its commit in the primary",
	}
	s, err := e.cluster.State(ctx)
	if err != nil {
		out.Link, out.Problem = "unknown", err.Error()
		return out
	}
	if out.Lag = s.Lag; s.Cut {
		out.Link = "cut"
	}
	if s.Err != nil {
		out.Problem = s.Err.Error()
	}
	return out
}

func (e *embedded) setLag(_ context.Context, d time.Duration) error {
	e.cluster.SetLag(d)
	return nil
}

func (e *embedded) cut(context.Context) error {
	e.cluster.Cut()
	return nil
}

func (e *embedded) heal(context.Context) error {
	e.cluster.Heal()
	return nil
}

// classify: a commit that the link did not let through is rolled back, so no outcome is unknown.
func (e *embedded) classify(err error, _ bool) error {
	if errors.Is(err, sqlitedc.ErrUnavailable) {
		return fmt.Errorf("%w: %w", errUnavailable, err)
	}
	return err
}

func (e *embedded) close() error {
	return errors.Join(e.cluster.Close(), e.removeDir())
}

func (e *embedded) removeDir() error {
	if e.remove == "" {
		return nil
	}
	return os.RemoveAll(e.remove)
}
