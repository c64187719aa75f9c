package dcroute

import (
	"context"
	"time"
)

// Events are told what happens; nil ones are left out. They run in the request: do not wait in them.
type Events struct {
	OnDecision    func(context.Context, DecisionInfo) // once for each request, at its end
	OnForward     func(context.Context, ForwardInfo)  // for each attempt of the proxy
	OnHopRejected func(context.Context, HopInfo)      // a hop header was ignored
}

// DecisionInfo is of Events.OnDecision.
type DecisionInfo struct {
	Decision  Decision
	Status    int  // of the answer; 0 = none was begun
	StickySet bool // the sticky cookie was set, or was there already
	Took      time.Duration
}

// ForwardInfo is of Events.OnForward.
type ForwardInfo struct {
	DC, Addr string
	Attempt  int   // from 1
	Status   int   // of the answer; 0 = there was none
	Err      error // then
	Sent     bool  // something of the request may have arrived
}

// HopInfo is of Events.OnHopRejected.
type HopInfo struct{ Kind HopKind }

// HopKind is why a hop header was ignored.
type HopKind string

// The kinds.
const (
	HopForm    HopKind = "form"
	HopVersion HopKind = "version"
	HopDC      HopKind = "dc" // of an unknown DC, or from and to are one
	HopMAC     HopKind = "mac"
	HopTime    HopKind = "time" // more than 30 s from now
)
