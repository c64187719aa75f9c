package rdbms_test

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/rdbmstest"
)

// bubble runs a test in a bubble with the primary db1 and replicas of it, db2, db3, …, all of DC a but those named
// otherwise, as "b:db4".
func bubble(t *testing.T, servers []string, f func(t *testing.T, fake *rdbmstest.Cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		list := []rdbmstest.Server{{Name: "db1"}}
		for _, name := range servers {
			s := rdbmstest.Server{Name: name}
			if len(name) > 2 && name[1] == ':' {
				s.DC, s.Name = name[:1], name[2:]
			}
			list = append(list, s)
		}
		f(t, rdbmstest.New(t, list...))
	})
}

// teller is an Engine whose servers have exactly the lag that a test says.
type teller struct {
	mu       sync.Mutex
	lag      map[string]rdbms.Lag
	readOnly map[string]bool
	identity map[string]string
	probes   map[string][]time.Time
}

func telling(lags map[string]time.Duration) *teller {
	e := &teller{lag: map[string]rdbms.Lag{}, readOnly: map[string]bool{}, identity: map[string]string{}, probes: map[string][]time.Time{}}
	for name, lag := range lags {
		e.lag[name] = rdbms.Lag{Known: true, Value: lag}
	}
	return e
}

func (e *teller) set(name string, lag rdbms.Lag) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lag[name] = lag
}

func (e *teller) probed(name string) []time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.probes[name])
}

func (e *teller) Probe(ctx context.Context, conn *sql.Conn) (rdbms.Probe, error) {
	began := time.Now()
	var name string
	if err := conn.QueryRowContext(ctx, "SELECT @@hostname").Scan(&name); err != nil {
		return rdbms.Probe{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.probes[name] = append(e.probes[name], began)
	return rdbms.Probe{Identity: e.identity[name], ReadOnly: e.readOnly[name], Lag: e.lag[name]}, nil
}

func (*teller) Written(context.Context, *sql.Conn) (string, error) { return "", nil }
func (*teller) Applied(context.Context, *sql.Conn) (string, error) { return "", nil }
func (*teller) Reached(string, string) (bool, error)               { return false, errors.New("no positions") }
func (*teller) Merge(string, string) (string, error)               { return "", errors.New("no positions") }
func (*teller) Classify(error) rdbms.Fault                         { return rdbms.FaultStatement }

// eventLog is what a cluster told.
type eventLog struct {
	mu       sync.Mutex
	reads    []rdbms.ReadInfo
	servers  []rdbms.ServerInfo
	warnings []rdbms.WarningInfo
	when     []time.Time // of the warnings
}

func (h *eventLog) listen(o *rdbms.Options) {
	o.Events.OnRead = func(_ context.Context, i rdbms.ReadInfo) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.reads = append(h.reads, i)
	}
	o.Events.OnServer = func(_ context.Context, i rdbms.ServerInfo) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.servers = append(h.servers, i)
	}
	o.Events.OnWarning = func(_ context.Context, i rdbms.WarningInfo) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.warnings, h.when = append(h.warnings, i), append(h.when, time.Now())
	}
}

// forget forgets what was told while the cluster settled.
func (h *eventLog) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reads, h.servers, h.warnings, h.when = nil, nil, nil, nil
}

// takeReads returns the read events since the last time.
func (h *eventLog) takeReads() []rdbms.ReadInfo {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := h.reads
	h.reads = nil
	return list
}

// health returns what was told of a server's health, in order.
func (h *eventLog) health(name string) (list []rdbms.Health) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.servers {
		if s.Name == name {
			list = append(list, s.Health)
		}
	}
	return list
}

func (h *eventLog) warned(kind rdbms.Warning, server string) (when []time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, w := range h.warnings {
		if w.Kind == kind && w.Server == server {
			when = append(when, h.when[i])
		}
	}
	return when
}

// load reads so often, one read after the other, and counts who answered; "" = an error.
func load(ctx context.Context, db *sql.DB, times int, every time.Duration) map[string]int {
	got := map[string]int{}
	for range times {
		name, err := who(ctx, db)
		if err != nil {
			name = ""
		}
		got[name]++
		time.Sleep(every)
	}
	return got
}

// only reports whether these servers and no others answered, without errors.
func only(got map[string]int, names ...string) bool {
	return slices.Equal(slices.Sorted(maps.Keys(got)), slices.Sorted(slices.Values(names)))
}

// server is a server's row in Explain.
func server(t *testing.T, c *rdbms.Cluster, name string) rdbms.ServerInfo {
	t.Helper()
	for _, s := range c.Explain(t.Context()).Servers {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("Explain does not show %s", name)
	return rdbms.ServerInfo{}
}

func isKnown(d time.Duration) rdbms.Lag { return rdbms.Lag{Known: true, Value: d} }
