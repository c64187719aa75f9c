package switchover

import (
	"cmp"
	"strings"
)

// routes is a Rollout made ready for lookups: the default is merged into every rule.
type routes struct {
	hosts    map[string]Rule // by host; those of "*.example.org" by ".example.org"
	fallback *Rule           // nil = none
}

func compile(o *Rollout) routes {
	if o == nil {
		return routes{}
	}
	r := routes{hosts: make(map[string]Rule, len(o.Hosts)), fallback: o.Default}
	for pattern, rule := range o.Hosts {
		if o.Default != nil {
			rule.Mode = cmp.Or(rule.Mode, o.Default.Mode)
			rule.Salt = cmp.Or(rule.Salt, o.Default.Salt)
		}
		r.hosts[strings.TrimPrefix(pattern, "*")] = rule
	}
	return r
}

// find tries the host itself and then its suffixes, the longest first.
func (r routes) find(host string) (Rule, bool) {
	if len(r.hosts) > 0 {
		host = bare(host)
		if rule, ok := r.hosts[host]; ok && !strings.HasPrefix(host, ".") {
			return rule, true
		}
		for i := 1; i < len(host); i++ { // from 1: a suffix stands below at least one label
			if host[i] != '.' {
				continue
			}
			if rule, ok := r.hosts[host[i:]]; ok {
				return rule, true
			}
		}
	}
	if r.fallback == nil {
		return Rule{}, false
	}
	return *r.fallback, true
}

// bare is a Host header's host: lower case, no port, no brackets, no trailing dot.
func bare(host string) string {
	if inner, ok := strings.CutPrefix(host, "["); ok {
		host, _, _ = strings.Cut(inner, "]")
	} else if name, _, ok := strings.Cut(host, ":"); ok && strings.Count(host, ":") == 1 {
		host = name
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
