package rdbmstest_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/heartbeat"
	"github.com/multidc/multidc/rdbms/position"
	"github.com/multidc/multidc/rdbms/rdbmstest"
)

// small is an Engine for MariaDB with nothing that is not in the contract.
type small struct{}

func (small) Probe(ctx context.Context, conn *sql.Conn) (rdbms.Probe, error) {
	var p rdbms.Probe
	var host, uptime string
	query := "SELECT @@hostname, @@server_id, @@read_only, " +
		"(SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'UPTIME')"
	if err := conn.QueryRowContext(ctx, query).Scan(&host, &p.ServerID, &p.ReadOnly, &uptime); err != nil {
		return rdbms.Probe{}, err
	}
	// Good enough here: the fake's servers have been up for days, so how many digits that has tells a restart.
	p.Identity = fmt.Sprintf("%s up %d", host, len(uptime))
	var err error
	if p.Applied, err = (small{}).Applied(ctx, conn); err != nil {
		return rdbms.Probe{}, err
	}
	p.Beats, err = heartbeat.Read(ctx, conn, "")
	return p, err
}

func (small) Written(ctx context.Context, conn *sql.Conn) (string, error) {
	return ask(ctx, conn, "gtid_binlog_pos")
}

func (small) Applied(ctx context.Context, conn *sql.Conn) (string, error) {
	return ask(ctx, conn, "gtid_current_pos")
}

func ask(ctx context.Context, conn *sql.Conn, variable string) (string, error) {
	var text string
	if err := conn.QueryRowContext(ctx, "SELECT @@"+variable).Scan(&text); err != nil {
		return "", err
	}
	p, err := position.ParseMariaDB(text)
	return p.String(), err
}

func (small) Reached(have, want string) (bool, error) {
	h, w, err := both(have, want)
	if err != nil {
		return false, err
	}
	return position.Reached(h, w)
}

func (small) Merge(a, b string) (string, error) {
	p, q, err := both(a, b)
	if err != nil {
		return "", err
	}
	m, err := position.Merge(p, q)
	return m.String(), err
}

func both(a, b string) (p, q position.Position, err error) {
	p, errP := position.Parse(a)
	q, errQ := position.Parse(b)
	return p, q, errors.Join(errP, errQ)
}

func (small) Classify(err error) rdbms.Fault {
	var answer *mysql.MySQLError
	if !errors.As(err, &answer) {
		return rdbms.FaultStatement
	}
	switch answer.Number {
	case 1040, 1053:
		return rdbms.FaultServer
	case 1290, 1792, 1836:
		return rdbms.FaultReadOnly
	}
	return rdbms.FaultStatement
}

// harness runs an engine over a fake cluster.
func harness(engine rdbms.Engine) rdbmstest.EngineHarness {
	return rdbmstest.EngineHarness{
		Engine:    engine,
		Malformed: []string{"m1:1-2", "m1:1-2-x", "m1:1-2-3-4", "g1:no-uuid:1"},
		Errors: map[rdbms.Fault][]error{
			rdbms.FaultServer:    {&mysql.MySQLError{Number: 1040}, &mysql.MySQLError{Number: 1053}},
			rdbms.FaultReadOnly:  {&mysql.MySQLError{Number: 1792}},
			rdbms.FaultStatement: {&mysql.MySQLError{Number: 1213}, &mysql.MySQLError{Number: 1062}},
		},
		New: func(tb testing.TB) rdbmstest.EngineServers {
			tb.Helper()
			return engineServers(tb)
		},
	}
}

func engineServers(tb testing.TB) rdbmstest.EngineServers {
	tb.Helper()
	c := rdbmstest.New(tb, rdbmstest.Server{Name: "primary"}, rdbmstest.Server{Name: "replica"})
	config := c.Config()
	s := rdbmstest.EngineServers{
		Primary: sql.OpenDB(config.Servers[0].Connector),
		Replica: sql.OpenDB(config.Servers[1].Connector),
	}
	tb.Cleanup(func() { _ = s.Primary.Close(); _ = s.Replica.Close() })
	n := atomic.Int64{}
	s.Write = func(ctx context.Context) error {
		_, err := s.Primary.ExecContext(ctx, "REPLACE INTO kv VALUES ('written', ?)", n.Add(1))
		return err
	}
	s.Replicate = func(context.Context) error { return nil } // there is no lag
	set := func(server string, change func(*rdbmstest.Knobs)) { c.Set(server, change) }
	s.Hold = func() func() {
		set("replica", func(k *rdbmstest.Knobs) { k.StopApplying = true })
		return func() { set("replica", func(k *rdbmstest.Knobs) { k.StopApplying = false }) }
	}
	s.ReadOnly = func(on bool) { set("primary", func(k *rdbmstest.Knobs) { k.ReadOnly = on }) }
	s.Restart = func() { c.Restart("replica") }
	s.Hang = func() func() {
		set("primary", func(k *rdbmstest.Knobs) { k.Hang = true })
		return func() { set("primary", func(k *rdbmstest.Knobs) { k.Hang = false }) }
	}
	return s
}

