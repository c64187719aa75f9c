package rdbms_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/rdbmstest"
)

const (
	begin         = "START TRANSACTION"
	beginReadOnly = "START TRANSACTION READ ONLY"
)

// Case 123. Where the transactions of each handle run, whether they may write, and that they keep to one connection.
func TestTransactions(t *testing.T) {
	for _, tc := range []struct {
		handle   string
		readOnly bool
		with     func(context.Context) context.Context
		server   string
		text     string
	}{
		{"Primary", false, nil, "db1", begin},
		{"Primary", true, nil, "db1", beginReadOnly},
		{"Replica", false, nil, "db2", beginReadOnly},
		{"Replica", true, nil, "db2", beginReadOnly},
		{"Replica", false, rdbms.WithPrimary, "db1", beginReadOnly},
		{"Auto", false, nil, "db1", begin},
		{"Auto", true, nil, "db2", beginReadOnly},
		{"Auto", true, rdbms.WithPrimary, "db1", beginReadOnly},
		{"Auto", false, rdbms.WithPrimary, "db1", begin},
	} {
		t.Run(fmt.Sprintf("%s/%t/%t", tc.handle, tc.readOnly, tc.with != nil), func(t *testing.T) {
			onStage(t, setting{}, func(s *stage) {
				ctx := s.scope()
				if tc.with != nil {
					ctx = tc.with(ctx)
				}
				tx, err := s.handles()[tc.handle].BeginTx(ctx, &sql.TxOptions{ReadOnly: tc.readOnly})
				if err != nil {
					s.Fatal(err)
				}
				if n := s.fake.Counts(tc.server).Queries[tc.text]; n != 1 || s.fake.Counts("db1").Begins+s.fake.Counts("db2").Begins != 1 {
					s.Errorf("not one %s on %s", tc.text, tc.server)
				}
				session := s.sessionOf(ctx, tx)
				_, err = tx.ExecContext(ctx, "REPLACE INTO kv VALUES ('k', 'v')")
				switch {
				case tc.handle == "Replica":
					s.wantError(err, rdbms.ErrReplicaWrite, "Exec")
				case tc.text == beginReadOnly:
					s.wantError(err, rdbms.ErrReadOnly, "Exec")
				case err != nil:
					s.Error(err)
				default:
					s.want(ctx, tx, "k", "v")
				}
				for range 3 {
					if again := s.sessionOf(rdbms.WithPrimary(s.scope()), tx); again != session {
						s.Errorf("on %s, and then on %s", session, again)
					}
				}
				if session[:3] != tc.server {
					s.Errorf("on %s", session)
				}
				if err := tx.Commit(); err != nil {
					s.Error(err)
				}
				if wrote, _, _, _ := s.cluster.Positions().Captured(ctx); wrote != (tc.text == begin) {
					s.Errorf("wrote is %t", wrote)
				}
				s.idle()
			})
		})
	}
}

// sessionOf is which server answers, on which connection.
func (s *stage) sessionOf(ctx context.Context, db querying) string {
	s.Helper()
	var server, id string
	if err := db.QueryRowContext(ctx, "SELECT @@hostname, CONNECTION_ID()").Scan(&server, &id); err != nil {
		s.Fatal(err)
	}
	return server + " " + id
}

// A write by Query in a transaction of Replica is refused by its server, also by one that is not read-only itself.
func TestReplicaTransactionCannotWrite(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		s.set("db2", func(k *rdbmstest.Knobs) { k.ReadOnly = false })
		tx, err := s.cluster.Replica().BeginTx(s.scope(), nil)
		if err != nil {
			s.Fatal(err)
		}
		var v string
		err = tx.QueryRowContext(s.Context(), "INSERT INTO kv (k, v) VALUES ('k', 'v') RETURNING v").Scan(&v)
		s.wantError(err, rdbms.ErrReadOnly, "a write by Query")
		if err := tx.Commit(); err != nil {
			s.Error(err)
		}
		s.want(s.Context(), s.fake.Admin("db2"), "k", "")
		if reason, _ := s.cluster.ReadOnly(); reason != "" {
			s.Errorf("the cluster is read-only: %s", reason)
		}
		if told := heard(s, &s.wrote); len(told) > 0 {
			s.Errorf("OnWrote: %+v", told)
		}
	})
}

