package rdbms_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/multidc/multidc/rdbms"
)

// Case Xn. What the phases allow, for each kind of statement, through the scope and through WithPhase.
func TestPhases(t *testing.T) {
	exec := func(ctx context.Context, c *rdbms.Cluster) error { return put(ctx, c.Primary(), "k", "v") }
	queryWrite := func(ctx context.Context, c *rdbms.Cluster) error {
		var v string
		return c.Auto().QueryRowContext(ctx, "INSERT INTO kv (k, v) VALUES ('new', 'v') RETURNING v").Scan(&v)
	}
	inTx := func(ctx context.Context, c *rdbms.Cluster) error {
		tx, err := c.Primary().BeginTx(context.WithoutCancel(ctx), nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Commit() }()
		_, err = tx.ExecContext(ctx, "REPLACE INTO kv VALUES ('k', 'v')")
		return err
	}
	readPrimary := func(ctx context.Context, c *rdbms.Cluster) error { _, err := who(ctx, c.Primary()); return err }
	withPrimary := func(ctx context.Context, c *rdbms.Cluster) error {
		_, err := who(rdbms.WithPrimary(ctx), c.Replica())
		return err
	}
	noStaleness := func(ctx context.Context, c *rdbms.Cluster) error {
		_, err := who(rdbms.WithMaxStaleness(ctx, 0), c.Auto())
		return err
	}
	read := func(ctx context.Context, c *rdbms.Cluster) error { _, err := who(ctx, c.Replica()); return err }
	const (
		silent = iota
		reported
		forbidden
	)
	for _, tc := range []struct {
		name                                           string
		do                                             func(context.Context, *rdbms.Cluster) error
		none, get, getEnforced, postSend, post, others int
	}{
		{"Exec", exec, silent, reported, forbidden, reported, forbidden, silent},
		{"a write by Query", queryWrite, silent, reported, forbidden, reported, forbidden, silent},
		{"Exec in a transaction", inTx, silent, reported, forbidden, reported, forbidden, silent},
		{"a read of Primary", readPrimary, silent, reported, reported, reported, silent, silent},
		{"WithPrimary", withPrimary, silent, reported, reported, reported, silent, silent},
		{"staleness 0", noStaleness, silent, reported, reported, reported, silent, silent},
		{"a read", read, silent, silent, silent, silent, silent, silent},
	} {
		for _, when := range []struct {
			phase   rdbms.Phase
			enforce bool
			want    int
		}{
			{rdbms.PhaseAny, true, tc.none}, {rdbms.PhaseGET, false, tc.get}, {rdbms.PhaseGET, true, tc.getEnforced},
			{rdbms.PhasePostSendGET, false, tc.postSend}, {rdbms.PhasePOSTNonWrite, false, tc.post}, {"POST", true, tc.others},
		} {
			for _, by := range []string{"scope", "context"} {
				t.Run(fmt.Sprintf("%s/%s/%t/%s", tc.name, when.phase, when.enforce, by), func(t *testing.T) {
					onStage(t, setting{alone: true, change: func(_ *rdbms.Config, o *rdbms.Options) { o.Enforce = when.enforce }}, func(s *stage) {
						ctx := s.scope()
						if by == "scope" {
							s.cluster.Positions().Phase(ctx, string(when.phase))
						} else {
							s.cluster.Positions().Phase(ctx, "POST-nonwrite") // which WithPhase overrules
							ctx = rdbms.WithPhase(ctx, when.phase)
						}
						err := tc.do(ctx, s.cluster)
						violations, refused := heard(s, &s.violations), heard(s, &s.refused)
						if when.want == forbidden {
							s.wantError(err, rdbms.ErrWriteForbidden, "forbidden")
							if len(refused) != 1 || !errors.Is(err, refused[0].Err) || refused[0].Phase != when.phase {
								s.Errorf("OnRefused: %+v", refused)
							}
							if n := s.fake.Counts("db1").Writes; n != 0 {
								s.Errorf("%d writes reached the server", n)
							}
							return
						}
						if err != nil || len(refused) > 0 {
							s.Errorf("%v, OnRefused: %+v", err, refused)
						}
						if len(violations) != when.want {
							s.Errorf("OnViolation: %+v", violations)
						}
						for _, v := range violations {
							if v.Cluster != "main" || v.Phase != when.phase || v.Query == "" || !strings.Contains(v.Caller, "_test.go:") {
								s.Errorf("%+v", v)
							}
						}
					})
				})
			}
		}
	}
}

