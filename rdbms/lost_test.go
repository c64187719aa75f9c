package rdbms_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/rdbmstest"
)

var losses = map[string]rdbmstest.Loss{"unsent": rdbmstest.LoseUnsent, "unrun": rdbmstest.LoseUnrun, "answer": rdbmstest.LoseAnswer}

// lose lets servers lose the connection of the next statements with that text.
func (s *stage) lose(match string, times int, loss rdbmstest.Loss, servers ...string) {
	s.Helper()
	for _, server := range servers {
		s.set(server, func(k *rdbmstest.Knobs) { k.Faults = []rdbmstest.Fault{{Match: match, Times: times, Lose: loss}} })
	}
}

// times counts how often statements with that text reached the servers.
func (s *stage) times(match string) (n int) {
	s.Helper()
	for _, row := range s.cluster.Explain(s.Context()).Servers {
		n += s.asked(row.Name, match)
	}
	return n
}

// hidden wants an error on which database/sql does not run anything again, and which keeps its cause.
func (s *stage) hidden(err error, loss rdbmstest.Loss) {
	s.Helper()
	if err == nil || errors.Is(err, driver.ErrBadConn) {
		s.Errorf("got %v, want an error that is not driver.ErrBadConn", err)
	}
	if loss != rdbmstest.LoseUnsent && !errors.Is(err, mysql.ErrInvalidConn) {
		s.Errorf("the cause is lost: %v", err)
	}
}

// Case 23. A read whose connection is lost is answered by another server, once.
func TestReadMovesOnce(t *testing.T) {
	reads := map[string]struct {
		match string
		do    func(context.Context, *sql.DB) error
	}{
		"SELECT": {"FROM kv", func(ctx context.Context, db *sql.DB) error {
			_, err := get(ctx, db, "k")
			return err
		}},
		"prepared": {"FROM kv", func(ctx context.Context, db *sql.DB) error {
			stmt, err := db.PrepareContext(ctx, "SELECT v FROM kv WHERE k = ?")
			if err != nil {
				return err
			}
			defer stmt.Close()
			var v string
			return stmt.QueryRowContext(ctx, "k").Scan(&v)
		}},
		"Ping": {"PING", func(ctx context.Context, db *sql.DB) error { return db.PingContext(ctx) }},
		"BEGIN": {"START TRANSACTION READ ONLY", func(ctx context.Context, db *sql.DB) error {
			tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
			if err != nil {
				return err
			}
			return tx.Rollback()
		}},
	}
	for name, read := range reads {
		for lost, loss := range losses {
			for _, both := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/%t", name, lost, both), func(t *testing.T) {
					onStage(t, setting{servers: triple}, func(s *stage) {
						s.put(s.Context(), "k", "v")
						time.Sleep(time.Second)
						scope := s.scope()
						first, err := who(scope, s.cluster.Replica())
						if err != nil {
							s.Fatal(err)
						}
						lossy := []string{first}
						if both {
							lossy = []string{"db2", "db3"}
						}
						s.lose(read.match, 1, loss, lossy...)
						err = read.do(scope, s.cluster.Replica())
						if both {
							s.hidden(err, loss)
						} else if err != nil {
							s.Errorf("%v; another server could answer", err)
						}
						want := 2
						if name == "prepared" && (!both || loss == rdbmstest.LoseUnsent) {
							want = s.times(read.match) // each prepare is one too
						}
						if n := s.times(read.match); n != want {
							s.Errorf("sent %d times", n)
						}
						if told := heard(s, &s.reads); len(told) != 1 || told[0].Path != rdbms.ReadMoved || told[0].Err == nil || errors.Is(told[0].Err, driver.ErrBadConn) {
							s.Errorf("OnRead: %+v", told)
						}
						if h := s.row(first).Health; h != rdbms.HealthFresh { // one failure is not three
							s.Errorf("%s is %s", first, h)
						}
						if s.fake.Counts("db1").Pings+s.fake.Counts("db1").Begins > 0 {
							s.Error("the primary was asked")
						}
						s.idle()
					})
				})
			}
		}
	}
}

