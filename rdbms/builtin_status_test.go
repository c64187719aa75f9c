package rdbms

import (
	"database/sql/driver"
	"errors"
	"slices"
	"testing"
	"time"
)

const showAllSlavesStatus = "SHOW ALL SLAVES STATUS"

var (
	mariadbStatus = []string{
		"Connection_name", "Slave_IO_Running", "Slave_SQL_Running", "Seconds_Behind_Master", "SQL_Delay", "SQL_Remaining_Delay",
	}
	mysqlStatus = []string{
		"Replica_IO_Running", "Replica_SQL_Running", "Seconds_Behind_Source", "SQL_Delay", "SQL_Remaining_Delay", "Channel_Name",
	}
)

func scriptedStatus(io, sql string, behind, remaining driver.Value) []driver.Value {
	return []driver.Value{"", io, sql, behind, int64(0), remaining}
}

// Case 50, and its neighbours.
func TestBuiltinReplicaStatus(t *testing.T) {
	good := scriptedStatus("Yes", "Yes", int64(2), nil)
	stopped := unknown(LagStopped)
	for name, tc := range map[string]struct {
		rows [][]driver.Value
		want Lag
	}{
		"running":            {[][]driver.Value{good}, known(2 * time.Second)},
		"caught up":          {[][]driver.Value{scriptedStatus("Yes", "Yes", "0", "")}, known(0)},
		"NULL":               {[][]driver.Value{scriptedStatus("Yes", "Yes", nil, nil)}, stopped},
		"IO connecting":      {[][]driver.Value{scriptedStatus("Connecting", "Yes", int64(5), nil)}, stopped},
		"IO stopped":         {[][]driver.Value{scriptedStatus("No", "Yes", int64(5), nil)}, stopped},
		"SQL stopped":        {[][]driver.Value{scriptedStatus("Yes", "No", int64(5), nil)}, stopped},
		"delayed":            {[][]driver.Value{scriptedStatus("Yes", "Yes", int64(5), int64(3600))}, known(3605 * time.Second)},
		"delayed, as text":   {[][]driver.Value{scriptedStatus("Yes", "Yes", []byte("5"), []byte("3600"))}, known(3605 * time.Second)},
		"nonsense":           {[][]driver.Value{scriptedStatus("Yes", "Yes", int64(-5), nil)}, stopped},
		"the worst":          {[][]driver.Value{good, scriptedStatus("Yes", "Yes", int64(7), nil), good}, known(7 * time.Second)},
		"the worst, stopped": {[][]driver.Value{good, scriptedStatus("No", "Yes", nil, nil), good}, stopped},
		"no source":          {nil, stopped},
	} {
		s := scriptedMariaDB()
		s.answers = map[string]scriptedAnswer{showAllSlavesStatus: {columns: mariadbStatus, rows: tc.rows}}
		p := builtinProbe(t, newBuiltin("", true), s)
		if p.Lag != tc.want || p.Beats.Rows != nil || !p.Lag.Known && !builtinNoted(p, string(LagStopped)) {
			t.Errorf("%s: lag %v, want %v; notes %q", name, p.Lag, tc.want, p.Notes)
		}
		if asked := s.statements(); len(asked) != 2 {
			t.Errorf("%s: asked %q", name, asked)
		}
	}
}

// Without the columns nothing is known, least of all that there is no lag.
func TestBuiltinReplicaStatusOfAnotherVersion(t *testing.T) {
	s := scriptedMariaDB()
	for _, missing := range []int{1, 2, 3} {
		row := slices.Delete(scriptedStatus("Yes", "Yes", int64(0), nil), missing, missing+1)
		columns := slices.Delete(slices.Clone(mariadbStatus), missing, missing+1)
		s.answers = map[string]scriptedAnswer{showAllSlavesStatus: {columns: columns, rows: [][]driver.Value{row}}}
		if p := builtinProbe(t, newBuiltin("", true), s); p.Lag != unknown(LagStopped) {
			t.Errorf("without %s the lag is %v", mariadbStatus[missing], p.Lag)
		}
	}
}

// A server that does not know a statement is asked with the next, once.
func TestBuiltinReplicaStatusStatements(t *testing.T) {
	mysqlRow := []driver.Value{"Yes", "Yes", int64(3), int64(0), nil, "from-a"}
	inMySQL := scriptedAnswer{columns: mysqlStatus, rows: [][]driver.Value{mysqlRow}}
	inMariaDB := scriptedAnswer{columns: mariadbStatus, rows: [][]driver.Value{scriptedStatus("Yes", "Yes", int64(3), nil)}}
	for _, tc := range []struct {
		server        *builtinScript
		statement     string
		answer        scriptedAnswer
		first, second int // statements of the first probe, and of later ones
	}{
		{scriptedMariaDB(), showAllSlavesStatus, inMariaDB, 2, 2},
		{scriptedMariaDB(), showReplicaStatus, inMariaDB, 3, 2},
		{scriptedMariaDB(), showSlaveStatus, inMariaDB, 4, 2},
		{scriptedMySQL(), showReplicaStatus, inMySQL, 3, 2},
		{scriptedMySQL(), showSlaveStatus, inMariaDB, 4, 2},
	} {
		tc.server.answers = map[string]scriptedAnswer{tc.statement: tc.answer}
		b := newBuiltin("", true)
		for _, want := range []int{tc.first, tc.second, tc.second} {
			p := builtinProbe(t, b, tc.server)
			if asked := tc.server.statements(); p.Lag != known(3*time.Second) || len(asked) != want {
				t.Errorf("lag %v after %q, want %d statements", p.Lag, asked, want)
			}
		}
	}
}

func TestBuiltinReplicaStatusFails(t *testing.T) {
	s := scriptedMariaDB()
	s.answers = map[string]scriptedAnswer{showAllSlavesStatus: {err: scriptedError(1227)}}
	p := builtinProbe(t, newBuiltin("", true), s)
	if p.Lag != unknown(LagNoRight) || !builtinNoted(p, "REPLICA MONITOR") || p.Applied == "" {
		t.Errorf("without the right: %+v", p)
	}
	for _, broken := range []error{driver.ErrBadConn, scriptedError(errShutdown)} {
		s.answers = map[string]scriptedAnswer{showAllSlavesStatus: {err: broken}}
		if _, err := newBuiltin("", true).Probe(t.Context(), s.conn(t)); !errors.Is(err, broken) {
			t.Errorf("%v became %v", broken, err)
		}
	}
	s.answers = nil
	if _, err := newBuiltin("", true).Probe(t.Context(), s.conn(t)); errorNumber(err) != errSyntax {
		t.Errorf("no statement is known: %v", err)
	}
}
