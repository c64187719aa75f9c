package rdbms

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/multidc/multidc/rdbms/heartbeat"
	"github.com/multidc/multidc/rdbms/position"
)

// builtin is the Engine for MariaDB, tried on 10.11, and for MySQL from 5.7, by its documentation; no server tried yet.
// An account without any rights can do all of it, but for SELECT on the heartbeat table, or the right to see the replica
// status.
type builtin struct {
	table         string                    // of the heartbeat; "" = heartbeat's default
	replicaStatus bool                      // ask the server for its lag; there are no heartbeat rows then
	spoken        atomic.Int32              // index of the dialect that was understood last
	statusForm    map[dialect]*atomic.Int32 // likewise of its statusStatements
	starts        serverStarts
}

// newBuiltin makes the engine for MariaDB and MySQL. table "" = heartbeat.heartbeat. With replicaStatus Probe asks
// SHOW REPLICA STATUS instead of the heartbeat table and fills Probe.Lag.
func newBuiltin(table string, replicaStatus bool) *builtin {
	b := &builtin{table: table, replicaStatus: replicaStatus, statusForm: map[dialect]*atomic.Int32{}}
	for _, d := range dialects {
		b.statusForm[d] = new(atomic.Int32)
	}
	return b
}

var _ Engine = (*builtin)(nil)

// Probe implements Engine. A heartbeat table, or a replica status, that cannot be read is a lag that is not known.
func (b *builtin) Probe(ctx context.Context, conn *sql.Conn) (Probe, error) {
	d, v, err := b.ask(ctx, conn, func(d dialect) []string { return append(d.probed(), commonVars...) })
	if err != nil {
		return Probe{}, err
	}
	id, err := strconv.ParseUint(v[varServerID], 10, 32)
	if err != nil {
		return Probe{}, fmt.Errorf("server_id %q is no number of 32 bits", v[varServerID])
	}
	p := Probe{ServerID: uint32(id), ReadOnly: d.readOnly(v), Notes: d.notes(v)}
	if p.Identity, err = b.identity(d.name(v), v); err != nil {
		return Probe{}, err
	}
	if v.uptime() == "" {
		p.Notes = append(p.Notes, "its uptime is unknown: a restart goes unnoticed")
	}
	applied, err := d.appliedIn(v)
	if err != nil {
		p.Notes = append(p.Notes, "its position is not used, reads after a write are bounded by age: "+err.Error())
	}
	p.Applied = applied.String()
	look := b.beats
	if b.replicaStatus {
		look = b.status
	}
	if err := look(ctx, conn, d, &p); err != nil {
		return Probe{}, err
	}
	return p, nil
}

// Written implements Engine.
func (b *builtin) Written(ctx context.Context, conn *sql.Conn) (string, error) {
	return b.position(ctx, conn, dialect.written, dialect.writtenIn)
}

// Applied implements Engine.
func (b *builtin) Applied(ctx context.Context, conn *sql.Conn) (string, error) {
	return b.position(ctx, conn, dialect.applied, dialect.appliedIn)
}

func (b *builtin) position(
	ctx context.Context, conn *sql.Conn, asked func(dialect) []string, in func(dialect, serverValues) (position.Position, error),
) (string, error) {
	d, v, err := b.ask(ctx, conn, asked)
	if err != nil {
		return "", err
	}
	p, err := in(d, v)
	if err != nil {
		return "", nil //nolint:nilerr // too large to be carried about, as Probe notes: the server has none then
	}
	return p.String(), nil
}

// Reached implements Engine.
func (*builtin) Reached(have, want string) (bool, error) {
	h, w, err := parseBoth(have, want)
	if err != nil {
		return false, err
	}
	return position.Reached(h, w)
}

// Merge implements Engine.
func (*builtin) Merge(a, b string) (string, error) {
	p, q, err := parseBoth(a, b)
	if err != nil {
		return "", err
	}
	merged, err := position.Merge(p, q)
	return merged.String(), err
}

func parseBoth(a, b string) (p, q position.Position, err error) {
	if p, err = position.Parse(a); err != nil {
		return p, q, err
	}
	q, err = position.Parse(b)
	return p, q, err
}

// beats reads the heartbeat rows.
func (b *builtin) beats(ctx context.Context, conn *sql.Conn, _ dialect, p *Probe) error {
	reading, err := heartbeat.Read(ctx, conn, b.table)
	if err == nil {
		p.Beats = reading
		if len(reading.Rows) == 0 {
			p.lacks(LagNoRow, "run a heartbeat.Writer, or pt-heartbeat --update --utc, on the primary", nil)
		}
		return nil
	}
	switch errorNumber(err) {
	case errNoTable, errNoDatabase:
		p.lacks(LagNoTable, "run a heartbeat.Writer on the primary, or pt-heartbeat --create-table --update --utc", err)
		return nil
	case errNoRightToTable, errNoRightToColumn, errNoRightToDatabase:
		p.lacks(LagNoRight, "GRANT SELECT on the heartbeat table to the account of this connection", err)
		return nil
	}
	ended := errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	if errorNumber(err) != 0 || ended || isTransport(err) {
		return err
	}
	// The table was read, and is no heartbeat table. A server is not down because of that.
	p.lacks(LagNoTable, "give the name of pt-heartbeat's table, Options.Heartbeat.Table", err)
	return nil
}

// lacks says that the server does not tell its lag, why, and what helps.
func (p *Probe) lacks(why LagReason, help string, err error) {
	p.Lag = unknown(why)
	note := string(why) + ": " + help
	if err != nil {
		note += " (" + err.Error() + ")"
	}
	p.Notes = append(p.Notes, note)
}
