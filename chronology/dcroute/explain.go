package dcroute

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Explanation is what a router knows, for people and dashboards.
type Explanation struct {
	DC         string            `json:"dc"`
	Primary    string            `json:"primary"` // "" = unknown
	Epoch      uint64            `json:"epoch"`
	StateError string            `json:"state_error,omitempty"` // why the primary is unknown, or may be old
	ReadOnly   *ReadOnlyInfo     `json:"read_only,omitempty"`   // of everything; nil = writable
	DCs        []DCExplanation   `json:"dcs"`                   // this one first, then in the order in which they are tried
	Rules      RuleSet           `json:"rules"`
	Counts     map[Reason]uint64 `json:"counts"` // requests by reason, since New
}

// DCExplanation is a DC as the router sees it.
type DCExplanation struct {
	Name    string            `json:"name"`
	Pooled  bool              `json:"pooled"`
	Healthy bool              `json:"healthy"`
	Addrs   []AddrExplanation `json:"addrs,omitempty"` // none: this DC
}

// AddrExplanation is an address of a DC.
type AddrExplanation struct {
	Addr     string    `json:"addr"`
	Failure  string    `json:"failure,omitempty"` // the last one; "" = none since it last worked
	FailedAt time.Time `json:"failed_at,omitzero"`
}

// Explain describes the router and the state as it sees it.
func (rt *Router) Explain(ctx context.Context) Explanation {
	e := Explanation{DC: rt.opts.DC, Rules: copied(&rt.rules.Load().source), Counts: map[Reason]uint64{}}
	var err error
	if e.Primary, e.Epoch, err = rt.state.Primary(ctx); err != nil {
		e.StateError = err.Error()
	}
	e.ReadOnly = rt.explainReadOnly(ctx, e.Primary)
	for _, dc := range rt.everyDC() {
		one := DCExplanation{Name: dc, Pooled: rt.pooled(dc), Healthy: rt.healthy(dc)}
		for _, addr := range rt.opts.Upstreams[dc].Addrs {
			a := AddrExplanation{Addr: addr}
			a.Failure, a.FailedAt = rt.lastFailure(dc, addr)
			one.Addrs = append(one.Addrs, a)
		}
		e.DCs = append(e.DCs, one)
	}
	for i, reason := range reasons {
		if n := rt.counts[i].Load(); n > 0 {
			e.Counts[reason] = n
		}
	}
	return e
}

func (rt *Router) explainReadOnly(ctx context.Context, primary string) *ReadOnlyInfo {
	if rt.readOnly == nil || primary == "" {
		return nil
	}
	reason, until, err := rt.readOnly.ReadOnlyFor(ctx, primary, "")
	if err != nil {
		reason, until = "not known: "+err.Error(), time.Time{}
	}
	if reason == "" {
		return nil
	}
	return &ReadOnlyInfo{Reason: reason, Until: until}
}

// everyDC: this one, those of the order, and the rest by name.
func (rt *Router) everyDC() []string {
	list := []string{rt.opts.DC}
	for _, dc := range slices.Concat(rt.order, slices.Sorted(maps.Keys(rt.opts.Upstreams))) {
		if !slices.Contains(list, dc) {
			list = append(list, dc)
		}
	}
	return list
}

// String reads like a page.
func (e Explanation) String() string {
	var b strings.Builder
	primary := "unknown"
	if e.Primary != "" {
		primary = fmt.Sprintf("%s, epoch %d", e.Primary, e.Epoch)
	}
	fmt.Fprintf(&b, "dcroute in DC %s: the primary is %s\n", e.DC, primary)
	if e.StateError != "" {
		fmt.Fprintf(&b, "  look at this: writes are refused: %s\n", e.StateError)
	}
	if e.ReadOnly != nil {
		fmt.Fprintf(&b, "  read-only: %s%s\n", e.ReadOnly.Reason, orNothing(e.ReadOnly.Until))
	}
	for _, dc := range e.DCs {
		dc.write(&b)
	}
	fmt.Fprintf(&b, "  rules: %d; hosts: %d, all others: mode %s, share %d\n", len(e.Rules.Rules), len(e.Rules.Hosts),
		orPrimary(e.Rules.Default.Mode), max(e.Rules.Default.Share, 0))
	for _, reason := range slices.SortedFunc(maps.Keys(e.Counts), func(a, b Reason) int {
		return cmp.Or(cmp.Compare(e.Counts[b], e.Counts[a]), cmp.Compare(a, b))
	}) {
		fmt.Fprintf(&b, "  %12d %s\n", e.Counts[reason], reason)
	}
	return b.String()
}

func (d DCExplanation) write(b *strings.Builder) {
	fmt.Fprintf(b, "  DC %s", d.Name)
	if !d.Pooled {
		b.WriteString(", not pooled")
	}
	if !d.Healthy {
		b.WriteString(", not healthy")
	}
	b.WriteByte('\n')
	for _, a := range d.Addrs {
		fmt.Fprintf(b, "    %s", a.Addr)
		if a.Failure != "" {
			fmt.Fprintf(b, ", failed at %s: %s", a.FailedAt.Format(time.RFC3339), a.Failure)
		}
		b.WriteByte('\n')
	}
}

func orNothing(until time.Time) string {
	if until.IsZero() {
		return ""
	}
	return " until " + until.Format(time.RFC3339)
}

func orPrimary(m Mode) Mode {
	if m == "" {
		return ModePrimary
	}
	return m
}
