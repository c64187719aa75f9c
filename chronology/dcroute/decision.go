package dcroute

import "time"

// Decision is what the router does with a request, and why.
type Decision struct {
	Action Action `json:"action"`
	Intent Intent `json:"intent"`
	Target string `json:"target,omitempty"` // DC that answers; "" with Refuse
	Reason Reason `json:"reason"`
	Rule   string `json:"rule,omitempty"` // name of the rule that decided
	Entry  string `json:"entry"`          // DC where the client came in: by a valid hop, else this one
	Epoch  uint64 `json:"epoch"`          // of the state; 0 = unknown

	Status     int           `json:"status,omitempty"`      // with Refuse
	RetryAfter time.Duration `json:"retry_after,omitempty"` // with Refuse; 0 = there is no sense in that
	StaleRisk  bool          `json:"stale_risk,omitempty"`  // a read that belongs to the primary is answered here
}

// Action is what is done with a request.
type Action string

// The actions.
const (
	Local   Action = "local"   // the next handler answers
	Forward Action = "forward" // Target does, through the proxy
	Refuse  Action = "refuse"  // nobody does
)

// Intent is what a request wants: by its method, or by the rules.
type Intent string

// The intents.
const (
	Read  Intent = "read"  // GET, HEAD, OPTIONS, TRACE, QUERY
	Write Intent = "write" // every other method
)

// Reason is why a request was decided as it was.
type Reason string

// The reasons.
const (
	ReasonLoop               Reason = "loop"                // it was here before
	ReasonHop                Reason = "hop"                 // another DC's router has decided
	ReasonHopMisdirected     Reason = "hop-misdirected"     // it was forwarded to another DC than this
	ReasonHopStale           Reason = "hop-stale"           // the other router's state is old
	ReasonHopDisagree        Reason = "hop-disagree"        // both states are equally new and differ: two stores, or a wrong configuration
	ReasonStateBehind        Reason = "state-behind"        // our own state is old
	ReasonStaleRouter        Reason = "stale-router"        // the other DC says so, and the request cannot be sent again
	ReasonPurge              Reason = "purge"               // PURGE is for the DC that gets it
	ReasonStateUnknown       Reason = "state-unknown"       // nobody knows the primary
	ReasonReadOnly           Reason = "read-only"           // the gate
	ReasonForce              Reason = "force"               // X-DC-Force
	ReasonLocalIsPrimary     Reason = "local-is-primary"    // this DC is
	ReasonWrite              Reason = "write"               // its intent
	ReasonRule               Reason = "rule"                // with action primary
	ReasonHostMode           Reason = "host-mode"           // ModePrimary
	ReasonSession            Reason = "session"             // ModeLocalAnon, and the client has a session
	ReasonRollout            Reason = "rollout"             // the client is not in the share
	ReasonSticky             Reason = "sticky"              // the client wrote a moment ago
	ReasonUpgrade            Reason = "upgrade"             // UpgradePrimary
	ReasonLocalDown          Reason = "local-down"          // this DC is depooled, or not healthy
	ReasonNoneUp             Reason = "none-up"             // all are
	ReasonDefault            Reason = "default"             // nothing speaks against answering here
	ReasonPrimaryDown        Reason = "primary-down"        // Healthy says so
	ReasonPrimaryUnreachable Reason = "primary-unreachable" // no connection: it did certainly not happen
	ReasonUpstreamLost       Reason = "upstream-lost"       // the connection was lost after sending
	ReasonUpstreamTimeout    Reason = "upstream-timeout"    // no answer in time
	ReasonNoRoute            Reason = "no-route"            // Options.Upstreams lacks the DC
)
