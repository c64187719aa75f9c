package rdbms_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/rdbmstest"
)

// wantReadOnly wants the error of a cluster that is read-only.
func (s *stage) wantReadOnly(err error, source rdbms.ReadOnlySource, reason string) {
	s.Helper()
	var e *rdbms.ReadOnlyError
	if !errors.Is(err, rdbms.ErrReadOnly) || !errors.As(err, &e) {
		s.Errorf("got %v, want ErrReadOnly", err)
		return
	}
	if e.Cluster != "main" || e.Source != source || !strings.Contains(e.Reason, reason) || e.RetryAfter != 10*time.Second || !e.ReadOnly() {
		s.Errorf("%+v", e)
	}
}

// reasonable is a setting whose ClusterReason can be changed.
func reasonable(reason *atomic.Pointer[string]) setting {
	none := ""
	reason.Store(&none)
	return setting{change: func(_ *rdbms.Config, o *rdbms.Options) { o.ClusterReason = func() string { return *reason.Load() } }}
}

// Case 113. In read-only mode a write fails before it touches a connection, and reads go on.
func TestReadOnlyByCluster(t *testing.T) {
	var reason atomic.Pointer[string]
	onStage(t, reasonable(&reason), func(s *stage) {
		before, err := s.cluster.Primary().BeginTx(s.Context(), nil)
		if err != nil {
			s.Fatal(err)
		}
		text := "moving to b"
		reason.Store(&text)
		if got, source := s.cluster.ReadOnly(); got != text || source != rdbms.ReadOnlyCluster {
			s.Errorf("%q, %q", got, source)
		}
		counts := s.fake.Counts("db1")
		for name, db := range map[string]*sql.DB{"Primary": s.cluster.Primary(), "Auto": s.cluster.Auto()} {
			err := put(s.scope(), db, "secret", "hidden")
			s.wantReadOnly(err, rdbms.ReadOnlyCluster, text)
			if told := heard(s, &s.refused); len(told) == 0 || !errors.Is(err, told[len(told)-1].Err) {
				s.Errorf("%s: OnRefused: %+v", name, told)
			}
			stmt := s.prepare(db, "REPLACE INTO kv VALUES ('k', 'v')") //nolint:sqlclosecheck // the test's end does
			_, err = stmt.ExecContext(s.Context())
			s.wantReadOnly(err, rdbms.ReadOnlyCluster, text)
		}
		if after := s.fake.Counts("db1"); after.Connects != counts.Connects || after.Writes != counts.Writes || after.Prepares != counts.Prepares {
			s.Errorf("a connection was touched: %+v", after)
		}
		// In a transaction too, whether it began before or not.
		during, err := s.cluster.Primary().BeginTx(s.Context(), nil)
		if err != nil {
			s.Fatalf("BEGIN goes on: %v", err)
		}
		for _, tx := range []*sql.Tx{before, during} {
			_, err := tx.ExecContext(s.Context(), "REPLACE INTO kv VALUES ('k', 'v')")
			s.wantReadOnly(err, rdbms.ReadOnlyCluster, text)
			s.want(s.Context(), tx, "k", "")
			if err := tx.Commit(); err != nil {
				s.Error(err)
			}
		}
		for _, db := range []*sql.DB{s.cluster.Primary(), s.cluster.Auto(), s.cluster.Replica()} {
			s.want(s.Context(), db, "k", "")
		}
		if n := s.fake.Counts("db1").Writes; n != counts.Writes {
			s.Errorf("%d writes reached the server", n-counts.Writes)
		}
		reason.Store(new(string))
		s.put(s.Context(), "k", "v")
		if told := heard(s, &s.wrote); len(told) != 1 {
			s.Errorf("OnWrote: %+v", told)
		}
	})
}