func TestEngineSuite(t *testing.T) {
	rdbmstest.TestEngine(t, harness(small{}))
}

// blind is right where the servers have no positions, and nothing tells the lag.
type blind struct{ small }

func (e blind) Probe(ctx context.Context, conn *sql.Conn) (rdbms.Probe, error) {
	p, err := e.small.Probe(ctx, conn)
	p.Applied, p.Beats, p.Lag.Why = "", heartbeat.Reading{}, rdbms.LagNoTable
	return p, err
}

func (blind) Written(ctx context.Context, _ *sql.Conn) (string, error) { return "", ctx.Err() }
func (blind) Applied(ctx context.Context, _ *sql.Conn) (string, error) { return "", ctx.Err() }

// A server, or an engine, may be able to do little; what it says it can do is tested.
func TestEngineSuiteWithoutAbilities(t *testing.T) {
	h := harness(blind{})
	h.NoPositions, h.NoLag = true, true
	full := h.New
	h.New = func(tb testing.TB) rdbmstest.EngineServers {
		tb.Helper()
		s := full(tb)
		s.Hold, s.ReadOnly, s.Restart, s.Hang = nil, nil, nil, nil
		return s
	}
	rdbmstest.TestEngine(t, h)
}

// brokenEngines are engines with one mistake each, by the test of the suite that must find it.
var brokenEngines = map[string]rdbms.Engine{
	"probe/identity":                                sameIdentity{},
	"probe/a_restart_changes_the_identity":          nameOnly{},
	"probe/read_only":                               alwaysWritable{},
	"probe/lag":                                     zeroLag{},
	"probe/position":                                oldPosition{},
	"positions/written_rises":                       firstPosition{},
	"positions/applied_follows":                     blanks{},
	"positions/the_primary_has_what_it_has_written": slavePos{},
	"positions/held_back":                           ahead{},
	"positions/order":                               nothingReachesAll{},
	"positions/merge":                               lowers{},
	"positions/several_goroutines":                  impure{},
	"texts/foreign_texts":                           anyText{},
	"texts/malformed_texts":                         mends{},
	"faults/a_statement_that_nobody_understands":    everythingIsTheServer{},
	"faults/a_write_on_a_read-only_server":          noReadOnly{},
	"faults/errors_of_the_server":                   notWrapped{},
	"faults/errors_that_are_none_of_the_server's":   foreignIsTheServer{},
	"cancellation/a_context_that_has_ended":         ignoresEnd{},
	"cancellation/a_server_that_hangs":              remembers{},
}

type sameIdentity struct{ small }

func (e sameIdentity) Probe(ctx context.Context, conn *sql.Conn) (rdbms.Probe, error) {
	p, err := e.small.Probe(ctx, conn)
	p.Identity = "a server"
	return p, err
}

type nameOnly struct{ small }

func (e nameOnly) Probe(ctx context.Context, conn *sql.Conn) (rdbms.Probe, error) {
	p, err := e.small.Probe(ctx, conn)
	p.Identity = strings.Fields(p.Identity + " none")[0]
	return p, err
}

type alwaysWritable struct{ small }

func (e alwaysWritable) Probe(ctx context.Context, conn *sql.Conn) (rdbms.Probe, error) {
	p, err := e.small.Probe(ctx, conn)
	p.ReadOnly = false
	return p, err
}

type zeroLag struct{ small }

func (e zeroLag) Probe(ctx context.Context, conn *sql.Conn) (rdbms.Probe, error) {
	p, err := e.small.Probe(ctx, conn)
	p.Beats = heartbeat.Reading{}
	return p, err // and no reason why the lag is unknown
}

type oldPosition struct{ small }

func (e oldPosition) Probe(ctx context.Context, conn *sql.Conn) (rdbms.Probe, error) {
	p, err := e.small.Probe(ctx, conn)
	p.Applied = "m1:1-11-1"
	return p, err
}

type firstPosition struct{ small }

