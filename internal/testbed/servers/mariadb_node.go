package servers

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/multidc/multidc/internal/testbed/bed"
	"github.com/multidc/multidc/internal/testbed/proc"
)

// start starts the server on a copy of the template and makes its accounts.
func (n *mariadbNode) start(ctx context.Context, template string) error {
	if err := n.makeData(template); err != nil {
		return err
	}
	if err := os.WriteFile(n.conf(), []byte(n.config()), 0o644); err != nil { //nolint:gosec // the server reads it under its own account
		return err
	}
	err := n.ring.set.Start(ctx, bed.Spec{
		Name: n.name, DC: n.dc, Addr: n.addr, Start: n.run,
		Ready: func(ctx context.Context) error { return n.ready(ctx) },
	})
	return err
}

func (n *mariadbNode) conf() string { return n.ring.set.Path(n.name + ".cnf") }
func (n *mariadbNode) data() string { return n.ring.set.Path(n.name) }

func (n *mariadbNode) run() (bed.Process, error) {
	return n.ring.set.Run(bed.Command{
		Kind: "mariadb", Program: "mariadbd", Args: []string{"--defaults-file=" + n.conf()},
		Dir: n.data(), User: mariadbUser, Log: n.ring.set.Path(n.name + ".log"),
	})
}

func (n *mariadbNode) makeData(template string) error {
	owner, err := proc.Lookup(mariadbUser)
	if err != nil {
		return err
	}
	return filepath.WalkDir(template, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := n.data() + strings.TrimPrefix(path, template)
		if d.IsDir() {
			return ownDir(to, owner)
		}
		return copyFile(to, path, owner)
	})
}

func copyFile(to, from string, owner proc.Account) (err error) {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o660) //nolint:gosec // as mariadb-install-db makes them
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := target.Close(); err == nil {
			err = closeErr
		}
	}()
	if _, err = target.ReadFrom(source); err != nil || os.Geteuid() != 0 {
		return err
	}
	return target.Chown(owner.UID, owner.GID)
}

// config returns the server's option file. The socket lies in the data directory and is named relative to it,
// because a socket's path must be short.
func (n *mariadbNode) config() string {
	host, port, _ := net.SplitHostPort(n.addr)
	certs := n.ring.set.Bed.Certs
	flushAtCommit, syncBinlog := 2, 0
	if n.ring.options.Durable {
		flushAtCommit, syncBinlog = 1, 1
	}
	lines := []string{
		"[mariadbd]",
		"datadir=" + n.data(),
		"tmpdir=" + n.data(), // in a shared one a server that starts removes the temporary tables of the others
		"socket=mariadb.sock",
		"pid-file=mariadb.pid",
		"bind-address=" + host,
		"port=" + port,
		fmt.Sprintf("server-id=%d", n.serverID()),
		fmt.Sprintf("gtid-domain-id=%d", n.number),
		"log-bin=binlog",
		"log-slave-updates=1",
		"binlog-format=" + n.ring.options.BinlogFormat,
		fmt.Sprintf("auto-increment-increment=%d", len(bed.DCs)),
		fmt.Sprintf("auto-increment-offset=%d", n.number),
		fmt.Sprintf("read-only=%t", n.readOnly()),
		"relay-log=relay",
		"report-host=" + n.name,
		fmt.Sprintf("sync-binlog=%d", syncBinlog),
		fmt.Sprintf("innodb-flush-log-at-trx-commit=%d", flushAtCommit),
		"innodb-buffer-pool-size=32M",
		"performance-schema=0",
		"skip-name-resolve=1",
		"default-time-zone=+00:00",
		// Without it the application could make no trigger while there is a binary log.
		"log-bin-trust-function-creators=1",
		"ssl-ca=" + certs.CA,
		"ssl-cert=" + certs.Cert,
		"ssl-key=" + certs.Key,
	}
	for _, option := range innodbFiles {
		lines = append(lines, strings.TrimPrefix(option, "--"))
	}
	return strings.Join(lines, "\n") + "\n"
}
