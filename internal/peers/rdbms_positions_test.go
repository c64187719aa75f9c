package peers

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/multidc/multidc/rdbms"
)

// What a request wrote, and what its reads include, on one ring after the other.
func TestRingPositions(t *testing.T) {
	r := newRing(t, ptHeartbeat)
	t.Run("own writes", func(t *testing.T) { ownWrites(t, r) })
	t.Run("a read-only transaction", func(t *testing.T) { ownWriteInTx(t, r) })
	t.Run("a replica that stands still", func(t *testing.T) { standsStill(t, r) })
	t.Run("a thousand waiters", func(t *testing.T) { thousandWaiters(t, r) })
	t.Run("a replica that was rebuilt", func(t *testing.T) { rebuilt(t, r) })
	t.Run("a replica that is promoted", func(t *testing.T) { promotedWhileWaiting(t, r) })
}

func put(t *testing.T, ctx context.Context, db *sql.DB, k string, v int) { //nolint:revive // t first, as in all helpers
	t.Helper()
	if _, err := db.ExecContext(ctx, "REPLACE INTO kv VALUES (?, ?)", k, v); err != nil {
		t.Fatal(err)
	}
}

func get(ctx context.Context, db interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}, k string,
) (v int, err error) {
	err = db.QueryRowContext(ctx, "SELECT v FROM kv WHERE k = ?", k).Scan(&v)
	return v, err
}

// Case Xg. What a request committed, its reads from a replica have, each time; the position is read once for each commit.
func ownWrites(t *testing.T, r *ring) {
	w := watch(t, r.config(a1, a2), rdbms.Options{OnTimeout: rdbms.OnTimeoutError, Wait: 10 * time.Second})
	w.are(t, rdbms.HealthFresh, a2)
	for i := range 100 {
		ctx := rdbms.WithScope(t.Context())
		put(t, ctx, w.Primary(), "own", i)
		if v, err := get(ctx, w.Replica(), "own"); v != i || err != nil {
			t.Fatalf("wrote %d, read %d, %v", i, v, err)
		}
		wrote, first, asOf, err := w.Positions().Captured(ctx)
		if !wrote || first == "" || asOf.IsZero() || err != nil {
			t.Fatalf("captured %t, %q, %v, %v", wrote, first, asOf, err)
		}
		put(t, rdbms.WithScope(t.Context()), w.Primary(), "other", i)
		if _, second, _, _ := w.Positions().Captured(ctx); second != first {
			t.Fatalf("the position was read again: %s, after %s", second, first)
		}
		if s := w.Served(ctx); s.Servers[len(s.Servers)-1] != a2 || s.Lagged {
			t.Fatalf("served by %+v", s)
		}
	}
}

// Case 123. The wait comes before BEGIN: the snapshot has what was written.
func ownWriteInTx(t *testing.T, r *ring) {
	w := watch(t, r.config(a1, a2), rdbms.Options{OnTimeout: rdbms.OnTimeoutError, Wait: 10 * time.Second})
	w.are(t, rdbms.HealthFresh, a2)
	exec(t, r.admin[a2], "STOP SLAVE SQL_THREAD")
	defer exec(t, r.admin[a2], "START SLAVE SQL_THREAD") // whatever happens, for the tests after this one
	ctx := rdbms.WithScope(t.Context())
	put(t, ctx, w.Primary(), "tx", 1)
	var all sync.WaitGroup
	for _, db := range []*sql.DB{w.Replica(), w.Auto()} {
		all.Go(func() {
			tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead})
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = tx.Rollback() }() // after the Commit it does nothing
			if v, err := get(ctx, tx, "tx"); v != 1 || err != nil {
				t.Errorf("read %d, %v", v, err)
			}
			var id string
			if err := tx.QueryRowContext(ctx, whoQuery).Scan(&id); err != nil || nameOf(id) != a2 {
				t.Errorf("on %s, %v", nameOf(id), err)
			}
			if err := tx.Commit(); err != nil {
				t.Error(err)
			}
		})
	}
	until(t, "both wait", func() bool { return w.Replica().Stats().InUse == 1 && w.Auto().Stats().InUse == 1 })
	exec(t, r.admin[a2], "START SLAVE SQL_THREAD")
	all.Wait()
}

