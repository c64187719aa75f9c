package peers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/multidc/multidc/rdbms"
)

// The primary moves from a to b under load, and back; the second time the connections to the old one are killed. No
// acknowledged write is missing, none was made on a read-only server, a request sees its own writes, no read is older
// than its bound, and what fails fails for a reason that the caller can tell.
func TestRingPromotion(t *testing.T) {
	r := newRing(t, ptHeartbeat)
	exec(t, r.admin[a1], "CREATE TABLE wiki.acked (writer int, n int, server int, read_only int, PRIMARY KEY (writer, n))",
		"INSERT INTO wiki.kv VALUES ('clock', 0)")
	r.awaitTable(t, b2, "acked")
	r.awaitTable(t, a2, "acked")
	config := r.config(a1, a2, b1, b2)
	w := watch(t, config, rdbms.Options{MaxLag: maxLag})
	w.calibrated(t, a2, b1, b2)
	p := &promotion{ring: r, watched: w, load: newLoad(t), config: config}
	p.start()
	p.again(t, 200, "written on a1")

	p.move(t, a1, b1, false)
	p.again(t, 200, "written on b1")
	p.again(t, 100, "read by a2")
	p.move(t, b1, a1, true)
	p.again(t, 200, "written on a1")
	p.again(t, 100, "read by a2")
	p.stop(t)
	if p.counted("refused") == 0 {
		t.Error("no write came upon a read-only server: the load was too small to show anything")
	}
	p.check(t)
}

type promotion struct {
	*ring
	*watched
	*load

	config rdbms.Config
	clock  ledger

	mu    sync.Mutex
	acked []string // "writer n"
}

// Eight writers and eight readers.
func (p *promotion) start() {
	for i := range 7 {
		n, db := 0, p.Primary()
		if i%2 == 1 {
			db = p.Auto()
		}
		p.every(10*time.Millisecond, func(ctx context.Context) {
			n++
			p.write(rdbms.WithScope(ctx), db, i, n)
		})
	}
	p.every(10*time.Millisecond, func(ctx context.Context) {
		if err := p.clock.tick(ctx, p.Primary()); err != nil {
			p.failed("the clock", err)
		}
	})
	for range 8 {
		p.every(10*time.Millisecond, func(ctx context.Context) {
			err := p.readClock(ctx, "read", p.Replica(), &p.clock, bound)
			if err != nil && ctx.Err() == nil {
				if p.count("read: failed"); !isTooStale(err) {
					p.fail("reading: %v", err)
				}
			}
		})
	}
}

// tick writes the counter only if nobody was faster, so that a write whose outcome is unknown is not made twice: the
// counter's next value is known to be acknowledged only when this returns nil.
func (l *ledger) tick(ctx context.Context, db *sql.DB) error {
	_, err := db.ExecContext(ctx, "UPDATE kv SET v = GREATEST(v, ?) WHERE k = 'clock'", l.next())
	if err == nil {
		l.ack()
	}
	return err
}

const insertAcked = "INSERT INTO acked SELECT ?, ?, @@server_id, @@read_only"

// write writes a row, in a transaction every second time, and reads it back as the same request.
func (p *promotion) write(ctx context.Context, db *sql.DB, writer, n int) {
	err := insert(ctx, db, n%2 == 0, writer, n)
	if err != nil {
		p.failed("writing", err)
		return
	}
	p.mu.Lock()
	p.acked = append(p.acked, fmt.Sprint(writer, " ", n))
	p.mu.Unlock()
	var server string
	err = p.Replica().QueryRowContext(ctx, "SELECT server FROM acked WHERE writer = ? AND n = ?", writer, n).Scan(&server)
	switch served := p.Served(ctx); {
	case err == nil:
		p.count("written on " + nameOf(server))
	case errors.Is(err, sql.ErrNoRows) && !served.Lagged:
		p.fail("row %d of writer %d is not seen by its own request, and that is not told: %+v", n, writer, served)
	case errors.Is(err, sql.ErrNoRows):
		p.count("own write not seen, and told so")
	case p.ctx.Err() == nil:
		p.failed("reading back", err)
	}
}

