package rdbms

import (
	"context"
	"database/sql/driver"
	"fmt"
	"strings"
	"time"
)

// borrowPrimary takes a connection of the primary, unless the caller holds one. Its breaker is not asked: there is no
// other server, and the statement tells as well as a probe.
func (c *Cluster) borrowPrimary(ctx context.Context, l *lease) error {
	if c.isClosed() {
		return fmt.Errorf("rdbms: cluster %s: %w", c.name, ErrClosed)
	}
	for {
		primary := c.view.Load().primary
		if l.held() {
			if l.server.host != primary.host {
				return fmt.Errorf("%w: cluster %s: the primary has moved from %s to %s: take a new connection", ErrUnavailable, c.name, l.server.name, primary.name)
			}
			return nil
		}
		primary.breaker.Admit(time.Now()) // if it is due, this statement is the try
		err := l.borrow(ctx, primary)
		switch {
		case err == nil && c.view.Load().primary.host != primary.host:
			l.release()
			continue
		case err == nil:
			return nil
		case ctx.Err() != nil:
			primary.breaker.Cancelled(time.Now())
			return ctx.Err()
		case c.view.Load().primary.host != primary.host: // it was moved meanwhile
			continue
		case c.isClosed():
			return fmt.Errorf("rdbms: cluster %s: %w", c.name, ErrClosed)
		}
		c.failure(primary.host, time.Now())
		return &ServersError{Cluster: c.name, Servers: map[string]error{primary.name: hideBadConn(primary.name, err)}, tried: true}
	}
}

// answered takes the outcome of a statement on a held connection, and returns the error as the caller gets it.
func (c *Cluster) answered(ctx context.Context, l *lease, err error) (fault, error) {
	f := c.judgeError(ctx, l, err, time.Now())
	return f, c.outward(l, f, err)
}

// unknownOutcome: the statement may have run.
func (f fault) unknownOutcome() bool { return f == faultTransport || f == faultCaller }

// tellPrimary records a read of the primary.
func (c *Cluster) tellPrimary(ctx context.Context) {
	callOf(ctx).scope.with(c, func(state *requestState) { state.note(c.view.Load().primary.name, known(0), false) })
	c.report(ctx, known(0), time.Now())
}

// changes reports whether an Exec that succeeded counts as a write: not if it says that it changed nothing, and not SET.
func changes(query string, result driver.Result) bool {
	switch first, second := firstWords(query); {
	case strings.ContainsRune(query, ';'): // it tells of one of several
		return true
	case isWord(first, "set"): // SET STATEMENT … FOR runs another statement
		return isWord(second, "statement")
	case isWord(first, "insert"), isWord(first, "update"), isWord(first, "delete"), isWord(first, "replace"):
		n, err := result.RowsAffected()
		return err != nil || n != 0
	}
	return true
}

// setsSession reports whether a statement is a SET of the session alone.
func setsSession(query string) bool {
	if first, _ := firstWords(query); !isWord(first, "set") {
		return false
	}
	l := sqlLexer{text: query}
	for {
		switch t := l.next(); {
		case t.kind == sqlEnd:
			return true
		case t.kind == sqlUnclear, t.isMark(query, ';'), t.kind == sqlWord && setsMore(query[t.start:t.end]):
			return false
		}
	}
}

// setsMore reports whether a word of a SET reaches beyond variables of the session. SET STATEMENT … FOR runs another
// statement.
func setsMore(word string) bool {
	for _, more := range []string{"global", "persist", "persist_only", "password", "role", "default", "statement"} {
		if isWord(word, more) {
			return true
		}
	}
	return false
}

// firstWords are the first two words of a statement, behind blanks and comments; "" where it has none there.
func firstWords(query string) (first, second string) {
	l := sqlLexer{text: query}
	return l.word(), l.word()
}

func (l *sqlLexer) word() string {
	if t := l.next(); t.kind == sqlWord {
		return l.text[t.start:t.end]
	}
	return ""
}
