package rdbms

import (
	"context"
	"fmt"
	"runtime"
	"strings"
)

// violation is how a statement breaks the promise of its phase.
type violation int

const (
	violationWrite violation = iota
	violationRead            // of the primary, by its author's will
)

// mayWriteInPhase refuses a write, reports it, or lets it pass.
func (c *Cluster) mayWriteInPhase(ctx context.Context, query string) error {
	phase := callOf(ctx).phaseNow()
	switch phase {
	case PhaseGET, PhasePostSendGET:
		c.violated(ctx, phase, violationWrite, query)
		if !c.opts.Enforce {
			return nil
		}
	case PhasePOSTNonWrite:
	default:
		return nil
	}
	return c.refuse(ctx, query, fmt.Errorf("%w: cluster %s: %s", ErrWriteForbidden, c.name, phase))
}

// violated raises OnViolation, once for each scope and kind.
func (c *Cluster) violated(ctx context.Context, phase Phase, kind violation, query string) {
	again := false
	callOf(ctx).scope.with(c, func(state *requestState) {
		again, state.violated[kind] = state.violated[kind], true
	})
	on := c.opts.Events.OnViolation
	if again || on == nil {
		return
	}
	on(ctx, WriteInfo{Cluster: c.name, Server: c.view.Load().primary.name, Query: fingerprint(query), Caller: caller(), Phase: phase})
}

// caller is the place outside of database/sql and this package that a statement comes from.
func caller() string {
	var frames [32]uintptr
	list := runtime.CallersFrames(frames[:runtime.Callers(2, frames[:])])
	for {
		f, more := list.Next()
		if !strings.HasPrefix(f.Function, "database/sql.") && !strings.HasPrefix(f.Function, ownFunctions) {
			return fmt.Sprintf("%s:%d", f.File, f.Line)
		}
		if !more {
			return ""
		}
	}
}

const ownFunctions = "github.com/multidc/multidc/rdbms."
