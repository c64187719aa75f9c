package wanobjectcache

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Explanation is what a cache knows of itself, for people and dashboards.
type Explanation struct {
	DC             string        `json:"dc"`
	Keyspace       string        `json:"keyspace"`
	Holdoff        time.Duration `json:"holdoff"`
	MaxCommitDelay time.Duration `json:"max_commit_delay"`
	MaxReadLag     time.Duration `json:"max_read_lag"`
	MaxClockSkew   time.Duration `json:"max_clock_skew"`
	Epoch          time.Time     `json:"epoch"` // what was stored before counts as absent; zero = nothing does
	PurgeLog       bool          `json:"purge_log"`
	Refreshes      int           `json:"refreshes"` // loads in the background now
	DCs            []DCInfo      `json:"dcs"`       // this DC first
	Groups         []GroupInfo   `json:"groups"`
}

// DCInfo is a DC, as Explain finds it.
type DCInfo struct {
	DC      string        `json:"dc"`
	Reached bool          `json:"reached"` // its pool answers
	Error   string        `json:"error,omitempty"`
	Took    time.Duration `json:"took"`
	Purging int           `json:"purging"` // keys under way to it
}

// explainTimeout bounds the question to each pool.
const explainTimeout = time.Second

// Explain asks each DC's pool once, for 1 s at most: longer only if a Store does not end with its context.
func (c *Cache) Explain(ctx context.Context) Explanation {
	e := Explanation{
		DC: c.opts.DC, Keyspace: c.opts.Keyspace, Holdoff: c.holdoff, MaxCommitDelay: c.opts.MaxCommitDelay,
		MaxReadLag: c.opts.MaxReadLag, MaxClockSkew: c.opts.MaxClockSkew, Epoch: micros(c.epoch.at.Load()).time(), PurgeLog: c.opts.PurgeLog != nil, Refreshes: len(c.refreshes),
	}
	for _, g := range c.enrolled() {
		e.Groups = append(e.Groups, g.info())
	}
	ctx, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	e.DCs = make([]DCInfo, 1+len(c.remotes))
	var asks sync.WaitGroup
	asks.Go(func() { e.DCs[0] = askDC(ctx, c.opts.DC, c.local) })
	for i, r := range c.remotes {
		asks.Go(func() {
			e.DCs[i+1] = askDC(ctx, r.dc, r.store)
			e.DCs[i+1].Purging = len(r.sending)
		})
	}
	asks.Wait()
	return e
}

func askDC(ctx context.Context, dc string, s Store) DCInfo {
	began := time.Now()
	var item [1]StoreItem
	err := s.GetMulti(ctx, []string{wireKey(epochBase, typTag)}, item[:])
	i := DCInfo{DC: dc, Reached: err == nil, Took: time.Since(began)}
	if err != nil {
		i.Error = err.Error()
	}
	return i
}

// String reads like a page.
func (e Explanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "cache of DC %s, keyspace %s: hold-off %v = commit delay %v + read lag %v + clock skew %v + %v\n",
		e.DC, e.Keyspace, e.Holdoff, e.MaxCommitDelay, e.MaxReadLag, e.MaxClockSkew, storeClock)
	for _, dc := range e.DCs {
		if dc.Reached {
			fmt.Fprintf(&b, "  DC %s answers in %v; %d purges under way\n", dc.DC, dc.Took.Round(10*time.Microsecond), dc.Purging)
		} else {
			fmt.Fprintf(&b, "  DC %s does not answer: %s\n", dc.DC, dc.Error)
		}
	}
	for _, g := range e.Groups {
		ttl := g.TTL.String()
		if g.TTL == Indefinite {
			ttl = "none"
		}
		fmt.Fprintf(&b, "  group %s: TTL %s, %d loads under way\n", g.Name, ttl, g.Loads)
	}
	if !e.PurgeLog && len(e.DCs) > 1 {
		b.WriteString("  look at this: there is no purge log: a purge that a DC misses is lost to it\n")
	}
	return b.String()
}
