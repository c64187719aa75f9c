package peers

import (
	"context"
	"database/sql"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/multidc/multidc/internal/testservers"
	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/heartbeat"
)

// Cases 33 and 34. What a heartbeat table may hold, on real servers: a bad row of somebody else is nothing; a bad or missing
// one of the origin, a missing table or right make lag unknown, each with its reason, and reads go on, flagged.
func TestRingHeartbeatRows(t *testing.T) {
	r := newRing(t, testservers.MariaDBOptions{})
	app := connect(t, r.dsn(a1))
	exec(t, r.admin[a1], "CREATE DATABASE heartbeat",
		"CREATE TABLE heartbeat.heartbeat (ts varchar(40), server_id bigint, shard varchar(20), datacenter varchar(20))",
		"CREATE USER poor IDENTIFIED BY 'poor'", "GRANT SELECT ON wiki.* TO poor")
	config := r.config(a1, a2)
	w := watch(t, config, rdbms.Options{MaxLag: maxLag})
	reason := func(w *watched, want rdbms.LagReason) {
		t.Helper()
		until(t, "the lag of a2 is unknown for: "+string(want), func() bool { return w.of(a2).Lag == rdbms.Lag{Why: want} })
		ctx := rdbms.WithScope(t.Context())
		if by := readers(t, ctx, w.Replica(), 5); !only(by, a2) || !w.Served(ctx).Lagged || w.Served(ctx).Lag.Known {
			t.Errorf("%s: the reads went to %v, and the footer says %+v", want, by, w.Served(ctx))
		}
	}
	good := func(w *watched) {
		t.Helper()
		until(t, "the lag of a2 is known", func() bool { return w.of(a2).Lag.Known && w.health(a2) == rdbms.HealthFresh })
	}
	reason(w, rdbms.LagNoRow)

	// Beside the origin's good row: garbage, NULL, the future, a primary that retired days ago, the replica's own row, and
	// all of them without a server_id.
	own := "UTC_TIMESTAMP(6)"
	beats := newBeats(t, r, own)
	for _, ts := range []string{
		"'soon'", "NULL", "''", "'0000-00-00 00:00:00'", "'9999-12-31T23:59:59.999999'",
		"UTC_TIMESTAMP(6) + INTERVAL 1 DAY", "UTC_TIMESTAMP(6) - INTERVAL 3 DAY",
	} {
		for _, rest := range []string{"12, '', ''", "99, 's1', 'a'", "NULL, NULL, NULL", "-1, '', ''"} {
			exec(t, app, "INSERT INTO heartbeat.heartbeat VALUES ("+ts+", "+rest+")")
		}
	}
	good(w)
	if w.warned(rdbms.WarnSkew, a2) {
		t.Error("rows of others make a skew")
	}

	exec(t, app, "DELETE FROM heartbeat.heartbeat WHERE server_id = 99 OR server_id IS NULL")
	for _, c := range []struct {
		ts   string
		want rdbms.LagReason
	}{
		{"NULL", rdbms.LagBadTime},
		{"'soon'", rdbms.LagBadTime},
		{"'0000-00-00 00:00:00'", rdbms.LagBadTime},
		{"CONVERT_TZ(UTC_TIMESTAMP(6), '+00:00', '+05:30')", rdbms.LagTimeZone},
		{"CONVERT_TZ(UTC_TIMESTAMP(6), '+00:00', '-08:00')", rdbms.LagTimeZone},
	} {
		beats.write(c.ts)
		reason(w, c.want)
		if c.want == rdbms.LagTimeZone && !strings.Contains(strings.Join(w.of(a2).Notes, "\n"), "--utc") {
			t.Errorf("what helps is not told: %q", w.of(a2).Notes)
		}
		beats.write(own)
		good(w)
	}
	futures(t, config, beats)

	beats.write("")
	exec(t, app, "DELETE FROM heartbeat.heartbeat WHERE server_id = 11")
	reason(w, rdbms.LagNoRow)
	poor := r.config(a1, a2)
	for i := range poor.Servers {
		poor.Servers[i].DSN = strings.Replace(poor.Servers[i].DSN, "app:app@", "poor:poor@", 1)
	}
	reason(watch(t, poor, rdbms.Options{MaxLag: maxLag}), rdbms.LagNoRight)
	exec(t, app, "DROP TABLE heartbeat.heartbeat")
	reason(w, rdbms.LagNoTable)

	// heartbeat.Writer makes its own table; the monitor has been running all the time.
	startWriter(t, connect(t, r.dsn(a1)), heartbeat.WriterOptions{Interval: every})
	good(w)
}

// futures: an origin whose heartbeat is stamped by a clock that is ahead. Who does not know its offset yet has nothing to
// tell the lag by; who has learnt it does not mind.
func futures(t *testing.T, config rdbms.Config, beats *beats) {
	t.Helper()
	beats.write("UTC_TIMESTAMP(6) + INTERVAL 100 SECOND")
	w := watch(t, config, rdbms.Options{MaxLag: maxLag})
	until(t, "the lag of a2 is known, or so is why not", func() bool {
		i := w.of(a2)
		return i.Lag.Known || i.Lag.Why == rdbms.LagSkew
	})
	w.calibrated(t, a2)
	until(t, "the skew is told", func() bool { return w.warned(rdbms.WarnSkew, a1) || w.warned(rdbms.WarnSkew, a2) })
	if skew := w.of(a2).Skew; (skew - 100*time.Second).Abs() > 5*time.Second {
		t.Errorf("the skew is said to be %v, not 100 s", skew)
	}
}

// beats rewrites the row of a1, as pt-heartbeat does.
type beats struct {
	mu sync.Mutex
	ts string // an expression; "" = nothing is written
}

func newBeats(t *testing.T, r *ring, ts string) *beats {
	t.Helper()
	b, db, stop := &beats{ts: ts}, connect(t, r.dsn(a1)), make(chan struct{})
	exec(t, db, "INSERT INTO heartbeat.heartbeat VALUES ("+ts+", 11, '', '')")
	var all sync.WaitGroup
	all.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if err := b.beat(db); err != nil {
					t.Error(err)
				}
			case <-stop:
				return
			}
		}
	})
	t.Cleanup(func() {
		close(stop)
		all.Wait()
	})
	return b
}

func (b *beats) write(ts string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ts = ts
}

func (b *beats) beat(db *sql.DB) error {
	b.mu.Lock() // held: after write nothing of before is written any more
	defer b.mu.Unlock()
	if b.ts == "" {
		return nil
	}
	_, err := db.ExecContext(context.Background(), "UPDATE heartbeat.heartbeat SET ts = "+b.ts+" WHERE server_id = 11")
	return err
}