// Who tells of the mode tells of each change once, also if ClusterReason alone has changed.
func TestReadOnlyTold(t *testing.T) {
	var reason atomic.Pointer[string]
	onStage(t, reasonable(&reason), func(s *stage) {
		if told := heard(s, &s.readOnly); len(told) > 0 {
			s.Errorf("a writable cluster: %+v", told)
		}
		text := "maintenance"
		reason.Store(&text)
		time.Sleep(3 * time.Second)
		s.set("db1", func(k *rdbmstest.Knobs) { k.ReadOnly = true })
		time.Sleep(3 * time.Second)
		reason.Store(new(string))
		time.Sleep(3 * time.Second)
		s.set("db1", func(k *rdbmstest.Knobs) { k.ReadOnly = false })
		time.Sleep(3 * time.Second)
		told := heard(s, &s.readOnly)
		if len(told) != 3 || told[0].Reason != text || told[0].Source != rdbms.ReadOnlyCluster ||
			told[1].Source != rdbms.ReadOnlyServer || !strings.Contains(told[1].Reason, "db1") || told[2].Reason != "" || told[2].Cluster != "main" {
			s.Errorf("%+v", told)
		}
	})
}

// Case 113. Likewise when the primary itself is read-only, as the monitor saw it; a poll that fails changes nothing, and
// the next one that sees it off ends it.
func TestReadOnlyByServer(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		s.set("db1", func(k *rdbmstest.Knobs) { k.ReadOnly = true })
		time.Sleep(2 * time.Second)
		if reason, source := s.cluster.ReadOnly(); !strings.Contains(reason, "db1") || source != rdbms.ReadOnlyServer {
			s.Errorf("%q, %q", reason, source)
		}
		writes := s.fake.Counts("db1").Writes
		s.wantReadOnly(put(s.Context(), s.cluster.Primary(), "k", "v"), rdbms.ReadOnlyServer, "db1")
		s.want(s.Context(), s.cluster.Primary(), "k", "")
		s.set("db1", func(k *rdbmstest.Knobs) { k.Refuse, k.ReadOnly = true, false })
		s.set("db1", func(k *rdbmstest.Knobs) {
			k.Faults = []rdbmstest.Fault{{Match: "@@server_id", Lose: rdbmstest.LoseUnrun}}
		})
		time.Sleep(5 * time.Second)
		s.wantReadOnly(put(s.Context(), s.cluster.Primary(), "k", "v"), rdbms.ReadOnlyServer, "db1")
		if n := s.fake.Counts("db1").Writes; n != writes {
			s.Errorf("%d writes reached the server", n-writes)
		}
		s.set("db1", func(k *rdbmstest.Knobs) { k.Refuse, k.Faults = false, nil })
		time.Sleep(40 * time.Second) // its breaker is tried again
		s.put(s.Context(), "k", "v")
	})
}

// Case 114. The server's own refusal is the same error. It is polled at once, not asked again, and its idle connections
// are closed.
func TestReadOnlyAnsweredByServer(t *testing.T) {
	for name, write := range map[string]func(context.Context, *sql.DB) error{
		"Exec": func(ctx context.Context, db *sql.DB) error { return put(ctx, db, "k", "v") },
		"Query": func(ctx context.Context, db *sql.DB) error {
			var v string
			return db.QueryRowContext(ctx, "INSERT INTO kv (k, v) VALUES ('k', 'v') RETURNING v").Scan(&v)
		},
		"Exec in a transaction": func(ctx context.Context, db *sql.DB) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			defer func() { _ = tx.Rollback() }()
			_, err = tx.ExecContext(ctx, "REPLACE INTO kv VALUES ('k', 'v')")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			change := func(_ *rdbms.Config, o *rdbms.Options) { o.Poll = 20 * time.Second }
			onStage(t, setting{change: change}, func(s *stage) {
				var held []*sql.Conn // so that several are idle then
				for range 5 {
					conn, err := s.cluster.Primary().Conn(s.Context())
					if err != nil {
						s.Fatal(err)
					}
					if err := conn.PingContext(s.Context()); err != nil {
						s.Fatal(err)
					}
					held = append(held, conn)
				}
				for _, conn := range held {
					_ = conn.Close()
				}
				s.set("db1", func(k *rdbmstest.Knobs) { k.ReadOnly = true })
				writes, looks := s.fake.Counts("db1").Writes, s.asked("db1", "@@server_id")
				err := write(s.scope(), s.cluster.Primary())
				s.wantReadOnly(err, rdbms.ReadOnlyServer, "db1")
				var e *rdbms.ReadOnlyError
				if errors.As(err, &e) && (e.Cause == nil || !errors.Is(err, e.Cause)) {
					s.Errorf("the server's answer is lost: %+v", e)
				}
				synctest.Wait()
				if n := s.asked("db1", "@@server_id") - looks; n != 1 {
					s.Errorf("%d polls at once", n)
				}
				if reason, _ := s.cluster.ReadOnly(); reason == "" {
					s.Error("the poll has not seen it")
				}
				if open := s.fake.Counts("db1").Open; open > 1 { // the monitor's
					s.Errorf("%d connections are open", open)
				}
				if n := s.fake.Counts("db1").Writes - writes; n != 1 {
					s.Errorf("the write was sent %d times", n)
				}
				if told := heard(s, &s.wrote); len(told) > 0 {
					s.Errorf("OnWrote: %+v", told)
				}
				s.idle()
			})
		})
	}
}