// Case 23. What may have written is sent once, wherever, and database/sql is not told to send it again.
func TestWriteIsNeverSentAgain(t *testing.T) {
	const text = "INSERT INTO kv (k, v) VALUES ('k', 'v')"
	for name, write := range map[string]func(context.Context, *rdbms.Cluster) error{
		"Exec on Primary": func(ctx context.Context, c *rdbms.Cluster) error {
			_, err := c.Primary().ExecContext(ctx, text)
			return err
		},
		"Exec on Auto": func(ctx context.Context, c *rdbms.Cluster) error {
			_, err := c.Auto().ExecContext(ctx, text)
			return err
		},
		"prepared": func(ctx context.Context, c *rdbms.Cluster) error {
			stmt, err := c.Primary().PrepareContext(ctx, text)
			if err != nil {
				return err
			}
			defer stmt.Close()
			_, err = stmt.ExecContext(ctx)
			return err
		},
		"Query on Primary": func(ctx context.Context, c *rdbms.Cluster) error {
			var v string
			return c.Primary().QueryRowContext(ctx, text+" RETURNING v").Scan(&v)
		},
		"Query on Auto": func(ctx context.Context, c *rdbms.Cluster) error {
			var v string
			return c.Auto().QueryRowContext(ctx, text+" RETURNING v").Scan(&v)
		},
		"Query on Replica": func(ctx context.Context, c *rdbms.Cluster) error {
			var v string
			return c.Replica().QueryRowContext(ctx, text+" RETURNING v").Scan(&v)
		},
		"in a transaction": func(ctx context.Context, c *rdbms.Cluster) error {
			tx, err := c.Primary().BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			defer func() { _ = tx.Rollback() }()
			_, err = tx.ExecContext(ctx, text)
			return err
		},
	} {
		for lost, loss := range losses {
			t.Run(name+"/"+lost, func(t *testing.T) {
				onStage(t, setting{servers: triple}, func(s *stage) {
					for _, server := range []string{"db2", "db3"} { // as in a circular pair
						s.set(server, func(k *rdbmstest.Knobs) { k.ReadOnly = false })
					}
					s.lose(text, 1, loss, "db1", "db2", "db3")
					s.hidden(write(s.scope(), s.cluster), loss)
					if n := s.times(text); n != 1 {
						s.Errorf("sent %d times", n)
					}
					s.idle()
				})
			})
		}
	}
}

// Who wrote is told whether it may have happened: not if the driver knows that nothing was sent, nor of a statement in a
// transaction, which only COMMIT makes last.
func TestUnknownOutcome(t *testing.T) {
	begun := func(s *stage) *sql.Tx {
		tx, err := s.cluster.Primary().BeginTx(s.Context(), nil)
		s.noError(err)
		s.noError(put2(s.Context(), tx, "other", "v"))
		return tx
	}
	for name, tc := range map[string]struct {
		match string
		do    func(*stage) error
		ends  bool // nothing can be undone after
	}{
		"Exec":             {"REPLACE", func(s *stage) error { return put(s.scope(), s.cluster.Primary(), "k", "v") }, true},
		"Exec on Auto":     {"REPLACE", func(s *stage) error { return put(s.scope(), s.cluster.Auto(), "k", "v") }, true},
		"Query":            {"INSERT", func(s *stage) error { return insertInto(s.scope(), s.cluster.Primary()) }, true},
		"Query on Replica": {"INSERT", func(s *stage) error { return insertInto(s.scope(), s.cluster.Replica()) }, true},
		"COMMIT":           {"COMMIT", func(s *stage) error { return begun(s).Commit() }, true},
		"Exec in a transaction": {"INSERT", func(s *stage) error {
			tx := begun(s)
			defer func() { _ = tx.Rollback() }()
			_, err := tx.ExecContext(s.Context(), "INSERT INTO kv (k, v) VALUES ('k', 'v')")
			return err
		}, false},
		"Query in a transaction": {"INSERT", func(s *stage) error {
			tx := begun(s)
			defer func() { _ = tx.Rollback() }()
			return insertInto(s.Context(), tx)
		}, false},
		"BEGIN": {begin, func(s *stage) error { _, err := s.cluster.Primary().BeginTx(s.Context(), nil); return err }, false},
		"read":  {"FROM kv", func(s *stage) error { _, err := get(s.scope(), s.cluster.Primary(), "k"); return err }, false},
	} {
		for lost, loss := range losses {
			t.Run(name+"/"+lost, func(t *testing.T) {
				onStage(t, setting{change: weighted}, func(s *stage) {
					s.lose(tc.match, 1, loss, "db1")
					want, not := rdbms.ErrUnavailable, rdbms.ErrUnknownOutcome
					if tc.ends && loss != rdbmstest.LoseUnsent {
						want, not = not, want
					}
					err := tc.do(s)
					s.hidden(err, loss)
					if s.wantError(err, want, name); errors.Is(err, not) {
						s.Errorf("it is %v too: %v", not, err)
					}
					s.idle()
				})
			})
		}
	}
}

