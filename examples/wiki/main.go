// Command wiki is a wiki that lives in two datacenters at once, in one process: the answer to "how do I use multidc in
// my application?", read from run downwards.
//
//	go run ./examples/wiki
//
// serves DC a, the primary, on http://127.0.0.1:8081 and DC b on http://127.0.0.1:8082. Readers read what is near them;
// edits go to the primary, from DC b across the link. Without -servers the databases are two SQLite files of which one
// follows the other; with it they are the MariaDB servers of a test bed. On /_dc the link can be slowed, cut and healed.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sync/errgroup"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "wiki:", err)
		os.Exit(1)
	}
}

// The two datacenters. Writes happen in the primary.
const (
	dcA, dcB = "a", "b"
	primary  = dcA
)

// run is the whole program. It returns nil when ctx ends.
func run(ctx context.Context, args []string, out, log io.Writer) (err error) {
	cfg, err := parseFlags(args, log)
	if errors.Is(err, errHelp) {
		return nil
	}
	if err != nil {
		return err
	}

	// Whatever may be wrong with the surroundings shows here, before anything runs.
	sockets, err := listen(ctx, cfg)
	if err != nil {
		return err
	}
	defer sockets.close()
	dbs, err := openDatabases(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dbs.close()) }()
	if err := createTables(ctx, dbs.dc(primary).write, dbs.dialect()); err != nil {
		return err
	}

	// One wiki per DC, and what runs beside them. The first that fails ends all.
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return dbs.run(ctx) })
	for _, dc := range []string{dcA, dcB} {
		w := newWiki(dc, dbs, sockets)
		group.Go(func() error { return serve(ctx, sockets.of(dc), w.handler(), log) })
		fmt.Fprintf(out, "DC %s: http://%s/\n", dc, sockets.of(dc).Addr())
	}
	group.Go(func() error {
		return importCorpus(ctx, cfg, newPages(dbs, primary), newProgress(out))
	})
	return group.Wait()
}

// openDatabases opens the databases of both DCs: of a test bed, or embedded.
func openDatabases(ctx context.Context, cfg config, log io.Writer) (databases, error) {
	if cfg.servers != "" {
		return openMariaDB(ctx, cfg)
	}
	return openEmbedded(ctx, cfg, log)
}
