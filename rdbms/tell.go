package rdbms

import (
	"context"
	"time"
)

// told is what OnServer was last told of a server.
type told struct {
	health   Health
	known    bool
	why      LagReason
	identity string
}

// tellServer raises OnServer when something has changed that people want to know.
func (c *Cluster) tellServer(ctx context.Context, h *host) {
	now := time.Now()
	view := c.view.Load()
	s := view.byHost(h)
	if s == nil {
		return
	}
	info := s.info(now, view, c.opts.NoRemoteReads)
	news := told{health: info.Health, known: info.Lag.Known, why: info.Lag.Why, identity: info.Identity}
	c.mu.Lock()
	r := c.records[h]
	changed := r != nil && r.told != news
	if changed {
		r.told = news
	}
	c.mu.Unlock()
	if !changed {
		return
	}
	c.opts.Logger.InfoContext(ctx, "rdbms: server has changed", "cluster", c.name, "server", info.Name, "health", string(info.Health), "lag", info.Lag.String(), "error", info.Error)
	if on := c.opts.Events.OnServer; on != nil {
		on(ctx, info)
	}
}

// warningKey is what is warned of once a minute.
type warningKey struct {
	kind   Warning
	server string
}

const warnEvery = time.Minute

// warn logs a warning and raises OnWarning, at most once a minute for each kind and server.
func (c *Cluster) warn(ctx context.Context, w WarningInfo) {
	w.Cluster = c.name
	if !c.mayWarn(warningKey{w.Kind, w.Server}, time.Now()) {
		return
	}
	c.opts.Logger.WarnContext(ctx, "rdbms: "+w.Text, "cluster", c.name, "server", w.Server, "kind", string(w.Kind))
	if on := c.opts.Events.OnWarning; on != nil {
		on(ctx, w)
	}
}

func (c *Cluster) mayWarn(key warningKey, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last, ok := c.warned[key]; ok && now.Sub(last) < warnEvery {
		return false
	}
	for old, last := range c.warned { // servers come and go
		if now.Sub(last) >= warnEvery {
			delete(c.warned, old)
		}
	}
	c.warned[key] = now
	return true
}
