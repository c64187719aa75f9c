package dcroute

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

const (
	maxRules   = 1000
	maxSetSize = 256 << 10
	maxShare   = 10_000
)

// ruleSet is a [RuleSet] that was checked and made ready. It is not changed.
type ruleSet struct {
	source   RuleSet               // a copy, for people
	fallback HostConfig            // for hosts that have none, nothing unset
	hosts    map[string]HostConfig // see lookupHost; nothing unset
	rules    []rule
	queries  map[string]queryKey // what the rules want to know of the query, by key
	nqueries int
}

// rule is a [Rule]; the conditions on hosts and the query are not looked at in there.
type rule struct {
	Rule
	hosts   []string // as lookupHost's keys
	re      *regexp.Regexp
	queries []int // bits of a request's found
	headers []headerCondition
}

// queryKey numbers the conditions on one key.
type queryKey struct {
	any    int            // the key is there, with whatever value; -1 = no rule asks that
	values map[string]int // with this one
}

type headerCondition struct{ name, prefix string }

func compile(set *RuleSet) (*ruleSet, error) {
	if len(set.Rules) > maxRules {
		return nil, fmt.Errorf("dcroute: RuleSet.Rules: there are %d: want at most %d", len(set.Rules), maxRules)
	}
	if n := sizeOf(set); n > maxSetSize {
		return nil, fmt.Errorf("dcroute: RuleSet has %d bytes: want at most %d", n, maxSetSize)
	}
	c := &ruleSet{source: copied(set), hosts: map[string]HostConfig{}, queries: map[string]queryKey{}}
	if err := c.addHosts(); err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for i := range c.source.Rules {
		r := &c.source.Rules[i]
		if names[r.Name] {
			return nil, fmt.Errorf("dcroute: RuleSet.Rules[%d].Name: %q is there twice", i, r.Name)
		}
		names[r.Name] = true
		if err := c.add(fmt.Sprintf("dcroute: RuleSet.Rules[%d] (%.64q)", i, r.Name), r); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// sizeOf is of the texts alone, so that no set is larger than the JSON it was read from.
func sizeOf(set *RuleSet) (n int) {
	add := func(texts ...string) {
		for _, text := range texts {
			n += len(text)
		}
	}
	addHost := func(name string, h HostConfig) { add(name, string(h.Mode), h.Salt, h.StickyDomain, string(h.Upgrade)) }
	addHost("", set.Default)
	for name, h := range set.Hosts {
		addHost(name, h)
	}
	for _, r := range set.Rules {
		add(r.Name, r.Path, r.PathPrefix, r.PathRE, string(r.Action), string(r.Upgrade), r.Section)
		add(r.Hosts...)
		add(r.Methods...)
		add(r.Query...)
		for name, prefix := range r.Header {
			add(name, prefix)
		}
	}
	return n
}

// copied shares nothing that can be changed.
func copied(set *RuleSet) RuleSet {
	c := RuleSet{Default: set.Default, Hosts: maps.Clone(set.Hosts), Rules: slices.Clone(set.Rules)}
	for i := range c.Rules {
		r := &c.Rules[i]
		r.Hosts, r.Methods, r.Query, r.Header = slices.Clone(r.Hosts), slices.Clone(r.Methods), slices.Clone(r.Query), maps.Clone(r.Header)
	}
	return c
}

func (c *ruleSet) addHosts() error {
	if err := checkHost("dcroute: RuleSet.Default", c.source.Default); err != nil {
		return err
	}
	c.fallback = inherit(c.source.Default, HostConfig{Mode: ModePrimary, Share: -1, Upgrade: UpgradePrimary})
	for _, pattern := range slices.Sorted(maps.Keys(c.source.Hosts)) {
		key, err := hostKey(pattern)
		if err != nil {
			return fmt.Errorf("dcroute: RuleSet.Hosts: %w", err)
		}
		if _, double := c.hosts[key]; double {
			return fmt.Errorf("dcroute: RuleSet.Hosts: %q is there twice, in two spellings", pattern)
		}
		if err := checkHost(fmt.Sprintf("dcroute: RuleSet.Hosts[%q]", pattern), c.source.Hosts[pattern]); err != nil {
			return err
		}
		c.hosts[key] = inherit(c.source.Hosts[pattern], c.fallback)
	}
	return nil
}

// inherit fills field by field what a host leaves out.
func inherit(host, from HostConfig) HostConfig {
	return HostConfig{
		Mode: cmp.Or(host.Mode, from.Mode), Share: cmp.Or(host.Share, from.Share), Salt: cmp.Or(host.Salt, from.Salt),
		StickyDomain: cmp.Or(host.StickyDomain, from.StickyDomain), Upgrade: cmp.Or(host.Upgrade, from.Upgrade),
	}
}

// checkHost begins its errors with where.
func checkHost(where string, h HostConfig) error {
	if h.Mode != "" && !isMode(h.Mode) {
		return fmt.Errorf("%s.Mode: unknown: %.64q", where, h.Mode)
	}
	if h.Share > maxShare {
		return fmt.Errorf("%s.Share: %d: want hundredths of a percent, at most %d", where, h.Share, maxShare)
	}
	if c := (http.Cookie{Name: "n", Domain: h.StickyDomain}); c.Valid() != nil { //nolint:gosec // else net/http leaves the domain out
		return fmt.Errorf("%s.StickyDomain: %.64q is no domain", where, h.StickyDomain)
	}
	return checkUpgrade(where, h.Upgrade)
}

func isMode(m Mode) bool { return m == ModePrimary || m == ModeLocalAnon || m == ModeLocal }

func checkUpgrade(where string, p UpgradePolicy) error {
	if p != "" && p != UpgradePrimary && p != UpgradeLocal {
		return fmt.Errorf("%s.Upgrade: unknown policy: %.64q", where, p)
	}
	return nil
}

// add compiles a rule; its errors begin with where.
func (c *ruleSet) add(where string, source *Rule) error {
	if err := checkRule(where, source); err != nil {
		return err
	}
	r := rule{Rule: *source}
	for _, pattern := range source.Hosts {
		key, err := hostKey(pattern)
		if err != nil {
			return fmt.Errorf("%s.Hosts: %w", where, err)
		}
		r.hosts = append(r.hosts, key)
	}
	if source.PathRE != "" {
		re, err := regexp.Compile(source.PathRE)
		if err != nil {
			return fmt.Errorf("%s.PathRE: %.200s", where, err.Error()) // it repeats the whole expression
		}
		r.re = re
	}
	for _, condition := range source.Query {
		r.queries = append(r.queries, c.query(condition))
	}
	for _, name := range slices.Sorted(maps.Keys(source.Header)) {
		r.headers = append(r.headers, headerCondition{http.CanonicalHeaderKey(name), source.Header[name]})
	}
	c.rules = append(c.rules, r)
	return nil
}

// query numbers a condition; rules that ask the same share it.
func (c *ruleSet) query(condition string) int {
	key, value, hasValue := strings.Cut(condition, "=")
	k, ok := c.queries[key]
	if !ok {
		k = queryKey{any: -1, values: map[string]int{}}
	}
	n, ok := k.values[value]
	if !hasValue {
		n, ok = k.any, k.any >= 0
	}
	if ok {
		return n
	}
	if hasValue {
		k.values[value] = c.nqueries
	} else {
		k.any = c.nqueries
	}
	c.queries[key] = k
	c.nqueries++
	return c.nqueries - 1
}

func checkRule(where string, r *Rule) error {
	if !isRuleName(r.Name) {
		return fmt.Errorf("%s.Name: want 1 to 64 of a-z, 0-9, -", where)
	}
	if i := slices.IndexFunc(r.Methods, func(m string) bool { return !isToken(m) }); i >= 0 {
		return fmt.Errorf("%s.Methods: %.64q is none", where, r.Methods[i])
	}
	if i := slices.IndexFunc(r.Query, func(q string) bool { return q == "" || q[0] == '=' }); i >= 0 {
		return fmt.Errorf("%s.Query: %.64q has no key", where, r.Query[i])
	}
	seen := map[string]bool{"Host": true} // that one is not among a request's headers
	for name := range r.Header {
		if canonical := http.CanonicalHeaderKey(name); !isToken(name) || seen[canonical] {
			return fmt.Errorf("%s.Header: %.64q: want the name of a header, each once; for Host there is Hosts", where, name)
		}
		seen[http.CanonicalHeaderKey(name)] = true
	}
	switch r.Action {
	case "", RuleWrite, RuleNonWrite, RulePrimary:
	default:
		return fmt.Errorf("%s.Action: unknown: %.64q", where, r.Action)
	}
	return checkUpgrade(where, r.Upgrade)
}

func isRuleName(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}
