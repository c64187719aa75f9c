package rdbmstest_test

import (
	"testing"
	"time"

	"github.com/multidc/multidc/rdbms/position"
	"github.com/multidc/multidc/rdbms/rdbmstest"
)

func TestLag(t *testing.T) {
	inBubble(t, three, func(_ *testing.T, c *cluster) {
		c.Set("db2", func(k *rdbmstest.Knobs) { k.Lag = 5 * time.Second })
		c.wantLag("db1", 11, 0)
		c.wantLag("db2", 11, 5*time.Second) // set before the first connection: it has always been so
		c.wantLag("db3", 11, 0)
		c.write("db1", "k", "1")
		c.want("db1", "k", "1")
		c.want("db2", "k", "")
		c.want("db3", "k", "1")
		time.Sleep(4999 * time.Millisecond)
		c.want("db2", "k", "")
		time.Sleep(time.Millisecond)
		c.want("db2", "k", "1")
		c.wantLag("db2", 11, 5*time.Second)
	})
}

func TestLagThatChanges(t *testing.T) {
	inBubble(t, three, func(_ *testing.T, c *cluster) {
		c.write("db1", "k", "1")
		c.want("db2", "k", "1")
		c.Set("db2", func(k *rdbmstest.Knobs) { k.Lag = 10 * time.Second })
		c.write("db1", "k", "2")
		time.Sleep(4 * time.Second)
		c.want("db2", "k", "1")
		c.wantLag("db2", 11, 4*time.Second) // it grows
		time.Sleep(20 * time.Second)
		c.want("db2", "k", "2")
		c.wantLag("db2", 11, 10*time.Second)
		c.write("db1", "k", "3")
		c.Set("db2", func(k *rdbmstest.Knobs) { k.Lag = 0 })
		c.want("db2", "k", "3") // and is caught up with
		c.wantLag("db2", 11, 0)
	})
}

func TestLagsOfAChainAddUp(t *testing.T) {
	inBubble(t, chain, func(_ *testing.T, c *cluster) {
		c.Set("db2", func(k *rdbmstest.Knobs) { k.Lag = 2 * time.Second })
		c.Set("db3", func(k *rdbmstest.Knobs) { k.Lag = 3 * time.Second })
		c.wantLag("db3", 11, 5*time.Second)
		c.write("db1", "k", "1")
		time.Sleep(4999 * time.Millisecond)
		c.want("db2", "k", "1")
		c.want("db3", "k", "")
		time.Sleep(time.Millisecond)
		c.want("db3", "k", "1")
	})
}

func TestJitterKeepsTheOrder(t *testing.T) {
	inBubble(t, three, func(t *testing.T, c *cluster) {
		c.Set("db2", func(k *rdbmstest.Knobs) { k.Lag, k.Jitter = time.Second, 5*time.Second })
		last := ""
		for _, value := range []string{"1", "2", "3", "4", "5", "6", "7", "8", "9"} {
			c.write("db1", "k", value)
			time.Sleep(500 * time.Millisecond)
			got := c.get("db2", "k")
			if got < last {
				t.Errorf("%s after %s", got, last)
			}
			last = got
		}
		time.Sleep(6 * time.Second)
		c.want("db2", "k", "9")
	})
}

func TestStopApplying(t *testing.T) {
	inBubble(t, chain, func(_ *testing.T, c *cluster) {
		c.want("db3", "k", "")
		c.Set("db2", func(k *rdbmstest.Knobs) { k.StopApplying = true })
		c.write("db1", "k", "1")
		time.Sleep(time.Hour)
		c.want("db2", "k", "")
		c.want("db3", "k", "")
		c.wantLag("db3", 11, time.Hour)
		c.Set("db2", func(k *rdbmstest.Knobs) { k.StopApplying = false })
		c.want("db2", "k", "1")
		c.want("db3", "k", "1")
		c.wantLag("db3", 11, 0)
	})
}

