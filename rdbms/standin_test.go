package rdbms_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"io"
	"strings"
	"time"

	"github.com/multidc/multidc/rdbms"
)

// standIn is a server for the examples: every query is answered with its name, every write succeeds.
type standIn struct{ name string }

func (s standIn) Connect(context.Context) (driver.Conn, error) { return s, nil }
func (s standIn) Driver() driver.Driver                        { return nil }
func (s standIn) Prepare(string) (driver.Stmt, error)          { return nil, driver.ErrSkip }
func (s standIn) Begin() (driver.Tx, error)                    { return s, nil }
func (s standIn) Close() error                                 { return nil }
func (s standIn) Commit() error                                { return nil }
func (s standIn) Rollback() error                              { return nil }

func (s standIn) BeginTx(context.Context, driver.TxOptions) (driver.Tx, error) { return s, nil }

func (s standIn) ExecContext(context.Context, string, []driver.NamedValue) (driver.Result, error) {
	return driver.RowsAffected(1), nil
}

func (s standIn) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	return &oneName{name: s.name}, nil
}

type oneName struct {
	name string
	read bool
}

func (*oneName) Columns() []string { return []string{"name"} }
func (*oneName) Close() error      { return nil }

func (r *oneName) Next(into []driver.Value) error {
	if r.read {
		return io.EOF
	}
	r.read, into[0] = true, r.name
	return nil
}

// standInEngine answers for such servers: those of DC a are 40 ms behind, those of DC b a second, and all of them have
// every position.
type standInEngine struct{}

func (standInEngine) Probe(ctx context.Context, conn *sql.Conn) (rdbms.Probe, error) {
	var name string
	if err := conn.QueryRowContext(ctx, "SELECT name").Scan(&name); err != nil {
		return rdbms.Probe{}, err
	}
	lag := 40 * time.Millisecond
	if strings.HasPrefix(name, "b") {
		lag = time.Second
	}
	return rdbms.Probe{Identity: name, Applied: "x9", Lag: rdbms.Lag{Known: true, Value: lag}}, nil
}

func (standInEngine) Written(context.Context, *sql.Conn) (string, error) { return "x9", nil }
func (standInEngine) Applied(context.Context, *sql.Conn) (string, error) { return "x9", nil }
func (standInEngine) Reached(have, want string) (bool, error)            { return have >= want, nil }
func (standInEngine) Merge(a, b string) (string, error)                  { return max(a, b), nil }
func (standInEngine) Classify(error) rdbms.Fault                         { return rdbms.FaultStatement }

// standIns is a cluster of stand-ins: a primary and a replica in DC a, a replica in DC b that also serves reports.
func standIns() rdbms.Config {
	return rdbms.Config{Name: "main", Primary: "a1", Servers: []rdbms.Server{
		{Name: "a1", DC: "a", Connector: standIn{"a1"}, Encrypted: true},
		{Name: "a2", DC: "a", Connector: standIn{"a2"}, Encrypted: true},
		{Name: "b1", DC: "b", Connector: standIn{"b1"}, Encrypted: true, Weight: 1, Groups: map[string]int{"reports": 1}},
	}}
}

// overStandIns is one of them, looked at once, as DC a sees it.
func overStandIns(change ...func(*rdbms.Options)) *rdbms.Cluster {
	options := rdbms.Options{DC: "a", Engine: standInEngine{}}
	for _, c := range change {
		c(&options)
	}
	c, err := rdbms.New(standIns(), &options)
	if err != nil {
		panic(err)
	}
	if err := c.Refresh(context.Background()); err != nil {
		panic(err)
	}
	return c
}

// nameOf returns which server answers.
func nameOf(ctx context.Context, db *sql.DB) string {
	var name string
	if err := db.QueryRowContext(ctx, "SELECT name").Scan(&name); err != nil {
		return err.Error()
	}
	return name
}
