package peers

import (
	"database/sql"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/multidc/multidc/internal/testservers"
	"github.com/multidc/multidc/rdbms"
)

// Cases 113 and 114.
func TestRingReadOnly(t *testing.T) {
	r := newRing(t, testservers.MariaDBOptions{})
	t.Run("the application", func(t *testing.T) { readOnlyByReason(t, r) })
	t.Run("the server", func(t *testing.T) { readOnlyByServer(t, r) })
}

// Case 113. While the application takes no writes they fail before any connection; reads go on.
func readOnlyByReason(t *testing.T, r *ring) {
	var reason atomic.Value
	reason.Store("moving to b")
	config := r.config(a1, a2)
	w := watch(t, config, rdbms.Options{ClusterReason: func() string { return reason.Load().(string) }})
	w.answers(t)
	for name, db := range map[string]*sql.DB{"Primary": w.Primary(), "Auto": w.Auto()} {
		_, err := db.ExecContext(t.Context(), "INSERT INTO kv VALUES ('secret', 1)")
		var e *rdbms.ReadOnlyError
		if !errors.As(err, &e) || !e.ReadOnly() || e.Source != rdbms.ReadOnlyCluster || e.Reason != "moving to b" ||
			e.Cause != nil || e.RetryAfter <= 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if open := w.of(a1).Open; open != 0 {
		t.Errorf("a refused write has opened %d connections", open)
	}
	refused := told(w, &w.refused)
	if len(refused) != 2 || !errors.Is(refused[0].Err, rdbms.ErrReadOnly) || strings.Contains(refused[0].Query, "secret") ||
		!strings.Contains(refused[0].Caller, "rdbms_readonly_test.go") {
		t.Errorf("OnRefused told %+v", refused)
	}
	if _, err := who(t.Context(), w.Primary()); err != nil {
		t.Error("a SELECT on the primary:", err)
	}
	tx, err := w.Primary().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), "DELETE FROM kv"); !errors.Is(err, rdbms.ErrReadOnly) {
		t.Error("in a transaction:", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Error(err)
	}
	reason.Store("")
	put(t, t.Context(), w.Primary(), "writable", 1)
}

// answers waits until the servers have been read.
func (w *watched) answers(t *testing.T) {
	t.Helper()
	for _, s := range w.Explain(t.Context()).Servers {
		until(t, s.Name+" has been looked at", func() bool { return w.of(s.Name).Age > 0 })
	}
}

// Case 114. A server that turned read-only says so to the first write: that is the error, it is looked at at once, writes
// fail without it from then on, and none of the connections that could have a writer's state is kept.
func readOnlyByServer(t *testing.T, r *ring) {
	config := r.config(a1, a2)
	w := watch(t, config, rdbms.Options{Poll: time.Minute, PollRemote: time.Minute}) // so that only the refusal can tell
	w.answers(t)
	ctx := t.Context()
	held := connOf(t, w.Primary())
	inUse, idle := connectionID(t, held), []string{}
	var spare []*sql.Conn
	for range 3 {
		conn := connOf(t, w.Primary())
		spare, idle = append(spare, conn), append(idle, connectionID(t, conn))
	}
	for _, conn := range spare {
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
	}
	tx, err := w.Primary().BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	const write = "REPLACE INTO kv VALUES ('demoted', 1)"
	if _, err := tx.ExecContext(ctx, write); err != nil {
		t.Fatal(err)
	}

	exec(t, r.admin[a1], "SET GLOBAL read_only = 1")
	if err := tx.Commit(); !errors.Is(err, rdbms.ErrReadOnly) {
		t.Error("a commit of what was begun before:", err)
	}
	until(t, "writes fail before the server", func() bool {
		_, err := w.Primary().ExecContext(ctx, write)
		var e *rdbms.ReadOnlyError
		if !errors.As(err, &e) || e.Source != rdbms.ReadOnlyServer {
			t.Fatalf("a write on the read-only server: %v", err)
		}
		return e.Cause == nil
	})
	if reason, source := w.ReadOnly(); reason == "" || source != rdbms.ReadOnlyServer {
		t.Errorf("read-only: %q, %s", reason, source)
	}
	if name, err := who(ctx, w.Primary()); err != nil || name != a1 {
		t.Errorf("a read of the primary: %s, %v", name, err)
	}
	gone := func(ids ...string) func() bool {
		return func() bool {
			return value(t, r.admin[a1], "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID IN ("+strings.Join(ids, ",")+")") == "0"
		}
	}
	until(t, "the idle connections are closed", gone(idle...))
	if id := connectionID(t, held); id != inUse {
		t.Errorf("a connection in use was replaced: %s, it was %s", id, inUse)
	}
	if err := held.Close(); err != nil {
		t.Error(err)
	}
	until(t, "the one in use is closed when it comes back", gone(inUse))

	exec(t, r.admin[a1], "SET GLOBAL read_only = 0")
	if err := w.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	put(t, ctx, w.Primary(), "writable", 2)
}

func connOf(t *testing.T, db *sql.DB) *sql.Conn {
	t.Helper()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func connectionID(t *testing.T, conn *sql.Conn) (id string) {
	t.Helper()
	if err := conn.QueryRowContext(t.Context(), "SELECT CONNECTION_ID()").Scan(&id); err != nil {
		t.Fatal(err)
	}
	return id
}
