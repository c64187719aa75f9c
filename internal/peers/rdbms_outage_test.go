package peers

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/multidc/multidc/rdbms"
)

const bound = time.Second

// A replica is killed, restarted, paused, stops applying; then all do, then the heartbeat dies: under load, no read fails
// that names no bound, and none returns what is older than its bound.
func TestRingOutages(t *testing.T) {
	r := newRing(t, ptHeartbeat)
	config := r.config(a1, a2, b2)
	w := watch(t, config, rdbms.Options{MaxLag: maxLag})
	strict := watch(t, config, rdbms.Options{MaxLag: maxLag, StrictStaleness: true})
	w.calibrated(t, a2, b2)
	strict.calibrated(t, a2, b2)
	l := outageLoad(t, r, w, strict)
	l.again(t, 50, "strict by a2")

	for _, outage := range []struct {
		name       string
		begin, end func()
	}{
		{"killed", r.process(a2).Stop, r.process(a2).Start},
		{"paused", r.process(a2).Pause, r.process(a2).Resume},
	} {
		outage.begin()
		w.are(t, rdbms.HealthDown, a2)
		strict.are(t, rdbms.HealthDown, a2)
		// From now on no read goes there, and so none fails or waits; nor does the primary get any.
		if by := readers(t, t.Context(), w.Replica(), 200); !only(by, b2) {
			t.Errorf("%s: the reads went to %v, want b2", outage.name, by)
		}
		l.again(t, 50, "strict by b2")
		outage.end()
		w.are(t, rdbms.HealthFresh, a2)
		l.again(t, 50, "strict by a2")
		l.again(t, 50, "free by a2")
	}

	exec(t, r.admin[a2], "STOP SLAVE SQL_THREAD")
	l.again(t, 50, "strict by b2")
	exec(t, r.admin[b1], "STOP SLAVE SQL_THREAD")
	l.again(t, 20, "strict: too stale")
	l.again(t, 2, "bounded by a1")
	l.again(t, 20, "bounded: too stale") // the primary's budget is not for all
	exec(t, r.admin[a2], "START SLAVE SQL_THREAD")
	exec(t, r.admin[b1], "START SLAVE SQL_THREAD")
	l.again(t, 50, "strict by a2")

	r.Server("heartbeat-a").Stop()
	l.again(t, 20, "strict: too stale")
	l.again(t, 50, "free by a2")
	r.Server("heartbeat-a").Start()
	l.again(t, 50, "strict by a2")
	l.stop(t)
	if n := l.counted("free by a1"); n > 0 {
		t.Errorf("%d reads went to the primary that had not asked for it", n)
	}
}

// outageLoad is a writer, and readers with a bound that insist on it, that take the primary, and that have none.
func outageLoad(t *testing.T, r *ring, w, strict *watched) *load {
	t.Helper()
	l, clock, primary := newLoad(t), new(ledger), connect(t, r.dsn(a1))
	if err := clock.bump(t.Context(), primary); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{a2, b2} {
		await(t, r.admin[s], "SELECT COUNT(*) FROM wiki.kv WHERE k = 'clock'", is("1"))
	}
	l.every(5*time.Millisecond, func(ctx context.Context) {
		if err := clock.bump(ctx, primary); err != nil && ctx.Err() == nil {
			l.fail("writing: %v", err)
		}
	})
	bounded := func(name string, w *watched) {
		l.every(10*time.Millisecond, func(ctx context.Context) {
			within, cancel := context.WithTimeout(ctx, time.Second) // a paused server answers never
			defer cancel()
			switch err := l.readClock(within, name, w.Replica(), clock, bound); {
			case err == nil || ctx.Err() != nil:
			case isTooStale(err):
				l.count(name + ": too stale")
			case errors.Is(err, context.DeadlineExceeded):
				l.count(name + ": hung")
			default:
				l.fail("%s: %v", name, err)
			}
		})
	}
	free := func() {
		l.every(10*time.Millisecond, func(ctx context.Context) {
			within, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			switch name, err := who(within, w.Replica()); {
			case err == nil:
				l.count("free by " + name)
			case ctx.Err() != nil:
			case errors.Is(err, context.DeadlineExceeded):
				l.count("free: hung")
			default:
				l.fail("a read without a bound: %v", err)
			}
		})
	}
	for range 2 {
		bounded("strict", strict)
		bounded("bounded", w)
		free()
	}
	return l
}