// The isolation level is the server's matter, and reaches it.
func TestTransactionIsolation(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		for level, want := range map[sql.IsolationLevel]string{sql.LevelDefault: "old", sql.LevelRepeatableRead: "old", sql.LevelReadCommitted: "new"} {
			s.put(s.Context(), "k", "old")
			time.Sleep(time.Second)
			tx, err := s.cluster.Replica().BeginTx(s.scope(), &sql.TxOptions{Isolation: level})
			if err != nil {
				s.Fatal(err)
			}
			s.want(s.Context(), tx, "k", "old")
			s.put(s.Context(), "k", "new")
			time.Sleep(time.Second)
			s.want(s.Context(), tx, "k", want)
			if err := tx.Rollback(); err != nil {
				s.Error(err)
			}
		}
	})
}

// A scope's pin holds for transactions too, and a transaction's server is free again after it.
func TestTransactionAndPin(t *testing.T) {
	onStage(t, setting{servers: triple}, func(s *stage) {
		ctx := s.scope()
		first, err := who(ctx, s.cluster.Replica())
		if err != nil {
			s.Fatal(err)
		}
		for range 10 {
			tx, err := s.cluster.Replica().BeginTx(ctx, nil)
			if err != nil {
				s.Fatal(err)
			}
			if got := s.sessionOf(ctx, tx); got[:3] != first {
				s.Errorf("pinned to %s, the transaction is on %s", first, got)
			}
			if err := tx.Commit(); err != nil {
				s.Error(err)
			}
		}
		s.idle()
	})
}

// Whatever ends a transaction gives its connection back: COMMIT, ROLLBACK, the end of its context, a lost connection.
func TestTransactionEnds(t *testing.T) {
	for handle := range map[string]bool{"Primary": true, "Replica": true, "Auto": true} {
		for name, end := range map[string]func(*stage, *sql.Tx, context.CancelFunc){
			"commit":   func(s *stage, tx *sql.Tx, _ context.CancelFunc) { s.noError(tx.Commit()) },
			"rollback": func(s *stage, tx *sql.Tx, _ context.CancelFunc) { s.noError(tx.Rollback()) },
			"context": func(s *stage, tx *sql.Tx, cancel context.CancelFunc) {
				cancel()
				synctest.Wait()
				if err := tx.Commit(); err == nil {
					s.Error("a COMMIT after the end of the context")
				}
			},
			"context, amid rows": func(s *stage, tx *sql.Tx, cancel context.CancelFunc) {
				rows, err := tx.QueryContext(s.Context(), "SELECT k, v FROM kv")
				if err != nil {
					s.Fatal(err)
				}
				defer rows.Close()
				rows.Next()
				s.noError(rows.Err())
				cancel()
				synctest.Wait()
			},
			"a statement's context": func(s *stage, tx *sql.Tx, _ context.CancelFunc) {
				for _, server := range []string{"db1", "db2"} {
					s.set(server, func(k *rdbmstest.Knobs) { k.Hang = true })
				}
				statement, stop := context.WithTimeout(s.Context(), 80*time.Millisecond)
				defer stop()
				var v string
				if err := tx.QueryRowContext(statement, "SELECT v FROM kv WHERE k = 'a'").Scan(&v); err == nil {
					s.Error("a server that hangs has answered")
				}
				_ = tx.Rollback()
				for _, server := range []string{"db1", "db2"} {
					s.set(server, func(k *rdbmstest.Knobs) { k.Hang = false })
				}
			},
			"lost": func(s *stage, tx *sql.Tx, _ context.CancelFunc) {
				s.fake.Restart("db1")
				s.fake.Restart("db2")
				if _, err := tx.QueryContext(s.Context(), "SELECT k, v FROM kv"); err == nil { //nolint:rowserrcheck,sqlclosecheck // there are none
					s.Error("a connection that is lost has answered")
				}
				_ = tx.Rollback()
			},
		} {
			t.Run(handle+"/"+name, func(t *testing.T) {
				onStage(t, setting{}, func(s *stage) {
					for _, k := range []string{"a", "b", "c"} {
						s.put(s.Context(), k, "v")
					}
					time.Sleep(time.Second)
					ctx, cancel := context.WithCancel(s.scope())
					defer cancel()
					tx, err := s.handles()[handle].BeginTx(ctx, nil)
					if err != nil {
						s.Fatal(err)
					}
					s.want(ctx, tx, "a", "v")
					end(s, tx, cancel)
					s.idle()
					s.want(s.Context(), s.handles()[handle], "a", "v")
				})
			})
		}
	}
}

