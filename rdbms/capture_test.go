package rdbms_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/rdbmstest"
)

// captured wants that the scope wrote, and returns the position.
func (s *stage) captured(ctx context.Context) string {
	s.Helper()
	wrote, position, asOf, err := s.cluster.Positions().Captured(ctx)
	if !wrote || position == "" || asOf.IsZero() || err != nil {
		s.Errorf("Captured: %t, %q, %v, %v; want a position", wrote, position, asOf, err)
	}
	return position
}

// nothing wants that the scope wrote nothing, and that nobody was asked for a position.
func (s *stage) nothing(ctx context.Context) {
	s.Helper()
	wrote, position, asOf, err := s.cluster.Positions().Captured(ctx)
	if wrote || position != "" || !asOf.IsZero() || err != nil {
		s.Errorf("Captured: %t, %q, %v, %v; want nothing", wrote, position, asOf, err)
	}
	if n := s.asked("db1", askWritten); n != 0 {
		s.Errorf("%d questions for the position of nothing", n)
	}
	if told := heard(s, &s.wrote); len(told) > 0 {
		s.Errorf("OnWrote: %+v", told)
	}
}

// includes reports whether a position has all of another.
func (s *stage) includes(have, want string) bool {
	s.Helper()
	merged, err := s.cluster.Positions().Merge(have, want)
	return err == nil && merged == have
}

// Case 77, and all else that writes nothing.
func TestCaptureNothing(t *testing.T) {
	exec := func(query string) func(context.Context, *sql.DB) error {
		return func(ctx context.Context, db *sql.DB) error {
			_, err := db.ExecContext(ctx, query)
			return err
		}
	}
	inTx := func(opts *sql.TxOptions, query string, end func(*sql.Tx) error) func(context.Context, *sql.DB) error {
		return func(ctx context.Context, db *sql.DB) error {
			tx, err := db.BeginTx(ctx, opts)
			if err != nil {
				return err
			}
			if err := queryAll(ctx, tx, query); err != nil {
				return err
			}
			return end(tx)
		}
	}
	for name, do := range map[string]func(context.Context, *sql.DB) error{
		"nothing at all":       func(context.Context, *sql.DB) error { return nil },
		"a read":               inTx(nil, "SELECT v FROM kv WHERE k = 'k'", (*sql.Tx).Commit),
		"a read-only tx":       inTx(&sql.TxOptions{ReadOnly: true}, "SELECT v FROM kv WHERE k = 'k'", (*sql.Tx).Commit),
		"a rollback":           inTx(nil, "INSERT INTO kv (k, v) VALUES ('r', 'r') RETURNING v", (*sql.Tx).Rollback),
		"zero rows updated":    exec("UPDATE kv SET v = 'x' WHERE k = 'nowhere'"),
		"zero rows deleted":    exec("  \n\tdelete FROM kv WHERE k = 'nowhere'"),
		"zero rows, commented": exec("/* who: me */ DELETE FROM kv WHERE k = 'nowhere'"),
		"SET":                  exec("SET @x = 5"),
		"an error": func(ctx context.Context, db *sql.DB) error {
			if err := exec("NO SUCH STATEMENT")(ctx, db); err == nil {
				return errors.New("no error")
			}
			return nil
		},
		"a write in a tx that is rolled back": func(ctx context.Context, db *sql.DB) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "REPLACE INTO kv VALUES ('r', 'r')"); err != nil {
				return err
			}
			return tx.Rollback()
		},
		"a tx whose context ends": func(ctx context.Context, db *sql.DB) error {
			within, cancel := context.WithCancel(ctx)
			defer cancel()
			tx, err := db.BeginTx(within, nil)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "REPLACE INTO kv VALUES ('r', 'r')"); err != nil {
				return err
			}
			cancel()
			synctest.Wait()
			if err := tx.Commit(); err == nil {
				return errors.New("a COMMIT after the end of its context")
			}
			return nil
		},
		"a commit that fails": func(ctx context.Context, db *sql.DB) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "REPLACE INTO kv VALUES ('fails', 'r')"); err != nil {
				return err
			}
			if err := tx.Commit(); err == nil {
				return errors.New("the fault did not happen")
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, setting{alone: true}, func(s *stage) {
				if name == "a commit that fails" {
					s.set("db1", func(k *rdbmstest.Knobs) { k.Faults = []rdbmstest.Fault{{Match: "COMMIT", Errno: 1213}} })
				}
				for _, db := range []*sql.DB{s.cluster.Primary(), s.cluster.Auto()} {
					ctx := s.scope()
					if err := do(ctx, db); err != nil {
						s.Errorf("%v", err)
					}
					s.nothing(ctx)
				}
			})
		})
	}
}