// The stream of one origin stops in a circular pair, the other goes on (case 37).
func TestCircularPair(t *testing.T) {
	inBubble(t, circular, func(t *testing.T, c *cluster) {
		c.Set("b1", func(k *rdbmstest.Knobs) { k.ReadOnly = false })
		c.write("a1", "from a", "1")
		c.write("b1", "from b", "1")
		for _, server := range []string{"a1", "b1", "a2"} {
			c.want(server, "from a", "1")
			c.want(server, "from b", "1")
			c.wantLag(server, 11, 0)
			c.wantLag(server, 12, 0)
		}
		c.Set("a2", func(k *rdbmstest.Knobs) { k.Stopped = map[string]bool{"a1": true} })
		c.write("a1", "from a", "2")
		c.write("b1", "from b", "2")
		time.Sleep(4 * time.Second)
		c.want("a2", "from a", "1")
		c.want("a2", "from b", "2")
		c.wantLag("a2", 11, 4*time.Second)
		c.wantLag("a2", 12, 0)
		c.Set("a2", func(k *rdbmstest.Knobs) { k.Stopped = nil; k.LagOf = map[string]time.Duration{"b1": time.Second} })
		time.Sleep(2 * time.Second)
		c.wantLag("a2", 11, 0)
		c.wantLag("a2", 12, time.Second)
		// Two domains, one for each DC; each server's own writes are missing in its gtid_slave_pos.
		if got := domains(t, c.variable("a2", "gtid_slave_pos")); got != "1 2" {
			t.Errorf("a2 has the domains %s, want both", got)
		}
		if got := domains(t, c.variable("a1", "gtid_slave_pos")); got != "2" {
			t.Errorf("a1 replicated the domains %s, want b's", got)
		}
	})
}

func TestSkewAndBeats(t *testing.T) {
	inBubble(t, three, func(t *testing.T, c *cluster) {
		c.Set("db1", func(k *rdbmstest.Knobs) { k.Skew = 50 * time.Second })
		c.Set("db2", func(k *rdbmstest.Knobs) { k.Lag = 10 * time.Second })
		c.wantLag("db1", 11, 0)
		c.wantLag("db2", 11, -40*time.Second) // case 45: that of the origin's clock is in the row
		if ahead := time.Until(c.reading("db1").Now); ahead.Round(time.Second) != 50*time.Second {
			t.Errorf("db1's clock is %v ahead", ahead)
		}
		if id := c.reading("db3").Rows; len(id) != 1 || id[0].ServerID != 11 {
			t.Errorf("rows %v, want that of the primary alone", id)
		}
		c.Set("db1", func(k *rdbmstest.Knobs) { k.Beats, k.Skew = false, 0 })
		was := c.reading("db1").Rows
		time.Sleep(time.Minute)
		if is := c.reading("db1").Rows; is[0] != was[0] {
			t.Errorf("a dead writer wrote %v", is)
		}
		c.Set("db1", func(k *rdbmstest.Knobs) { k.Beats, k.BeatEvery = true, 100*time.Millisecond })
		time.Sleep(time.Second)
		if age := c.age("db1", 11); age < 0 || age >= 100*time.Millisecond {
			t.Errorf("the row is %v old, with a beat every 100 ms", age)
		}
	})
}

func TestBeatRows(t *testing.T) {
	inBubble(t, three, func(t *testing.T, c *cluster) {
		c.Set("db2", func(k *rdbmstest.Knobs) {
			k.BeatRows = func(now time.Time, rows []rdbmstest.BeatRow) []rdbmstest.BeatRow {
				return append(rows, rdbmstest.BeatRow{ServerID: 7, TS: now.Add(-time.Hour).Format("2006-01-02 15:04:05"), Shard: "s1"},
					rdbmstest.BeatRow{ServerID: 8})
			}
		})
		if age := c.age("db2", 7).Truncate(time.Second); age != time.Hour {
			t.Errorf("the row that was put there is %v old", age)
		}
		rows := c.reading("db2").Rows
		if len(rows) != 3 || rows[1].Shard != "s1" || rows[2].TS != "" || rows[2].Shard != "" {
			t.Errorf("rows %+v", rows)
		}
		c.Set("db2", func(k *rdbmstest.Knobs) { k.BeatErrno = 1146 })
		_, err := c.dbs["db2"].ExecContext(c.t.Context(), "SELECT UTC_TIMESTAMP(6), hb.* FROM `heartbeat`.`heartbeat` AS hb LIMIT 1000")
		wantNumber(t, err, 1146)
	})
}

