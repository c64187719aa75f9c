package chronology

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Explanation is what a protector knows of itself and of a request, for people and dashboards.
type Explanation struct {
	DC           string               `json:"dc"`
	Mode         Mode                 `json:"mode"`
	Window       time.Duration        `json:"window"`
	Wait         time.Duration        `json:"wait"` // negative = none
	OnTimeout    TimeoutPolicy        `json:"on_timeout"`
	StickyTTL    time.Duration        `json:"sticky_ttl"` // negative = none is set
	KeyIDs       []int                `json:"key_ids"`    // the first signs
	Scope        bool                 `json:"scope"`      // the context is in a request
	RecentWriter bool                 `json:"recent_writer"`
	Clusters     []ClusterExplanation `json:"clusters"`
}

// ClusterExplanation is a cluster, and what the request has to do with it.
type ClusterExplanation struct {
	Name     string    `json:"name"`
	WriterDC string    `json:"writer_dc"`          // "" = every DC
	Required string    `json:"required,omitempty"` // position; "" with AsOf = touch only
	AsOf     time.Time `json:"as_of,omitzero"`
	Source   Source    `json:"source,omitempty"`
	Wrote    bool      `json:"wrote"`              // this request has
	Captured string    `json:"captured,omitempty"` // the position of that, read now
	Error    string    `json:"error,omitempty"`    // why it could not be
}

// Explain describes the protector and the request that ctx belongs to. If that has written, the positions are read.
func (p *Protector) Explain(ctx context.Context) Explanation {
	e := Explanation{
		DC: p.opts.DC, Mode: p.mode, Window: p.opts.Window, Wait: p.opts.Wait, OnTimeout: p.opts.OnTimeout, StickyTTL: p.opts.StickyTTL,
		RecentWriter: p.RecentWriter(ctx),
	}
	for _, k := range p.keys {
		e.KeyIDs = append(e.KeyIDs, int(k.id))
	}
	for _, d := range p.dbs {
		e.Clusters = append(e.Clusters, ClusterExplanation{Name: d.name, WriterDC: d.WriterDC()})
	}
	if q := p.requestOf(ctx); q != nil {
		e.Scope = true
		q.explain(ctx, e.Clusters)
	}
	return e
}

func (q *request) explain(ctx context.Context, list []ClusterExplanation) {
	captured := q.capture(ctx)
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range list {
		one := &list[i]
		if q.required != nil && q.required[i].cluster != "" {
			one.Required, one.AsOf, one.Source = q.required[i].position, q.required[i].latest(), q.sources[i]
		}
		one.Wrote, one.Captured = captured[i].wrote, captured[i].position
		if q.marked != nil && !q.marked[i].IsZero() {
			one.Wrote = true
		}
		if err := captured[i].err; err != nil {
			one.Error = err.Error()
		}
	}
}

// String reads like a page.
func (e Explanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "chronology in DC %s: %s mode, own writes are seen for %v; a read waits %v for a replica, then: %s\n",
		e.DC, e.Mode, e.Window, max(e.Wait, 0), e.OnTimeout)
	if e.Mode == StickyMode {
		b.WriteString("  look at this: there is neither Store nor Keys: only the sticky cookie protects\n")
	}
	for _, c := range e.Clusters {
		fmt.Fprintf(&b, "  cluster %s, written in %s", c.Name, orEvery(c.WriterDC))
		switch {
		case c.Required != "":
			fmt.Fprintf(&b, "; required by the %s: %s as of %s", c.Source, c.Required, c.AsOf.Format(time.RFC3339Nano))
		case !c.AsOf.IsZero():
			fmt.Fprintf(&b, "; written at %s, by the %s", c.AsOf.Format(time.RFC3339Nano), c.Source)
		}
		if c.Wrote {
			fmt.Fprintf(&b, "; this request wrote %s", c.Captured)
		}
		if c.Error != "" {
			fmt.Fprintf(&b, "; no position: %s", c.Error)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func orEvery(dc string) string {
	if dc == "" {
		return "every DC"
	}
	return "DC " + dc
}