// What counts as a write, and that it is told once.
func TestCaptureKinds(t *testing.T) {
	for name, do := range map[string]func(context.Context, *sql.DB) error{
		"Exec": func(ctx context.Context, db *sql.DB) error { return put(ctx, db, "k", "v") },
		"Exec, no args": func(ctx context.Context, db *sql.DB) error {
			_, err := db.ExecContext(ctx, "REPLACE INTO kv VALUES ('k', 'v')")
			return err
		},
		"a Query": func(ctx context.Context, db *sql.DB) error {
			var v string
			return db.QueryRowContext(ctx, "INSERT INTO kv (k, v) VALUES (?, ?) RETURNING v", "k", "v").Scan(&v)
		},
		"a statement that tells no rows": func(ctx context.Context, db *sql.DB) error {
			_, err := db.ExecContext(ctx, "CALL something()")
			return err
		},
		"SET STATEMENT": func(ctx context.Context, db *sql.DB) error {
			_, err := db.ExecContext(ctx, "SET STATEMENT max_statement_time = 1 FOR CALL something()")
			return err
		},
		"a prepared statement": func(ctx context.Context, db *sql.DB) error {
			stmt, err := db.PrepareContext(ctx, "REPLACE INTO kv VALUES (?, ?)")
			if err != nil {
				return err
			}
			defer stmt.Close()
			_, err = stmt.ExecContext(ctx, "k", "v")
			return err
		},
		"a transaction": func(ctx context.Context, db *sql.DB) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			for _, v := range []string{"1", "2", "v"} {
				// The statements' own contexts have no scope: it is BeginTx's that counts.
				//nolint:contextcheck // on purpose
				if _, err := tx.ExecContext(context.WithoutCancel(context.Background()), "REPLACE INTO kv VALUES ('k', ?)", v); err != nil {
					return err
				}
			}
			return tx.Commit()
		},
		"a transaction with a Query": func(ctx context.Context, db *sql.DB) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			var v string
			if err := tx.QueryRowContext(ctx, "INSERT INTO kv (k, v) VALUES (?, ?) RETURNING v", "k", "v").Scan(&v); err != nil {
				return err
			}
			return tx.Commit()
		},
	} {
		for handle := range 2 {
			t.Run(name+[]string{"/Primary", "/Auto"}[handle], func(t *testing.T) {
				onStage(t, setting{lag: map[string]time.Duration{"db2": 300 * time.Millisecond}}, func(s *stage) {
					s.fake.Handle(func(ctx context.Context, _, query string, _ []driver.NamedValue) (*rdbmstest.Result, error) {
						if !strings.Contains(query, "CALL") {
							return nil, nil //nolint:nilnil // the fake's own
						}
						_, err := s.fake.Admin("db1").ExecContext(ctx, "REPLACE INTO kv VALUES ('k', 'v')")
						return &rdbmstest.Result{}, err
					})
					ctx := s.scope()
					if err := do(ctx, []*sql.DB{s.cluster.Primary(), s.cluster.Auto()}[handle]); err != nil {
						s.Fatal(err)
					}
					// Case Xm.
					told := heard(s, &s.wrote)
					if len(told) != 1 || told[0].Cluster != "main" || told[0].Server != "db1" || told[0].AsOf.IsZero() {
						s.Errorf("OnWrote: %+v", told)
					}
					s.want(ctx, s.cluster.Replica(), "k", "v")
					s.captured(ctx)
				})
			})
		}
	}
}