// BEGIN and COMMIT on the primary, and a ping of it, are not repeated by database/sql either.
func TestLostOnPrimary(t *testing.T) {
	for match, do := range map[string]func(context.Context, *rdbms.Cluster) error{
		"START TRANSACTION": func(ctx context.Context, c *rdbms.Cluster) error { _, err := c.Primary().BeginTx(ctx, nil); return err },
		"PING":              func(ctx context.Context, c *rdbms.Cluster) error { return c.Primary().PingContext(ctx) },
		"FROM kv":           func(ctx context.Context, c *rdbms.Cluster) error { _, err := get(ctx, c.Primary(), "k"); return err },
		"COMMIT": func(ctx context.Context, c *rdbms.Cluster) error {
			tx, err := c.Auto().BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			return tx.Commit()
		},
		"ROLLBACK": func(ctx context.Context, c *rdbms.Cluster) error {
			tx, err := c.Auto().BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			return tx.Rollback()
		},
	} {
		for lost, loss := range losses {
			t.Run(match+"/"+lost, func(t *testing.T) {
				onStage(t, setting{}, func(s *stage) {
					s.lose(match, 1, loss, "db1")
					s.hidden(do(s.scope(), s.cluster), loss)
					if n := s.times(match); n != 1 {
						s.Errorf("sent %d times", n)
					}
					s.idle()
				})
			})
		}
	}
}

// A server that was restarted has ended its idle connections. That is found out before a statement is sent.
func TestStaleIdleConnections(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		for range 3 {
			var conns []*sql.Conn
			for _, db := range []*sql.DB{s.cluster.Primary(), s.cluster.Replica()} {
				for range 5 {
					conn := s.conn(db)
					if err := conn.PingContext(s.Context()); err != nil {
						s.Fatal(err)
					}
					conns = append(conns, conn)
				}
			}
			for _, conn := range conns {
				_ = conn.Close()
			}
			s.fake.Restart("db1")
			s.fake.Restart("db2")
			ctx := s.scope()
			for range 5 {
				s.put(ctx, "k", "v")
				s.want(ctx, s.cluster.Replica(), "k", "v")
			}
		}
	})
}

// A held connection that is lost is lost: its session cannot be had elsewhere.
func TestHeldConnectionLost(t *testing.T) {
	onStage(t, setting{servers: triple}, func(s *stage) {
		conn := s.conn(s.cluster.Replica())
		server := ""
		if err := conn.QueryRowContext(s.Context(), "SELECT @@hostname").Scan(&server); err != nil {
			s.Fatal(err)
		}
		s.fake.Restart(server)
		before := s.times("SELECT 5")
		var n int
		err := conn.QueryRowContext(s.Context(), "SELECT 5").Scan(&n)
		if err == nil || errors.Is(err, driver.ErrBadConn) {
			s.Errorf("%d, %v", n, err)
		}
		if sent := s.times("SELECT 5") - before; sent > 1 {
			s.Errorf("sent %d times", sent)
		}
		_ = conn.Close()
		s.look(s.Context(), s.cluster.Replica())
		s.idle()
	})
}
