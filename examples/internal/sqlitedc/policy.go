package sqlitedc

import (
	"errors"
	"fmt"
	"strings"

	"modernc.org/sqlite"
)

// ErrReadOnly says that this DC, or this transaction, takes no writes. It answers ReadOnly, so that a package
// that does not know this one can tell.
var ErrReadOnly error = readOnlyError{}

type readOnlyError struct{}

func (readOnlyError) Error() string  { return "sqlitedc: read-only" }
func (readOnlyError) ReadOnly() bool { return true }

// ErrRefused says that a statement was not run because it could not be replayed in the other DC.
var ErrRefused = errors.New("sqlitedc: statement refused")

// mode says on whose behalf SQLite compiles a statement.
type mode int

const (
	modeInternal mode = iota // this package's own
	modeQuery                // a caller's Query
	modeExec                 // a caller's Exec
)

const ownPrefix = "multidc_" // of the tables and names that belong to this package

// notReplayable are functions whose result depends on the time, on chance or on the connection.
var notReplayable = map[string]string{
	"random": "chance", "randomblob": "chance",
	"current_timestamp": "the time", "current_date": "the time", "current_time": "the time",
	"date": "the time", "time": "the time", "datetime": "the time", "julianday": "the time",
	"unixepoch": "the time", "strftime": "the time", "timediff": "the time",
	"last_insert_rowid": "the connection", "changes": "the connection", "total_changes": "the connection",
}

// readingPragmas tell about the schema and change nothing, whatever their argument.
var readingPragmas = map[string]bool{
	"table_info": true, "table_xinfo": true, "table_list": true, "index_list": true, "index_info": true,
	"index_xinfo": true, "foreign_key_list": true, "foreign_key_check": true, "integrity_check": true,
	"quick_check": true, "database_list": true,
}

// judge decides about one action of a statement that SQLite is compiling: whether it writes, and whether it may.
func judge(m mode, action sqlite.AuthorizerActionCode, arg1, arg2, db string) (writes bool, err error) {
	switch action {
	case sqlite.AuthSelect, sqlite.AuthRead, sqlite.AuthRecursive:
		return false, nil
	case sqlite.AuthFunction:
		return false, judgeFunction(m, arg2)
	case sqlite.AuthPragma:
		if readingPragmas[strings.ToLower(arg1)] {
			return false, nil
		}
		return false, refuse("PRAGMA "+arg1, "connections are set up by sqlitedc")
	case sqlite.AuthAttach, sqlite.AuthDetach:
		return false, refuse("ATTACH or DETACH", "the log carries the changes of one file only")
	case sqlite.AuthTransaction, sqlite.AuthSavepoint:
		return false, refuse("BEGIN, COMMIT, ROLLBACK or SAVEPOINT as a statement", "use BeginTx, Commit and Rollback")
	case sqlite.AuthCreateTempIndex, sqlite.AuthCreateTempTable, sqlite.AuthCreateTempTrigger, sqlite.AuthCreateTempView,
		sqlite.AuthDropTempIndex, sqlite.AuthDropTempTable, sqlite.AuthDropTempTrigger, sqlite.AuthDropTempView:
		return false, refuseTemporary(arg1)
	}
	// CREATE TABLE temp.x has the action of a lasting one. ALTER TABLE looks for temporary triggers to be renamed.
	if db == "temp" && (action != sqlite.AuthUpdate || arg1 != "sqlite_temp_master") {
		return false, refuseTemporary(arg1)
	}
	return true, judgeWrite(m, arg1, arg2)
}

func refuseTemporary(name string) error {
	return refuse("temporary "+name, "it exists on one connection only; use a table")
}

func judgeFunction(m mode, name string) error {
	why := notReplayable[strings.ToLower(name)]
	if m == modeQuery || why == "" {
		return nil
	}
	return refuse(name, fmt.Sprintf("it depends on %s and would differ in the other DC; compute the value in Go "+
		"and pass it as an argument", why))
}

func judgeWrite(m mode, names ...string) error {
	if m == modeQuery {
		return refuse("writing through Query", "use Exec; INSERT … RETURNING is not supported, Result.LastInsertId is")
	}
	for _, name := range names {
		if strings.HasPrefix(strings.ToLower(name), ownPrefix) {
			return refuse("writing to "+name, "names beginning with "+ownPrefix+" belong to sqlitedc")
		}
	}
	return nil
}

func refuse(what, why string) error {
	return fmt.Errorf("%w: %s: %s", ErrRefused, what, why)
}
