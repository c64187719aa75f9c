package servers

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/multidc/multidc/internal/testbed/bed"
	"github.com/multidc/multidc/internal/testbed/proc"
)

func mariadbKind() bed.Kind {
	return bed.Kind{
		Name: "mariadb",
		Programs: []bed.Program{
			{Name: "mariadbd", Package: "mariadb-server"},
			{Name: "mariadb-install-db", Package: "mariadb-server"},
		},
		Image:   "mariadb:10.11",
		Private: true,
		Start:   startMariaDB,
	}
}

// mariadbOptions are what a private ring may differ in.
type mariadbOptions struct {
	Heartbeat    bool   `json:"heartbeat"`     // pt-heartbeat against both primaries
	BothWritable bool   `json:"both_writable"` // b's primary is not read-only
	BinlogFormat string `json:"binlog_format"` // ROW (the default), STATEMENT or MIXED
	Durable      bool   `json:"durable"`       // each commit is flushed to the disk
}

func (o *mariadbOptions) read(options json.RawMessage) error {
	if err := decode(options, o); err != nil {
		return err
	}
	switch o.BinlogFormat {
	case "":
		o.BinlogFormat = "ROW"
	case "ROW", "STATEMENT", "MIXED":
	default:
		return fmt.Errorf("%w: binlog_format %q is none of ROW, STATEMENT, MIXED", bed.ErrOptions, o.BinlogFormat)
	}
	return nil
}

// The ring: each DC's primary replicates from the other DC's, through the link, and each replica from its DC's
// primary. A DC has number 1 or 2, which is its GTID domain; server ids are 11, 12, 21 and 22.
type ring struct {
	set     *bed.Set
	options mariadbOptions
	nodes   map[string]*mariadbNode // by name
	links   map[string]string       // "mariadb-a via b" to the link's address
}

type mariadbNode struct {
	ring     *ring
	name, dc string
	replica  bool
	number   int // of the DC
	addr     string
	source   string // the address it replicates from
}

func (n *mariadbNode) serverID() int {
	if n.replica {
		return 10*n.number + 2
	}
	return 10*n.number + 1
}

func (n *mariadbNode) readOnly() bool {
	return n.replica || n.number > 1 && !n.ring.options.BothWritable
}

func startMariaDB(ctx context.Context, set *bed.Set, options json.RawMessage) error {
	r := &ring{set: set, nodes: map[string]*mariadbNode{}, links: map[string]string{}}
	if err := r.options.read(options); err != nil {
		return err
	}
	if r.options.Heartbeat {
		if err := bed.Missing(heartbeatKind()); err != nil {
			return err
		}
	}
	if err := r.place(); err != nil {
		return err
	}
	template, err := mariadbTemplate(ctx, set.Bed)
	if err != nil {
		return err
	}
	if err := r.each(ctx, func(ctx context.Context, n *mariadbNode) error { return n.start(ctx, template) }); err != nil {
		return err
	}
	if err := r.each(ctx, func(ctx context.Context, n *mariadbNode) error { return n.follow(ctx) }); err != nil {
		return err
	}
	if err := r.each(ctx, func(ctx context.Context, n *mariadbNode) error { return n.awaitReplication(ctx) }); err != nil {
		return err
	}
	r.export()
	if r.options.Heartbeat {
		return startHeartbeat(ctx, set, nil)
	}
	return nil
}

// place gives every server its address, its links and its source.
func (r *ring) place() error {
	for i, dc := range bed.DCs {
		for _, replica := range []bool{false, true} {
			n := &mariadbNode{ring: r, name: "mariadb-" + dc, dc: dc, replica: replica, number: i + 1}
			if replica {
				n.name += "-replica"
			}
			var err error
			if n.addr, err = r.set.Addr(); err != nil {
				return err
			}
			for _, from := range others(dc) {
				if r.links[n.name+" via "+from], err = r.set.Link(n.name, dc, from, n.addr); err != nil {
					return err
				}
			}
			r.nodes[n.name] = n
		}
	}
	for _, n := range r.nodes {
		n.source = r.nodes["mariadb-"+n.dc].addr
		if !n.replica {
			n.source = r.links["mariadb-"+others(n.dc)[0]+" via "+n.dc]
		}
	}
	return nil
}

// each does one step on all servers at the same time.
func (r *ring) each(ctx context.Context, do func(context.Context, *mariadbNode) error) error {
	all, ctx := errgroup.WithContext(ctx)
	for _, n := range r.nodes {
		all.Go(func() error {
			if err := do(ctx, n); err != nil {
				return fmt.Errorf("%s: %w", n.name, err)
			}
			return nil
		})
	}
	return all.Wait()
}

// export sets the variables: for each server the application's DSN, the admin's, and both through the links.
func (r *ring) export() {
	for _, n := range r.nodes {
		name := "MARIADB_" + strings.ToUpper(n.dc)
		if n.replica {
			name += "_REPLICA"
		}
		r.set.Export(name, accounts["app"].dsn(n.addr))
		r.set.Export(name+"_ADMIN", accounts["admin"].dsn(n.addr))
		for _, from := range others(n.dc) {
			r.set.Export(name+"_VIA_"+strings.ToUpper(from), accounts["app"].dsn(r.links[n.name+" via "+from]))
		}
	}
}

// mariadbUser is the account that root runs the servers under.
const mariadbUser = "mysql"

// mariadbTemplate makes the data directory that all servers of a bed begin with.
func mariadbTemplate(ctx context.Context, b *bed.Bed) (string, error) {
	return b.Template("mariadb", func(dir string) error {
		owner, err := proc.Lookup(mariadbUser)
		if err != nil {
			return err
		}
		if err := ownDir(dir, owner); err != nil {
			return err
		}
		return b.RunToEnd(ctx, bed.Command{
			Kind: "mariadb", Program: "mariadb-install-db", User: mariadbUser, Log: dir + ".log", Dir: dir,
			Args: append([]string{
				"--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", "--datadir=" + dir,
				// In a shared one a server that starts removes the temporary tables of the others.
				"--tmpdir=" + dir,
			}, innodbFiles...),
		})
	})
}

// innodbFiles keeps the files small. The servers must be told the same as the template.
var innodbFiles = []string{"--innodb-log-file-size=8M", "--innodb-data-file-path=ibdata1:10M:autoextend"}

// ownDir makes a directory for an account, or for this process's own if it may not give it away.
func ownDir(dir string, owner proc.Account) error {
	if err := os.Mkdir(dir, 0o755); err != nil { //nolint:gosec // the guard's and the owner's
		return err
	}
	if os.Geteuid() != 0 {
		return nil
	}
	return os.Chown(dir, owner.UID, owner.GID)
}
