package rdbms

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/multidc/multidc/internal/breaker"
)

// Explanation is what a cluster knows of itself, for people and dashboards. It holds no DSN and no password.
type Explanation struct {
	Cluster   string       `json:"cluster"`
	DC        string       `json:"dc"`
	Primary   string       `json:"primary"`
	Monitor   bool         `json:"monitor"`             // Run is under way
	LagSource string       `json:"lag_source"`          // where lag is read
	ReadOnly  string       `json:"read_only,omitempty"` // why there are no writes
	Servers   []ServerInfo `json:"servers"`
	Groups    []GroupInfo  `json:"groups"` // the first is that of reads which name none
	Diagnoses []string     `json:"diagnoses,omitempty"`
}

// GroupInfo is what the reads of a group would get now, and why.
type GroupInfo struct {
	Name    string   `json:"name"` // "" = reads that name no group
	Class   string   `json:"class"`
	Servers []string `json:"servers"`
	Why     string   `json:"why"`
}

// ServerInfo is one server, as this process sees it.
type ServerInfo struct {
	Name       string         `json:"name"`
	DC         string         `json:"dc"`
	Primary    bool           `json:"primary"`
	Health     Health         `json:"health"`
	Class      string         `json:"class"` // A: near and fresh; B: fresh, in another DC; C: degraded; "" = not to be read
	Lag        Lag            `json:"lag"`   // an upper bound, as of now
	Age        time.Duration  `json:"age"`   // of the last reading; 0 = none
	Origins    map[uint32]Lag `json:"origins,omitempty"`
	Skew       time.Duration  `json:"skew"` // how far the heartbeat's clock is ahead of this process's, as far as known
	Position   string         `json:"position,omitempty"`
	Identity   string         `json:"identity,omitempty"`
	ReadOnly   bool           `json:"read_only"`
	HalfOpenIn time.Duration  `json:"half_open_in,omitempty"` // with HealthDown
	Latency    time.Duration  `json:"latency"`                // of its statements, averaged
	InFlight   int            `json:"in_flight"`
	Open       int            `json:"open"` // connections
	Idle       int            `json:"idle"`
	MaxOpen    int            `json:"max_open"`
	Weight     float64        `json:"weight"`          // now: less than configured just after an outage
	Error      string         `json:"error,omitempty"` // of the last probe
	Notes      []string       `json:"notes,omitempty"`
}

// Explain says what the cluster knows and what it would do now. It asks no server.
func (c *Cluster) Explain(context.Context) Explanation {
	view, now := c.view.Load(), time.Now()
	reason, _ := c.ReadOnly()
	e := Explanation{
		Cluster: c.name, DC: c.opts.DC, Primary: view.primary.name, Monitor: view.watched,
		LagSource: c.lagSource(), ReadOnly: reason,
	}
	for _, s := range view.servers {
		e.Servers = append(e.Servers, s.info(now, view, c.opts.NoRemoteReads))
	}
	for _, name := range slices.Sorted(maps.Keys(view.groups)) {
		e.Groups = append(e.Groups, c.groupInfo(view, view.groups[name], now))
	}
	e.Diagnoses = c.diagnose(view, now)
	return e
}

func (c *Cluster) lagSource() string {
	switch {
	case c.opts.LagFromReplicaStatus:
		return "SHOW REPLICA STATUS"
	case c.opts.Engine != nil:
		return "the engine"
	}
	h := c.opts.Heartbeat
	text := fmt.Sprintf("heartbeat in %s, every %v, of ", cmp.Or(h.Table, "heartbeat.heartbeat"), cmp.Or(h.Interval, time.Second))
	if len(h.Origins) == 0 {
		return text + "the primary"
	}
	var names []string
	for _, o := range h.Origins {
		switch {
		case o.ServerID != 0:
			names = append(names, fmt.Sprintf("server_id %d", o.ServerID))
		case o.Shard == "":
			names = append(names, "datacenter "+o.Datacenter)
		default:
			names = append(names, strings.TrimSpace("shard "+o.Shard+" "+o.Datacenter))
		}
	}
	return text + strings.Join(names, ", ")
}

// info is a server as it is now.
func (s *server) info(now time.Time, view *snapshot, localOnly bool) ServerInfo {
	v, stats := s.verdict, s.pool.stats()
	i := ServerInfo{
		Name: s.name, DC: s.dc, Primary: s.primary, Lag: s.lag(now), Origins: maps.Clone(v.judgement.origins), Skew: v.judgement.skew,
		Position: v.probe.Applied, Identity: v.probe.Identity, ReadOnly: v.probe.ReadOnly,
		Latency: time.Duration(s.latency.now(now)), InFlight: int(s.inFlight.Load()),
		Open: stats.OpenConnections, Idle: stats.Idle, MaxOpen: cmp.Or(s.config.MaxOpen, defaultMaxOpen),
		Weight: float64(genericWeight(s.config, s.primary)) * s.breaker.Weight(now),
		Notes:  slices.Concat(v.probe.Notes, v.judgement.notes),
	}
	if !v.at.IsZero() {
		i.Age = now.Sub(v.at)
	}
	if v.err != nil {
		i.Error = v.err.Error()
	}
	i.Health, i.HalfOpenIn = s.health(now)
	if i.Weight > 0 || len(s.config.Groups) > 0 || !view.replicas {
		w := wish{halfOpen: !view.watched, localOnly: localOnly && view.replicas}
		r, _ := w.judge(s, now)
		i.Class = r.class()
	}
	return i
}

