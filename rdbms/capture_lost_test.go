package rdbms_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/rdbmstest"
)

// commit writes in a transaction, and returns what COMMIT said.
func (s *stage) commit(ctx context.Context, key, value string) error {
	s.Helper()
	tx, err := s.cluster.Primary().BeginTx(ctx, nil)
	if err != nil {
		s.Fatal(err)
	}
	if _, err := tx.ExecContext(ctx, "REPLACE INTO kv VALUES (?, ?)", key, value); err != nil {
		s.Fatal(err)
	}
	return tx.Commit()
}

// Case 79. A COMMIT whose connection was lost counts as written. Its position comes from a new connection.
func TestCommitLost(t *testing.T) {
	for name, tc := range map[string]struct {
		lose  rdbmstest.Loss
		value string // what it has come to
	}{
		"the answer":    {rdbmstest.LoseAnswer, "v"},
		"the statement": {rdbmstest.LoseUnrun, ""},
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, setting{lag: map[string]time.Duration{"db2": 300 * time.Millisecond}}, func(s *stage) {
				s.set("db1", func(k *rdbmstest.Knobs) { k.Faults = []rdbmstest.Fault{{Match: "COMMIT", Times: 1, Lose: tc.lose}} })
				ctx := s.scope()
				err := s.commit(ctx, "k", "v")
				if err == nil || errors.Is(err, driver.ErrBadConn) {
					s.Errorf("COMMIT: %v", err)
				}
				if told := heard(s, &s.wrote); len(told) != 1 {
					s.Errorf("OnWrote: %+v", told)
				}
				s.want(ctx, s.cluster.Replica(), "k", tc.value)
				s.captured(ctx)
				if n := s.fake.Counts("db1").Queries["COMMIT"]; n != 1 {
					s.Errorf("%d times COMMIT", n)
				}
				s.idle()
			})
		})
	}
}

// Likewise a write outside of a transaction, which is its own commit.
func TestExecLost(t *testing.T) {
	onStage(t, setting{lag: map[string]time.Duration{"db2": 300 * time.Millisecond}}, func(s *stage) {
		s.set("db1", func(k *rdbmstest.Knobs) {
			k.Faults = []rdbmstest.Fault{{Match: "REPLACE", Times: 1, Lose: rdbmstest.LoseAnswer}}
		})
		ctx := s.scope()
		if err := put(ctx, s.cluster.Primary(), "k", "v"); err == nil || errors.Is(err, driver.ErrBadConn) {
			s.Errorf("%v", err)
		}
		s.want(ctx, s.cluster.Replica(), "k", "v")
		s.captured(ctx)
	})
}

// So does a COMMIT that the caller does not wait for to the end.
func TestCommitGivenUp(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		ctx, cancel := context.WithTimeout(s.scope(), 200*time.Millisecond)
		defer cancel()
		s.set("db1", func(k *rdbmstest.Knobs) { k.Latency = 80 * time.Millisecond })
		if err := s.commit(ctx, "k", "v"); err != nil { // the driver's COMMIT has no context
			s.Logf("COMMIT: %v", err)
		}
		wrote, _, _, _ := s.cluster.Positions().Captured(context.WithoutCancel(ctx))
		var value string
		_ = s.fake.Admin("db1").QueryRowContext(s.Context(), "SELECT v FROM kv WHERE k = 'k'").Scan(&value)
		if value == "v" && !wrote {
			s.Error("the value is there, and counts as not written")
		}
	})
}

// Case 79. If the position cannot be read it is a touch, and the error says so; it is asked for again.
func TestCommitLostUnreachable(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		s.set("db1", func(k *rdbmstest.Knobs) {
			k.Faults = []rdbmstest.Fault{{Match: "COMMIT", Times: 1, Lose: rdbmstest.LoseAnswer}}
		})
		ctx := s.scope()
		if err := s.commit(ctx, "k", "v"); err == nil {
			s.Error("COMMIT: no error")
		}
		s.set("db1", func(k *rdbmstest.Knobs) { k.Refuse = true })
		wrote, position, asOf, err := s.cluster.Positions().Captured(ctx)
		if !wrote || position != "" || asOf.IsZero() || err == nil || errors.Is(err, driver.ErrBadConn) || !strings.Contains(err.Error(), "position") {
			s.Errorf("%t, %q, %v, %v", wrote, position, asOf, err)
		}
		s.wantError(err, rdbms.ErrUnavailable, "the cause")
		s.set("db1", func(k *rdbmstest.Knobs) { k.Refuse = false })
		time.Sleep(2 * time.Second)
		s.captured(ctx)
	})
}

// An older position does not stand for a newer commit whose position could not be read.
func TestCapturedAfterFailure(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		ctx := s.scope()
		s.put(ctx, "k", "1")
		s.captured(ctx)
		s.put(ctx, "k", "2")
		s.set("db1", func(k *rdbmstest.Knobs) { k.Faults = []rdbmstest.Fault{{Match: askWritten, Errno: 1142}} })
		if wrote, position, _, err := s.cluster.Positions().Captured(ctx); !wrote || position != "" || err == nil {
			s.Errorf("%t, %q, %v", wrote, position, err)
		}
		if err := s.cluster.Positions().Require(ctx, "", time.Now(), 0, ""); err != nil {
			s.Error(err)
		}
	})
}

// A read whose own time is over before the position has come leaves the question to the next one.
func TestCaptureGivenUp(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		ctx := s.scope()
		s.put(ctx, "k", "v")
		s.set("db2", func(k *rdbmstest.Knobs) { k.Lag = 300 * time.Millisecond })
		s.set("db1", func(k *rdbmstest.Knobs) { k.Latency = 100 * time.Millisecond })
		s.put(ctx, "k", "w")
		short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		_, err := get(short, s.cluster.Replica(), "k")
		s.wantError(err, context.DeadlineExceeded, "a read that is given up")
		s.want(ctx, s.cluster.Replica(), "k", "w")
		if s.cluster.Served(ctx).Lagged {
			s.Error("flagged")
		}
	})
}

// Captured keeps to its caller's time.
func TestCapturedInTime(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		ctx := s.scope()
		s.put(ctx, "k", "v")
		s.set("db1", func(k *rdbmstest.Knobs) { k.Hang = true })
		short, cancel := context.WithTimeout(ctx, 30*time.Millisecond)
		defer cancel()
		d := took(func() {
			wrote, position, _, err := s.cluster.Positions().Captured(short)
			if !wrote || position != "" || err == nil {
				s.Errorf("%t, %q, %v", wrote, position, err)
			}
		})
		if d != 30*time.Millisecond {
			s.Errorf("took %v", d)
		}
		if d := took(func() { _, _, _, _ = s.cluster.Positions().Captured(ctx) }); d > time.Second {
			s.Errorf("without a deadline it took %v", d)
		}
		s.set("db1", func(k *rdbmstest.Knobs) { k.Hang = false })
	})
}

// The connection may break that asks for the position. Another one tells it.
func TestCaptureConnectionLost(t *testing.T) {
	onStage(t, setting{lag: map[string]time.Duration{"db2": 300 * time.Millisecond}}, func(s *stage) {
		ctx := s.scope()
		s.put(ctx, "k", "v")
		s.set("db1", func(k *rdbmstest.Knobs) {
			k.Faults = []rdbmstest.Fault{{Match: askWritten, Times: 1, Lose: rdbmstest.LoseUnrun}}
		})
		s.want(ctx, s.cluster.Replica(), "k", "v")
		s.captured(ctx)
	})
}