func insert(ctx context.Context, db *sql.DB, inTx bool, writer, n int) error {
	if !inTx {
		_, err := db.ExecContext(ctx, insertAcked, writer, n)
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, insertAcked, writer, n); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	if rand.IntN(2) == 0 {
		var one int
		if err := tx.QueryRowContext(ctx, "SELECT 1").Scan(&one); err != nil {
			return errors.Join(err, tx.Rollback())
		}
	}
	return tx.Commit()
}

// failed: a promotion has three kinds of errors.
func (p *promotion) failed(doing string, err error) {
	switch {
	case p.ctx.Err() != nil:
	case errors.Is(err, rdbms.ErrReadOnly):
		p.count("refused")
	case errors.Is(err, rdbms.ErrUnavailable):
		p.count("unavailable")
	case isLost(err):
		p.count("lost")
	default:
		p.fail("%s: %v", doing, err)
	}
}

// move does what an operator does, in the same order.
func (p *promotion) move(t *testing.T, from, to string, kill bool) {
	t.Helper()
	exec(t, p.admin[from], "SET GLOBAL read_only = 1")
	if kill {
		p.killApp(t, from)
	}
	p.again(t, 5, "refused")
	position := value(t, p.admin[from], "SELECT @@gtid_binlog_pos")
	if value(t, p.admin[to], "SELECT MASTER_GTID_WAIT('"+onlyOwn(position, from)+"', 20)") != "0" {
		t.Fatalf("%s has not what %s has", to, from)
	}
	exec(t, p.admin[to], "SET GLOBAL read_only = 0")
	p.config.Primary = to
	known := p.of(a2).Position
	if err := p.SetServers(p.config); err != nil {
		t.Fatal(err)
	}
	// Case 29. The handle has moved, and what was known of the servers is still known.
	if name, err := who(t.Context(), p.Primary()); err != nil || name != to {
		t.Errorf("Primary() leads to %s, %v, want %s", name, err, to)
	}
	if i := p.of(a2); i.Age == 0 || i.Position == "" || i.Lag.Why == rdbms.LagNotRead {
		t.Errorf("of a2, which had %s, it is known now: %+v", known, i)
	}
}

// onlyOwn leaves the domain of a server's DC: pt-heartbeat goes on writing in the others.
func onlyOwn(position, server string) string {
	domain := map[byte]string{'a': "1-", 'b': "2-"}[server[0]]
	for one := range strings.SplitSeq(position, ",") {
		if strings.HasPrefix(one, domain) {
			return one
		}
	}
	return ""
}

func (r *ring) killApp(t *testing.T, server string) {
	t.Helper()
	rows, err := r.admin[server].QueryContext(t.Context(), "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'app'")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		_, _ = r.admin[server].ExecContext(t.Context(), "KILL CONNECTION "+id) // it may have gone by itself
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

// check compares what was acknowledged with what is there.
func (p *promotion) check(t *testing.T) {
	t.Helper()
	position := onlyOwn(value(t, p.admin[a1], "SELECT @@gtid_binlog_pos"), a1)
	for _, s := range []string{a1, b2} {
		if s != a1 && value(t, p.admin[s], "SELECT MASTER_GTID_WAIT('"+position+"', 20)") != "0" {
			t.Fatalf("%s has not what a1 has", s)
		}
		there := map[string]bool{}
		rows, err := p.admin[s].QueryContext(t.Context(), "SELECT CONCAT(writer, ' ', n), read_only FROM wiki.acked")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var row string
			var readOnly bool
			if err := rows.Scan(&row, &readOnly); err != nil {
				t.Fatal(err)
			}
			if there[row] = true; readOnly {
				t.Errorf("row %s was written on a read-only server", row)
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		missing := 0
		for _, row := range p.acked {
			if !there[row] {
				missing++
			}
		}
		if missing > 0 {
			t.Errorf("%s lacks %d of %d acknowledged writes", s, missing, len(p.acked))
		}
	}
	t.Logf("%d writes were acknowledged", len(p.acked))
}
