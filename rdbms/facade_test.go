package rdbms_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/rdbmstest"
)

func (s *stage) handles() map[string]*sql.DB {
	return map[string]*sql.DB{"Primary": s.cluster.Primary(), "Replica": s.cluster.Replica(), "Auto": s.cluster.Auto()}
}

// conn takes a connection of a handle for the test.
func (s *stage) conn(db *sql.DB) *sql.Conn {
	s.Helper()
	conn, err := db.Conn(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = conn.Close() })
	return conn
}

// Where the calls on each handle go.
func TestWhereCallsGo(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		read := func(ctx context.Context, db *sql.DB) string {
			server, err := who(ctx, db)
			if err != nil {
				s.Error(err)
			}
			return server
		}
		locking := func(ctx context.Context, db *sql.DB) string {
			before := s.fake.Counts("db1").Reads
			s.noError(queryAll(ctx, db, "SELECT v FROM kv WHERE k = 'k' FOR UPDATE"))
			if s.fake.Counts("db1").Reads > before {
				return "db1"
			}
			return "db2"
		}
		ping := func(ctx context.Context, db *sql.DB) string {
			before := s.fake.Counts("db1").Pings
			if err := db.PingContext(ctx); err != nil {
				s.Error(err)
			}
			if s.fake.Counts("db1").Pings > before {
				return "db1"
			}
			return "db2"
		}
		ctx := s.Context()
		for what, call := range map[string]struct {
			do                     func(context.Context, *sql.DB) string
			ctx                    context.Context //nolint:containedctx // what a case is about
			primary, replica, auto string
		}{
			"a read":                   {read, ctx, "db1", "db2", "db2"},
			"a locking read":           {locking, ctx, "db1", "db2", "db1"},
			"a read under WithPrimary": {read, rdbms.WithPrimary(ctx), "db1", "db1", "db1"},
			"a read with staleness 0":  {read, rdbms.WithMaxStaleness(ctx, 0), "db1", "db1", "db1"},
			"a ping":                   {ping, ctx, "db1", "db2", "db2"},
			"a ping under WithPrimary": {ping, rdbms.WithPrimary(ctx), "db1", "db1", "db2"},
		} {
			for name, want := range map[string]string{"Primary": call.primary, "Replica": call.replica, "Auto": call.auto} {
				if what == "a ping under WithPrimary" && name == "Auto" {
					continue // either will do
				}
				if got := call.do(call.ctx, s.handles()[name]); got != want {
					s.Errorf("%s on %s went to %s, want %s", what, name, got, want)
				}
			}
		}
		s.idle()
	})
}

// Exec on Replica fails before any connection, whatever else was asked for.
func TestExecOnReplica(t *testing.T) {
	onStage(t, setting{alone: true}, func(s *stage) {
		db := s.cluster.Replica()
		for _, ctx := range []context.Context{s.scope(), rdbms.WithPrimary(s.scope()), rdbms.WithMaxStaleness(s.scope(), 0), rdbms.WithPhase(s.scope(), "POST")} {
			s.wantError(put(ctx, db, "k", "v"), rdbms.ErrReplicaWrite, "Exec")
			for _, query := range []string{"SET GLOBAL read_only = 0", "SET STATEMENT max_statement_time = 1 FOR DELETE FROM kv WHERE k = 'k'", "SET @x = 1; DELETE FROM kv WHERE k = 'k'"} {
				_, err := db.ExecContext(ctx, query)
				s.wantError(err, rdbms.ErrReplicaWrite, query)
			}
			stmt, err := db.PrepareContext(ctx, "DELETE FROM kv WHERE k = ?")
			if err != nil {
				s.Fatal(err)
			}
			defer stmt.Close()
			_, err = stmt.ExecContext(ctx, "k")
			s.wantError(err, rdbms.ErrReplicaWrite, "a prepared statement")
		}
		for _, server := range []string{"db1", "db2"} {
			if n := s.fake.Counts(server).Connects; n > 0 {
				s.Errorf("%d connections to %s", n, server)
			}
		}
		if told := heard(s, &s.refused); len(told) != 20 || !errors.Is(told[0].Err, rdbms.ErrReplicaWrite) {
			s.Errorf("%d times OnRefused: %+v", len(told), told)
		}
	})
}