// Case Xn. A violation is told once for each scope and kind.
func TestViolationOnce(t *testing.T) {
	onStage(t, setting{alone: true}, func(s *stage) {
		for scope := 1; scope <= 2; scope++ {
			ctx := s.scope()
			s.cluster.Positions().Phase(ctx, "GET")
			for range 3 {
				s.put(ctx, "k", "v")
				s.want(ctx, s.cluster.Primary(), "k", "v")
				s.put(rdbms.WithPhase(ctx, rdbms.PhaseAny), "k", "w")
				s.put(ctx, "k", "v")
			}
			if told := heard(s, &s.violations); len(told) != 2*scope {
				s.Errorf("%d times OnViolation: %+v", len(told), told)
			}
		}
		if got := heard(s, &s.wrote); len(got) != 2*9 {
			s.Errorf("%d commits", len(got))
		}
	})
}

// Case Xn. That a read comes to the primary by policy is not its author's violation.
func TestFallToPrimaryIsNoViolation(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		position, asOf := s.missing()
		ctx := s.require(position, asOf, -1, rdbms.OnTimeoutPrimary)
		s.cluster.Positions().Phase(ctx, "GET")
		s.want(ctx, s.cluster.Replica(), "missing", "yes")
		stale := s.scope()
		s.cluster.Positions().Phase(stale, "GET")
		time.Sleep(2 * time.Second)
		if server, err := who(rdbms.WithMaxStaleness(stale, time.Second), s.cluster.Replica()); server != "db1" || err != nil {
			s.Errorf("%s, %v", server, err)
		}
		if told := heard(s, &s.violations); len(told) > 0 {
			s.Errorf("%+v", told)
		}
	})
}

// What is told of a statement shows no data.
func TestTellsNoData(t *testing.T) {
	onStage(t, setting{alone: true}, func(s *stage) {
		ctx := rdbms.WithPhase(s.scope(), rdbms.PhasePOSTNonWrite)
		query := "REPLACE INTO kv VALUES ('secret', 'hidden') /* " + strings.Repeat("long ", 100) + "*/"
		_, err := s.cluster.Primary().ExecContext(ctx, query)
		s.wantError(err, rdbms.ErrWriteForbidden, "POST-nonwrite")
		_, err = s.cluster.Replica().ExecContext(s.scope(), query)
		s.wantError(err, rdbms.ErrReplicaWrite, "Replica")
		for _, told := range heard(s, &s.refused) {
			if strings.Contains(told.Query, "secret") || strings.Contains(told.Query, "hidden") || !strings.Contains(told.Query, "REPLACE INTO kv") || len(told.Query) > 200 {
				s.Errorf("%q", told.Query)
			}
			if !strings.Contains(told.Caller, "phase_test.go:") || strings.Contains(told.Err.Error(), "secret") {
				s.Errorf("%+v", told)
			}
		}
	})
}

// A phase and a mode at once: the write fails either way, and is told once.
func TestPhaseAndReadOnly(t *testing.T) {
	change := func(_ *rdbms.Config, o *rdbms.Options) { o.ClusterReason = func() string { return "maintenance" } }
	onStage(t, setting{alone: true, change: change}, func(s *stage) {
		ctx := rdbms.WithPhase(s.scope(), rdbms.PhasePOSTNonWrite)
		if _, err := s.cluster.Auto().ExecContext(ctx, "REPLACE INTO kv VALUES ('k', 'v')"); err == nil {
			s.Error("a write went through")
		}
		tx, err := s.cluster.Auto().BeginTx(ctx, &sql.TxOptions{})
		if err != nil {
			s.Fatal(err)
		}
		if _, err := tx.ExecContext(ctx, "REPLACE INTO kv VALUES ('k', 'v')"); err == nil {
			s.Error("a write went through")
		}
		_ = tx.Rollback()
		if told := heard(s, &s.refused); len(told) != 2 {
			s.Errorf("%+v", told)
		}
	})
}
