package dcroute

import (
	"context"
	"sync/atomic"
)

// served is the context of an executed request.
type served struct {
	context.Context //nolint:containedctx // it is one

	*verdict
	wrote atomic.Bool
}

// servedKey finds it.
type servedKey struct{}

// Value implements context.Context.
func (s *served) Value(key any) any {
	if _, ok := key.(servedKey); ok {
		return s
	}
	return s.Context.Value(key)
}

func servedOf(ctx context.Context) *served {
	s, _ := ctx.Value(servedKey{}).(*served)
	return s
}

// DecisionFrom returns the decision by which a handler got its request.
func DecisionFrom(ctx context.Context) (Decision, bool) {
	if s := servedOf(ctx); s != nil {
		return s.Decision, true
	}
	return Decision{}, false
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
