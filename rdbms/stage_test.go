package rdbms_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/rdbmstest"
)

// stage is a fake cluster with an rdbms one over it in a bubble, and what that told.
type stage struct {
	*testing.T

	fake    *rdbmstest.Cluster
	cluster *rdbms.Cluster

	mu         sync.Mutex
	wrote      []rdbms.WriteInfo
	refused    []rdbms.WriteInfo
	violations []rdbms.WriteInfo
	waits      []rdbms.WaitInfo
	reads      []rdbms.ReadInfo
	warnings   []rdbms.WarningInfo
	readOnly   []rdbms.ReadOnlyInfo
}

// setting is what a stage begins with.
type setting struct {
	servers []rdbmstest.Server // nil = pair
	lag     map[string]time.Duration
	change  func(*rdbms.Config, *rdbms.Options)
	alone   bool // without a monitor
}

var (
	pair   = []rdbmstest.Server{{Name: "db1"}, {Name: "db2"}}
	triple = []rdbmstest.Server{{Name: "db1"}, {Name: "db2"}, {Name: "db3"}}
	twoDCs = []rdbmstest.Server{{Name: "db1"}, {Name: "db2"}, {Name: "db3", DC: "b"}}
)

func onStage(t *testing.T, begin setting, test func(*stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if begin.servers == nil {
			begin.servers = pair
		}
		s := &stage{T: t, fake: rdbmstest.New(t, begin.servers...)}
		for server, lag := range begin.lag {
			s.fake.Set(server, func(k *rdbmstest.Knobs) { k.Lag = lag })
		}
		s.cluster = s.open(begin.change)
		if !begin.alone {
			run(t, s.cluster)
		}
		test(s)
	})
}

// open makes a cluster that tells the stage.
func (s *stage) open(change func(*rdbms.Config, *rdbms.Options)) *rdbms.Cluster {
	return open(s.T, s.fake, func(c *rdbms.Config, o *rdbms.Options) {
		o.Events = rdbms.Events{
			OnWrote: listen(s, &s.wrote), OnRefused: listen(s, &s.refused), OnViolation: listen(s, &s.violations),
			OnWaited: listen(s, &s.waits), OnRead: listen(s, &s.reads), OnWarning: listen(s, &s.warnings),
			OnReadOnly: listen(s, &s.readOnly),
		}
		if change != nil {
			change(c, o)
		}
	})
}

func listen[T any](s *stage, list *[]T) func(context.Context, T) {
	return func(_ context.Context, info T) {
		s.mu.Lock()
		defer s.mu.Unlock()
		*list = append(*list, info)
	}
}

// heard is what was told so far.
func heard[T any](s *stage, list *[]T) []T {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]T(nil), *list...)
}

func (s *stage) scope() context.Context { return rdbms.WithScope(s.Context()) }

func (s *stage) set(server string, change func(*rdbmstest.Knobs)) {
	s.Helper()
	s.fake.Set(server, change)
}

// put writes on the primary.
func (s *stage) put(ctx context.Context, key, value string) {
	s.Helper()
	if err := put(ctx, s.cluster.Primary(), key, value); err != nil {
		s.Fatalf("put %s=%s: %v", key, value, err)
	}
}

// want reads a value, "" for none.
func (s *stage) want(ctx context.Context, db querying, key, value string) {
	s.Helper()
	var got string
	err := db.QueryRowContext(ctx, "SELECT v FROM kv WHERE k = ?", key).Scan(&got)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	if err != nil || got != value {
		s.Errorf("%s is %q, %v; want %q", key, got, err, value)
	}
}

// querying is what *sql.DB, *sql.Conn and *sql.Tx can do.
type querying interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// queryAll runs a query whose rows do not matter.
func queryAll(ctx context.Context, db queryingAll, query string) error {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
	}
	return rows.Err()
}

// wantError wants an error of that kind, which database/sql would not take for a reason to try again.
func (s *stage) wantError(err, kind error, what string) {
	s.Helper()
	if !errors.Is(err, kind) {
		s.Errorf("%s: got %v, want %v", what, err, kind)
	}
}

// position writes something in a scope of its own and returns the position that includes it.
func (s *stage) position(key, value string) (position string, asOf time.Time) {
	s.Helper()
	ctx := s.scope()
	s.put(ctx, key, value)
	wrote, position, asOf, err := s.cluster.Positions().Captured(ctx)
	if !wrote || position == "" || err != nil {
		s.Fatalf("Captured: %t, %q, %v", wrote, position, err)
	}
	return position, asOf
}

// require makes a scope that must see a position.
func (s *stage) require(position string, asOf time.Time, wait time.Duration, policy rdbms.TimeoutPolicy) context.Context {
	s.Helper()
	ctx := s.scope()
	if err := s.cluster.Positions().Require(ctx, position, asOf, wait, string(policy)); err != nil {
		s.Fatalf("Require: %v", err)
	}
	return ctx
}

// took is how long something takes.
func took(do func()) time.Duration {
	began := time.Now()
	do()
	return time.Since(began)
}

// asked counts the statements of a server whose text contains a part.
func (s *stage) asked(server, part string) (n int) {
	s.Helper()
	for query, times := range s.fake.Counts(server).Queries {
		if strings.Contains(query, part) {
			n += times
		}
	}
	return n
}

// The statements by which the built-in engine asks for positions.
const (
	askWritten = "@@gtid_binlog_pos"
	askApplied = "SELECT @@read_only, @@gtid_slave_pos, @@gtid_current_pos"
)

// appliedOnly counts the questions of the waits: a probe asks more.
func (s *stage) appliedOnly(server string) int {
	s.Helper()
	return s.fake.Counts(server).Queries[askApplied]
}

// row is Explain's of a server.
func (s *stage) row(server string) rdbms.ServerInfo {
	s.Helper()
	for _, row := range s.cluster.Explain(s.Context()).Servers {
		if row.Name == server {
			return row
		}
	}
	s.Fatalf("Explain has no server %q", server)
	return rdbms.ServerInfo{}
}

// idle wants that nothing is borrowed any more, of any server and of the cluster's own handles.
func (s *stage) idle() {
	s.Helper()
	time.Sleep(50 * time.Millisecond) // who asks for a position notices that nobody waits any more
	synctest.Wait()
	for _, row := range s.cluster.Explain(s.Context()).Servers {
		if row.InFlight != 0 || row.Open != row.Idle {
			s.Errorf("%s: %d in flight, %d open, %d idle", row.Name, row.InFlight, row.Open, row.Idle)
		}
	}
	for name, db := range map[string]*sql.DB{"Primary": s.cluster.Primary(), "Replica": s.cluster.Replica(), "Auto": s.cluster.Auto()} {
		if n := db.Stats().InUse; n != 0 {
			s.Errorf("%s(): %d in use", name, n)
		}
	}
}
