package servers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// account is an account on every server of every ring. The passwords are no secrets: whoever can reach the servers
// is on this machine, and all they hold is tests' data.
type account struct {
	name   string
	grants []string // of GRANT … TO
}

var accounts = map[string]account{
	// What read_only stops, and who may not look at the replication: as an application's should be.
	"app": {"app", []string{
		"GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, CREATE TEMPORARY TABLES, " +
			"LOCK TABLES, EXECUTE, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, EVENT, TRIGGER ON *.* TO %s",
	}},
	"admin": {"admin", []string{"GRANT ALL PRIVILEGES ON *.* TO %s WITH GRANT OPTION"}},
	"repl":  {"repl", []string{"GRANT REPLICATION SLAVE ON *.* TO %s REQUIRE SSL"}},
	"heartbeat": {"heartbeat", []string{
		"GRANT ALL PRIVILEGES ON heartbeat.* TO %s",
		// By name: since 10.11 nothing else contains the right to write on a read-only server.
		"GRANT READ_ONLY ADMIN, BINLOG MONITOR, REPLICA MONITOR ON *.* TO %s",
	}},
}

func (a account) password() string { return a.name }

func (a account) dsn(addr string) string {
	return fmt.Sprintf("%s:%s@tcp(%s)/", a.name, a.password(), addr)
}

// do runs statements in one session of an account.
func (a account) do(ctx context.Context, addr string, statements ...string) error {
	return session(ctx, a.dsn(addr), func(c *sql.Conn) error { return execAll(ctx, c, statements) })
}

func execAll(ctx context.Context, c *sql.Conn, statements []string) error {
	for _, statement := range statements {
		if _, err := c.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// session runs a function on one connection. The driver's complaints about servers that do not listen yet go
// nowhere: the errors say the same.
func session(ctx context.Context, dsn string, do func(*sql.Conn) error) error {
	config, err := mysql.ParseDSN(dsn)
	if err != nil {
		return err
	}
	config.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	c, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	return do(c)
}

const errAccessDenied = 1045

// ready tries once whether the server answers with its accounts. At its first start it has none: then they are made.
func (n *mariadbNode) ready(ctx context.Context) error {
	err := accounts["admin"].do(ctx, n.addr, "SELECT 1")
	var refused *mysql.MySQLError
	if errors.As(err, &refused) && refused.Number == errAccessDenied {
		return n.makeAccounts(ctx)
	}
	return err
}

// makeAccounts makes the accounts and removes those of the installation. None of it is replicated: each server makes
// its own, and all histories begin empty.
func (n *mariadbNode) makeAccounts(ctx context.Context) error {
	statements := []string{
		"SET SESSION sql_log_bin = 0", "RESET MASTER", "SET GLOBAL gtid_slave_pos = ''",
		// mariadb.sys owns the system's views.
		"DELETE FROM mysql.global_priv WHERE User NOT IN ('root', 'mariadb.sys') OR User = ''",
	}
	// The admin comes last: that it exists says that all is done.
	for _, name := range []string{"app", "repl", "heartbeat", "admin"} {
		who := fmt.Sprintf("'%s'@'%%'", name)
		statements = append(statements, fmt.Sprintf("CREATE OR REPLACE USER %s IDENTIFIED BY '%s'", who, accounts[name].password()))
		for _, grant := range accounts[name].grants {
			statements = append(statements, strings.Replace(grant, "%s", who, 1))
		}
	}
	if err := session(ctx, "root@tcp("+n.addr+")/", func(c *sql.Conn) error { return execAll(ctx, c, statements) }); err != nil {
		return err
	}
	return accounts["admin"].do(ctx, n.addr, "SET SESSION sql_log_bin = 0",
		"DELETE FROM mysql.global_priv WHERE User = 'root'", "FLUSH NO_WRITE_TO_BINLOG PRIVILEGES")
}

// follow points the server at its source.
func (n *mariadbNode) follow(ctx context.Context) error {
	host, port, err := net.SplitHostPort(n.source)
	if err != nil {
		return err
	}
	repl := accounts["repl"]
	return accounts["admin"].do(ctx, n.addr, fmt.Sprintf(
		"CHANGE MASTER TO master_host = '%s', master_port = %s, master_user = '%s', master_password = '%s', "+
			"master_use_gtid = slave_pos, master_ssl = 1, master_ssl_ca = '%s', master_ssl_verify_server_cert = 1, "+
			"master_connect_retry = 1, master_heartbeat_period = 1",
		host, port, repl.name, repl.password(), n.ring.set.Bed.Certs.CA), "START SLAVE")
}

// awaitReplication returns when both threads run.
func (n *mariadbNode) awaitReplication(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return session(ctx, accounts["admin"].dsn(n.addr), func(c *sql.Conn) error {
		return eventually(ctx, func() error { return replicationRuns(ctx, c) })
	})
}

func replicationRuns(ctx context.Context, c *sql.Conn) error {
	status, err := oneRow(ctx, c, "SHOW SLAVE STATUS")
	if err != nil {
		return err
	}
	if status["Slave_IO_Running"] != "Yes" || status["Slave_SQL_Running"] != "Yes" {
		return fmt.Errorf("replication does not run: IO %s (%s), SQL %s (%s)",
			status["Slave_IO_Running"], status["Last_IO_Error"], status["Slave_SQL_Running"], status["Last_SQL_Error"])
	}
	return nil
}

// oneRow returns a query's first row by the columns' names.
func oneRow(ctx context.Context, c *sql.Conn, query string) (map[string]string, error) {
	rows, err := c.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	if !rows.Next() {
		return nil, errors.Join(rows.Err(), fmt.Errorf("%s: no row", query))
	}
	values, into := make([]sql.NullString, len(names)), make([]any, len(names))
	for i := range values {
		into[i] = &values[i]
	}
	if err := rows.Scan(into...); err != nil {
		return nil, err
	}
	row := map[string]string{}
	for i, name := range names {
		row[name] = values[i].String
	}
	return row, nil
}

// eventually tries until it works or ctx ends; then the last error says why it did not.
func eventually(ctx context.Context, try func() error) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	var why error
	for {
		err := try()
		if err == nil {
			return nil
		}
		if why == nil || ctx.Err() == nil { // a try that the end of ctx cut short says no more than that
			why = err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), why)
		case <-tick.C:
		}
	}
}
