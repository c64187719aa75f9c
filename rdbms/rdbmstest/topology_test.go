package rdbmstest_test

import (
	"testing"
	"time"

	"github.com/multidc/multidc/rdbms/rdbmstest"
)

func TestPromote(t *testing.T) {
	inBubble(t, three, func(t *testing.T, c *cluster) {
		c.Set("db2", func(k *rdbmstest.Knobs) { k.Lag = 5 * time.Second })
		c.Set("db3", func(k *rdbmstest.Knobs) { k.Lag = 7 * time.Second })
		c.write("db1", "k", "1")
		c.Promote("db2")
		if got := c.Config().Primary; got != "db2" {
			t.Errorf("the primary is %s", got)
		}
		c.want("db2", "k", "1") // it caught up
		_, err := c.dbs["db1"].ExecContext(c.t.Context(), "DELETE FROM kv WHERE k = 'k'")
		wantNumber(t, err, 1290)

		// The trap: what it replicated last stays in gtid_slave_pos, whatever it writes itself.
		replicated := c.variable("db2", "gtid_slave_pos")
		c.write("db2", "k", "2")
		own := c.mariadb("db2", "gtid_binlog_pos")
		if got := c.variable("db2", "gtid_slave_pos"); got != replicated {
			t.Errorf("gtid_slave_pos of a primary moved from %s to %s", replicated, got)
		}
		wantReached(t, c.mariadb("db2", "gtid_slave_pos"), own, false)
		wantReached(t, c.mariadb("db2", "gtid_current_pos"), own, true)

		c.want("db1", "k", "2") // it follows now
		c.want("db3", "k", "")
		time.Sleep(7 * time.Second)
		c.want("db3", "k", "2")
		c.wantLag("db3", 12, 7*time.Second)
		if age := c.age("db3", 11); age < 7*time.Second { // the retired primary's row stays as it was
			t.Errorf("the row of the old primary is %v old", age)
		}
		wantReached(t, c.mariadb("db1", "gtid_current_pos"), own, true)
	})
}

func TestPromoteWithoutWhatWasStopped(t *testing.T) {
	inBubble(t, three, func(_ *testing.T, c *cluster) {
		c.write("db1", "k", "1")
		c.Set("db2", func(k *rdbmstest.Knobs) { k.StopApplying = true })
		c.Set("db3", func(k *rdbmstest.Knobs) { k.Lag = time.Minute })
		time.Sleep(time.Hour)
		c.write("db1", "lost", "1")
		c.Promote("db2")
		c.Set("db2", func(k *rdbmstest.Knobs) { k.StopApplying = false })
		time.Sleep(time.Hour)
		for _, server := range []string{"db2", "db3"} {
			c.want(server, "k", "1")
			c.want(server, "lost", "")
		}
	})
}

func TestPromoteOfACircularPair(t *testing.T) {
	inBubble(t, circular, func(t *testing.T, c *cluster) {
		c.Promote("b1")
		c.write("b1", "k", "1")
		c.want("a1", "k", "1")
		c.want("a2", "k", "1")
		_, err := c.dbs["a1"].ExecContext(c.t.Context(), "REPLACE INTO kv VALUES ('k', '2')")
		wantNumber(t, err, 1290)
		time.Sleep(10 * time.Second)
		c.wantLag("a2", 11, 0) // both beat on
		c.wantLag("a2", 12, 0)
		c.Promote("a1")
		c.write("a1", "k", "3")
		c.want("b1", "k", "3")
	})
}

func TestRestart(t *testing.T) {
	inBubble(t, three, func(t *testing.T, c *cluster) {
		before := c.uptime("db2")
		conn, err := c.dbs["db2"].Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c.Restart("db2")
		if got := c.Counts("db2").Open; got != 0 {
			t.Errorf("%d connections outlived the restart", got)
		}
		if err := conn.PingContext(t.Context()); err == nil {
			t.Error("a connection outlived the restart")
		}
		_ = conn.Close()
		time.Sleep(2 * time.Second)
		if after := c.uptime("db2"); before < 86400 || after != 2 {
			t.Errorf("up for %d s before, and %d s after", before, after)
		}
	})
}

func TestRebuild(t *testing.T) {
	inBubble(t, three, func(t *testing.T, c *cluster) {
		c.write("db1", "k", "1")
		c.want("db2", "k", "1")
		position := c.mariadb("db2", "gtid_slave_pos")
		c.Set("db2", func(k *rdbmstest.Knobs) { k.Lag = time.Minute })
		c.Rebuild("db2")
		c.write("db1", "k", "2")
		time.Sleep(59 * time.Second)
		c.want("db2", "k", "")
		if got := c.variable("db2", "gtid_slave_pos"); got != "" {
			t.Errorf("the empty server has %s", got)
		}
		if rows := c.reading("db2").Rows; len(rows) != 0 {
			t.Errorf("the empty server has the heartbeats %v", rows)
		}
		time.Sleep(time.Second)
		c.want("db2", "k", "2")
		wantReached(t, c.mariadb("db2", "gtid_slave_pos"), position, true)
		c.Set("db2", func(k *rdbmstest.Knobs) { k.Lag = 0 })
		c.write("db1", "k", "3")
		c.want("db2", "k", "3")
		c.wantLag("db2", 11, 0)
		if up := c.uptime("db2"); up != 60 {
			t.Errorf("rebuilt a minute ago, up for %d s", up)
		}
	})
}

func TestDown(t *testing.T) {
	inBubble(t, three, func(t *testing.T, c *cluster) {
		c.want("db1", "k", "")
		c.Set("db1", func(k *rdbmstest.Knobs) { k.Down = true })
		if err := c.dbs["db1"].PingContext(t.Context()); err == nil {
			t.Error("a server that is down answers")
		}
		time.Sleep(time.Minute)
		c.wantLag("db2", 11, time.Minute)
		c.Set("db1", func(k *rdbmstest.Knobs) { k.Down = false })
		if up := c.uptime("db1"); up != 0 {
			t.Errorf("just started, up for %d s", up)
		}
		time.Sleep(time.Second)
		c.wantLag("db2", 11, 0)
	})
}

func (c *cluster) uptime(server string) (seconds int) {
	c.t.Helper()
	query := "SELECT (SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'UPTIME')"
	if err := c.dbs[server].QueryRowContext(c.t.Context(), query).Scan(&seconds); err != nil {
		c.t.Fatal(err)
	}
	return seconds
}
