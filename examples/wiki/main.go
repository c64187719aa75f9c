// Command wiki is a wiki that lives in two datacenters at once, in one process: the answer to "how do I use multidc in
// my application?", read from run downwards.
//
//	go run ./examples/wiki
//
// serves DC a, at first the primary, on http://127.0.0.1:8081 and DC b on http://127.0.0.1:8082. Readers read in the DC where
// they come in, with -rollout 2 only two percent of them; edits are made in the primary, and who comes in elsewhere is sent
// there across the link. An author sees the own edit at once in both DCs, however far one is behind: a signed cookie says
// which one it was, or with -own store an entry in the primary's memcached. Pages are read through a cache in each DC, and an
// edit purges both. Without -servers the databases are two SQLite files of which one follows the
// other, and the caches are in memory; with it they are the MariaDB and memcached servers of a test bed. On /_dc the link can
// be slowed, cut and healed, and the primary moved; the pages below it say what a DC knows of the databases, its cache, its
// router, and the edits that a client must see.
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

// The two datacenters.
const dcA, dcB = "a", "b"

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
	states, err := openStates(ctx, cfg)
	if err != nil {
		return err
	}
	dbs, err := openDatabases(ctx, cfg, states, sockets, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dbs.close()) }()
	sites, err := openSites(states, dbs, cfg.own, log) //nolint:contextcheck // no I/O
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sites.close(ctx)) }()

	// What watches and replicates, and, once the tables are there, one wiki per DC. The first that fails ends all.
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return dbs.run(ctx) })
	for _, s := range sites {
		group.Go(func() error { return s.run(ctx) })
	}
	group.Go(func() error {
		if err := createTables(ctx, sites[0].cluster.Primary(), dbs.dialect()); err != nil {
			return err
		}
		for _, s := range sites {
			w, err := newWiki(s, sites, sockets, dbs, cfg.rollout)
			if err != nil {
				return err
			}
			group.Go(func() error { return serve(ctx, sockets.of(s.dc), w.handler(), log) })
			fmt.Fprintf(out, "DC %s: http://%s/\n", s.dc, sockets.of(s.dc).Addr())
		}
		return importCorpus(ctx, cfg, newPages(sites[0]), newProgress(out))
	})
	return group.Wait()
}

// openDatabases opens the databases and caches of both DCs, of a test bed or embedded, and the link between the two.
func openDatabases(ctx context.Context, cfg config, states states, sockets sockets, log io.Writer) (*link, error) {
	primary, err := states.primary(ctx)
	if err != nil {
		return nil, err
	}
	var dbs databases
	if cfg.servers != "" {
		dbs, err = openMariaDB(ctx, cfg, primary)
	} else {
		dbs, err = openEmbedded(ctx, cfg, primary, log)
	}
	if err != nil {
		return nil, err
	}
	return openLink(ctx, dbs, sockets)
}
