package rdbmstest_test

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/rdbms/rdbmstest"
)

// What happens by chance depends on the seed alone.
func TestSeed(t *testing.T) {
	play := func(t *testing.T, seed uint64) string {
		t.Helper()
		var story strings.Builder
		inBubble(t, three, func(_ *testing.T, c *cluster) {
			c.Seed(seed)
			c.Set("db2", func(k *rdbmstest.Knobs) { k.Jitter = 3 * time.Second })
			for range 5 {
				c.write("db1", "k", time.Now().String())
				fmt.Fprint(&story, c.variable("db2", "gtid_slave_pos"), c.age("db2", 11), c.get("db2", "k"))
				time.Sleep(time.Second)
			}
		})
		return story.String()
	}
	first := play(t, 1)
	if again := play(t, 1); again != first {
		t.Error("the same seed plays another story")
	}
	if play(t, 2) == first {
		t.Error("two seeds play the same story")
	}
}

// Used from many goroutines, with knobs that turn and servers that restart, nothing is lost, and nothing races.
func TestManyGoroutines(t *testing.T) {
	inBubble(t, three, func(t *testing.T, c *cluster) {
		ctx, cancel := context.WithCancel(t.Context())
		var clients, operator sync.WaitGroup
		operator.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				c.Set("db2", func(k *rdbmstest.Knobs) { k.Lag = time.Duration(i%3) * time.Second })
				c.Restart([]string{"db2", "db3"}[i%2])
				c.Counts("db2")
				time.Sleep(10 * time.Millisecond)
			}
		})
		for i := range 8 {
			clients.Go(func() {
				key := fmt.Sprint("k", i)
				for n := range 50 {
					c.write("db1", key, strconv.Itoa(n)) //nolint:contextcheck // every write is to come through
					var v sql.NullString
					_ = c.dbs["db2"].QueryRowContext(ctx, "SELECT v FROM kv WHERE k = ?", key).Scan(&v)
					time.Sleep(time.Millisecond)
				}
			})
		}
		clients.Wait()
		cancel()
		operator.Wait()
		time.Sleep(3 * time.Second)
		for i := range 8 {
			c.want("db2", fmt.Sprint("k", i), "49")
		}
		if got := c.Counts("db1"); got.Writes != 400 || got.Running != 0 {
			t.Errorf("%+v", got)
		}
	})
}

// A test that is over is not held up by a server that hangs.
func TestTheEndLetsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, three...)
		c.Set("db1", func(k *rdbmstest.Knobs) { k.Hang = true })
		go func() { _, _ = c.dbs["db1"].ExecContext(context.WithoutCancel(t.Context()), "SELECT 1") }()
		synctest.Wait()
	})
}

// A day of replication that nobody looked at is caught up with when somebody does.
func TestADay(t *testing.T) {
	inBubble(t, three, func(_ *testing.T, c *cluster) {
		c.write("db1", "k", "1")
		time.Sleep(24 * time.Hour)
		c.want("db3", "k", "1")
		c.wantLag("db3", 11, 0)
	})
}
