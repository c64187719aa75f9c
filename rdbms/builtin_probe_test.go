package rdbms

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// builtinProbe makes one probe that must succeed.
func builtinProbe(t *testing.T, b *builtin, s *builtinScript) Probe {
	t.Helper()
	p, err := b.Probe(t.Context(), s.conn(t))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func builtinNoted(p Probe, text string) bool {
	return slices.ContainsFunc(p.Notes, func(note string) bool { return strings.Contains(note, text) })
}

func TestBuiltinProbeMariaDB(t *testing.T) {
	s := scriptedMariaDB()
	p := builtinProbe(t, newBuiltin("", false), s)
	want := Probe{
		Identity: "db2, server_id 12 since 2026-05-01T10:00:00Z", ServerID: 12, ReadOnly: true, Applied: "m1:1-11-430",
		Beats: p.Beats, Notes: []string{"MariaDB 10.11.6-MariaDB-log", "gtid_domain_id 1"},
	}
	if fmt.Sprint(p) != fmt.Sprint(want) {
		t.Errorf("got  %+v\nwant %+v", p, want)
	}
	if len(p.Beats.Rows) != 1 || p.Beats.Rows[0].ServerID != 11 || p.Beats.Now.IsZero() {
		t.Errorf("beats %+v", p.Beats)
	}
	// Over a slow link more than two would not fit into the time of a probe.
	if asked := s.statements(); len(asked) != 2 {
		t.Errorf("asked %q", asked)
	}
	s.set("@@log_bin", int64(0))
	if p := builtinProbe(t, newBuiltin("", false), s); !builtinNoted(p, "log_bin is off") {
		t.Errorf("no word of log_bin: %q", p.Notes)
	}
}

func TestBuiltinProbeMySQL(t *testing.T) {
	s, b := scriptedMySQL(), newBuiltin("", false)
	p := builtinProbe(t, b, s)
	want := Probe{
		Identity: uuidTwo + " since 2026-05-01T10:00:00Z", ServerID: 12, ReadOnly: true,
		Applied: "g1:" + uuidOne + ":1-5:7-9," + uuidTwo + ":1", Beats: p.Beats, Notes: []string{"MySQL 8.0.36"},
	}
	if fmt.Sprint(p) != fmt.Sprint(want) || len(p.Beats.Rows) != 1 {
		t.Errorf("got  %+v\nwant %+v", p, want)
	}
	if asked := s.statements(); len(asked) != 3 { // MariaDB's words first
		t.Errorf("asked %q", asked)
	}
	builtinProbe(t, b, s)
	if asked := s.statements(); len(asked) != 2 {
		t.Errorf("asked again %q: what the server understood was forgotten", asked)
	}
	s.set("@@gtid_mode", []byte("OFF"))
	if p := builtinProbe(t, b, s); p.Applied != "" || !builtinNoted(p, "gtid_mode OFF") {
		t.Errorf("with GTIDs off: %+v", p)
	}
}

// One engine serves servers of both kinds.
func TestBuiltinMixedCluster(t *testing.T) {
	b, m, n := newBuiltin("", false), scriptedMariaDB(), scriptedMySQL()
	for range 3 {
		if p := builtinProbe(t, b, m); !strings.HasPrefix(p.Applied, "m1:") {
			t.Errorf("MariaDB is at %q", p.Applied)
		}
		if p := builtinProbe(t, b, n); !strings.HasPrefix(p.Applied, "g1:") {
			t.Errorf("MySQL is at %q", p.Applied)
		}
	}
}

func TestBuiltinForeignServer(t *testing.T) {
	s := newScript(map[string]driver.Value{"@@version": "PostgreSQL"})
	_, err := newBuiltin("", false).Probe(t.Context(), s.conn(t))
	if errorNumber(err) != errUnknownVariable || !strings.Contains(err.Error(), "Options.Engine") {
		t.Errorf("got %v", err)
	}
	// Every other error ends the question.
	s.statements()
	for _, broken := range []error{driver.ErrBadConn, scriptedError(errTooManyConnections), context.DeadlineExceeded} {
		s.fails = broken
		for _, ask := range []func() error{
			func() error { _, err := newBuiltin("", false).Probe(t.Context(), s.conn(t)); return err },
			func() error { _, err := newBuiltin("", false).Written(t.Context(), s.conn(t)); return err },
			func() error { _, err := newBuiltin("", false).Applied(t.Context(), s.conn(t)); return err },
		} {
			if err := ask(); !errors.Is(err, broken) || len(s.statements()) != 1 {
				t.Errorf("%v became %v, or was asked again", broken, err)
			}
		}
	}
}

// What does not say off is on: newer servers have words.
func TestBuiltinReadOnly(t *testing.T) {
	for value, want := range map[driver.Value]bool{
		int64(0): false, "0": false, "OFF": false, "off": false,
		int64(1): true, "1": true, "ON": true, "NO_LOCK": true, "NO_LOCK_NO_ADMIN": true, nil: true,
	} {
		s := scriptedMariaDB()
		s.set("@@read_only", value)
		if p := builtinProbe(t, newBuiltin("", false), s); p.ReadOnly != want {
			t.Errorf("read_only %v is read_only %t", value, p.ReadOnly)
		}
		for _, variable := range []string{"@@read_only", "@@super_read_only"} {
			s := scriptedMySQL()
			s.set("@@read_only", int64(0))
			s.set("@@super_read_only", int64(0))
			s.set(variable, value)
			if p := builtinProbe(t, newBuiltin("", false), s); p.ReadOnly != want {
				t.Errorf("%s %v is read_only %t", variable, value, p.ReadOnly)
			}
		}
	}
}

func TestBuiltinIdentity(t *testing.T) {
	for _, s := range []*builtinScript{scriptedMariaDB(), scriptedMySQL()} {
		b := newBuiltin("", false)
		at := func(clock string, uptime int) string {
			s.set("UTC_TIMESTAMP(6)", []byte(clock))
			s.set(mariadbUptime, int64(uptime))
			s.set(mysqlUptime, int64(uptime))
			return builtinProbe(t, b, s).Identity
		}
		first := at("2026-05-01 10:00:07.250000", 7)
		for _, same := range []string{
			at("2026-05-01 10:00:07.999999", 7), at("2026-05-01 10:00:09.000000", 8), at("2026-05-01 10:00:08.100000", 9),
			at("2026-05-02 10:00:07.000000", 86_402), at("2026-05-02 10:00:07.000000", 86_412),
		} {
			if same != first {
				t.Errorf("%q became %q: the same server twice", first, same)
			}
		}
		second := at("2026-05-02 10:00:13.999999", 86_407)
		if second == first {
			t.Errorf("the restart was not noticed: %q", second)
		}
		if again := at("2026-05-02 10:00:14.000000", 86_408); again != second {
			t.Errorf("%q became %q", second, again)
		}
	}
	// The driver may make a time of the clock, in any zone.
	s := scriptedMariaDB()
	s.set("UTC_TIMESTAMP(6)", time.Date(2026, 5, 1, 10, 0, 7, 25e7, time.FixedZone("far", 5*3600)))
	if p := builtinProbe(t, newBuiltin("", false), s); p.Identity != "db2, server_id 12 since 2026-05-01T10:00:00Z" {
		t.Errorf("with parseTime %q", p.Identity)
	}
}

func TestBuiltinIdentityOfAnotherServer(t *testing.T) {
	b := newBuiltin("", false)
	seen := map[string]bool{}
	for variable, value := range map[string]driver.Value{"@@hostname": "db3", "@@server_id": int64(13), "@@log_bin": int64(0)} {
		s := scriptedMariaDB()
		s.set(variable, value)
		seen[builtinProbe(t, b, s).Identity] = true
	}
	other := scriptedMySQL()
	other.set("@@server_uuid", uuidOne)
	seen[builtinProbe(t, b, other).Identity] = true
	seen[builtinProbe(t, b, scriptedMySQL()).Identity] = true
	if len(seen) != 5 {
		t.Errorf("not five servers: %v", seen)
	}
}

func TestBuiltinIdentityUnknown(t *testing.T) {
	s := scriptedMySQL()
	s.set(mysqlUptime, nil)
	if p := builtinProbe(t, newBuiltin("", false), s); p.Identity != uuidTwo || !builtinNoted(p, "restart") {
		t.Errorf("without an uptime: %q, %q", p.Identity, p.Notes)
	}
	for variable, value := range map[string]driver.Value{mysqlUptime: "soon", "UTC_TIMESTAMP(6)": "soon", "@@server_id": "-1"} {
		s := scriptedMySQL()
		s.set(variable, value)
		if p, err := newBuiltin("", false).Probe(t.Context(), s.conn(t)); err == nil || p.Identity != "" {
			t.Errorf("%s %v: %+v", variable, value, p)
		}
	}
}

func TestServerStartsAreBounded(t *testing.T) {
	var s serverStarts
	start := time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)
	for i := range 10 * maxStarts {
		if got := s.told(strconv.Itoa(i), start); !got.Equal(start) || len(s.of) > maxStarts {
			t.Fatalf("server %d: %v, %d known", i, got, len(s.of))
		}
	}
}

