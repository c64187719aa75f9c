package rdbms_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/rdbmstest"
)

func (s *stage) slow(server string, latency time.Duration) {
	s.Helper()
	s.set(server, func(k *rdbmstest.Knobs) { k.Latency = latency })
}

var zone = time.FixedZone("x", 3600)

// samples are values of all kinds that a driver may give, with more columns than have a place without memory.
var samples = [][]driver.Value{
	{int64(math.MinInt64), 0.5, true, []byte("bytes"), "text", time.Date(2026, 5, 1, 10, 0, 0, 123456789, zone), nil, []byte{}, []byte(nil), "", int64(0), uint64(math.MaxUint64)},
	{int64(1), -1.5, false, []byte("other"), "ä\x00\xff", time.Time{}, int64(7), nil, []byte("x"), "y", nil, nil},
}

// What comes through a handle is what comes from the server.
func TestRowsPass(t *testing.T) {
	onStage(t, setting{}, func(s *stage) {
		columns := strings.Split("a b c d e f g h i j k a", " ")
		s.fake.Handle(func(_ context.Context, _, query string, args []driver.NamedValue) (*rdbmstest.Result, error) {
			if query != "SELECT samples" {
				return nil, nil //nolint:nilnil // the fake's own
			}
			n := int(args[0].Value.(int64))
			result := &rdbmstest.Result{Columns: columns[:n]}
			for _, row := range samples {
				result.Rows = append(result.Rows, row[:n])
			}
			return result, nil
		})
		direct := s.fake.Admin("db2")
		for _, n := range []int{0, 1, 7, 8, 9, len(columns)} {
			want := s.all(s.Context(), direct, n)
			for name, db := range s.handles() {
				for kind, ctx := range map[string]context.Context{"no end": context.Background(), "an end": s.scope()} {
					if got := s.all(ctx, db, n); !reflect.DeepEqual(got, want) {
						s.Errorf("%s, %d columns, context with %s:\n%#v, want\n%#v", name, n, kind, got, want)
					}
				}
			}
		}
		s.idle()
	})
}

// all reads everything: columns, their types, and each value as it is and as raw bytes.
func (s *stage) all(ctx context.Context, db *sql.DB, n int) (got []any) {
	s.Helper()
	for _, raw := range []bool{false, true} {
		rows, err := db.QueryContext(ctx, "SELECT samples", int64(n))
		if err != nil {
			s.Fatal(err)
		}
		defer rows.Close()
		columns, err := rows.Columns()
		got = append(got, columns, err)
		types, err := rows.ColumnTypes()
		if got = append(got, err); err != nil {
			s.Fatal(err)
		}
		for _, one := range types {
			length, hasLength := one.Length()
			precision, scale, hasScale := one.DecimalSize()
			nullable, hasNullable := one.Nullable()
			got = append(got, one.Name(), one.DatabaseTypeName(), length, hasLength, precision, scale, hasScale, nullable, hasNullable, one.ScanType())
		}
		for rows.Next() {
			values, into := make([]any, n), make([]any, n)
			bytes := make([]sql.RawBytes, n)
			for i := range into {
				if into[i] = &values[i]; raw && i != 5 {
					into[i] = &bytes[i]
				}
			}
			if err := rows.Scan(into...); err != nil {
				s.Fatal(err)
			}
			got = append(got, values)
			for _, b := range bytes {
				got = append(got, append([]byte(nil), b...), b == nil)
			}
		}
		got = append(got, rows.Err(), rows.NextResultSet(), rows.Err())
	}
	return got
}

// typed is a connector whose connections answer TYPED with column types and two result sets.
type typed struct{ driver.Connector }

func (t typed) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := t.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return typedConn{conn.(fullConn)}, nil
}