// Case Xa. A caller's *sql.Conn stays in one session of one server, until it is closed.
func TestConnKeepsItsSession(t *testing.T) {
	for name, set := range map[string]func(context.Context, *sql.Conn, string) error{
		"Exec": func(ctx context.Context, conn *sql.Conn, value string) error {
			_, err := conn.ExecContext(ctx, "SET @x = ?", value)
			return err
		},
		"Query": func(ctx context.Context, conn *sql.Conn, value string) error {
			return queryAll(ctx, conn, "SET @x = '"+value+"'")
		},
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, setting{servers: triple}, func(s *stage) {
				for handle, db := range s.handles() {
					var conns []*sql.Conn
					for i := range 10 {
						conn := s.conn(db)
						conns = append(conns, conn)
						if err := set(s.Context(), conn, strings.Repeat("x", i+1)); err != nil {
							s.Fatalf("%s: %v", handle, err)
						}
					}
					borrowed := s.row("db1").InFlight + s.row("db2").InFlight + s.row("db3").InFlight
					if borrowed != 10 {
						s.Errorf("%s: %d connections are borrowed", handle, borrowed)
					}
					for range 3 {
						for i, conn := range conns {
							if handle == "Auto" {
								continue // SET went to the primary, and a read does not
							}
							var x, server string
							if err := conn.QueryRowContext(s.scope(), "SELECT @x, @@hostname").Scan(&x, &server); err != nil || len(x) != i+1 {
								s.Errorf("%s: %q, %q, %v", handle, x, server, err)
							}
						}
					}
					for _, conn := range conns {
						if err := conn.Close(); err != nil {
							s.Error(err)
						}
					}
					s.idle()
				}
			})
		})
	}
}

// A connection of Auto holds one of the primary and one to read from, at most.
func TestConnOfAuto(t *testing.T) {
	onStage(t, setting{servers: triple}, func(s *stage) {
		conn := s.conn(s.cluster.Auto())
		ids := map[string]bool{}
		for range 10 {
			if _, err := conn.ExecContext(s.scope(), "REPLACE INTO kv VALUES ('k', 'v')"); err != nil {
				s.Fatal(err)
			}
			var id, server string
			if err := conn.QueryRowContext(s.scope(), "SELECT CONNECTION_ID(), @@hostname").Scan(&id, &server); err != nil {
				s.Fatal(err)
			}
			ids[server+id] = true
		}
		if replicas := s.row("db2").InFlight + s.row("db3").InFlight; s.row("db1").InFlight != 1 || replicas != 1 || len(ids) != 1 {
			s.Errorf("%d of the primary, %d of replicas, read from %v", s.row("db1").InFlight, replicas, ids)
		}
		if err := conn.Close(); err != nil {
			s.Error(err)
		}
		s.idle()
	})
}

// A held connection stays, and follows the scope of each call: what it cannot give is an error or a flag.
func TestConnKeepsGuarantees(t *testing.T) {
	onStage(t, setting{lag: map[string]time.Duration{"db2": 300 * time.Millisecond}}, func(s *stage) {
		conn := s.conn(s.cluster.Replica())
		s.want(s.Context(), conn, "k", "")
		position, asOf := s.position("k", "v")
		s.want(s.require(position, asOf, 0, "error"), conn, "k", "v")
		position, asOf = s.missing()
		var v string
		err := conn.QueryRowContext(s.require(position, asOf, 0, "error"), "SELECT v FROM kv WHERE k = 'missing'").Scan(&v)
		s.wantError(err, rdbms.ErrNotCaughtUp, "policy error")
		ctx := s.require(position, asOf, 0, "primary") // it cannot go there
		s.want(ctx, conn, "missing", "")
		if !s.cluster.Positions().Lagged(ctx) {
			s.Error("not flagged")
		}
		time.Sleep(3 * time.Second)
		err = conn.QueryRowContext(rdbms.WithMaxStaleness(s.Context(), time.Second), "SELECT v FROM kv WHERE k = 'k'").Scan(&v)
		s.wantError(err, rdbms.ErrTooStale, "explicit staleness")
	})
}

// Conn.Raw gives our connection, and its Raw that of the server, also when nothing was borrowed yet.
func TestConnRaw(t *testing.T) {
	onStage(t, setting{alone: true}, func(s *stage) {
		for name, db := range s.handles() {
			for _, used := range []bool{false, true} {
				conn := s.conn(db)
				if used {
					if err := conn.PingContext(s.Context()); err != nil {
						s.Fatal(err)
					}
				}
				called := 0
				err := conn.Raw(func(ours any) error {
					raw, ok := ours.(interface{ Raw(f func(any) error) error })
					if !ok {
						return errors.New("our connection has no Raw")
					}
					return raw.Raw(func(theirs any) error {
						called++
						if _, ok := theirs.(interface{ Raw(f func(any) error) error }); ok {
							return errors.New("the server's connection is one of ours")
						}
						if _, ok := theirs.(driver.Conn); !ok {
							return errors.New("no driver.Conn")
						}
						return nil
					})
				})
				if err != nil || called != 1 {
					s.Errorf("%s, used %t: %v, called %d times", name, used, err, called)
				}
				failed := errors.New("mine")
				err = conn.Raw(func(ours any) error {
					return ours.(interface{ Raw(f func(any) error) error }).Raw(func(any) error { return failed })
				})
				s.wantError(err, failed, "the caller's own error")
				if err := conn.Close(); err != nil {
					s.Error(err)
				}
			}
		}
		s.idle()
	})
}

func TestDriverOpen(t *testing.T) {
	onStage(t, setting{alone: true}, func(s *stage) {
		for _, db := range s.handles() {
			conn, err := db.Driver().Open("app@tcp(db1)/wiki")
			s.wantError(err, rdbms.ErrUnsupported, "Open")
			if conn != nil {
				s.Error("a connection all the same")
			}
		}
		first := s.handles()
		if again := s.handles(); !maps.Equal(first, again) || first["Primary"] == first["Replica"] {
			s.Error("the handles are not the same values each time")
		}
	})
}

