package rdbms

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	showReplicaStatus = "SHOW REPLICA STATUS" // from MariaDB 10.5, MySQL 8.0.22
	showSlaveStatus   = "SHOW SLAVE STATUS"   // until MySQL 8.3
)

// status asks the server itself how far it is behind: the worst of its sources. It knows whole seconds, and says 0
// behind a source that is stalled. Of a server without a source nothing is known; that the primary needs none is the
// cluster's to say.
func (b *builtin) status(ctx context.Context, conn *sql.Conn, d dialect, p *Probe) error {
	sources, err := b.sources(ctx, conn, d)
	if errorNumber(err) == errNoRight {
		p.lacks(LagNoRight, "GRANT REPLICA MONITOR (MySQL: REPLICATION CLIENT) to the account of this connection", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("asking the server for its replica status: %w", err)
	}
	if len(sources) == 0 {
		p.lacks(LagStopped, "it has no source, as the primary alone should", nil)
		return nil
	}
	p.Lag = known(0)
	for _, s := range sources {
		lag := s.lag()
		if !lag.Known {
			p.Notes = append(p.Notes, s.stopped())
		}
		p.Lag = worse(p.Lag, lag)
	}
	return nil
}

// sources asks with the statement that was understood last by a server of this kind, then with the others.
func (b *builtin) sources(ctx context.Context, conn *sql.Conn, d dialect) ([]replicaSource, error) {
	statements, last := d.statusStatements(), b.statusForm[d]
	var err error
	for tried, at := 0, int(last.Load()); tried < len(statements); tried, at = tried+1, (at+1)%len(statements) {
		var sources []replicaSource
		sources, err = querySources(ctx, conn, statements[at])
		if err == nil {
			last.Store(int32(at))
			return sources, nil
		}
		if errorNumber(err) != errSyntax {
			break
		}
	}
	return nil, err
}

// replicaSource is one source of a replica, by the names of the columns in lower case.
type replicaSource map[string]string

func querySources(ctx context.Context, conn *sql.Conn, statement string) (sources []replicaSource, err error) {
	rows, err := conn.QueryContext(ctx, statement)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	got, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range got {
		into[i] = &got[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		s := replicaSource{}
		for i, column := range columns {
			s[strings.ToLower(column)] = asText(got[i])
		}
		sources = append(sources, s)
	}
	return sources, rows.Err()
}

// either returns the column that MySQL has renamed, under its new or its old name.
func (s replicaSource) either(renamed, old string) string {
	if v, there := s[renamed]; there {
		return v
	}
	return s[old]
}

func (s replicaSource) threads() (ioThread, sqlThread string) {
	return s.either("replica_io_running", "slave_io_running"), s.either("replica_sql_running", "slave_sql_running")
}

// lag is known only while both threads run: else the seconds, if there are any, are those to the last event that came.
func (s replicaSource) lag() Lag {
	const runs = "Yes" // not "Connecting", "Preparing"
	behind, err := strconv.ParseUint(s.either("seconds_behind_source", "seconds_behind_master"), 10, 31)
	if ioThread, sqlThread := s.threads(); ioThread != runs || sqlThread != runs || err != nil { // NULL is no number
		return unknown(LagStopped)
	}
	// The seconds are how old the next event is; on a replica that is delayed on purpose it waits for so much longer.
	delay, err := strconv.ParseUint(s["sql_remaining_delay"], 10, 31)
	if err != nil { // NULL: nothing is delayed
		delay = 0
	}
	return known(time.Duration(behind+delay) * time.Second)
}

func (s replicaSource) stopped() string {
	ioThread, sqlThread := s.threads()
	return fmt.Sprintf("%s: IO thread %s, SQL thread %s, connection %q: the server's %s says why", LagStopped, ioThread, sqlThread,
		s.either("channel_name", "connection_name"), showReplicaStatus)
}
