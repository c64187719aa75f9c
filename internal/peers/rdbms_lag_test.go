package peers

import (
	"testing"
	"time"

	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/heartbeat"
)

// Cases 37, 46 and 43, on one ring after the other: whose stream stops is behind that origin and no other; a replica that
// stops applying falls behind by the clock; a heartbeat that stops takes nobody out.
func TestRingLag(t *testing.T) {
	r := newRing(t, ptHeartbeat)
	t.Run("one stream of the pair", func(t *testing.T) { oneStreamStops(t, r) })
	t.Run("the SQL thread", func(t *testing.T) { applyingStops(t, r) })
	t.Run("the heartbeat", func(t *testing.T) { beatingStops(t, r) })
}

const maxLag = 3 * time.Second

// Case 37. b stops reading from a. Behind a are b's servers, a's are not; behind b is nobody.
func oneStreamStops(t *testing.T, r *ring) {
	options := rdbms.Options{DC: "b", MaxLag: maxLag}
	config := r.config(a1, a2, b1, b2)
	for i := range config.Servers {
		config.Servers[i].AllowPlaintext = true // seen from b, the others are elsewhere
	}
	behindPrimary := watch(t, config, options)
	options.Heartbeat = origins(heartbeat.Origin{ServerID: 21})
	behindB := watch(t, config, options)
	options.Heartbeat = origins(heartbeat.Origin{Shard: "s1", Datacenter: "a"}, heartbeat.Origin{Shard: "s1", Datacenter: "b"})
	behindBoth := watch(t, config, options)
	all := []*watched{behindPrimary, behindB, behindBoth}
	for _, w := range all {
		w.are(t, rdbms.HealthFresh, a2, b1, b2)
	}

	exec(t, r.admin[b1], "STOP SLAVE")
	for _, w := range []*watched{behindPrimary, behindBoth} {
		w.are(t, rdbms.HealthDegraded, b1, b2)
		if h := w.health(a2); h != rdbms.HealthFresh {
			t.Errorf("a2, which has its stream, is %s", h)
		}
		if by := readers(t, t.Context(), w.Replica(), 20); !only(by, a2) {
			t.Errorf("the reads of DC b went to %v, want a2: near ones lag", by)
		}
	}
	for _, s := range []string{b1, b2} {
		i := behindBoth.of(s)
		if from := i.Origins[11]; !from.Known || from.Value <= maxLag {
			t.Errorf("%s is %v behind a", s, from)
		}
		if from := i.Origins[21]; !from.Known || from.Value > maxLag {
			t.Errorf("%s is %v behind b, whose stream goes on", s, from)
		}
		if h := behindB.health(s); h != rdbms.HealthFresh {
			t.Errorf("%s is %s to who asks for b's writes only", s, h)
		}
	}

	exec(t, r.admin[b1], "START SLAVE")
	for _, w := range all {
		w.are(t, rdbms.HealthFresh, a2, b1, b2)
	}
}

// Case 46. Between polls too the lag of a replica that has stopped grows as time goes by, and never falls.
func applyingStops(t *testing.T, r *ring) {
	w := watch(t, r.config(a1, a2), rdbms.Options{MaxLag: maxLag})
	w.calibrated(t, a2)
	exec(t, r.admin[a2], "STOP SLAVE SQL_THREAD")
	stopped := time.Now()
	before := time.Duration(0)
	until(t, "a2 is degraded", func() bool {
		since := time.Since(stopped)
		i := w.of(a2)
		if !i.Lag.Known || i.Lag.Value < since || i.Lag.Value < before-beat/2 {
			t.Errorf("stopped %v ago, a2 is said to be %v behind, after %v", since, i.Lag, before)
		}
		before = max(before, i.Lag.Value)
		return i.Health == rdbms.HealthDegraded
	})
	ctx := rdbms.WithScope(t.Context())
	if by := readers(t, ctx, w.Replica(), 10); !only(by, a2) {
		t.Errorf("with no other replica the reads went to %v", by)
	}
	if served := w.Served(ctx); !served.Lagged || !served.Lag.Known || served.Lag.Value <= maxLag {
		t.Errorf("a lagging replica was read, and the footer says %+v", served)
	}
	exec(t, r.admin[a2], "START SLAVE SQL_THREAD")
	w.are(t, rdbms.HealthFresh, a2)
}

// Case 43. pt-heartbeat is killed, replication goes on: a warning, and the replicas serve on; but who wants to be sure of
// the age is not served by them.
func beatingStops(t *testing.T, r *ring) {
	w := watch(t, r.config(a1, a2, b2), rdbms.Options{MaxLag: maxLag, StrictStaleness: true})
	w.calibrated(t, a2, b2)
	r.Server("heartbeat-a").Stop()
	until(t, "the dead heartbeat is told", func() bool { return w.warned(rdbms.WarnSourceStale, a1) || w.warned(rdbms.WarnSourceStale, "") })
	for _, s := range []string{a2, b2} {
		until(t, s+"'s upper bound passes its MaxLag", func() bool { return w.of(s).Lag.Value > maxLag })
		if h := w.health(s); h != rdbms.HealthFresh {
			t.Errorf("%s is %s, for the lack of a heartbeat", s, h)
		}
	}
	if by := readers(t, t.Context(), w.Replica(), 10); !only(by, a2) {
		t.Errorf("the reads went to %v", by)
	}
	if name, err := who(rdbms.WithMaxStaleness(t.Context(), maxLag), w.Replica()); !isTooStale(err) {
		t.Errorf("a read that must not be %v old was served by %q, %v", maxLag, name, err)
	}
	r.Server("heartbeat-a").Start()
	until(t, "lags are bounded again", func() bool { return w.of(a2).Lag.Value < maxLag })
	if name, err := who(rdbms.WithMaxStaleness(t.Context(), maxLag), w.Replica()); err != nil || name != a2 {
		t.Errorf("with the heartbeat back: %q, %v", name, err)
	}
}
