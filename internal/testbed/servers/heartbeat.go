package servers

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/multidc/multidc/internal/testbed/bed"
)

func heartbeatKind() bed.Kind {
	return bed.Kind{
		Name:     "heartbeat",
		After:    []string{"mariadb"},
		Programs: []bed.Program{{Name: "pt-heartbeat", Package: "percona-toolkit"}},
		Packages: []string{"libdbd-mysql-perl"},
		Start:    startHeartbeat,
	}
}

// heartbeatTable is pt-heartbeat's, with the two columns by which several databases can share it. pt-heartbeat
// leaves those as they are.
const heartbeatTable = "CREATE TABLE heartbeat.heartbeat (" +
	"ts varchar(26) NOT NULL, server_id int unsigned NOT NULL PRIMARY KEY, " +
	"file varchar(255), position bigint unsigned, " +
	"relay_master_log_file varchar(255), exec_master_log_pos bigint unsigned, " +
	"shard varchar(255), datacenter varchar(255))"

// heartbeatShard is the shard of both rows.
const heartbeatShard = "s1"

// startHeartbeat starts pt-heartbeat against both primaries of the set's ring, and returns when their rows are on
// all four servers, the rows that the programs themselves have written.
func startHeartbeat(ctx context.Context, set *bed.Set, _ json.RawMessage) error {
	addrs := map[string]string{}
	for _, server := range set.Servers() {
		addrs[server.Name] = server.Addr
	}
	// Both rows are inserted on a's primary, so that no server ever updates a row that another lacks.
	statements := []string{"CREATE DATABASE heartbeat", heartbeatTable}
	for i, dc := range bed.DCs {
		statements = append(statements, fmt.Sprintf("INSERT INTO heartbeat.heartbeat (ts, server_id, shard, datacenter) "+
			"VALUES (DATE_FORMAT(UTC_TIMESTAMP(6), '%%Y-%%m-%%dT%%H:%%i:%%s.%%f'), %d, '%s', '%s')", 10*(i+1)+1, heartbeatShard, dc))
	}
	if err := accounts["admin"].do(ctx, addrs["mariadb-"+bed.DCs[0]], statements...); err != nil {
		return fmt.Errorf("heartbeat: %w", err)
	}
	all, ctx := errgroup.WithContext(ctx)
	for _, dc := range bed.DCs {
		all.Go(func() error {
			var observers []string
			for _, where := range bed.DCs {
				observers = append(observers, addrs["mariadb-"+where], addrs["mariadb-"+where+"-replica"])
			}
			return startHeartbeatOf(ctx, set, dc, addrs["mariadb-"+dc], observers)
		})
	}
	return all.Wait()
}

func startHeartbeatOf(ctx context.Context, set *bed.Set, dc, addr string, observers []string) error {
	// Its table comes by replication.
	if err := awaitBeats(ctx, dc, []string{addr}, false); err != nil {
		return fmt.Errorf("heartbeat-%s: %w", dc, err)
	}
	beating := false // Ready is not asked by two at once
	return set.Start(ctx, bed.Spec{
		Name: "heartbeat-" + dc, DC: dc,
		Start: func() (bed.Process, error) { return runHeartbeat(set, dc, addr) },
		Ready: func(ctx context.Context) error {
			if beating {
				return nil // started again: its servers may be stopped or cut off, on purpose
			}
			err := awaitBeats(ctx, dc, observers, true)
			beating = err == nil
			return err
		},
	})
}

func runHeartbeat(set *bed.Set, dc, addr string) (bed.Process, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	name := "heartbeat-" + dc
	// In a file, because a password on the command line is seen by all.
	conf := set.Path(name + ".cnf")
	a := accounts["heartbeat"]
	text := fmt.Sprintf("[client]\nuser=%s\npassword=%s\nhost=%s\nport=%s\n", a.name, a.password(), host, port)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil { //nolint:gosec // no secret, and read under another account
		return nil, err
	}
	return set.Run(bed.Command{
		Kind: "heartbeat", Program: "pt-heartbeat", User: mariadbUser, Log: set.Path(name + ".log"),
		Args: []string{"--update", "--database", "heartbeat", "--utc", "--interval", "0.5", "F=" + conf + ",h=" + host + ",P=" + port},
	})
}

// awaitBeats returns when a DC's row is on each of the servers, with beating only when its program has written it:
// the row of the installation has no binlog file.
func awaitBeats(ctx context.Context, dc string, addrs []string, beating bool) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	all, ctx := errgroup.WithContext(ctx)
	for _, addr := range addrs {
		all.Go(func() error {
			return session(ctx, accounts["admin"].dsn(addr), func(c *sql.Conn) error {
				return eventually(ctx, func() error { return hasBeat(ctx, c, dc, beating) })
			})
		})
	}
	return all.Wait()
}

func hasBeat(ctx context.Context, c *sql.Conn, dc string, beating bool) error {
	var written bool
	err := c.QueryRowContext(ctx, "SELECT file IS NOT NULL FROM heartbeat.heartbeat WHERE datacenter = ?", dc).Scan(&written)
	if err == nil && beating && !written {
		err = errors.New("no heartbeat yet")
	}
	return err
}
