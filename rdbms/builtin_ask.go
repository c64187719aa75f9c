package rdbms

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/multidc/multidc/rdbms/position"
)

// dialect is what the two kinds of server differ in. Its methods say what to SELECT, and what the answer means.
type dialect interface {
	probed() []string // beside commonVars
	written() []string
	applied() []string
	statusStatements() []string // the best first; a server that does not know one takes it for a syntax error

	name(serverValues) string // of one server among all of its kind, restarted or not
	readOnly(serverValues) bool
	writtenIn(serverValues) (position.Position, error)
	appliedIn(serverValues) (position.Position, error)
	notes(serverValues) []string
}

var dialects = [...]dialect{mariadbDialect{}, mysqlDialect{}}

const (
	serverClock = "UTC_TIMESTAMP(6)"
	varVersion  = "@@version"
	varServerID = "@@server_id"
	varReadOnly = "@@read_only"
)

// commonVars are asked of every server with each probe, in one statement with the dialect's own: the way to the server
// may take a good part of the time that a probe has.
var commonVars = []string{varVersion, serverClock, varServerID}

// uptime is common too, but each dialect has another name for it.
func (v serverValues) uptime() string { return v[mariadbUptime] + v[mysqlUptime] }

// ask asks in the dialect that was understood last, then in the other.
func (b *builtin) ask(ctx context.Context, conn *sql.Conn, asked func(dialect) []string) (dialect, serverValues, error) {
	last := b.spoken.Load()
	var unknown error
	for _, i := range []int32{last, 1 - last} {
		v, err := selectValues(ctx, conn, asked(dialects[i]))
		if errorNumber(err) == errUnknownVariable {
			unknown = err
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("asking the server for its variables: %w", err)
		}
		b.spoken.Store(i)
		return dialects[i], v, nil
	}
	return nil, nil, fmt.Errorf("neither MariaDB nor MySQL: give an Options.Engine that knows this server: %w", unknown)
}

// serverValues are what a SELECT gave, by expression. NULL is empty.
type serverValues map[string]string

func selectValues(ctx context.Context, conn *sql.Conn, expressions []string) (serverValues, error) {
	got, into := make([]any, len(expressions)), make([]any, len(expressions))
	for i := range got {
		into[i] = &got[i]
	}
	if err := conn.QueryRowContext(ctx, "SELECT "+strings.Join(expressions, ", ")).Scan(into...); err != nil {
		return nil, err
	}
	v := serverValues{}
	for i, expression := range expressions {
		v[expression] = asText(got[i])
	}
	return v, nil
}

// asText undoes what a driver made of a value: with parseTime a time has the wall clock that the server sent, in any zone.
func asText(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case []byte:
		return string(v)
	case time.Time:
		return v.Format("2006-01-02 15:04:05.000000")
	}
	return fmt.Sprint(value)
}

// isOn takes whatever does not say off for on: newer servers have words beside OFF and ON.
func isOn(value string) bool { return value != "0" && !strings.EqualFold(value, "OFF") }
