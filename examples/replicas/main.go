// Command replicas shows which server each read gets, and why: seen from DC b, whose replica b.db follows a.db, the
// primary in DC a, some way behind. It needs no server, and ends by itself after a few seconds.
//
//	go run ./examples/replicas
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"time"

	"github.com/multidc/multidc/examples/internal/sqlitedc"
	"github.com/multidc/multidc/rdbms"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "multidc-replicas-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	dbs, err := sqlitedc.Open(ctx, dir, "a", "b", 150*time.Millisecond)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dbs.Close()) }()
	a, errA := dbs.Connector("b", "a") // the database of a, as b reaches it
	b, errB := dbs.Connector("b", "b")
	s := show{out: out}
	s.cluster, err = rdbms.New(rdbms.Config{Name: "demo", Primary: "a.db", Servers: []rdbms.Server{ //nolint:contextcheck // no I/O
		{Name: "a.db", DC: "a", Connector: a, Encrypted: true}, // it never leaves this process
		{Name: "b.db", DC: "b", Connector: b},
	}}, &rdbms.Options{
		DC: "b", Engine: sqlitedc.Engine{}, Poll: 100 * time.Millisecond, MaxLag: time.Second, Wait: 500 * time.Millisecond,
		Events: rdbms.Events{
			OnWaited: func(_ context.Context, w rdbms.WaitInfo) { s.why += fmt.Sprintf(" waited for it: %t", w.Reached) },
			OnRead:   func(_ context.Context, r rdbms.ReadInfo) { s.why += " so: " + string(r.Path) },
		},
	})
	if err = errors.Join(errA, errB, err); err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 2)
	go func() { ended <- dbs.Run(running) }()       // replicates
	go func() { ended <- s.cluster.Run(running) }() // measures the lag
	err = s.story(ctx, dbs)
	stop()
	return errors.Join(err, <-ended, <-ended, s.cluster.Close(ctx))
}

// show is the table that is printed.
type show struct {
	cluster *rdbms.Cluster
	out     io.Writer
	why     string // how the read left the normal path
}

func (s *show) story(ctx context.Context, dbs *sqlitedc.Cluster) error {
	first := rdbms.WithScope(ctx)
	_, err := s.cluster.Primary().ExecContext(first, "CREATE TABLE note (text)")
	if err = errors.Join(err, s.cluster.WaitForReplication(first)); err != nil {
		return err
	}
	for _, err = s.cluster.MaxLag(ctx); err != nil && ctx.Err() == nil; _, err = s.cluster.MaxLag(ctx) {
		time.Sleep(50 * time.Millisecond) // the monitor does not know yet how far b.db is behind
	}
	fmt.Fprintf(s.out, "%-22s %-5s %-6s %-7s %s\n", "what is read", "from", "age", "lagged", "why")
	err = errors.Join(err, s.request(ctx, "as it comes", false), s.request(ctx, "an own write", true))
	dbs.SetLag(time.Hour)
	err = errors.Join(err, s.request(ctx, "an own write, lag 1 h", true))
	time.Sleep(2500 * time.Millisecond) // b.db falls behind MaxLag
	err = errors.Join(err, s.request(ctx, "as it comes, lag 1 h", false))
	err = errors.Join(err, s.request(rdbms.WithMaxStaleness(ctx, 300*time.Millisecond), "at most 300 ms old", false))
	return errors.Join(err, s.request(rdbms.WithPrimary(ctx), "the primary", false))
}

// request may write, and then reads.
func (s *show) request(ctx context.Context, what string, write bool) (err error) {
	ctx, s.why = rdbms.WithScope(ctx), ""
	if write {
		_, err = s.cluster.Primary().ExecContext(ctx, "INSERT INTO note VALUES ('something new')")
	}
	err = errors.Join(err, s.cluster.Replica().QueryRowContext(ctx, "SELECT count(*) FROM note").Scan(new(int)))
	got := s.cluster.Served(ctx)
	fmt.Fprintf(s.out, "%-22s %-5s %-6v %-7t%s\n", what, strings.Join(got.Servers, "+"), got.Lag, got.Lagged, s.why)
	return err
}