func (firstPosition) Written(context.Context, *sql.Conn) (string, error) { return "m1:1-11-1", nil }

type blanks struct{ small }

func (e blanks) Applied(ctx context.Context, conn *sql.Conn) (string, error) {
	text, err := e.small.Applied(ctx, conn)
	return text + "\n", err
}

// slavePos falls into the trap: a server's own writes are not in gtid_slave_pos.
type slavePos struct{ small }

func (slavePos) Applied(ctx context.Context, conn *sql.Conn) (string, error) {
	return ask(ctx, conn, "gtid_slave_pos")
}

type ahead struct{ small }

func (ahead) Applied(context.Context, *sql.Conn) (string, error) { return "m1:1-11-999999999", nil }

type nothingReachesAll struct{ small }

func (e nothingReachesAll) Reached(have, want string) (bool, error) {
	if have == "" {
		return true, nil
	}
	return e.small.Reached(have, want)
}

// lowers takes the second one, whatever the first was.
type lowers struct{ small }

func (e lowers) Merge(a, b string) (string, error) {
	if _, err := e.small.Merge(a, b); err != nil || b != "" {
		return b, err
	}
	return a, nil
}

// impure is right for one caller at a time.
type impure struct{ small }

var callers atomic.Int32

func (e impure) Reached(have, want string) (bool, error) {
	defer callers.Add(-1)
	if callers.Add(1) > 1 {
		return false, errors.New("disturbed")
	}
	runtime.Gosched()
	return e.small.Reached(have, want)
}

type anyText struct{ small }

func (e anyText) Reached(have, want string) (bool, error) {
	ok, err := e.small.Reached(have, want)
	if err != nil {
		return false, nil //nolint:nilerr // its fault
	}
	return ok, nil
}

// mends takes what it does not understand of its own form for nothing.
type mends struct{ small }

func (e mends) Merge(a, b string) (string, error) {
	if strings.HasPrefix(a, "m1:1-2") {
		a = ""
	}
	return e.small.Merge(a, b)
}

type everythingIsTheServer struct{ small }

func (everythingIsTheServer) Classify(error) rdbms.Fault { return rdbms.FaultServer }

type noReadOnly struct{ small }

func (noReadOnly) Classify(error) rdbms.Fault { return rdbms.FaultStatement }

type notWrapped struct{ small }

func (e notWrapped) Classify(err error) rdbms.Fault {
	if _, ok := err.(*mysql.MySQLError); !ok { //nolint:errorlint // this is the mistake
		return rdbms.FaultStatement
	}
	return e.small.Classify(err)
}

type foreignIsTheServer struct{ small }

func (e foreignIsTheServer) Classify(err error) rdbms.Fault {
	if answer := (*mysql.MySQLError)(nil); !errors.As(err, &answer) {
		return rdbms.FaultServer
	}
	return e.small.Classify(err)
}

type ignoresEnd struct{ small }

func (e ignoresEnd) Applied(ctx context.Context, conn *sql.Conn) (string, error) {
	return e.small.Applied(context.WithoutCancel(ctx), conn)
}

// remembers answers for a server that does not.
type remembers struct{ small }

func (e remembers) Written(ctx context.Context, conn *sql.Conn) (string, error) {
	text, err := e.small.Written(ctx, conn)
	if errors.Is(err, context.DeadlineExceeded) {
		return text, nil
	}
	return text, err
}

const brokenEngineVar = "MULTIDC_RDBMSTEST_BROKEN_ENGINE"

// TestBrokenEngine is what TestSuiteFindsBrokenEngines runs: the suite over an engine with a mistake.
func TestBrokenEngine(t *testing.T) {
	engine, chosen := brokenEngines[os.Getenv(brokenEngineVar)]
	if !chosen {
		engine = small{} // and without one it passes
	}
	rdbmstest.TestEngine(t, harness(engine))
}

// The suite can fail: each mistake is found, by the test that is about it.
func TestSuiteFindsBrokenEngines(t *testing.T) {
	t.Parallel()
	for test := range brokenEngines {
		t.Run(test, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestBrokenEngine$/^"+pattern(test)+"$", "-test.v")
			cmd.Env = append(os.Environ(), brokenEngineVar+"="+test)
			out, err := cmd.CombinedOutput()
			if failed := (*exec.ExitError)(nil); !errors.As(err, &failed) || !bytes.Contains(out, []byte("--- FAIL: TestBrokenEngine/"+test)) {
				t.Errorf("the mistake was not found: %v\n%s", err, out)
			}
		})
	}
}
