package sqlitedc

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/multidc/multidc/rdbms"
)

// Engine tells package rdbms about these databases; it has no state. A position is the number of the last statement, in
// decimal after "s1:". The lag comes from the replay.
type Engine struct{}

// Probe implements rdbms.Engine.
func (e Engine) Probe(ctx context.Context, conn *sql.Conn) (p rdbms.Probe, err error) {
	k, err := connectorOf(conn)
	if err != nil {
		return rdbms.Probe{}, err
	}
	upTo := k.cluster.UpTo(k.to)
	if p.Applied, err = e.Applied(ctx, conn); err != nil {
		return rdbms.Probe{}, err
	}
	p.Identity = k.to + ".db, opened " + k.cluster.opened.UTC().Format(time.RFC3339Nano)
	p.ReadOnly = k.cluster.roles.mayWrite(k.to) != nil
	p.Lag = k.cluster.lagSince(upTo)
	if err := k.cluster.progress.failure(); err != nil {
		p.Notes = append(p.Notes, "replay: "+err.Error())
	}
	return p, nil
}

// lagSince is how far a database is behind that has everything up to a time.
func (c *Cluster) lagSince(upTo time.Time) rdbms.Lag {
	switch {
	case !upTo.IsZero():
		return rdbms.Lag{Known: true, Value: max(time.Since(upTo), 0)}
	case !c.running.Load():
		return rdbms.Lag{Why: rdbms.LagStopped}
	}
	return rdbms.Lag{Why: rdbms.LagNotRead}
}

// connectorOf finds out where a connection leads to.
func connectorOf(c *sql.Conn) (k *connector, err error) {
	err = c.Raw(func(dc any) error {
		own, ok := dc.(*conn)
		if !ok {
			return fmt.Errorf("sqlitedc: a %T is no connection of this package", dc)
		}
		k = own.connector
		return nil
	})
	return k, err
}

// Written implements rdbms.Engine.
func (e Engine) Written(ctx context.Context, conn *sql.Conn) (string, error) {
	return e.Applied(ctx, conn)
}

// Applied implements rdbms.Engine.
func (Engine) Applied(ctx context.Context, conn *sql.Conn) (string, error) {
	n, err := readPosition(ctx, conn)
	if err != nil {
		return "", err
	}
	return formatPosition(n), nil
}

// Reached implements rdbms.Engine.
func (Engine) Reached(have, want string) (bool, error) {
	h, w, err := parsePositions(have, want)
	return err == nil && h >= w, err
}

// Merge implements rdbms.Engine.
func (Engine) Merge(a, b string) (string, error) {
	n, m, err := parsePositions(a, b)
	if err != nil {
		return "", err
	}
	return formatPosition(max(n, m)), nil
}

// Classify implements rdbms.Engine.
func (Engine) Classify(err error) rdbms.Fault {
	if errors.Is(err, ErrReadOnly) {
		return rdbms.FaultReadOnly
	}
	switch code(err) {
	case codeNoMemory, codeIO, codeFull, codeCantOpen:
		return rdbms.FaultServer
	}
	return rdbms.FaultStatement
}

const (
	positionForm = "s1:"
	noPosition   = -1 // the position "": less than any
)

func formatPosition(n int64) string {
	if n == noPosition {
		return ""
	}
	return positionForm + strconv.FormatInt(n, 10)
}

func parsePositions(a, b string) (n, m int64, err error) {
	n, errA := parsePosition(a)
	m, errB := parsePosition(b)
	return n, m, errors.Join(errA, errB)
}

// parsePosition takes nothing but what formatPosition gives.
func parsePosition(text string) (int64, error) {
	if text == "" {
		return noPosition, nil
	}
	digits, ok := strings.CutPrefix(text, positionForm)
	n, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || n < 0 || formatPosition(n) != text {
		return 0, fmt.Errorf("sqlitedc: %.40q is no position: want %s and the number of a statement", text, positionForm)
	}
	return n, nil
}
