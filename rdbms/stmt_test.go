package rdbms_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/multidc/multidc/rdbms"
)

const byKey = "SELECT v FROM kv WHERE k = ?"

// prepare prepares a statement for the test.
func (s *stage) prepare(db interface {
	PrepareContext(context.Context, string) (*sql.Stmt, error)
}, query string) *sql.Stmt {
	s.Helper()
	stmt, err := db.PrepareContext(s.Context(), query)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = stmt.Close() })
	return stmt
}

// wantStmt reads a value by a prepared statement.
func (s *stage) wantStmt(ctx context.Context, stmt *sql.Stmt, key, value string) {
	s.Helper()
	var got string
	if err := stmt.QueryRowContext(ctx, key).Scan(&got); err != nil && !errors.Is(err, sql.ErrNoRows) || got != value {
		s.Errorf("%s is %q, %v; want %q", key, got, err, value)
	}
}

// prepares are how often something was prepared on each server.
func (s *stage) prepares() (n [3]int) {
	for i, row := range s.cluster.Explain(s.Context()).Servers {
		n[i] = s.fake.Counts(row.Name).Prepares
	}
	return n
}

// Case 122. One *sql.Stmt works on all servers. It is prepared where it is used, when it is used: once each time that
// a connection is borrowed.
func TestStmtOnThreeServers(t *testing.T) {
	change := func(c *rdbms.Config, _ *rdbms.Options) {
		c.Servers[1].Groups, c.Servers[2].Groups = map[string]int{"two": 1}, map[string]int{"three": 1}
	}
	onStage(t, setting{servers: triple, change: change}, func(s *stage) {
		s.put(s.Context(), "k", "v")
		time.Sleep(time.Second)
		stmt := s.prepare(s.cluster.Replica(), byKey)
		if n := s.prepares(); n != [3]int{} {
			s.Errorf("prepared before it is used: %v", n)
		}
		use := func() {
			s.wantStmt(rdbms.WithPrimary(s.scope()), stmt, "k", "v")
			s.wantStmt(rdbms.WithGroup(s.scope(), "two"), stmt, "k", "v")
			s.wantStmt(rdbms.WithGroup(s.scope(), "three"), stmt, "k", "v")
		}
		for i := 1; i <= 3; i++ {
			use()
			if n := s.prepares(); n != [3]int{i, i, i} {
				s.Errorf("after %d uses on each: %v", i, n)
			}
		}
		for _, server := range []string{"db1", "db2", "db3"} {
			s.fake.Restart(server)
		}
		use()
		if n := s.prepares(); n != [3]int{4, 4, 4} {
			s.Errorf("after the restart: %v", n)
		}
		s.idle()
	})
}

// In a *sql.Conn and a *sql.Tx a statement is prepared once.
func TestStmtIsReused(t *testing.T) {
	onStage(t, setting{servers: triple}, func(s *stage) {
		s.put(s.Context(), "k", "v")
		time.Sleep(time.Second)
		total := func() int { n := s.prepares(); return n[0] + n[1] + n[2] }
		for name, db := range s.handles() {
			before := total()
			conn := s.conn(db)
			stmt := s.prepare(conn, byKey)
			for range 5 {
				s.wantStmt(s.scope(), stmt, "k", "v")
			}
			s.noError(stmt.Close()) //nolint:sqlclosecheck // before its connection
			s.noError(conn.Close())
			if n := total() - before; n != 1 {
				s.Errorf("%s, Conn: prepared %d times", name, n)
			}

			before = total()
			outside := s.prepare(db, byKey)
			tx, err := db.BeginTx(s.scope(), nil)
			if err != nil {
				s.Fatal(err)
			}
			inside, of := s.prepare(tx, byKey), tx.StmtContext(s.Context(), outside)
			for range 5 {
				s.wantStmt(s.scope(), inside, "k", "v")
				s.wantStmt(s.scope(), of, "k", "v")
			}
			s.noError(tx.Commit())
			if n := total() - before; n != 2 {
				s.Errorf("%s, Tx: two statements were prepared %d times", name, n)
			}
		}
		s.idle()
	})
}

// A prepared statement goes where its text goes, and writes count.
func TestStmtOfAuto(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		db := s.cluster.Auto()
		write, read := s.prepare(db, "REPLACE INTO kv VALUES (?, ?)"), s.prepare(db, byKey) //nolint:sqlclosecheck // the test's end does
		ctx := s.scope()
		if _, err := write.ExecContext(ctx, "k", "v"); err != nil {
			s.Fatal(err)
		}
		s.wantStmt(ctx, read, "k", "v")
		if n := s.prepares(); n != [3]int{1, 1, 0} {
			s.Errorf("%v", n)
		}
		s.captured(ctx)
	})
}

// The server counts the placeholders.
func TestStmtArguments(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		stmt := s.prepare(s.cluster.Replica(), byKey)
		var v string
		if err := stmt.QueryRowContext(s.Context()).Scan(&v); err == nil || errors.Is(err, sql.ErrNoRows) {
			s.Errorf("without its argument: %v", err)
		}
		if err := stmt.QueryRowContext(s.Context(), "a", "b").Scan(&v); err == nil || errors.Is(err, sql.ErrNoRows) {
			s.Errorf("with one too many: %v", err)
		}
		s.idle()
		s.wantStmt(s.Context(), stmt, "k", "")
	})
}

// Many goroutines share one statement.
func TestStmtShared(t *testing.T) {
	onStage(t, setting{servers: triple}, func(s *stage) {
		s.put(s.Context(), "k", "v")
		time.Sleep(time.Second)
		for _, server := range []string{"db2", "db3"} {
			s.slow(server, time.Millisecond)
		}
		stmt := s.prepare(s.cluster.Replica(), byKey)
		done := make(chan bool)
		for range 20 {
			go func() {
				for range 20 {
					s.wantStmt(s.scope(), stmt, "k", "v")
				}
				done <- true
			}()
		}
		for range 20 {
			<-done
		}
		s.idle()
	})
}
