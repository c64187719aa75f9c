package rdbmstest

import (
	"database/sql/driver"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// expression is one element of a SELECT without a table of ours.
type expression struct {
	name string // as it is written, which is the column's name
	eval func(*execution) (driver.Value, error)
}

var (
	alias        = regexp.MustCompile(`(?i)^(.+?) AS (\w+)$`)
	systemName   = regexp.MustCompile(`(?i)^@@(?:global\.|session\.)?(\w+)$`)
	sessionName  = regexp.MustCompile(`^@(\w+)$`)
	clockCall    = regexp.MustCompile(`(?i)^UTC_TIMESTAMP\(6?\)$`)
	uptimeSelect = regexp.MustCompile(`(?i)^\( ?SELECT VARIABLE_VALUE FROM (information_schema|performance_schema)\.global_status ` +
		`WHERE VARIABLE_NAME ?= ?'uptime' ?\)$`)
	integer     = regexp.MustCompile(`^-?\d+$`)
	literalText = regexp.MustCompile(`^'[^']*'$`)
)

// planExpressions is the plan of a list of expressions, or nil if one is not understood.
func planExpressions(m []string) *plan {
	var list []expression
	for _, text := range splitList(m[1]) {
		e, ok := parseExpression(text)
		if !ok {
			return nil
		}
		list = append(list, e)
	}
	p := &plan{kind: kindOther, run: func(x *execution) (*Result, error) { return evaluate(x, list) }}
	if strings.Contains(m[1], "@@") || strings.Contains(m[1], "(") {
		p.kind = kindLook
	}
	return p
}

func evaluate(x *execution, list []expression) (*Result, error) {
	result := &Result{}
	var row []driver.Value
	for _, e := range list {
		value, err := e.eval(x)
		if err != nil {
			return nil, err
		}
		result.Columns, row = append(result.Columns, e.name), append(row, value)
	}
	result.Rows = [][]driver.Value{row}
	return result, nil
}

// splitList splits at the commas that stand in no parentheses and no literal.
func splitList(text string) (list []string) {
	depth, quoted, from := 0, false, 0
	for i, c := range text {
		switch {
		case c == '\'':
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == ',' && depth == 0:
			list = append(list, strings.TrimSpace(text[from:i]))
			from = i + 1
		}
	}
	return append(list, strings.TrimSpace(text[from:]))
}

func parseExpression(text string) (expression, bool) {
	e := expression{name: text}
	if m := alias.FindStringSubmatch(text); m != nil {
		text, e.name = m[1], m[2]
	}
	e.eval = evaluator(text)
	return e, e.eval != nil
}

func evaluator(text string) func(*execution) (driver.Value, error) {
	if m := systemName.FindStringSubmatch(text); m != nil {
		return func(x *execution) (driver.Value, error) { return x.variable(m[1]) }
	}
	if m := sessionName.FindStringSubmatch(text); m != nil {
		return func(x *execution) (driver.Value, error) { return x.conn.variables[strings.ToLower(m[1])], nil }
	}
	if m := uptimeSelect.FindStringSubmatch(text); m != nil {
		return func(x *execution) (driver.Value, error) { return x.uptimeFrom(m[1]) }
	}
	switch {
	case clockCall.MatchString(text):
		return func(x *execution) (driver.Value, error) { return []byte(clockText(x.now())), nil }
	case strings.EqualFold(text, "CONNECTION_ID()"):
		return func(x *execution) (driver.Value, error) { return x.conn.id, nil }
	case strings.EqualFold(text, "VERSION()"):
		return func(x *execution) (driver.Value, error) { return x.variable("version") }
	case strings.EqualFold(text, "NULL"):
		return func(*execution) (driver.Value, error) { return nil, nil }
	case literalText.MatchString(text):
		return func(*execution) (driver.Value, error) { return []byte(strings.Trim(text, "'")), nil }
	case integer.MatchString(text):
		n, err := strconv.ParseInt(text, 10, 64)
		return func(*execution) (driver.Value, error) { return n, err }
	}
	return nil
}

// uptimeFrom: each flavour has one of the two tables.
func (x *execution) uptimeFrom(schema string) (driver.Value, error) {
	performance := strings.EqualFold(schema, "performance_schema")
	switch {
	case performance && !x.knobs.MySQL:
		return nil, sqlError(1146, "Table 'performance_schema.global_status' doesn't exist")
	case !performance && x.knobs.MySQL:
		return nil, sqlError(1109, "Unknown table 'GLOBAL_STATUS' in information_schema")
	}
	return []byte(x.uptime()), nil
}

// clockText is how a server shows a time to the microsecond.
func clockText(t time.Time) string { return t.Format("2006-01-02 15:04:05.000000") }