func (s *server) health(now time.Time) (h Health, halfOpenIn time.Duration) {
	switch {
	case s.config.Drained:
		return HealthDrained, 0
	case s.breaker.State(now) == breaker.Open:
		return HealthDown, s.breaker.RetryIn(now)
	case s.breaker.State(now) == breaker.HalfOpen:
		return HealthProbing, 0
	case !s.fresh(now):
		return HealthDegraded, 0
	}
	return HealthFresh, 0
}

// groupInfo says which servers a read of the group would be drawn from.
func (c *Cluster) groupInfo(view *snapshot, g *group, now time.Time) GroupInfo {
	w := wish{group: g, localOnly: c.opts.NoRemoteReads, halfOpen: !view.watched}
	best, names := rankNone, []string{}
	for _, m := range g.members {
		switch r, _ := w.judge(m.server, now); {
		case r == rankNone || r > best:
		case r < best:
			best, names = r, []string{m.name}
		default:
			names = append(names, m.name)
		}
	}
	i := GroupInfo{Name: g.name, Class: best.class(), Servers: names}
	switch {
	case !view.replicas:
		i.Class, i.Servers, i.Why = "A", []string{view.primary.name}, "there are no replicas: the primary serves all reads"
	case len(g.members) == 0:
		i.Why = "no server has a weight for these reads"
	case best == rankNone && g.name != "" && !c.opts.StrictGroup:
		i.Why = "none of its servers is usable: those without a group serve it"
	case best == rankNone:
		i.Why = "none of its servers is usable: these reads fail"
	case best >= rankOwnDegraded:
		i.Why = "every server lags too far or is of unknown lag: reads are served, and flagged"
	case best > 0:
		i.Why = "no server of this DC is fresh: the nearest other DC serves"
	default:
		i.Why = "near and fresh"
	}
	return i
}

// diagnose finds what is worth a look.
func (c *Cluster) diagnose(view *snapshot, now time.Time) (list []string) {
	if !view.watched {
		list = append(list, "Run is not under way: what is known of the servers only gets older")
	}
	domains := map[string][]string{}
	for _, s := range view.servers {
		if l := s.lag(now); !l.Known && l.Why != LagNotRead {
			list = append(list, fmt.Sprintf("%s: lag unknown: %s", s.name, l.Why))
		}
		if !s.primary {
			for _, w := range c.checkIntervals(s.config) {
				list = append(list, s.name+": "+w.Text)
			}
		}
		for _, note := range s.verdict.probe.Notes {
			if domain, ok := strings.CutPrefix(note, "gtid_domain_id "); ok && !slices.Contains(domains[domain], s.dc) {
				domains[domain] = append(domains[domain], s.dc)
			}
		}
	}
	for _, domain := range slices.Sorted(maps.Keys(domains)) {
		if dcs := domains[domain]; len(dcs) > 1 {
			list = append(list, fmt.Sprintf("gtid_domain_id %s is used in the DCs %s: if both ever write, their transactions cannot be told apart", domain, strings.Join(dcs, ", ")))
		}
	}
	return list
}

// String reads like a page.
func (e Explanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "cluster %s seen from DC %s: primary %s; lag by %s\n", e.Cluster, e.DC, e.Primary, e.LagSource)
	if e.ReadOnly != "" {
		fmt.Fprintf(&b, "  read-only: %s\n", e.ReadOnly)
	}
	for _, s := range e.Servers {
		s.describe(&b)
	}
	for _, g := range e.Groups {
		name := cmp.Or(g.Name, "no group")
		fmt.Fprintf(&b, "  reads of %s: class %s, %s: %s\n", name, cmp.Or(g.Class, "none"), cmp.Or(strings.Join(g.Servers, ", "), "no server"), g.Why)
	}
	for _, d := range e.Diagnoses {
		fmt.Fprintf(&b, "  look at this: %s\n", d)
	}
	return b.String()
}

func (s *ServerInfo) describe(b *strings.Builder) {
	fmt.Fprintf(b, "  %s in DC %s: %s", s.Name, s.DC, s.Health)
	if s.Primary {
		b.WriteString(", primary")
	}
	if s.ReadOnly {
		b.WriteString(", read-only")
	}
	fmt.Fprintf(b, "; lag %v", s.Lag)
	if s.Age > 0 {
		fmt.Fprintf(b, ", read %v ago", s.Age.Round(time.Millisecond))
	}
	fmt.Fprintf(b, "; weight %.2g, %d under way, latency %v, %d of %d connections, %d idle\n", s.Weight, s.InFlight, s.Latency.Round(time.Microsecond), s.Open, s.MaxOpen, s.Idle)
	if s.HalfOpenIn > 0 {
		fmt.Fprintf(b, "    tried again in %v\n", s.HalfOpenIn.Round(time.Millisecond))
	}
	if s.Position != "" {
		fmt.Fprintf(b, "    position %s\n", s.Position)
	}
	if s.Error != "" {
		fmt.Fprintf(b, "    last look failed: %s\n", s.Error)
	}
	for _, n := range s.Notes {
		fmt.Fprintf(b, "    %s\n", n)
	}
}
