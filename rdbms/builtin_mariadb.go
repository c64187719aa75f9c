package rdbms

import (
	"fmt"

	"github.com/multidc/multidc/rdbms/position"
)

// mariadbDialect is how to speak with MariaDB.
type mariadbDialect struct{}

const (
	mariadbUptime    = "(SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'UPTIME')"
	varHostname      = "@@hostname"
	varGTIDDomainID  = "@@gtid_domain_id"
	varGTIDBinlogPos = "@@gtid_binlog_pos"
	// varGTIDSlavePos is what was applied by replication. A server that becomes the primary keeps it as it was.
	varGTIDSlavePos = "@@gtid_slave_pos"
	// varGTIDCurrentPos has, beyond that, what the server itself wrote. On a replica that somebody once wrote to, the number
	// of that write can be ahead of what has come from the primary.
	varGTIDCurrentPos = "@@gtid_current_pos"
	varLogBin         = "@@log_bin"
)

func (d mariadbDialect) probed() []string {
	return append(d.applied(), mariadbUptime, varHostname, varGTIDDomainID, varLogBin)
}

func (mariadbDialect) written() []string { return []string{varGTIDBinlogPos, varGTIDDomainID} }

func (mariadbDialect) applied() []string {
	return []string{varReadOnly, varGTIDSlavePos, varGTIDCurrentPos}
}

// statusStatements begins with the only one that shows connections which have a name.
func (mariadbDialect) statusStatements() []string {
	return []string{"SHOW ALL SLAVES STATUS", showReplicaStatus, showSlaveStatus}
}

// name: MariaDB gives a server no id that is its own for ever.
func (mariadbDialect) name(v serverValues) string {
	return fmt.Sprintf("%s, server_id %s", v[varHostname], v[varServerID])
}

func (mariadbDialect) readOnly(v serverValues) bool { return isOn(v[varReadOnly]) }

// writtenIn is restricted to the domain that the account writes in: who waits for another waits for somebody else.
func (mariadbDialect) writtenIn(v serverValues) (position.Position, error) {
	p, err := position.ParseMariaDB(v[varGTIDBinlogPos])
	return p.Only(v[varGTIDDomainID]), err
}

func (d mariadbDialect) appliedIn(v serverValues) (position.Position, error) {
	if d.readOnly(v) {
		return position.ParseMariaDB(v[varGTIDSlavePos])
	}
	return position.ParseMariaDB(v[varGTIDCurrentPos])
}

func (mariadbDialect) notes(v serverValues) []string {
	notes := []string{"MariaDB " + v[varVersion], "gtid_domain_id " + v[varGTIDDomainID]}
	if !isOn(v[varLogBin]) {
		notes = append(notes, "log_bin is off: what is written here has no position, reads after it are bounded by age")
	}
	return notes
}
