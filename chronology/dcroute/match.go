package dcroute

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// attributes are what the rules say of a request: for each the first rule that matches and sets it.
type attributes struct {
	action     RuleAction // the first of all actions
	actionRule string
	intent     RuleAction // the first of RuleWrite and RuleNonWrite
	intentRule string
	upgrade    UpgradePolicy
	upRule     string
	section    string
	allow      bool // any rule's
}

func (a *attributes) add(r *rule) {
	if a.action == "" {
		a.action, a.actionRule = r.Action, r.Name
	}
	if a.intent == "" && r.Action != RulePrimary {
		a.intent, a.intentRule = r.Action, r.Name
	}
	if a.upgrade == "" {
		a.upgrade, a.upRule = r.Upgrade, r.Name
	}
	if a.section == "" {
		a.section = r.Section
	}
	a.allow = a.allow || r.AllowReadOnly
}

// target is what the rules look at.
type target struct {
	host, path string
	found      []uint64 // bits: which conditions on the query hold
	room       [4]uint64
}

// look gets a request ready for matching.
func (t *target) look(r *http.Request, set *ruleSet, matchPath func(host, rawPath string) string) {
	t.host = bareHost(r.Host)
	if len(set.rules) == 0 {
		return
	}
	if matchPath != nil {
		t.path = matchPath(t.host, r.URL.EscapedPath())
	} else {
		t.path = normalPath(r.URL.Path)
	}
	t.found = t.room[:]
	if set.nqueries > 64*len(t.found) {
		t.found = make([]uint64, (set.nqueries+63)/64)
	}
	if set.nqueries > 0 {
		t.findQueries(r.URL.RawQuery, set)
	}
}

// findQueries goes through the query once, whatever the number of rules. Pairs end at & only: what net/url does with a
// semicolon, or drops, another program may see.
func (t *target) findQueries(query string, set *ruleSet) {
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		key, value, _ := strings.Cut(pair, "=")
		if !isEncoded(key) {
			if _, wanted := set.queries[key]; !wanted {
				continue // and its value need not be decoded
			}
		}
		key, value = decodedPair(key, value)
		k, wanted := set.queries[key]
		if !wanted {
			continue
		}
		if k.any >= 0 {
			t.set(k.any)
		}
		if n, ok := k.values[value]; ok {
			t.set(n)
		}
	}
}

func (t *target) set(bit int) { t.found[bit/64] |= 1 << (bit % 64) }

func (t *target) has(bit int) bool { return t.found[bit/64]&(1<<(bit%64)) != 0 }

func isEncoded(s string) bool {
	return strings.IndexByte(s, '%') >= 0 || strings.IndexByte(s, '+') >= 0
}

// decodedPair leaves a pair as it is where one of the two does not decode.
func decodedPair(key, value string) (decodedKey, decodedValue string) {
	k, err := url.QueryUnescape(key)
	if err != nil {
		return key, value
	}
	v, err := url.QueryUnescape(value)
	if err != nil {
		return key, value
	}
	return k, v
}

// fails names the first kind of condition that does not hold; "" = the rule matches.
func (r *rule) fails(req *http.Request, t *target) string {
	switch {
	case len(r.Methods) > 0 && !slices.Contains(r.Methods, req.Method):
		return "methods"
	case len(r.hosts) > 0 && !slices.ContainsFunc(r.hosts, func(key string) bool { return hostMatches(key, t.host) }):
		return "hosts"
	case r.Path != "" && r.Path != t.path:
		return "path"
	case r.PathPrefix != "" && !strings.HasPrefix(t.path, r.PathPrefix):
		return "path_prefix"
	}
	for _, bit := range r.queries {
		if !t.has(bit) {
			return "query"
		}
	}
	for _, h := range r.headers {
		if !slices.ContainsFunc(req.Header[h.name], func(value string) bool { return strings.HasPrefix(value, h.prefix) }) {
			return "header"
		}
	}
	if r.re != nil && !r.re.MatchString(t.path) {
		return "path_re"
	}
	return ""
}

// normalPath takes a path that was decoded once, as net/url has it, removes dot segments (RFC 3986, 5.2.4), and then collapses
// repeated slashes.
func normalPath(path string) string {
	if strings.Contains(path, "/.") {
		path = withoutDots(path)
	}
	if !strings.Contains(path, "//") {
		return path
	}
	b := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		if path[i] != '/' || i == 0 || path[i-1] != '/' {
			b = append(b, path[i])
		}
	}
	return string(b)
}

func withoutDots(path string) string {
	segments := strings.Split(path, "/")
	kept := segments[:0]
	for i, s := range segments {
		last := i == len(segments)-1
		switch s {
		case ".":
		case "..":
			if len(kept) > 1 { // the first is what stands before the leading slash
				kept = kept[:len(kept)-1]
			}
		default:
			kept = append(kept, s)
			continue
		}
		if last {
			kept = append(kept, "") // "/a/." is the folder
		}
	}
	if len(kept) == 1 {
		return kept[0] + "/"
	}
	return strings.Join(kept, "/")
}