// Case 91. A stopped SQL thread is no fault of the server: who waits gets what its policy says, and the breaker stays.
func standsStill(t *testing.T, r *ring) {
	w := watch(t, r.config(a1, a2), rdbms.Options{Wait: 300 * time.Millisecond})
	w.are(t, rdbms.HealthFresh, a2)
	exec(t, r.admin[a2], "STOP SLAVE SQL_THREAD")
	defer exec(t, r.admin[a2], "START SLAVE SQL_THREAD") // whatever happens, for the tests after this one
	for v, c := range []struct {
		policy rdbms.TimeoutPolicy
		sees   bool
		by     string
		err    error
	}{
		{rdbms.OnTimeoutError, false, "", rdbms.ErrNotCaughtUp},
		{rdbms.OnTimeoutStale, false, a2, sql.ErrNoRows},
		{rdbms.OnTimeoutPrimary, true, a1, nil},
	} {
		ctx := rdbms.WithOnTimeout(rdbms.WithScope(t.Context()), c.policy, 0)
		k := "still-" + string(c.policy)
		put(t, ctx, w.Primary(), k, v)
		waited := len(told(w, &w.waits))
		got, err := get(ctx, w.Replica(), k)
		if !errors.Is(err, c.err) || c.sees && got != v {
			t.Errorf("%s: read %d, %v, want %v", c.policy, got, err, c.err)
		}
		served := w.Served(ctx)
		if c.by != "" && served.Servers[len(served.Servers)-1] != c.by || served.Lagged != (c.by == a2) {
			t.Errorf("%s: served by %+v", c.policy, served)
		}
		waits := told(w, &w.waits)[waited:]
		if len(waits) != 1 || waits[0].Reached || waits[0].Server != a2 || waits[0].Waited < 300*time.Millisecond {
			t.Errorf("%s: waited %+v", c.policy, waits)
		}
	}
	if h := w.health(a2); h == rdbms.HealthDown || h == rdbms.HealthProbing {
		t.Errorf("a2 is %s: the waits were held against it", h)
	}
}

// Case 86. A thousand requests wait for one replica on one connection, and all go on.
func thousandWaiters(t *testing.T, r *ring) {
	const waiters = 1000
	config := r.config(a1, a2)
	config.Servers[1].MaxOpen = 10 // woken they all read at once
	w := watch(t, config, rdbms.Options{OnTimeout: rdbms.OnTimeoutError, Wait: 10 * time.Second, MaxWaiters: waiters})
	w.are(t, rdbms.HealthFresh, a2)
	put(t, t.Context(), w.Primary(), "thousand", 0)
	await(t, r.admin[a2], "SELECT COUNT(*) FROM wiki.kv WHERE k = 'thousand'", is("1"))
	exec(t, r.admin[a2], "STOP SLAVE SQL_THREAD")
	defer exec(t, r.admin[a2], "START SLAVE SQL_THREAD") // whatever happens, for the tests after this one
	writer := rdbms.WithScope(t.Context())
	put(t, writer, w.Primary(), "thousand", 1)
	_, position, asOf, err := w.Positions().Captured(writer)
	if err != nil {
		t.Fatal(err)
	}
	idle := connections(t, r.admin[a2])
	var all sync.WaitGroup
	for range waiters {
		all.Go(func() {
			ctx := rdbms.WithScope(t.Context())
			if err := w.Positions().Require(ctx, position, asOf, 0, ""); err != nil {
				t.Error(err)
				return
			}
			if v, err := get(ctx, w.Replica(), "thousand"); v != 1 || err != nil {
				t.Errorf("read %d, %v", v, err)
			}
		})
	}
	until(t, "all wait", func() bool { return w.Replica().Stats().InUse == waiters })
	if now := connections(t, r.admin[a2]); now > idle+1 {
		t.Errorf("%d wait on %d connections, there were %d", waiters, now, idle)
	}
	exec(t, r.admin[a2], "START SLAVE SQL_THREAD")
	all.Wait()
	reached := 0
	for _, i := range told(w, &w.waits) {
		if i.Reached {
			reached++
		}
	}
	if reached < waiters*9/10 {
		t.Errorf("%d of %d waits are told to have ended well", reached, waiters)
	}
}