// Case Xg. The position is asked for once after a commit, whoever needs it first, and again after the next.
func TestCapturedOnce(t *testing.T) {
	onStage(t, setting{lag: map[string]time.Duration{"db2": 200 * time.Millisecond}}, func(s *stage) {
		ctx := s.scope()
		s.put(ctx, "k", "v")
		s.want(ctx, s.cluster.Replica(), "k", "v")
		s.want(ctx, s.cluster.Replica(), "k", "v")
		first := s.captured(ctx)
		s.captured(ctx)
		if n := s.asked("db1", askWritten); n != 1 {
			s.Errorf("asked %d times", n)
		}
		s.put(ctx, "k", "w")
		second := s.captured(ctx)
		s.want(ctx, s.cluster.Replica(), "k", "w")
		if n := s.asked("db1", askWritten); n != 2 {
			s.Errorf("asked %d times after a second commit", n)
		}
		// Case 78.
		if second == first || !s.includes(second, first) {
			s.Errorf("first %s, then %s", first, second)
		}
		if s.cluster.Served(ctx).Lagged {
			s.Error("flagged, though the wait reached it")
		}
	})
}

// Case 78. Clusters are kept apart.
func TestCaptureTwoClusters(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		other := &stage{T: s.T, fake: rdbmstest.New(s.T, rdbmstest.Server{Name: "x1"}, rdbmstest.Server{Name: "x2"})}
		other.cluster = other.open(func(c *rdbms.Config, _ *rdbms.Options) { c.Name = "other" })
		run(s.T, other.cluster)
		ctx := s.scope()
		s.put(ctx, "k", "v")
		if wrote, position, _, err := other.cluster.Positions().Captured(ctx); wrote || position != "" || err != nil {
			s.Errorf("the other cluster: %t, %q, %v", wrote, position, err)
		}
		mine := s.captured(ctx)
		other.put(ctx, "k", "w")
		theirs := other.captured(ctx)
		if again := s.captured(ctx); again != mine || theirs == mine {
			s.Errorf("mine %s, then %s; theirs %s", mine, again, theirs)
		}
		if told := heard(other, &other.wrote); len(told) != 1 || told[0].Cluster != "other" {
			s.Errorf("%+v", told)
		}
		s.want(ctx, s.cluster.Replica(), "k", "v")
		s.want(ctx, other.cluster.Replica(), "k", "w")
	})
}

// Case 75. A primary has an empty gtid_slave_pos; what it wrote is in gtid_binlog_pos, and only its own domain is of
// interest.
func TestCaptureFromTheLog(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		s.set("db1", func(k *rdbmstest.Knobs) {
			k.Variables = map[string]string{"gtid_slave_pos": "", "gtid_binlog_pos": "1-11-4711,9-99-5"}
		})
		if position, _ := s.position("k", "v"); position != "m1:1-11-4711" {
			s.Errorf("%q", position)
		}
	})
}

// asOf is taken before the position is read: else a write between the two would be dated too late.
func TestCaptureAsOfFirst(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		ctx := s.scope()
		s.put(ctx, "k", "v")
		s.set("db1", func(k *rdbmstest.Knobs) { k.Latency = 100 * time.Millisecond })
		time.Sleep(time.Second)
		began := time.Now()
		_, position, asOf, err := s.cluster.Positions().Captured(ctx)
		if position == "" || err != nil || !asOf.Equal(began) {
			s.Errorf("asOf is %v after the question, %q, %v", asOf.Sub(began), position, err)
		}
	})
}