// SetMaxOpenConns and Stats are about statements under way; sockets are the servers' matter.
func TestVirtualConnectionsAreCounted(t *testing.T) {
	change := func(c *rdbms.Config, _ *rdbms.Options) { c.Servers[1].MaxOpen = 2 }
	onStage(t, setting{change: change}, func(s *stage) {
		db := s.cluster.Replica()
		db.SetMaxOpenConns(3)
		var conns []*sql.Conn
		for range 3 {
			conns = append(conns, s.conn(db))
		}
		if stats := db.Stats(); stats.InUse != 3 || s.row("db2").InFlight != 0 {
			s.Errorf("%+v, and %d sockets", stats, s.row("db2").InFlight)
		}
		short, cancel := context.WithTimeout(s.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := db.Conn(short)
		s.wantError(err, context.DeadlineExceeded, "a fourth one")
		for _, conn := range conns[:2] {
			if err := conn.PingContext(s.Context()); err != nil {
				s.Error(err)
			}
		}
		if row := s.row("db2"); row.InFlight != 2 || row.MaxOpen != 2 {
			s.Errorf("%+v", row)
		}
		// Waiting for a server's pool uses the caller's time, and is no failure of the server.
		short, cancel = context.WithTimeout(s.Context(), 100*time.Millisecond)
		defer cancel()
		d := took(func() { s.wantError(conns[2].PingContext(short), context.DeadlineExceeded, "a third socket") })
		if row := s.row("db2"); d != 100*time.Millisecond || row.Health != rdbms.HealthFresh {
			s.Errorf("%v, %+v", d, row)
		}
		time.AfterFunc(time.Second, func() { _ = conns[0].Close() })
		if d := took(func() { s.want(s.Context(), conns[2], "k", "") }); d != time.Second {
			s.Errorf("a socket was there after %v", d)
		}
		for _, conn := range conns {
			_ = conn.Close()
		}
		s.idle()
	})
}

// Arguments reach the server's driver as the caller gave them.
func TestArgumentsPass(t *testing.T) {
	onStage(t, setting{alone: true}, func(s *stage) {
		var got []driver.NamedValue
		s.fake.Handle(func(_ context.Context, _, query string, args []driver.NamedValue) (*rdbmstest.Result, error) {
			if !strings.HasPrefix(query, "SELECT ?") && !strings.HasPrefix(query, "DO ?") {
				return nil, nil //nolint:nilnil // the fake's own
			}
			got = args
			return &rdbmstest.Result{Columns: []string{"a"}}, nil
		})
		at := time.Date(2026, 5, 1, 10, 0, 0, 123456789, time.FixedZone("x", 3600))
		given := []any{nil, int64(-5), 3.5, true, []byte("b"), "s", at, sql.Named("n", "named"), upper("val"), new(int32)}
		want := []driver.Value{nil, int64(-5), 3.5, true, []byte("b"), "s", at, "named", "VAL", int64(0)}
		const query = "SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"
		for name, db := range s.handles() {
			for _, prepared := range []bool{false, true} {
				got = nil
				ask := db.QueryRowContext
				if prepared {
					stmt := s.prepare(db, query)
					ask = func(ctx context.Context, _ string, args ...any) *sql.Row { return stmt.QueryRowContext(ctx, args...) }
				}
				if err := ask(s.Context(), query, given...).Scan(new(any)); !errors.Is(err, sql.ErrNoRows) {
					s.Fatalf("%s: %v", name, err)
				}
				values := make([]driver.Value, len(got))
				for i, arg := range got {
					values[i] = arg.Value
				}
				if len(values) != len(want) || got[7].Name != "n" || !slices.EqualFunc(values, want, same) {
					s.Errorf("%s, prepared %t: %v, want %v", name, prepared, values, want)
				}
			}
		}
		s.idle()
	})
}

func same(a, b driver.Value) bool {
	x, isBytes := a.([]byte)
	y, alsoBytes := b.([]byte)
	if isBytes || alsoBytes {
		return isBytes && alsoBytes && string(x) == string(y)
	}
	return a == b
}

// upper is an argument that knows its own value.
type upper string

func (u upper) Value() (driver.Value, error) { return strings.ToUpper(string(u)), nil }

// Close gives everything back, also what is still borrowed, when that comes back.
func TestCloseWithBorrowed(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		conn := s.conn(s.cluster.Replica())
		s.want(s.Context(), conn, "k", "")
		done := make(chan error, 1)
		go func() { done <- s.cluster.Close(context.Background()) }()
		synctest.Wait()
		_ = conn.Close()
		if err := <-done; err != nil {
			s.Error(err)
		}
		for _, db := range s.handles() {
			if err := db.PingContext(s.Context()); err == nil {
				s.Error("a closed cluster answers a ping")
			}
		}
		if n := s.fake.Counts("db1").Open + s.fake.Counts("db2").Open; n != 0 {
			s.Errorf("%d connections are open", n)
		}
	})
}
