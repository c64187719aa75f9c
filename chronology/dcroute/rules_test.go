package dcroute

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func withRules(tb testing.TB, rules ...Rule) *Router {
	tb.Helper()
	return newRouter(tb, nil, func(o *Options) { o.Rules.Rules = rules })
}

// Case 6.
func TestQueryAnywhere(t *testing.T) {
	rt := withRules(t, Rule{Name: "rollback", Query: []string{"action=rollback"}, Action: RulePrimary})
	for query, want := range map[string]string{
		"action=rollback":             "to a rule",
		"action=rollback&x=1":         "to a rule",
		"x=1&action=rollback&y=2":     "to a rule",
		"x=1&action=rollback":         "to a rule",
		"&&action=rollback&":          "to a rule",
		"action=view&action=rollback": "to a rule",
		"%61ction=roll%62ack":         "to a rule",
		"x=1;y=2&action=rollback":     "to a rule",
		"x=%zz&action=rollback":       "to a rule",
		"title=x=action=rollback":     "local default",
		"title=x%26action=rollback":   "local default",
		"x=1;action=rollback":         "local default",
		"action=rollback2":            "local default",
		"xaction=rollback":            "local default",
		"action":                      "local default",
		"Action=rollback":             "local default",
		"":                            "local default",
	} {
		if d := check(t, rt, request("GET", "/?"+query), want); (d.Rule == "rollback") != (d.Reason == ReasonRule) {
			t.Errorf("%q: rule %q", query, d.Rule)
		}
	}
}

func TestQueryConditions(t *testing.T) {
	for _, c := range []struct {
		condition, query string
		want             bool
	}{
		{"a", "a", true},
		{"a", "a=", true},
		{"a", "a=b", true},
		{"a", "b=a", false},
		{"a=", "a", true},
		{"a=", "a=", true},
		{"a=", "a=b", false},
		{"a=b c", "a=b+c", true},
		{"a=b c", "a=b%20c", true},
		{"a=b+c", "a=b+c", false},
		{"a=b+c", "a=b%2Bc", true},
		{"a=b=c", "a=b=c", true},
		{"a b", "a+b=1", true},
		{"a=é", "a=%C3%A9", true},
		// What does not decode is compared as it came, and not dropped.
		{"a=%zz", "a=%zz", true},
		{"a", "a=%zz", true},
		{"a=b%zz", "%61=b%zz", false},
		{"%61=b%zz", "%61=b%zz", true},
		{"a=1;b=2", "a=1;b=2", true},
		{"b", "a=1;b=2", false},
	} {
		rt := withRules(t, Rule{Name: "x", Query: []string{c.condition}, Action: RulePrimary})
		r := request("GET", "/")
		r.URL.RawQuery = c.query
		if got := rt.Decide(r).Reason == ReasonRule; got != c.want {
			t.Errorf("%q in %q: %t", c.condition, c.query, got)
		}
	}
}

// More conditions than a request has room for.
func TestManyQueryConditions(t *testing.T) {
	rules := make([]Rule, maxRules)
	for i := range rules {
		name := fmt.Sprint("r", i)
		rules[i] = Rule{Name: name, Query: []string{"k=" + name, name}, Action: RulePrimary}
	}
	rt := withRules(t, rules...)
	for _, rule := range []Rule{rules[0], rules[255], rules[256], rules[999]} {
		if d := check(t, rt, request("GET", "/?k="+rule.Name+"&"+rule.Name), "to a rule"); d.Rule != rule.Name {
			t.Errorf("%q, want %q", d.Rule, rule.Name)
		}
		check(t, rt, request("GET", "/?k="+rule.Name), "local default")
	}
}