// A commit while an older one's position is asked for is not forgotten.
func TestCaptureWhileWriting(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		admin := s.fake.Admin("db1")
		var slow atomic.Bool
		s.fake.Handle(func(ctx context.Context, server, query string, _ []driver.NamedValue) (*rdbmstest.Result, error) {
			if server != "db1" || !strings.HasPrefix(query, "SELECT "+askWritten) || !slow.Load() {
				return nil, nil //nolint:nilnil // the fake's own
			}
			var position string
			var domain int64
			err := admin.QueryRowContext(ctx, "SELECT @@gtid_domain_id, @@gtid_binlog_pos").Scan(&domain, &position)
			time.Sleep(100 * time.Millisecond) // the answer takes its time
			return &rdbmstest.Result{Columns: []string{"a", "b"}, Rows: [][]driver.Value{{[]byte(position), domain}}}, err
		})
		slow.Store(true)
		ctx := s.scope()
		s.put(ctx, "k", "1")
		var first string
		done := make(chan struct{})
		go func() {
			defer close(done)
			first = s.captured(ctx)
		}()
		time.Sleep(50 * time.Millisecond)
		s.set("db2", func(k *rdbmstest.Knobs) { k.Lag = 400 * time.Millisecond })
		s.put(ctx, "k", "2")
		<-done
		s.want(ctx, s.cluster.Replica(), "k", "2")
		if second := s.captured(ctx); second == first || !s.includes(second, first) {
			s.Errorf("first %s, then %s", first, second)
		}
	})
}

// Who has nobody to wait for, or no positions, has written all the same.
func TestCaptureTouchOnly(t *testing.T) {
	for name, begin := range map[string]setting{
		"no replicas": {servers: pair[:1]},
		"no log":      {},
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, begin, func(s *stage) {
				if name == "no log" {
					s.set("db1", func(k *rdbmstest.Knobs) { k.Variables = map[string]string{"gtid_binlog_pos": ""} })
				}
				ctx := s.scope()
				s.put(ctx, "k", "v")
				wrote, position, asOf, err := s.cluster.Positions().Captured(ctx)
				if !wrote || position != "" || !asOf.Equal(time.Now()) || err != nil {
					s.Errorf("%t, %q, %v, %v", wrote, position, asOf, err)
				}
				if n := s.asked("db1", askWritten); len(begin.servers) == 1 && n > 0 {
					s.Errorf("%d questions for a position that nobody waits for", n)
				}
			})
		})
	}
}

// The server that took a commit is asked for its position, also if the primary has moved meanwhile: another DC's server
// names its own writes, and has another domain for them.
func TestCaptureAfterPromotion(t *testing.T) {
	circle := []rdbmstest.Server{{Name: "a1", From: "b1"}, {Name: "b1", DC: "b", From: "a1"}, {Name: "a2"}}
	onStage(t, setting{servers: circle}, func(s *stage) {
		s.set("a2", func(k *rdbmstest.Knobs) { k.LagOf = map[string]time.Duration{"a1": 2 * time.Second, "b1": 0} })
		ctx := s.scope()
		s.put(ctx, "k", "v")
		s.fake.Promote("b1")
		config := s.fake.Config()
		config.Servers[0].Drained = true
		if err := s.cluster.SetServers(config); err != nil {
			s.Fatal(err)
		}
		synctest.Wait() // the new primary is polled at once
		s.put(ctx, "l", "w")
		time.Sleep(100 * time.Millisecond)
		patient := rdbms.WithOnTimeout(ctx, rdbms.OnTimeoutError, 5*time.Second)
		s.want(patient, s.cluster.Replica(), "k", "v")
		s.want(patient, s.cluster.Replica(), "l", "w")
		if position := s.captured(ctx); !strings.Contains(position, "1-11-") || !strings.Contains(position, "2-12-") {
			s.Errorf("%s", position)
		}
		if told := heard(s, &s.wrote); len(told) != 2 || told[0].Server != "a1" || told[1].Server != "b1" {
			s.Errorf("OnWrote: %+v", told)
		}
	})
}