func connections(t *testing.T, admin *sql.DB) int {
	t.Helper()
	n, err := strconv.Atoi(value(t, admin, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'app'"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Case 89. A replica comes back from an older backup: what it was known to have it does not have any more.
func rebuilt(t *testing.T, r *ring) {
	w := watch(t, r.config(a1, a2), rdbms.Options{OnTimeout: rdbms.OnTimeoutError, Wait: 300 * time.Millisecond})
	w.are(t, rdbms.HealthFresh, a2)
	exec(t, r.admin[a2], "STOP SLAVE")
	old := value(t, r.admin[a2], "SELECT @@gtid_slave_pos")
	exec(t, r.admin[a2], "START SLAVE")

	ctx := rdbms.WithScope(t.Context())
	put(t, ctx, w.Primary(), "rebuilt", 1)
	_, position, asOf, err := w.Positions().Captured(ctx)
	if err != nil {
		t.Fatal(err)
	}
	require := func() context.Context {
		ctx := rdbms.WithScope(t.Context())
		if err := w.Positions().Require(ctx, position, asOf, 0, ""); err != nil {
			t.Fatal(err)
		}
		return ctx
	}
	until(t, "a2 has it", func() bool { ok, err := w.Positions().Reached(require()); return ok && err == nil })

	exec(t, r.admin[a2], "STOP SLAVE", "DELETE FROM wiki.kv WHERE k = 'rebuilt'", "RESET MASTER", "SET GLOBAL gtid_slave_pos = '"+old+"'")
	until(t, "that a2 was rebuilt is told", func() bool { return w.warned(rdbms.WarnRewound, a2) })
	if ok, err := w.Positions().Reached(require()); ok || err != nil {
		t.Errorf("a2 is said to have %s still: %t, %v", position, ok, err)
	}
	if v, err := get(require(), w.Replica(), "rebuilt"); !errors.Is(err, rdbms.ErrNotCaughtUp) {
		t.Errorf("read %d, %v", v, err)
	}
	exec(t, r.admin[a2], "SET GLOBAL slave_exec_mode = 'IDEMPOTENT'", "START SLAVE")
	until(t, "a2 has it again", func() bool { ok, err := w.Positions().Reached(require()); return ok && err == nil })
	if v, err := get(require(), w.Replica(), "rebuilt"); v != 1 || err != nil {
		t.Errorf("read %d, %v", v, err)
	}
}

// Case 90. While a request waits for a replica, that applies the rest and becomes the primary, whose gtid_slave_pos stays as
// it is from then on. The wait ends, and so do those of later requests.
func promotedWhileWaiting(t *testing.T, r *ring) {
	config := r.config(a1, b1)
	w := watch(t, config, rdbms.Options{OnTimeout: rdbms.OnTimeoutError, Wait: 10 * time.Second})
	w.are(t, rdbms.HealthFresh, b1)
	exec(t, r.admin[b1], "STOP SLAVE SQL_THREAD")
	ctx := rdbms.WithScope(t.Context())
	put(t, ctx, w.Primary(), "promoted", 1)
	_, position, asOf, err := w.Positions().Captured(ctx)
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() {
		v, err := get(ctx, w.Replica(), "promoted")
		if err == nil && v != 1 {
			err = errors.New("read " + strconv.Itoa(v))
		}
		read <- err
	}()
	until(t, "the read waits", func() bool { return w.Replica().Stats().InUse == 1 })

	exec(t, r.admin[a1], "SET GLOBAL read_only = 1")
	exec(t, r.admin[b1], "START SLAVE SQL_THREAD")
	last := onlyOwn(value(t, r.admin[a1], "SELECT @@gtid_binlog_pos"), a1)
	if value(t, r.admin[b1], "SELECT MASTER_GTID_WAIT('"+last+"', 20)") != "0" {
		t.Fatal("b1 has not what a1 has")
	}
	exec(t, r.admin[b1], "SET GLOBAL read_only = 0")
	config.Primary = b1
	if err := w.SetServers(config); err != nil {
		t.Fatal(err)
	}
	if err := <-read; err != nil {
		t.Error("the read that waited:", err)
	}

	// A write of the new primary, and beside it the old one's position, which is in no gtid_slave_pos of b1 if b1 wrote since.
	w.are(t, rdbms.HealthFresh, a1)
	next := rdbms.WithScope(t.Context())
	put(t, next, w.Primary(), "promoted", 2)
	if err := w.Positions().Require(next, position, asOf, 0, ""); err != nil {
		t.Fatal(err)
	}
	if v, err := get(next, w.Replica(), "promoted"); v != 2 || err != nil {
		t.Errorf("read %d, %v", v, err)
	}
	if _, merged, _, _ := w.Positions().Captured(next); !strings.Contains(merged, "2-21-") {
		t.Errorf("the new primary's position is %s", merged)
	}
	if by, err := who(next, w.Replica()); by != a1 || err != nil {
		t.Errorf("read by %s, %v, want the replica", by, err)
	}
}
