package rdbmstest

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// plan is a statement that was understood.
type plan struct {
	kind   kind
	inputs int
	run    func(*execution) (*Result, error)
}

// kind says where a statement is counted, and whether read_only stops it.
type kind int

const (
	kindOther kind = iota
	kindRead
	kindWrite
	kindLook
	kindBeats
)

// execution is one run of a plan.
type execution struct {
	*server

	conn *conn
	args []driver.NamedValue
}

// statement runs what is no matter of transactions.
func (c *conn) statement(ctx context.Context, query string, args []driver.NamedValue) (*Result, error) {
	var result *Result
	err := c.run(ctx, query, func(s *server) (err error) {
		if result, err = c.handled(ctx, query, args); result == nil && err == nil {
			result, err = c.builtin(query, args)
		}
		return err
	})
	return result, err
}

// handled asks Handle's function; nil, nil is not handled, here as there. It gives the lock away meanwhile, so that the
// function may use the cluster.
func (c *conn) handled(ctx context.Context, query string, args []driver.NamedValue) (*Result, error) {
	s := c.server
	k := s.cluster
	answer := k.handle
	if answer == nil {
		return nil, nil
	}
	writes := writeWord.MatchString(query)
	if writes {
		if err := s.mayWrite(c); err != nil {
			s.count(c, &s.counts.Writes)
			return nil, err
		}
	}
	k.mu.Unlock()
	result, err := answer(ctx, s.name, query, args)
	k.mu.Lock()
	k.advance()
	if errors.Is(err, driver.ErrBadConn) {
		c.drop()
	}
	if result == nil && err == nil {
		return nil, nil
	}
	if !writes {
		s.count(c, &s.counts.Reads)
		return result, err
	}
	s.count(c, &s.counts.Writes)
	if err == nil {
		s.touch(c)
	}
	return result, err
}

var writeWord = regexp.MustCompile(`(?is)^\s*(INSERT|UPDATE|DELETE|REPLACE)\b`)

func (c *conn) builtin(query string, args []driver.NamedValue) (*Result, error) {
	s := c.server
	p := s.cluster.plan(query)
	if counter := s.counter(p.kind); counter != nil {
		s.count(c, counter)
	}
	if p.kind == kindWrite {
		if err := s.mayWrite(c); err != nil {
			return nil, err
		}
	}
	if len(args) != p.inputs {
		return nil, fmt.Errorf("rdbmstest: %d arguments for a statement with %d placeholders: %s", len(args), p.inputs, query)
	}
	return p.run(&execution{server: s, conn: c, args: args})
}

func (s *server) counter(k kind) *int {
	switch k {
	case kindRead:
		return &s.counts.Reads
	case kindWrite:
		return &s.counts.Writes
	case kindLook:
		return &s.counts.Looks
	case kindBeats:
		return &s.counts.Beats
	}
	return nil
}

// plan is the plan of a statement; most tests send the same few over and over.
func (c *Cluster) plan(query string) *plan {
	p := c.plans[query]
	if p == nil {
		p = parse(query)
		p.inputs = placeholders(query)
		c.plans[query] = p
	}
	return p
}

// parse understands the statements that a cluster answers itself.
func parse(query string) *plan {
	text := tidy(query)
	for _, form := range forms {
		if m := form.pattern.FindStringSubmatch(text); m != nil {
			if p := form.plan(m); p != nil {
				return p
			}
		}
	}
	return &plan{run: func(*execution) (*Result, error) {
		return nil, sqlError(1064, "You have an error in your SQL syntax, or rdbmstest does not know the statement: "+
			"answer it with Cluster.Handle: %s", query)
	}}
}

// tidy makes one blank of many and removes backticks, comments and a semicolon at the end, but not in literals.
func tidy(query string) string {
	parts := literalOrNot.FindAllString(query, -1)
	for i, part := range parts {
		if !strings.HasPrefix(part, "'") {
			part = comment.ReplaceAllString(part, " ")
			parts[i] = blanks.ReplaceAllString(strings.ReplaceAll(part, "`", ""), " ")
		}
	}
	return strings.TrimRight(strings.TrimSpace(strings.Join(parts, "")), "; ")
}

var (
	literalOrNot = regexp.MustCompile(`'[^']*'|[^']+`)
	comment      = regexp.MustCompile(`(?s)/\*.*?\*/`)
	blanks       = regexp.MustCompile(`\s+`)
)

// placeholders counts the question marks outside of literals.
func placeholders(query string) (n int) {
	for _, part := range literalOrNot.FindAllString(query, -1) {
		if !strings.HasPrefix(part, "'") {
			n += strings.Count(part, "?")
		}
	}
	return n
}

// form is a kind of statement. plan may decline with nil.
type form struct {
	pattern *regexp.Regexp
	plan    func(match []string) *plan
}
