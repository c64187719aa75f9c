package dcroute

// RuleSet says which reads are answered here, and which requests are not what their method says. A set is not changed once
// it was given to a router. At most 1,000 rules.
type RuleSet struct {
	Default HostConfig            `json:"default"`
	Hosts   map[string]HostConfig `json:"hosts,omitempty"` // by name, or "*." and a suffix; the longest match wins, and inherits what it leaves out
	Rules   []Rule                `json:"rules,omitempty"` // for each attribute the first that matches and sets it wins
}

// HostConfig is about the reads of one host.
type HostConfig struct {
	Mode         Mode          `json:"mode,omitempty"`          // "" = inherited, in the end ModePrimary
	Share        int           `json:"share,omitempty"`         // hundredths of a percent of clients that read here, to 10,000; 0 = inherited, negative = nobody. In JSON 0 is nobody
	Salt         string        `json:"salt,omitempty"`          // another one draws the clients anew; "" = inherited
	StickyDomain string        `json:"sticky_domain,omitempty"` // of the sticky cookie; "" = inherited, in the end the host alone
	Upgrade      UpgradePolicy `json:"upgrade,omitempty"`       // "" = inherited, in the end UpgradePrimary
}

// Mode is which clients' reads may be answered here.
type Mode string

// The modes.
const (
	ModePrimary   Mode = "primary"    // nobody's: the primary answers
	ModeLocalAnon Mode = "local-anon" // those without a session cookie and Authorization
	ModeLocal     Mode = "local"      // everybody's
)

// UpgradePolicy is where WebSockets and other upgrades go.
type UpgradePolicy string

// The policies.
const (
	UpgradePrimary UpgradePolicy = "primary"
	UpgradeLocal   UpgradePolicy = "local"
)

// Rule gives attributes to the requests that fulfil all its conditions.
type Rule struct {
	Name string `json:"name"` // unique, [a-z0-9-]{1,64}

	Hosts      []string          `json:"hosts,omitempty"` // as the keys of RuleSet.Hosts; one is enough
	Methods    []string          `json:"methods,omitempty"`
	Path       string            `json:"path,omitempty"` // of the path: decoded, without dot segments and repeated slashes
	PathPrefix string            `json:"path_prefix,omitempty"`
	PathRE     string            `json:"path_re,omitempty"` // RE2, anchored by you
	Query      []string          `json:"query,omitempty"`   // "key" or "key=value", decoded; all of them
	Header     map[string]string `json:"header,omitempty"`  // name to the beginning of the value; all of them

	Action        RuleAction    `json:"action,omitempty"`
	Upgrade       UpgradePolicy `json:"upgrade,omitempty"`
	Section       string        `json:"section,omitempty"`         // which part of the application, for the read-only gate
	AllowReadOnly bool          `json:"allow_read_only,omitempty"` // goes on in read-only mode: login, health
}

// RuleAction is what a rule makes of a request.
type RuleAction string

// The actions.
const (
	RuleWrite    RuleAction = "write"    // it writes, whatever its method
	RuleNonWrite RuleAction = "nonwrite" // it does not: next sees X-DC-Non-Write: true
	RulePrimary  RuleAction = "primary"  // a read, but the primary's
)