type fullConn interface {
	driver.Conn
	driver.QueryerContext
	driver.ExecerContext
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

type typedConn struct{ fullConn }

func (c typedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if query != "SELECT typed" {
		return c.fullConn.QueryContext(ctx, query, args)
	}
	return &typedRows{}, nil
}

// typedRows are two result sets: two rows of one column, one row of two. The third breaks.
type typedRows struct{ set, row int }

func (r *typedRows) Columns() []string { return [][]string{{"price"}, {"name", "at"}, {"x"}}[r.set] }
func (*typedRows) Close() error        { return nil }

func (r *typedRows) Next(into []driver.Value) error {
	switch {
	case r.set == 2:
		return errors.New("broken in the third set")
	case r.row >= 2-r.set:
		return io.EOF
	}
	r.row++
	for i := range into {
		into[i] = fmt.Sprint(r.set, r.row, i)
	}
	return nil
}

func (r *typedRows) HasNextResultSet() bool { return r.set < 2 }

func (r *typedRows) NextResultSet() error {
	if r.set == 2 {
		return io.EOF
	}
	r.set, r.row = r.set+1, 0
	return nil
}

func (r *typedRows) ColumnTypeDatabaseTypeName(i int) string {
	return fmt.Sprint("TYPE", r.set, i)
}
func (*typedRows) ColumnTypeLength(i int) (int64, bool)  { return int64(10 + i), true }
func (*typedRows) ColumnTypeNullable(i int) (bool, bool) { return i == 0, true }
func (*typedRows) ColumnTypeScanType(int) reflect.Type   { return reflect.TypeFor[sql.NullString]() }
func (*typedRows) ColumnTypePrecisionScale(i int) (int64, int64, bool) {
	return int64(20 + i), 2, true
}

// Column types and further result sets pass.
func TestResultSetsPass(t *testing.T) {
	change := func(c *rdbms.Config, _ *rdbms.Options) {
		for i := range c.Servers {
			c.Servers[i].Connector = typed{c.Servers[i].Connector}
		}
	}
	onStage(t, setting{change: change}, func(s *stage) {
		direct := sql.OpenDB(typed{s.fake.Config().Servers[0].Connector})
		defer direct.Close()
		read := func(db *sql.DB) (got []any) {
			rows, err := db.QueryContext(s.Context(), "SELECT typed")
			if err != nil {
				s.Fatal(err)
			}
			defer rows.Close()
			for more := true; more; more = rows.NextResultSet() {
				types, err := rows.ColumnTypes()
				got = append(got, err)
				for _, one := range types {
					length, _ := one.Length()
					precision, scale, _ := one.DecimalSize()
					nullable, _ := one.Nullable()
					got = append(got, one.Name(), one.DatabaseTypeName(), length, precision, scale, nullable, one.ScanType().String())
				}
				for rows.Next() {
					a, b := "", ""
					into := []any{&a, &b}[:len(types)]
					got = append(got, rows.Scan(into...), a, b)
				}
				got = append(got, fmt.Sprint(rows.Err()))
			}
			return append(got, fmt.Sprint(rows.Err()))
		}
		want := read(direct)
		if len(want) < 30 {
			s.Fatalf("%v", want)
		}
		for name, db := range s.handles() {
			if got := read(db); !reflect.DeepEqual(got, want) {
				s.Errorf("%s:\n%v, want\n%v", name, got, want)
			}
		}
		s.idle()
	})
}

// Case 121. However rows are left, the borrowed connection is free when they are closed, or their context ends.
func TestRowsLeft(t *testing.T) {
	for name, leave := range map[string]func(context.Context, *stage, queryingAll){
		"not closed": func(ctx context.Context, s *stage, db queryingAll) {
			rows, err := db.QueryContext(ctx, "SELECT k, v FROM kv ORDER BY k") //nolint:sqlclosecheck // that is the point
			if err != nil {
				s.Fatal(err)
			}
			rows.Next()
			s.noError(rows.Err())
		},
		"QueryRow never scanned": func(ctx context.Context, _ *stage, db queryingAll) {
			_ = db.QueryRowContext(ctx, "SELECT v FROM kv WHERE k = 'a'")
		},
		"QueryRow of many": func(ctx context.Context, s *stage, db queryingAll) {
			var k, v string
			s.noError(db.QueryRowContext(ctx, "SELECT k, v FROM kv ORDER BY k").Scan(&k, &v))
		},
		"closed early": func(ctx context.Context, s *stage, db queryingAll) {
			rows, err := db.QueryContext(ctx, "SELECT k, v FROM kv ORDER BY k")
			if err != nil {
				s.Fatal(err)
			}
			s.noError(rows.Close()) //nolint:sqlclosecheck // what this is about
			s.noError(rows.Err())
		},
		"a Scan that fails": func(ctx context.Context, s *stage, db queryingAll) {
			var n int
			if err := db.QueryRowContext(ctx, "SELECT v FROM kv WHERE k = 'a'").Scan(&n); err == nil {
				s.Error("a text is no number")
			}
		},
		"an error of the server": func(ctx context.Context, s *stage, db queryingAll) {
			if _, err := db.QueryContext(ctx, "NO SUCH STATEMENT"); err == nil { //nolint:rowserrcheck,sqlclosecheck // there are none
				s.Error("no error")
			}
		},
	} {
		for handle := range map[string]bool{"Primary": true, "Replica": true, "Auto": true} {
			for _, on := range []string{"DB", "Conn", "Tx", "Stmt"} {
				if on == "Stmt" && name != "not closed" {
					continue
				}
				t.Run(name+"/"+handle+"/"+on, func(t *testing.T) {
					onStage(t, setting{}, func(s *stage) { s.leave(handle, on, leave) })
				})
			}
		}
	}
}

type queryingAll interface {
	querying
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// fromStmt is a prepared statement in the guise of a handle.
type fromStmt struct{ *sql.Stmt }

func (f fromStmt) QueryContext(ctx context.Context, _ string, _ ...any) (*sql.Rows, error) {
	return f.Stmt.QueryContext(ctx)
}

func (f fromStmt) QueryRowContext(ctx context.Context, _ string, _ ...any) *sql.Row {
	return f.Stmt.QueryRowContext(ctx)
}

func (s *stage) leave(handle, on string, leave func(context.Context, *stage, queryingAll)) {
	for _, k := range []string{"a", "b", "c"} {
		s.put(s.Context(), k, "v"+k)
	}
	time.Sleep(time.Second)
	ctx, cancel := context.WithCancel(s.scope())
	defer cancel()
	db := s.handles()[handle]
	switch on {
	case "DB":
		leave(ctx, s, db)
	case "Stmt":
		leave(ctx, s, fromStmt{s.prepare(db, "SELECT k, v FROM kv ORDER BY k")})
	case "Conn":
		conn := s.conn(db)
		leave(ctx, s, conn)
		cancel()
		synctest.Wait()
		s.look(s.Context(), conn)
		s.noError(conn.Close())
	case "Tx":
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			s.Fatal(err)
		}
		leave(ctx, s, tx)
	}
	cancel()
	s.idle()
	s.want(s.Context(), db, "a", "va")
}

// Case 121. A context that is cancelled amid rows ends them, with its error, and never with a false end.
func TestRowsCancelled(t *testing.T) {
	for _, handle := range []string{"Primary", "Replica", "Auto"} {
		t.Run(handle, func(t *testing.T) {
			onStage(t, setting{}, func(s *stage) {
				for _, k := range []string{"a", "b", "c"} {
					s.put(s.Context(), k, "v"+k)
				}
				time.Sleep(time.Second)
				for after := range 3 {
					ctx, cancel := context.WithCancel(s.scope())
					rows, err := s.handles()[handle].QueryContext(ctx, "SELECT k, v FROM kv ORDER BY k")
					if err != nil {
						s.Fatal(err)
					}
					for range after {
						if !rows.Next() {
							s.Fatal(rows.Err())
						}
					}
					cancel()
					synctest.Wait()
					if rows.Next() {
						s.Error("another row, after the end of the context")
					}
					s.wantError(rows.Err(), context.Canceled, "cancelled amid rows")
					s.idle()
					_ = rows.Close() //nolint:sqlclosecheck // before the next one
				}
				for _, server := range []string{"db1", "db2"} {
					if h := s.row(server).Health; h != rdbms.HealthFresh {
						s.Errorf("%s is %s", server, h)
					}
				}
			})
		})
	}
}

// A connection that is lost amid rows is an error: what was handed out is not fetched again from elsewhere.
func TestRowsLost(t *testing.T) {
	onStage(t, setting{servers: triple}, func(s *stage) {
		for _, k := range []string{"a", "b", "c"} {
			s.put(s.Context(), k, "v"+k)
		}
		time.Sleep(time.Second)
		rows, err := s.cluster.Replica().QueryContext(s.scope(), "SELECT k, v FROM kv ORDER BY k")
		if err != nil {
			s.Fatal(err)
		}
		defer rows.Close()
		if !rows.Next() {
			s.Fatal(rows.Err())
		}
		s.fake.Restart("db2")
		s.fake.Restart("db3")
		if rows.Next() {
			s.Error("a row from a connection that is lost")
		}
		if err := rows.Err(); err == nil || errors.Is(err, driver.ErrBadConn) {
			s.Errorf("%v", err)
		}
		if n := s.times("SELECT k, v"); n != 1 {
			s.Errorf("sent %d times", n)
		}
		_ = rows.Close()
		s.idle()
	})
}
