package rdbms_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/multidc/multidc/rdbms"
)

func Example() {
	cluster, err := rdbms.New(standIns(), &rdbms.Options{DC: "a", Engine: standInEngine{}}) // no Engine for MariaDB and MySQL
	if err != nil {
		panic(err)
	}
	defer cluster.Close(context.Background())
	if err := cluster.Refresh(context.Background()); err != nil { // go cluster.Run(ctx) looks again and again
		panic(err)
	}

	ctx := rdbms.WithScope(context.Background()) // of one request
	_, err = cluster.Primary().ExecContext(ctx, "UPDATE page SET text = 'new' WHERE id = 1")
	fmt.Println("written:", err)
	fmt.Println("read from", nameOf(ctx, cluster.Replica()))
	served := cluster.Served(ctx)
	fmt.Println(served.Servers, "lagged:", served.Lagged)
	// Output:
	// written: <nil>
	// read from a2
	// [a2] lagged: false
}

func ExampleCluster_Auto() {
	c := overStandIns()
	defer c.Close(context.Background())
	ctx := context.Background()
	fmt.Println(nameOf(ctx, c.Auto()))
	var name string
	err := c.Auto().QueryRowContext(ctx, "SELECT name FOR UPDATE").Scan(&name)
	fmt.Println(name, err)
	// Output:
	// a2
	// a1 <nil>
}

func ExampleCluster_Replica() {
	c := overStandIns()
	defer c.Close(context.Background())
	_, err := c.Replica().ExecContext(context.Background(), "DELETE FROM page")
	fmt.Println(err)
	fmt.Println(errors.Is(err, rdbms.ErrReplicaWrite))
	// Output:
	// rdbms: Replica() does not write: use Primary() or Auto()
	// true
}

func ExampleCluster_Run() {
	c := overStandIns()
	defer c.Close(context.Background())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- c.Run(ctx) }()
	cancel()
	fmt.Println(<-ended)
	// Output: <nil>
}

func ExampleCluster_SetServers() {
	c := overStandIns()
	defer c.Close(context.Background())
	config := standIns()
	config.Primary = "a2"
	fmt.Println(c.SetServers(config), nameOf(context.Background(), c.Primary()))
	config.Primary = "a3"
	fmt.Println(c.SetServers(config))
	fmt.Println(nameOf(context.Background(), c.Primary()))
	// Output:
	// <nil> a2
	// rdbms: cluster main: Config.Primary: "a3" is not among the servers
	// a2
}

func ExampleCluster_ReadOnly() {
	moving := ""
	c := overStandIns(func(o *rdbms.Options) { o.ClusterReason = func() string { return moving } })
	defer c.Close(context.Background())
	moving = "the primary moves to b"
	_, err := c.Primary().ExecContext(context.Background(), "DELETE FROM page")
	fmt.Println(err)
	fmt.Println(c.ReadOnly())
	// Output:
	// rdbms: read-only: cluster main: the primary moves to b; try again in 10s
	// the primary moves to b cluster
}

func ExampleCluster_MaxLag() {
	c := overStandIns()
	defer c.Close(context.Background())
	lag, err := c.MaxLag(context.Background())
	fmt.Println(lag.Round(time.Second), err)
	// Output: 1s <nil>
}

func ExampleCluster_WaitForReplication() {
	c := overStandIns()
	defer c.Close(context.Background())
	ctx := rdbms.WithScope(context.Background())
	for range 3 { // a long job, batch by batch
		if _, err := c.Primary().ExecContext(ctx, "DELETE FROM page WHERE old LIMIT 1000"); err != nil {
			panic(err)
		}
		fmt.Println(c.WaitForReplication(ctx))
	}
	// Output:
	// <nil>
	// <nil>
	// <nil>
}

// What package chronology does between two requests of one client.
func ExampleCluster_Positions() {
	c := overStandIns()
	defer c.Close(context.Background())
	p := c.Positions()

	first := p.Attach(context.Background())
	if _, err := c.Primary().ExecContext(first, "UPDATE page SET text = 'new'"); err != nil {
		panic(err)
	}
	wrote, position, asOf, err := p.Captured(first)
	fmt.Println(wrote, position, err)

	second := p.Attach(context.Background())
	fmt.Println(p.Require(second, position, asOf, 0, ""))
	fmt.Println(nameOf(second, c.Replica()), p.Lagged(second))
	fmt.Println(p.Reached(second))
	// Output:
	// true x9 <nil>
	// <nil>
	// a2 false
	// true <nil>
}

func ExampleCluster_Explain() {
	c := overStandIns()
	defer c.Close(context.Background())
	first, _, _ := strings.Cut(c.Explain(context.Background()).String(), "\n")
	fmt.Println(first)
	for _, g := range c.Explain(context.Background()).Groups {
		fmt.Printf("%q %s %v: %s\n", g.Name, g.Class, g.Servers, g.Why)
	}
	// Output:
	// cluster main seen from DC a: primary a1; lag by the engine
	// "" A [a2]: near and fresh
	// "reports" B [b1]: no server of this DC is fresh: the nearest other DC serves
}

func ExampleWithMaxStaleness() {
	c := overStandIns()
	defer c.Close(context.Background())
	ctx := rdbms.WithMaxStaleness(context.Background(), time.Minute)
	fmt.Println(nameOf(ctx, c.Replica()))
	fmt.Println(nameOf(rdbms.WithMaxStaleness(ctx, time.Nanosecond), c.Replica())) // nobody is so fresh but the primary
	// Output:
	// a2
	// a1
}

func ExampleWithGroup() {
	c := overStandIns()
	defer c.Close(context.Background())
	fmt.Println(nameOf(rdbms.WithGroup(context.Background(), "dump", "reports"), c.Replica()))
	// Output: b1
}

func ExampleWithPrimary() {
	c := overStandIns()
	defer c.Close(context.Background())
	fmt.Println(nameOf(rdbms.WithPrimary(context.Background()), c.Replica()))
	// Output: a1
}

func ExampleWithOnTimeout() {
	c := overStandIns()
	defer c.Close(context.Background())
	ctx := rdbms.WithScope(context.Background())
	if err := c.Positions().Require(ctx, "y", time.Now(), 0, ""); err != nil { // nobody has it
		panic(err)
	}
	ctx = rdbms.WithOnTimeout(ctx, rdbms.OnTimeoutError, -1)
	var name string
	err := c.Replica().QueryRowContext(ctx, "SELECT name").Scan(&name)
	fmt.Println(errors.Is(err, rdbms.ErrNotCaughtUp))
	// Output: true
}

func ExampleWithPhase() {
	c := overStandIns(func(o *rdbms.Options) { o.Enforce = true })
	defer c.Close(context.Background())
	ctx := rdbms.WithPhase(context.Background(), rdbms.PhaseGET)
	_, err := c.Primary().ExecContext(ctx, "UPDATE page SET hits = hits + 1")
	fmt.Println(err)
	_, err = c.Primary().ExecContext(rdbms.WithPhase(ctx, rdbms.PhaseAny), "UPDATE page SET hits = hits + 1")
	fmt.Println(err)
	// Output:
	// rdbms: write forbidden in this phase: cluster main: GET
	// <nil>
}