// A COMMIT that is refused wrote nothing.
func TestReadOnlyAtCommit(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		ctx := s.scope()
		tx, err := s.cluster.Primary().BeginTx(ctx, nil)
		if err != nil {
			s.Fatal(err)
		}
		if _, err := tx.ExecContext(ctx, "REPLACE INTO kv VALUES ('k', 'v')"); err != nil {
			s.Fatal(err)
		}
		s.set("db1", func(k *rdbmstest.Knobs) { k.ReadOnly = true })
		s.wantReadOnly(tx.Commit(), rdbms.ReadOnlyServer, "db1")
		s.nothing(ctx)
	})
}

// A demoted server keeps no writers: idle connections are closed at once, borrowed ones when they come back.
func TestDemotedServerKeepsNoWriters(t *testing.T) {
	for name, demote := range map[string]func(*stage){
		"read_only": func(s *stage) { s.set("db1", func(k *rdbmstest.Knobs) { k.ReadOnly = true }) },
		// A server that was restarted without the client's connections noticing: behind a proxy.
		"identity": func(s *stage) {
			s.set("db1", func(k *rdbmstest.Knobs) { k.Variables = map[string]string{"hostname": "another"} })
		},
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, setting{}, func(s *stage) {
				borrow := func() *sql.Conn {
					conn, err := s.cluster.Primary().Conn(s.Context())
					if err != nil {
						s.Fatal(err)
					}
					if _, err := conn.ExecContext(s.Context(), "SET @x = 'mine'"); err != nil {
						s.Fatal(err)
					}
					return conn
				}
				held, idle := borrow(), borrow()
				if err := idle.Close(); err != nil {
					s.Fatal(err)
				}
				open := s.fake.Counts("db1").Open
				demote(s)
				time.Sleep(2 * time.Second)
				if n := s.fake.Counts("db1").Open; n != open-1 {
					s.Errorf("%d connections are open, %d were, of which one was idle", n, open)
				}
				var x string // who has it may go on, on the same session
				if err := held.QueryRowContext(s.Context(), "SELECT @x").Scan(&x); err != nil || x != "mine" {
					s.Errorf("%q, %v", x, err)
				}
				if err := held.Close(); err != nil {
					s.Error(err)
				}
				if n := s.fake.Counts("db1").Open; n != open-2 {
					s.Errorf("%d connections are open after the last one came back, %d were", n, open)
				}
				s.idle()
			})
		})
	}
}

// Others' refusals do not make the cluster read-only: a READ ONLY transaction, a replica.
func TestNotReadOnly(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		connects := s.fake.Counts("db1").Connects
		for _, db := range []*sql.DB{s.cluster.Primary(), s.cluster.Auto()} {
			tx, err := db.BeginTx(s.Context(), &sql.TxOptions{ReadOnly: true})
			if err != nil {
				s.Fatal(err)
			}
			_, err = tx.ExecContext(s.Context(), "REPLACE INTO kv VALUES ('k', 'v')")
			s.wantError(err, rdbms.ErrReadOnly, "a write in a read-only transaction")
			if err := tx.Rollback(); err != nil {
				s.Error(err)
			}
		}
		var v string
		err := s.cluster.Replica().QueryRowContext(s.Context(), "INSERT INTO kv (k, v) VALUES ('k', 'v') RETURNING v").Scan(&v)
		s.wantError(err, rdbms.ErrReadOnly, "a write by Query on a replica")
		if reason, _ := s.cluster.ReadOnly(); reason != "" {
			s.Errorf("read-only: %s", reason)
		}
		s.put(s.scope(), "k", "v")
		if n := s.fake.Counts("db1").Connects - connects; n > 1 {
			s.Errorf("%d connections to the primary", n)
		}
	})
}