// Case 7: one rule for the path and one for the title cover every spelling.
func TestEverySpelling(t *testing.T) {
	rt := withRules(t,
		Rule{Name: "path", Path: "/wiki/Special:OAuth/initiate", Action: RulePrimary},
		Rule{Name: "title", Query: []string{"title=Special:OAuth/initiate"}, Action: RulePrimary})
	for _, spelling := range []string{"Special:OAuth/initiate", "Special%3AOAuth%2Finitiate", "Special%3aOAuth%2finitiate", "%53pecial:OAuth/initiate"} {
		check(t, rt, request("GET", "/wiki/"+spelling), "to a rule")
		check(t, rt, request("GET", "/w/index.php?title="+spelling), "to a rule")
		check(t, rt, request("GET", "/w/index.php?x=1&title="+spelling+"&y"), "to a rule")
	}
	check(t, rt, request("GET", "/wiki//./x/../Special:OAuth//initiate"), "to a rule")
	check(t, rt, request("GET", "/wiki/%2e%2e/wiki/Special:OAuth/initiate"), "to a rule")
	check(t, rt, request("GET", "/wiki/Special%253AOAuth/initiate"), "local default") // decoded once
}

func TestNormalPath(t *testing.T) {
	for in, want := range map[string]string{
		"/": "/", "": "", "*": "*", "/a/b": "/a/b", "/a/b/": "/a/b/", "//": "/", "//a///b": "/a/b", "/a/./b": "/a/b", "/a/../b": "/b",
		"/a/b/..": "/a/", "/a/b/.": "/a/b/", "/..": "/", "/.": "/", "/../../a": "/a", "/a/b/../../../c": "/c", "/a//../b": "/a/b",
		"/.a/..b/c.": "/.a/..b/c.", "/a/...": "/a/...", "/%zz": "/%zz", "/./": "/", "/..//": "/",
	} {
		if got := normalPath(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestConditions(t *testing.T) {
	for _, c := range []struct {
		rule    Rule
		match   []string // "METHOD URL", and headers behind |
		nomatch []string
	}{
		{Rule{}, []string{"GET /"}, nil},
		{Rule{Methods: []string{"GET", "HEAD"}}, []string{"GET /", "HEAD /"}, []string{"OPTIONS /"}},
		{Rule{PathPrefix: "/api/"}, []string{"GET /api/", "GET //api/x"}, []string{"GET /api", "GET /x/api/"}},
		{Rule{PathRE: `^/u/[0-9]+$`}, []string{"GET /u/7", "GET /u//%37"}, []string{"GET /u/x", "GET /u/7/"}},
		{Rule{PathRE: `bc`}, []string{"GET /abcd"}, nil},
		{Rule{Hosts: []string{"Example.ORG.", "*.example.net"}},
			[]string{"GET http://example.org/", "GET http://EXAMPLE.org:81/", "GET http://example.org./", "GET http://a.b.example.net/"},
			[]string{"GET http://a.example.org/", "GET http://example.net/", "GET http://xexample.net/"}},
		{Rule{Query: []string{"a", "b=1"}}, []string{"GET /?b=1&a"}, []string{"GET /?a", "GET /?b=1", "GET /?a=b=1"}},
		{Rule{Header: map[string]string{"x-kind": "bot/", "X-Any": ""}}, []string{"GET /|X-Kind: bot/2|X-Any: y", "GET /|X-Kind: x|X-Kind: bot/|X-Any: "},
			[]string{"GET /|X-Kind: bot/2", "GET /|X-Kind: a bot/|X-Any: y"}},
		{Rule{Path: "/a", Methods: []string{"GET"}, Query: []string{"q"}}, []string{"GET /a?q"}, []string{"GET /a", "GET /b?q", "HEAD /a?q"}},
	} {
		c.rule.Name, c.rule.Action = "x", RulePrimary
		rt := withRules(t, c.rule)
		for want, list := range map[string][]string{"to a rule": c.match, "local default": c.nomatch} {
			for _, text := range list {
				parts := strings.Split(text, "|")
				method, target, _ := strings.Cut(parts[0], " ")
				check(t, rt, request(method, target, parts[1:]...), want)
			}
		}
	}
}

func TestFirstRuleWins(t *testing.T) {
	rt := newRouter(t, nil, func(o *Options) {
		o.Rules.Rules = []Rule{
			{Name: "section", PathPrefix: "/api", Section: "api"},
			{Name: "read", Path: "/api/search", Methods: []string{"POST"}, Action: RuleNonWrite, Section: "late"},
			{Name: "all", PathPrefix: "/api", Action: RulePrimary},
			{Name: "write", Query: []string{"action=rollback"}, Action: RuleWrite},
			{Name: "unwrite", Query: []string{"action=rollback"}, Action: RuleNonWrite},
		}
	})
	v := rt.judge(request("POST", "/api/search"), nil)
	if short(v.Decision) != "local default" || v.Intent != Read || !v.nonWrite || v.Rule != "read" || v.section != "api" {
		t.Errorf("%+v", v)
	}
	v = rt.judge(request("GET", "/api/search"), nil)
	if short(v.Decision) != "to a rule" || v.Intent != Read || v.nonWrite || v.Rule != "all" {
		t.Errorf("%+v", v)
	}
	v = rt.judge(request("GET", "/x?action=rollback"), nil)
	if short(v.Decision) != "to a write" || v.Intent != Write || v.nonWrite || v.Rule != "write" {
		t.Errorf("%+v", v)
	}
	// That it is the primary's is not all there is to say of it: it writes.
	v = rt.judge(request("GET", "/api?action=rollback"), nil)
	if short(v.Decision) != "to a write" || v.Intent != Write || v.Rule != "write" {
		t.Errorf("%+v", v)
	}
	v = rt.judge(request("POST", "/api"), nil)
	if short(v.Decision) != "to a write" || v.Intent != Write || v.Rule != "" {
		t.Errorf("%+v", v)
	}
}

// Case 9: a host inherits field by field.
func TestHostsInherit(t *testing.T) {
	rt := newRouter(t, nil, func(o *Options) {
		o.Rules = &RuleSet{
			Default: HostConfig{Mode: ModeLocal, Share: maxShare, Salt: "s1", StickyDomain: "example.org", Upgrade: UpgradeLocal},
			Hosts: map[string]HostConfig{
				"*.example.org":    {Share: 2131},
				"*.de.example.org": {Share: -1},
				"de.example.org":   {Mode: ModePrimary},
				"En.Example.org":   {Salt: "s2", StickyDomain: "en.example.org"},
			},
		}
	})
	for host, want := range map[string]HostConfig{
		"other.net":               {ModeLocal, maxShare, "s1", "example.org", UpgradeLocal},
		"example.org":             {ModeLocal, maxShare, "s1", "example.org", UpgradeLocal},
		"fr.example.org":          {ModeLocal, 2131, "s1", "example.org", UpgradeLocal},
		"a.b.FR.example.org:8080": {ModeLocal, 2131, "s1", "example.org", UpgradeLocal},
		"m.de.example.org.":       {ModeLocal, -1, "s1", "example.org", UpgradeLocal},
		"de.example.org":          {ModePrimary, maxShare, "s1", "example.org", UpgradeLocal},
		"en.example.org":          {ModeLocal, maxShare, "s2", "en.example.org", UpgradeLocal},
		"xexample.org":            {ModeLocal, maxShare, "s1", "example.org", UpgradeLocal},
		"[2001:db8::1]:80":        {ModeLocal, maxShare, "s1", "example.org", UpgradeLocal},
		"":                        {ModeLocal, maxShare, "s1", "example.org", UpgradeLocal},
		".example.org":            {ModeLocal, maxShare, "s1", "example.org", UpgradeLocal},
		"x.y.de.example.org:1":    {ModeLocal, -1, "s1", "example.org", UpgradeLocal},
	} {
		if got := rt.rules.Load().of(bareHost(host)); got != want {
			t.Errorf("%q: %+v", host, got)
		}
	}
	alice := "Cookie: session=alice" // bucket 2130
	check(t, rt, request("GET", "http://fr.example.org/", alice), "local default")
	check(t, rt, request("GET", "http://m.de.example.org/", alice), "to a rollout")
	check(t, rt, request("GET", "http://de.example.org/", alice), "to a host-mode")
	if v := rt.judge(request("GET", "http://en.example.org/"), nil); v.stickyDomain != "en.example.org" {
		t.Errorf("%+v", v)
	}
	// The defaults of Default.
	if got, want := newRouter(t, nil, func(o *Options) { o.Rules = nil }).rules.Load().of("x"), (HostConfig{ModePrimary, -1, "", "", UpgradePrimary}); got != want {
		t.Errorf("%+v", got)
	}
}

func TestMatchPath(t *testing.T) {
	rt := newRouter(t, nil, func(o *Options) {
		o.MatchPath = func(host, raw string) string { return host + strings.ToLower(raw) }
		o.Rules.Rules = []Rule{{Name: "x", Path: "example.com/a%2fb", Action: RulePrimary}}
	})
	check(t, rt, request("GET", "http://Example.com/A%2Fb"), "to a rule")
}

// Case 10: a bad set is refused whole.
func TestSetRules(t *testing.T) {
	rt := withRules(t, Rule{Name: "old", Action: RulePrimary})
	many := make([]Rule, maxRules+1)
	for i := range many {
		many[i].Name = fmt.Sprint("r", i)
	}
	for name, set := range map[string]*RuleSet{
		"Default.Mode: unknown":             {Default: HostConfig{Mode: "loca1"}},
		"Default.Share":                     {Default: HostConfig{Share: 10_001}},
		"Default.Upgrade: unknown":          {Default: HostConfig{Upgrade: "x"}},
		"Default.StickyDomain":              {Default: HostConfig{StickyDomain: "a b"}},
		`Hosts["x.org"].Mode: unknown`:      {Hosts: map[string]HostConfig{"x.org": {Mode: "none"}}},
		`"*": want a host's name`:           {Hosts: map[string]HostConfig{"*": {}}},
		`"a.*.org": want`:                   {Hosts: map[string]HostConfig{"a.*.org": {}}},
		"in two spellings":                  {Hosts: map[string]HostConfig{"a.org": {}, "A.org": {}}},
		"Rules[0] (\"\").Name":              {Rules: []Rule{{}}},
		"Name: want 1 to 64":                {Rules: []Rule{{Name: "A"}}},
		`Rules[1].Name: "a" is there`:       {Rules: []Rule{{Name: "a"}, {Name: "a"}}},
		"Action: unknown":                   {Rules: []Rule{{Name: "a", Action: "secondary"}}},
		`("a").Upgrade: unknown`:            {Rules: []Rule{{Name: "a", Upgrade: "secondary"}}},
		"PathRE: ":                          {Rules: []Rule{{Name: "a", PathRE: "("}}},
		"Hosts: ":                           {Rules: []Rule{{Name: "a", Hosts: []string{"*"}}}},
		"Methods: ":                         {Rules: []Rule{{Name: "a", Methods: []string{"GET,HEAD"}}}},
		"Query: ":                           {Rules: []Rule{{Name: "a", Query: []string{"=x"}}}},
		`Header: "host"`:                    {Rules: []Rule{{Name: "a", Header: map[string]string{"host": "x"}}}},
		"each once":                         {Rules: []Rule{{Name: "a", Header: map[string]string{"x-a": "x", "X-A": "y"}}}},
		"there are 1001: want at most 1000": {Rules: many},
		"want at most 262144":               {Rules: []Rule{{Name: "a", Path: "/" + strings.Repeat("x", maxSetSize)}}},
	} {
		if err := rt.SetRules(set); err == nil || !strings.Contains(err.Error(), name) || !strings.HasPrefix(err.Error(), "dcroute: RuleSet") {
			t.Errorf("%s: %v", name, err)
		}
		check(t, rt, request("GET", "/"), "to a rule")
	}
	if err := rt.SetRules(&RuleSet{Default: HostConfig{Mode: ModeLocal, Share: maxShare}}); err != nil {
		t.Error(err)
	}
	check(t, rt, request("GET", "/"), "local default")
	if err := rt.SetRules(nil); err != nil {
		t.Error(err)
	}
	check(t, rt, request("GET", "/"), "to a host-mode")
}

// What the caller does with his set afterwards changes nothing.
func TestRulesAreCopied(t *testing.T) {
	set := &RuleSet{
		Default: HostConfig{Mode: ModeLocal, Share: maxShare}, Hosts: map[string]HostConfig{"a.org": {Mode: ModePrimary}},
		Rules: []Rule{{Name: "x", Methods: []string{http.MethodGet}, Path: "/x", Action: RulePrimary}},
	}
	rt := newRouter(t, nil, func(o *Options) { o.Rules = set })
	set.Hosts["a.org"], set.Rules[0].Methods[0], set.Rules[0].Path = HostConfig{}, "FOO", "/y"
	check(t, rt, request("GET", "/x"), "to a rule")
	check(t, rt, request("GET", "http://a.org/"), "to a host-mode")
}