// Case 34: a probe goes on without a heartbeat, and says what helps.
func TestBuiltinHeartbeatRefused(t *testing.T) {
	for number, want := range map[uint16]LagReason{
		1146: LagNoTable, 1049: LagNoTable, 1142: LagNoRight, 1143: LagNoRight, 1044: LagNoRight,
	} {
		s := scriptedMariaDB()
		s.answers[scriptedBeats] = scriptedAnswer{err: scriptedError(number)}
		p := builtinProbe(t, newBuiltin("", false), s)
		help := map[LagReason]string{LagNoTable: "--create-table", LagNoRight: "GRANT SELECT"}[want]
		if p.Lag != unknown(want) || len(p.Beats.Rows) != 0 || !builtinNoted(p, help) || p.Applied == "" {
			t.Errorf("%d: %+v", number, p)
		}
	}
	s := scriptedMariaDB()
	s.answers[scriptedBeats] = scriptedAnswer{columns: scriptedBeat.columns}
	if p := builtinProbe(t, newBuiltin("", false), s); p.Lag != unknown(LagNoRow) || !builtinNoted(p, "pt-heartbeat") {
		t.Errorf("without a row: %+v", p)
	}
	// Another table by mistake: the server is well.
	page := []driver.Value{"2026-05-01 10:00:07", int64(1)}
	s.answers[scriptedBeats] = scriptedAnswer{columns: []string{"clock", "page_id"}, rows: [][]driver.Value{page}}
	if p := builtinProbe(t, newBuiltin("", false), s); p.Lag != unknown(LagNoTable) || !builtinNoted(p, "needs the columns") {
		t.Errorf("another table: %+v", p)
	}
	s.answers["SELECT UTC_TIMESTAMP(6), hb.* FROM `ops`.`beats` AS hb LIMIT 1000"] = scriptedBeat
	if p := builtinProbe(t, newBuiltin("ops.beats", false), s); len(p.Beats.Rows) != 1 || p.Lag.Why != "" {
		t.Errorf("a table of another name: %+v", p)
	}
}

// A probe that failed is no reading, and no reason either.
func TestBuiltinHeartbeatFails(t *testing.T) {
	for _, broken := range []error{
		driver.ErrBadConn, context.DeadlineExceeded, scriptedError(errShutdown), scriptedError(1317), scriptedError(1927),
	} {
		s := scriptedMariaDB()
		s.answers[scriptedBeats] = scriptedAnswer{err: broken}
		p, err := newBuiltin("", false).Probe(t.Context(), s.conn(t))
		if !errors.Is(err, broken) || fmt.Sprint(p) != fmt.Sprint(Probe{}) {
			t.Errorf("%v: %+v, %v", broken, p, err)
		}
	}
}
