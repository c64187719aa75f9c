package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/multidc/multidc/examples/internal/sqlitedc"
)

// embedded is two SQLite files, one per DC.
type embedded struct {
	cluster *sqlitedc.Cluster
	log     io.Writer
	remove  string // the temporary directory
}

func openEmbedded(ctx context.Context, cfg config, log io.Writer) (databases, error) {
	e := &embedded{log: log}
	dir := cfg.dataDir
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "multidc-wiki-"); err != nil {
			return nil, fmt.Errorf("data directory: %w", err)
		}
		e.remove = dir
	}
	var err error
	if e.cluster, err = sqlitedc.Open(ctx, dir, dcA, dcB, cfg.lag); err != nil {
		return nil, errors.Join(fmt.Errorf("data directory: %w", err), e.removeDir())
	}
	return e, nil
}

func (e *embedded) dialect() dialect { return sqlite }

func (e *embedded) dc(name string) database {
	read, err := e.cluster.DB(name, name)
	if err != nil {
		panic(err) // the names are constants
	}
	write, err := e.cluster.DB(name, primary)
	if err != nil {
		panic(err)
	}
	return database{
		read: read, readName: "SQLite file " + name + ".db", write: write,
		age: func(context.Context) age { return e.age(name, e.cluster.UpTo(name)) },
	}
}

func (e *embedded) age(dc string, upTo time.Time) age {
	if dc == primary {
		return age{Known: true}
	}
	return since(upTo)
}

// run replays a onto b. If the two have diverged the wiki goes on with what each has; /_dc says so.
func (e *embedded) run(ctx context.Context) error {
	err := e.cluster.Run(ctx)
	if errors.Is(err, sqlitedc.ErrDiverged) {
		fmt.Fprintln(e.log, "wiki: replication has stopped:", err)
		return nil
	}
	return err
}

func (e *embedded) state(ctx context.Context) clusterState {
	out := clusterState{
		Engine: "SQLite, embedded", Link: "open",
		LagIs: "A transaction is replayed in b this long after its commit in a",
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
	for _, d := range s.DCs {
		out.DCs = append(out.DCs, dcState{
			Name: d.DC, Primary: d.DC == s.Primary, Reads: d.DC + ".db", Writes: s.Primary + ".db",
			Position: "statement " + strconv.FormatInt(d.Position, 10), Behind: strconv.FormatInt(d.Behind, 10), Age: e.age(d.DC, d.UpTo),
		})
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