func (s *stage) noError(err error) {
	s.Helper()
	if err != nil {
		s.Error(err)
	}
}

// A connection has one transaction at a time, and is as good as new after it.
func TestTransactionsOnConn(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		for name, db := range s.handles() {
			conn := s.conn(db)
			for range 3 {
				tx, err := conn.BeginTx(s.scope(), nil)
				if err != nil {
					s.Fatalf("%s: %v", name, err)
				}
				s.look(s.Context(), tx)
				s.noError(tx.Commit())
				s.look(s.scope(), conn)
			}
			s.noError(conn.Close())
		}
		s.idle()
	})
}

// An explicit bound holds inside of a transaction too: what it reads only gets older.
func TestTransactionTooOld(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		tx, err := s.cluster.Replica().BeginTx(s.scope(), nil)
		if err != nil {
			s.Fatal(err)
		}
		ctx := rdbms.WithMaxStaleness(s.scope(), 4*time.Second)
		s.look(ctx, tx)
		time.Sleep(5 * time.Second)
		var n int
		s.wantError(tx.QueryRowContext(ctx, "SELECT 1").Scan(&n), rdbms.ErrTooStale, "5 s after BEGIN")
		s.look(s.scope(), tx)
		s.noError(tx.Commit())
	})
}

// A transaction that was begun before the primary moved cannot write on the old one unnoticed.
func TestTransactionAcrossPromotion(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		ctx := s.scope()
		tx, err := s.cluster.Primary().BeginTx(ctx, nil)
		if err != nil {
			s.Fatal(err)
		}
		if _, err := tx.ExecContext(ctx, "REPLACE INTO kv VALUES ('k', 'lost')"); err != nil {
			s.Fatal(err)
		}
		s.fake.Promote("db2")
		s.noError(s.cluster.SetServers(s.fake.Config()))
		synctest.Wait() // the new primary is polled at once
		s.wantError(tx.Commit(), rdbms.ErrReadOnly, "COMMIT on the old primary")
		if told := heard(s, &s.wrote); len(told) > 0 {
			s.Errorf("OnWrote: %+v", told)
		}
		if server, err := who(s.Context(), s.cluster.Primary()); server != "db2" || err != nil {
			s.Errorf("%s, %v", server, err)
		}
		s.noError(put(ctx, s.cluster.Primary(), "k", "kept"))
		s.want(ctx, s.cluster.Replica(), "k", "kept")
	})
}

// A caller's connection to a primary that was moved says so, instead of writing there.
func TestConnAcrossPromotion(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		conn := s.conn(s.cluster.Primary())
		s.want(s.Context(), conn, "k", "")
		s.fake.Promote("db2")
		s.noError(s.cluster.SetServers(s.fake.Config()))
		if _, err := conn.ExecContext(s.Context(), "REPLACE INTO kv VALUES ('k', 'v')"); err == nil || errors.Is(err, sql.ErrConnDone) {
			s.Errorf("a write on the old primary: %v", err)
		}
		s.noError(conn.Close())
		synctest.Wait() // the new primary is polled at once
		s.put(s.Context(), "k", "v")
		s.want(s.Context(), s.fake.Admin("db2"), "k", "v")
		s.idle()
	})
}
