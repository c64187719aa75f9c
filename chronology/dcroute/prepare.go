package dcroute

import (
	"sync/atomic"
	"time"
)

// driver is what the middleware keeps in a router.
type driver struct {
	upstreams  map[string]*upstream // by DC
	buffers    buffers
	refreshing chan struct{} // the place of who refreshes the state
	refreshes  atomic.Uint64 // that have begun
}

// prepare is the last thing that New does.
func (rt *Router) prepare() error {
	rt.refreshing = make(chan struct{}, 1)
	rt.upstreams = map[string]*upstream{}
	for dc, u := range rt.opts.Upstreams {
		up, err := newUpstream(rt, dc, u)
		if err != nil {
			return err
		}
		rt.upstreams[dc] = up
	}
	return nil
}

// lastFailure is of an address of a DC; "" = none since it last worked.
func (rt *Router) lastFailure(dc, addr string) (why string, at time.Time) {
	if up := rt.upstreams[dc]; up != nil {
		for _, a := range up.addresses {
			if a.text == addr {
				return a.failure()
			}
		}
	}
	return "", time.Time{}
}
