package rdbmstest_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/multidc/multidc/rdbms/rdbmstest"
)

func TestLatency(t *testing.T) {
	inBubble(t, three, func(t *testing.T, c *cluster) {
		c.Set("db2", func(k *rdbmstest.Knobs) { k.Latency, k.ConnectLatency = 50*time.Millisecond, 3*time.Millisecond })
		begun := time.Now()
		c.want("db2", "k", "")
		if took := time.Since(begun); took != 53*time.Millisecond {
			t.Errorf("connecting and reading took %v", took)
		}
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() { _, _ = c.dbs["db2"].ExecContext(c.t.Context(), "SELECT 1") })
		}
		synctest.Wait()
		all.Wait()
		if got := c.Counts("db2"); got.MostRunning != 10 || got.Running != 0 || got.MostOpen != 10 {
			t.Errorf("%+v, want 10 statements at a time", got)
		}
		c.Set("db2", func(k *rdbmstest.Knobs) { k.Latency = time.Minute })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		open := c.Counts("db2").Open
		_, err := c.dbs["db2"].ExecContext(ctx, "SELECT 1")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a slow statement: %v", err)
		}
		if got := c.Counts("db2").Open; got != open-1 {
			t.Errorf("%d connections after one was given up, %d before", got, open)
		}
	})
}

func TestHang(t *testing.T) {
	inBubble(t, three, func(t *testing.T, c *cluster) {
		c.want("db2", "k", "")
		c.Set("db2", func(k *rdbmstest.Knobs) { k.Hang, k.HangConnects = true, true })
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.dbs["db2"].PingContext(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != time.Second {
			t.Errorf("a ping that hangs: %v after %v", err, time.Since(begun))
		}
		var answered sync.WaitGroup
		answered.Go(func() { c.want("db2", "k", "") })
		time.Sleep(time.Hour)
		c.Set("db2", func(k *rdbmstest.Knobs) { k.HangConnects = false })
		time.Sleep(time.Hour)
		if got := c.Counts("db2").Running; got != 1 {
			t.Errorf("%d statements hang", got)
		}
		c.Set("db2", func(k *rdbmstest.Knobs) { k.Hang = false })
		answered.Wait()
	})
}

func TestHangingStatementsEnd(t *testing.T) {
	for name, end := range map[string]func(*cluster){
		"restart": func(c *cluster) { c.Restart("db2") },
		"down":    func(c *cluster) { c.Set("db2", func(k *rdbmstest.Knobs) { k.Down = true }) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, three, func(t *testing.T, c *cluster) {
				c.Set("db2", func(k *rdbmstest.Knobs) { k.Hang = true })
				failed := make(chan error, 1)
				go func() { _, err := c.dbs["db2"].ExecContext(c.t.Context(), "SELECT 1"); failed <- err }()
				synctest.Wait()
				end(c)
				if err := <-failed; !errors.Is(err, mysql.ErrInvalidConn) {
					t.Errorf("got %v, want a lost connection", err)
				}
			})
		})
	}
}

