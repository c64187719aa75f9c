package rdbms

import (
	"database/sql/driver"
	"fmt"
	"strings"
	"testing"
)

func builtinWritten(t *testing.T, s *builtinScript) string {
	t.Helper()
	p, err := newBuiltin("", false).Written(t.Context(), s.conn(t))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func builtinApplied(t *testing.T, s *builtinScript) string {
	t.Helper()
	b := newBuiltin("", false)
	p, err := b.Applied(t.Context(), s.conn(t))
	if err != nil {
		t.Fatal(err)
	}
	if probed := builtinProbe(t, b, s); probed.Applied != p {
		t.Errorf("Applied %q, but Probe %q", p, probed.Applied)
	}
	return p
}

// manyDomains is more than a position may have.
func manyDomains() string {
	var list []string
	for i := range 40 {
		list = append(list, fmt.Sprintf("%d-1-1", i))
	}
	return strings.Join(list, ",")
}

func TestBuiltinWrittenMariaDB(t *testing.T) {
	for _, tc := range []struct{ binlog, want driver.Value }{
		{"1-11-400", "m1:1-11-400"},
		{"255-13-99,1-12-50,257-14-50", "m1:1-12-50"}, // Case 66
		{"2-21-7", ""},
		{"", ""},
		{nil, ""}, // no binary log
		{manyDomains(), ""},
	} {
		s := scriptedMariaDB()
		s.set("@@gtid_binlog_pos", tc.binlog)
		s.set("@@gtid_slave_pos", nil) // Case 75: as on the primary
		if got := builtinWritten(t, s); got != tc.want {
			t.Errorf("gtid_binlog_pos %v is written as %q, want %q", tc.binlog, got, tc.want)
		}
		if asked := s.statements(); len(asked) != 1 {
			t.Errorf("asked %q", asked)
		}
	}
}

func TestBuiltinWrittenMySQL(t *testing.T) {
	const own, foreign = uuidTwo, uuidOne
	var many strings.Builder
	many.WriteString(own + ":1")
	for i := range 400 {
		fmt.Fprintf(&many, ":%d", 1_000_000_000+3*i)
	}
	huge := many.String()
	for _, tc := range []struct{ executed, mode, want string }{
		{foreign + ":1-5," + own + ":1-3:5", "ON", "g1:" + own + ":1-3:5"},
		{foreign + ":1-5," + own + ":1-3", "ON_PERMISSIVE", "g1:" + own + ":1-3"},
		{foreign + ":1-5", "ON", "g1:" + foreign + ":1-5"},
		{foreign + ":1-5," + own + ":1-3", "OFF_PERMISSIVE", ""}, // what is written now has no name
		{foreign + ":1-5," + own + ":1-3", "OFF", ""},
		{"", "ON", ""},
		{huge, "ON", ""},
	} {
		s := scriptedMySQL()
		s.set("@@gtid_executed", tc.executed)
		s.set("@@gtid_mode", tc.mode)
		if got := builtinWritten(t, s); got != tc.want {
			t.Errorf("gtid_mode %s, %.200s is written as %q, want %q", tc.mode, tc.executed, got, tc.want)
		}
	}
}

// Case 90: a promoted server's gtid_slave_pos stays as it was.
func TestBuiltinAppliedMariaDB(t *testing.T) {
	s := scriptedMariaDB()
	for _, tc := range []struct {
		readOnly, slave, current driver.Value
		want                     string
	}{
		{int64(1), "1-11-430", "1-12-500", "m1:1-11-430"}, // 1-12-500: a stray write, ahead of the primary's
		{int64(0), "1-11-430", "1-12-500", "m1:1-12-500"},
		{"NO_LOCK", "1-11-430", "1-12-500", "m1:1-11-430"},
		{int64(1), nil, "1-12-500", ""},
		{int64(0), nil, "1-12-500,2-21-3", "m1:1-12-500,2-21-3"},
		{int64(1), "", "", ""},
	} {
		s.set("@@read_only", tc.readOnly)
		s.set("@@gtid_slave_pos", tc.slave)
		s.set("@@gtid_current_pos", tc.current)
		if got := builtinApplied(t, s); got != tc.want {
			t.Errorf("%+v: applied %q", tc, got)
		}
	}
	s.set("@@read_only", int64(1))
	s.set("@@gtid_slave_pos", manyDomains())
	if got := builtinApplied(t, s); got != "" {
		t.Errorf("40 domains are %q", got)
	}
	if p := builtinProbe(t, newBuiltin("", false), s); !builtinNoted(p, "replication domains") {
		t.Errorf("no word of 40 domains: %q", p.Notes)
	}
}

func TestBuiltinAppliedMySQL(t *testing.T) {
	s := scriptedMySQL()
	all := "g1:" + uuidOne + ":1-5:7-9," + uuidTwo + ":1"
	for mode, want := range map[string]string{"ON": all, "ON_PERMISSIVE": all, "OFF_PERMISSIVE": all, "OFF": ""} {
		s.set("@@gtid_mode", mode)
		if got := builtinApplied(t, s); got != want {
			t.Errorf("gtid_mode %s: applied %q", mode, got)
		}
	}
}

func TestBuiltinReachedAndMerge(t *testing.T) {
	b := newBuiltin("", false)
	const mysqlOne = "g1:" + uuidOne + ":1-23"
	for _, tc := range []struct {
		have, want string
		reached    bool
		merged     string
	}{
		{"m1:1-11-5", "m1:1-11-4", true, "m1:1-11-5"},
		{"m1:1-11-4", "m1:1-11-5", false, "m1:1-11-5"},
		{"m1:255-13-1000,256-14-49", "m1:255-11-99,256-12-50", false, "m1:255-13-1000,256-12-50"}, // Case 65
		{"m1:1-11-5", "", true, "m1:1-11-5"},
		{"", "m1:1-11-5", false, "m1:1-11-5"},
		{"", "", true, ""},
		{"g1:" + uuidOne + ":5-24", mysqlOne, false, "g1:" + uuidOne + ":1-24"}, // Case 67
	} {
		reached, err := b.Reached(tc.have, tc.want)
		if err != nil || reached != tc.reached {
			t.Errorf("%q has reached %q: %t, %v", tc.have, tc.want, reached, err)
		}
		if merged, err := b.Merge(tc.have, tc.want); err != nil || merged != tc.merged {
			t.Errorf("%q and %q are %q, %v", tc.have, tc.want, merged, err)
		}
	}
	for _, tc := range [][2]string{
		{"m1:1-11-5", mysqlOne}, {"m1:1-11-5", "lsn:7"}, {"m1:1-11", ""}, {"m1:" + manyDomains(), "m1:1-1-1"},
	} {
		for _, p := range [][2]string{tc, {tc[1], tc[0]}} {
			if reached, err := b.Reached(p[0], p[1]); err == nil || reached {
				t.Errorf("%.80q has reached %.80q: %t", p[0], p[1], reached)
			}
			if merged, err := b.Merge(p[0], p[1]); err == nil || merged != "" {
				t.Errorf("%.80q and %.80q are %q", p[0], p[1], merged)
			}
		}
	}
}