func TestPositions(t *testing.T) {
	inBubble(t, three, func(t *testing.T, c *cluster) {
		c.Set("db2", func(k *rdbmstest.Knobs) { k.Lag = time.Second })
		if got := c.variable("db1", "gtid_slave_pos"); got != "" { // case 75
			t.Errorf("the primary replicated %s", got)
		}
		before := c.mariadb("db1", "gtid_binlog_pos")
		c.write("db1", "k", "1")
		after := c.mariadb("db1", "gtid_binlog_pos")
		wantReached(t, after, before, true)
		wantReached(t, before, after, false)
		wantReached(t, c.mariadb("db2", "gtid_slave_pos"), after, false)
		wantReached(t, c.mariadb("db3", "gtid_slave_pos"), after, true)
		time.Sleep(time.Second)
		wantReached(t, c.mariadb("db2", "gtid_slave_pos"), after, true)
		wantReached(t, c.mariadb("db2", "gtid_current_pos"), after, true)
		wantReached(t, c.mariadb("db1", "gtid_current_pos"), after, true)
		if err := c.dbs["db1"].QueryRowContext(c.t.Context(), "SELECT @@gtid_executed").Err(); err == nil {
			t.Error("MariaDB has @@gtid_executed")
		} else {
			wantNumber(t, err, 1193)
		}
	})
}

func TestMySQL(t *testing.T) {
	inBubble(t, three, func(t *testing.T, c *cluster) {
		for _, server := range []string{"db1", "db2", "db3"} {
			c.Set(server, func(k *rdbmstest.Knobs) { k.MySQL = true })
		}
		own := c.variable("db1", "server_uuid")
		c.Set("db2", func(k *rdbmstest.Knobs) { k.StopApplying = true })
		c.write("db1", "k", "1")
		after, err := position.ParseMySQL(c.variable("db1", "gtid_executed"))
		if err != nil || after.Only(own).IsZero() {
			t.Fatalf("gtid_executed is %v, %v; want something of %s", after, err, own)
		}
		for server, want := range map[string]bool{"db2": false, "db3": true} {
			have, err := position.ParseMySQL(c.variable(server, "gtid_executed"))
			if err != nil {
				t.Fatal(err)
			}
			wantReached(t, have, after, want)
		}
		err = c.dbs["db1"].QueryRowContext(c.t.Context(), "SELECT @@gtid_binlog_pos").Err()
		wantNumber(t, err, 1193)
		_, err = c.dbs["db2"].ExecContext(c.t.Context(), "REPLACE INTO kv VALUES ('k', '2')")
		wantNumber(t, err, 1290)
	})
}

func (c *cluster) mariadb(server, variable string) position.Position {
	c.t.Helper()
	p, err := position.ParseMariaDB(c.variable(server, variable))
	if err != nil {
		c.t.Fatal(err)
	}
	return p
}

func domains(t *testing.T, list string) (domains string) {
	t.Helper()
	p, err := position.ParseMariaDB(list)
	if err != nil {
		t.Fatal(err)
	}
	for _, domain := range []string{"1", "2", "3"} {
		if !p.Only(domain).IsZero() {
			if domains != "" {
				domains += " "
			}
			domains += domain
		}
	}
	return domains
}

func wantReached(t *testing.T, have, want position.Position, reached bool) {
	t.Helper()
	got, err := position.Reached(have, want)
	if err != nil || got != reached {
		t.Errorf("%v has reached %v: %t, %v; want %t", have, want, got, err, reached)
	}
}