func TestRefusedConnects(t *testing.T) {
	inBubble(t, three, func(t *testing.T, c *cluster) {
		for _, tc := range []struct {
			set  func(*rdbmstest.Knobs)
			want func(error) bool
		}{
			{func(k *rdbmstest.Knobs) { k.Refuse = true }, func(err error) bool {
				var op *net.OpError
				return errors.As(err, &op) && errors.Is(err, syscall.ECONNREFUSED)
			}},
			{func(k *rdbmstest.Knobs) { k.ConnectError = io.ErrUnexpectedEOF }, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
			{func(k *rdbmstest.Knobs) { k.MaxConnections = 1 }, func(err error) bool {
				var answer *mysql.MySQLError
				return errors.As(err, &answer) && answer.Number == 1040
			}},
		} {
			c.Set("db2", func(k *rdbmstest.Knobs) { *k = rdbmstest.Knobs{} })
			first, err := c.dbs["db2"].Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			c.Set("db2", tc.set)
			before := c.Counts("db2")
			if _, err := c.dbs["db2"].Conn(t.Context()); !tc.want(err) {
				t.Errorf("got %v", err)
			}
			if got := c.Counts("db2"); got.Refused != before.Refused+1 || got.Connects != before.Connects+1 {
				t.Errorf("%+v after %+v", got, before)
			}
			if err := first.PingContext(t.Context()); err != nil {
				t.Errorf("the connection that was there is lost: %v", err)
			}
			_ = first.Close()
		}
	})
}

func TestFaults(t *testing.T) {
	const insert = "INSERT INTO kv VALUES ('k', '1')"
	for _, tc := range []struct {
		name  string
		fault rdbmstest.Fault
		want  func(error) bool
		value string // of k afterwards
		lost  int    // connections
	}{
		{"number", rdbmstest.Fault{Errno: 1213}, isNumber(1213), "", 0},
		{"error", rdbmstest.Fault{Err: io.EOF}, is(io.EOF), "", 0},
		{"unrun", rdbmstest.Fault{Lose: rdbmstest.LoseUnrun}, is(mysql.ErrInvalidConn), "", 1},
		{"answer", rdbmstest.Fault{Lose: rdbmstest.LoseAnswer}, is(mysql.ErrInvalidConn), "1", 1},
		{"another statement", rdbmstest.Fault{Match: "SELECT", Errno: 1213}, is(nil), "1", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, three, func(t *testing.T, c *cluster) {
				tc.fault.Times = 1
				c.Set("db1", func(k *rdbmstest.Knobs) { k.Faults = []rdbmstest.Fault{tc.fault} })
				if _, err := c.dbs["db1"].ExecContext(c.t.Context(), insert); !tc.want(err) {
					t.Errorf("got %v", err)
				}
				c.Set("db1", func(k *rdbmstest.Knobs) { k.Faults = nil })
				c.want("db1", "k", tc.value)
				if got := c.Counts("db1").Connects - 1; got != tc.lost {
					t.Errorf("%d connections lost, want %d", got, tc.lost)
				}
			})
		})
	}
}

// database/sql tries again by itself what was not sent.
func TestLoseUnsent(t *testing.T) {
	inBubble(t, three, func(t *testing.T, c *cluster) {
		c.Set("db1", func(k *rdbmstest.Knobs) {
			k.Faults = []rdbmstest.Fault{{Match: "kv", Times: 2, Lose: rdbmstest.LoseUnsent}}
		})
		c.write("db1", "k", "1")
		if got := c.Counts("db1"); got.Queries["REPLACE INTO kv VALUES (?, ?)"] != 3 || got.Writes != 1 || got.Connects != 3 {
			t.Errorf("%+v, want three tries on three connections", got)
		}
		c.Set("db1", func(k *rdbmstest.Knobs) { k.Faults = []rdbmstest.Fault{{Lose: rdbmstest.LoseUnsent}} })
		if err := c.dbs["db1"].PingContext(t.Context()); !errors.Is(err, driver.ErrBadConn) {
			t.Errorf("got %v", err)
		}
	})
}

// Case 79: the answer to a COMMIT is lost.
func TestCommitOfUnknownOutcome(t *testing.T) {
	inBubble(t, three, func(t *testing.T, c *cluster) {
		c.Set("db1", func(k *rdbmstest.Knobs) {
			k.Faults = []rdbmstest.Fault{{Match: "COMMIT", Times: 1, Lose: rdbmstest.LoseAnswer}}
		})
		tx, err := c.dbs["db1"].BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.ExecContext(c.t.Context(), "REPLACE INTO kv VALUES ('k', '1')"); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(); !errors.Is(err, mysql.ErrInvalidConn) {
			t.Errorf("got %v", err)
		}
		c.want("db1", "k", "1")
	})
}

func TestOutsideOfBubbles(t *testing.T) {
	c := open(t, three...)
	c.write("db1", "k", "1")
	c.want("db2", "k", "1")
	c.Set("db2", func(k *rdbmstest.Knobs) { k.Latency = time.Millisecond })
	c.want("db2", "k", "1")
}

func is(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }

func isNumber(number uint16) func(error) bool {
	return func(err error) bool {
		var answer *mysql.MySQLError
		return errors.As(err, &answer) && answer.Number == number
	}
}
