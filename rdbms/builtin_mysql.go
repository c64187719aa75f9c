package rdbms

import (
	"strings"

	"github.com/multidc/multidc/rdbms/position"
)

// mysqlDialect is how to speak with MySQL, by its documentation; no server tried yet. That writes have the primary's
// own server_uuid is so with replication from one source; under group replication they have the group's name.
type mysqlDialect struct{}

const (
	mysqlUptime      = "(SELECT VARIABLE_VALUE FROM performance_schema.global_status WHERE VARIABLE_NAME = 'Uptime')"
	varSuperReadOnly = "@@super_read_only"
	varServerUUID    = "@@server_uuid"
	varGTIDMode      = "@@gtid_mode"
	varGTIDExecuted  = "@@gtid_executed"
)

func (d mysqlDialect) probed() []string {
	return append(d.applied(), mysqlUptime, varReadOnly, varSuperReadOnly, varServerUUID)
}

func (mysqlDialect) written() []string { return []string{varGTIDExecuted, varGTIDMode, varServerUUID} }

func (mysqlDialect) applied() []string { return []string{varGTIDExecuted, varGTIDMode} }

func (mysqlDialect) statusStatements() []string { return []string{showReplicaStatus, showSlaveStatus} }

func (mysqlDialect) name(v serverValues) string { return strings.ToLower(v[varServerUUID]) }

func (mysqlDialect) readOnly(v serverValues) bool {
	return isOn(v[varReadOnly]) || isOn(v[varSuperReadOnly])
}

// writtenIn is the primary's own part: who waits for another's waits for somebody else. A primary that has written
// nothing yet has all of what came before.
func (mysqlDialect) writtenIn(v serverValues) (position.Position, error) {
	if !strings.HasPrefix(strings.ToUpper(v[varGTIDMode]), "ON") { // ON, ON_PERMISSIVE; else new transactions have no name
		return position.Position{}, nil
	}
	all, err := position.ParseMySQL(v[varGTIDExecuted])
	if own := all.Only(v[varServerUUID]); !own.IsZero() {
		return own, err
	}
	return all, err
}

func (mysqlDialect) appliedIn(v serverValues) (position.Position, error) {
	if !isOn(v[varGTIDMode]) {
		return position.Position{}, nil
	}
	return position.ParseMySQL(v[varGTIDExecuted])
}

func (mysqlDialect) notes(v serverValues) []string {
	notes := []string{"MySQL " + v[varVersion]}
	if mode := v[varGTIDMode]; !strings.EqualFold(mode, "ON") {
		notes = append(notes, "gtid_mode "+mode+": what is written here may have no position, reads after it are bounded by age")
	}
	return notes
}
