package dcroute

import (
	"context"
	"sync/atomic"
)

// served is what the context of an executed request carries.
type served struct {
	decision Decision
	readOnly ReadOnlyInfo // Reason "" = writable
	wrote    atomic.Bool
}

func servedOf(ctx context.Context) *served {
	s, _ := ctx.Value(decisionKey{}).(*served)
	return s
}

// MarkWrite says that the request has written: its client is sent to the primary for a while. Call it when something was
// committed, for example from rdbms's Events.OnWrote, and before the answer begins. A context of another origin is left
// alone.
func MarkWrite(ctx context.Context) {
	if s := servedOf(ctx); s != nil {
		s.wrote.Store(true)
	}
}

// ReadOnly says whether this request's section of the application is read-only, why, and until when.
func ReadOnly(ctx context.Context) (ReadOnlyInfo, bool) {
	s := servedOf(ctx)
	if s == nil || s.readOnly.Reason == "" {
		return ReadOnlyInfo{}, false
	}
	return s.readOnly, true
}
