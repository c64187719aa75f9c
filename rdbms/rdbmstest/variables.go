package rdbmstest

import (
	"database/sql/driver"
	"strconv"
	"strings"
	"time"
)

// variable is the value of @@name, or error 1193.
func (s *server) variable(name string) (driver.Value, error) {
	name = strings.ToLower(name)
	if value, set := s.knobs.Variables[name]; set {
		return []byte(value), nil
	}
	value := s.common(name)
	if value == nil && s.knobs.MySQL {
		value = s.mysql(name)
	} else if value == nil {
		value = s.mariadb(name)
	}
	if value == nil {
		return nil, sqlError(1193, "Unknown system variable '%s'", name)
	}
	if text, ok := value.(string); ok {
		value = []byte(text)
	}
	return value, nil
}

func (s *server) common(name string) driver.Value {
	switch name {
	case "hostname":
		return s.name
	case "server_id":
		return int64(s.id)
	case "read_only":
		return number(s.knobs.ReadOnly)
	case "autocommit", "log_bin":
		return int64(1)
	case "max_connections":
		if s.knobs.MaxConnections > 0 {
			return int64(s.knobs.MaxConnections)
		}
		return int64(151)
	case "time_zone":
		return "SYSTEM"
	case "version":
		return map[bool]string{true: "8.0.40", false: "10.11.11-MariaDB-log"}[s.knobs.MySQL]
	case "version_comment":
		return map[bool]string{true: "MySQL Community Server - GPL", false: "MariaDB Server"}[s.knobs.MySQL]
	}
	return nil
}

func (s *server) mariadb(name string) driver.Value {
	switch name {
	case "gtid_domain_id":
		return int64(s.domain)
	case "gtid_binlog_pos":
		return gtidText(s.binlog)
	case "gtid_slave_pos":
		return gtidText(s.slave)
	case "gtid_current_pos":
		return gtidText(s.current())
	}
	return nil
}

func (s *server) mysql(name string) driver.Value {
	switch name {
	case "server_uuid":
		return s.uuid()
	case "gtid_mode":
		return "ON"
	case "gtid_executed":
		return s.executedText()
	case "super_read_only":
		return int64(0)
	}
	return nil
}

// uptime is in whole seconds of the server's own clock, as the servers compute it.
func (s *server) uptime() string {
	return strconv.FormatInt(s.now().Unix()-s.started.Unix(), 10)
}

func number(on bool) int64 {
	if on {
		return 1
	}
	return 0
}

// replicaStatus is SHOW REPLICA STATUS, with the columns' older names if old: one row, or none on who follows nobody.
func (s *server) replicaStatus(old bool) *Result {
	columns := []string{"Replica_IO_Running", "Replica_SQL_Running", "Seconds_Behind_Source", "SQL_Remaining_Delay"}
	if old {
		columns = []string{"Slave_IO_Running", "Slave_SQL_Running", "Seconds_Behind_Master", "SQL_Remaining_Delay"}
	}
	result := &Result{Columns: columns}
	if s.from == nil {
		return result
	}
	values := []driver.Value{[]byte("Yes"), []byte("Yes"), s.secondsBehind(), nil}
	if s.knobs.StopApplying {
		values[1], values[2] = []byte("No"), nil
	}
	if s.from.knobs.Down {
		values[0], values[2] = []byte("Connecting"), nil
	}
	for i, column := range columns {
		if text, set := s.knobs.Status[column]; set && text == "NULL" {
			values[i] = nil
		} else if set {
			values[i] = []byte(text)
		}
	}
	result.Rows = [][]driver.Value{values}
	return result
}

// secondsBehind is how long the oldest event has been waiting that has not been applied.
func (s *server) secondsBehind() int64 {
	var most time.Duration
	for _, r := range s.relay {
		if len(r.queue) > 0 {
			most = max(most, s.cluster.clock.Sub(r.queue[0].at))
		}
	}
	return int64(most / time.Second)
}
