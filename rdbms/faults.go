package rdbms

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"time"
)

// fault is what an error of a statement means for the server, and for the caller.
type fault int

const (
	faultNone      fault = iota
	faultStatement       // the server is well
	faultCaller          // the caller's context ended
	faultTransport       // the connection broke
	faultServer
	faultReadOnly
)

// judgeError tells what an outcome means, and lets the server's breaker and the lease know.
func (c *Cluster) judgeError(ctx context.Context, l *lease, err error, now time.Time) fault {
	f := c.faultOf(ctx, err)
	h := l.server.host
	switch f {
	case faultNone, faultStatement, faultReadOnly:
		h.breaker.Success(now)
	case faultCaller:
		l.broken = true // the driver may have left an answer unread
		h.breaker.Cancelled(now)
	case faultTransport:
		if !l.broken { // else it broke before: that was counted, or was the caller's doing
			c.failure(h, now)
		}
		l.broken = true
	case faultServer:
		c.failure(h, now)
	}
	return f
}

func (c *Cluster) faultOf(ctx context.Context, err error) fault {
	switch {
	case err == nil:
		return faultNone
	case ctx.Err() != nil:
		return faultCaller
	case isTransport(err), errors.Is(err, sql.ErrConnDone):
		return faultTransport // also a timeout of the driver's own, which matches context.DeadlineExceeded
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return faultCaller
	case errors.Is(err, sql.ErrTxDone):
		return faultStatement
	}
	switch c.engine.Classify(err) {
	case FaultServer:
		return faultServer
	case FaultReadOnly:
		return faultReadOnly
	case FaultStatement:
	}
	return faultStatement
}

// outward is the error as the caller gets it: the server's own as it is.
func (c *Cluster) outward(l *lease, f fault, err error) error {
	switch f {
	case faultTransport:
		return hideBadConn(l.server.name, err)
	case faultReadOnly:
		return c.refusedByServer(l, err)
	case faultCaller:
		if errors.Is(err, driver.ErrBadConn) {
			return hideBadConn(l.server.name, err)
		}
	case faultNone, faultStatement, faultServer:
	}
	return err
}

// lostError is a broken connection. It does not match driver.ErrBadConn, on which database/sql would run the statement
// again by itself.
type lostError struct {
	server string
	kind   error // ErrUnavailable, or ErrUnknownOutcome
	cause  error
}

func hideBadConn(server string, err error) error {
	return &lostError{server: server, kind: ErrUnavailable, cause: err}
}

// maybeRan marks the error of a write whose connection broke: it may have run, unless the driver knows that nothing was
// sent, which is what driver.ErrBadConn means.
func maybeRan(err error) error {
	var lost *lostError
	if errors.As(err, &lost) && !errors.Is(lost.cause, driver.ErrBadConn) {
		return &lostError{server: lost.server, kind: ErrUnknownOutcome, cause: lost.cause}
	}
	return err
}

func (e *lostError) Error() string {
	return e.kind.Error() + ": server " + e.server + ": " + e.cause.Error()
}

// Is keeps the causes but for the one.
func (e *lostError) Is(target error) bool {
	return !errors.Is(target, driver.ErrBadConn) && (errors.Is(e.kind, target) || errors.Is(e.cause, target))
}

// As finds the driver's own error.
func (e *lostError) As(target any) bool { return errors.As(e.cause, target) }
