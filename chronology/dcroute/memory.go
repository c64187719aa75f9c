package dcroute

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

var errNoPrimary = errors.New("dcroute: no primary in the Memory")

// Memory has the state in memory, for one DC, tests and examples: a [PrimarySource] with all abilities.
type Memory struct {
	mu   sync.Mutex // of writers
	held atomic.Pointer[held]
}

// State is what a [Memory] says.
type State struct {
	Primary  string                  // "" = unknown
	Epoch    uint64                  // rises by itself when Update changes the primary and leaves it
	Err      error                   // with a Primary: the state is stale
	ReadOnly map[string]ReadOnlyInfo // by section, "*" = all
	Depooled map[string]bool
	Rollout  map[string]HostConfig // by host, as in RuleSet.Hosts, "*" = all others: Mode, Share and Salt are used. Share 0 is nobody
}

// held is a state made ready for lookups. It is not changed.
type held struct {
	State
	hosts map[string]HostConfig // of Rollout, see lookupHost; "" = all others
}

// NewMemory returns a state with this primary, at epoch 1, writable, and with all DCs pooled.
func NewMemory(primary string) *Memory {
	m := &Memory{}
	m.held.Store(&held{State: State{Primary: primary, Epoch: 1}})
	return m
}

// Update changes the state at once. change gets a copy, whose maps it may fill.
func (m *Memory) Update(change func(*State)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.held.Load().State
	next := old
	next.ReadOnly, next.Depooled, next.Rollout = cloned(old.ReadOnly), cloned(old.Depooled), cloned(old.Rollout)
	change(&next)
	if next.Primary != old.Primary && next.Epoch == old.Epoch {
		next.Epoch++
	}
	// What change put in may still be its caller's.
	next.ReadOnly, next.Depooled, next.Rollout = cloned(next.ReadOnly), cloned(next.Depooled), cloned(next.Rollout)
	hosts := make(map[string]HostConfig, len(next.Rollout))
	for pattern, c := range next.Rollout {
		hosts[strings.TrimPrefix(strings.ToLower(pattern), "*")] = c
	}
	m.held.Store(&held{next, hosts})
}

func cloned[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return maps.Clone(m)
}

// Primary implements [PrimarySource].
func (m *Memory) Primary(context.Context) (dc string, epoch uint64, err error) {
	s := m.held.Load()
	if s.Primary == "" {
		return "", 0, cmp.Or(s.Err, errNoPrimary)
	}
	return s.Primary, s.Epoch, s.Err
}

// ReadOnlyFor implements [ReadOnlySource]; it is the same for all DCs. A state with an error does not know that something is
// writable.
func (m *Memory) ReadOnlyFor(_ context.Context, _, section string) (reason string, until time.Time, err error) {
	s := m.held.Load()
	for _, name := range [...]string{"*", section} {
		if info := s.ReadOnly[name]; info.Reason != "" {
			return info.Reason, info.Until, nil
		}
	}
	return "", time.Time{}, s.Err
}

// Pooled implements [PoolSource].
func (m *Memory) Pooled(dc string) bool { return !m.held.Load().Depooled[dc] }

// Rollout implements [RolloutSource].
func (m *Memory) Rollout(host string) (mode string, share int, salt string, ok bool) {
	s := m.held.Load()
	if len(s.hosts) == 0 {
		return "", 0, "", false
	}
	c, ok := lookupHost(s.hosts, bareHost(host))
	if !ok {
		c, ok = s.hosts[""]
	}
	return string(c.Mode), c.Share, c.Salt, ok
}

// Refresh implements [Refresher]: there is nothing newer.
func (m *Memory) Refresh(ctx context.Context) error { return ctx.Err() }
