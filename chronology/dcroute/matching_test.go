package dcroute

import (
	"net/http"
	"testing"
)

// 3.3, Path: decoded once, with bad triplets left; dot segments go and repeated slashes collapse after that; all the given
// conditions must hold.
func TestPathConditions(t *testing.T) {
	const oauth = "/wiki/Special:OAuth/initiate"
	for _, c := range []struct {
		rule   Rule
		target string
		want   bool
	}{
		{Rule{Path: oauth}, "//wiki///Special%3aOAuth%2finitiate", true},
		{Rule{Path: oauth}, "/x/../wiki/./Special:OAuth/initiate", true},
		{Rule{Path: oauth}, "/x/%2e%2e/wiki/%2E/Special:OAuth/initiate", true},
		{Rule{Path: oauth}, "/wiki/x/..%2FSpecial:OAuth/initiate", true},
		{Rule{Path: oauth}, oauth + "/", false},
		{Rule{Path: oauth}, oauth + "X", false},
		{Rule{Path: "/"}, "/a/..", true},
		{Rule{Path: "/a/"}, "/a/.", true},
		{Rule{Path: "/a b"}, "/a%20b", true},
		{Rule{Path: "/a+b"}, "/a+b", true}, // a plus is a blank in queries alone
		{Rule{Path: "/a b"}, "/a+b", false},
		{Rule{Path: "/é"}, "/%C3%A9", true},
		{Rule{PathPrefix: "/api/"}, "/x/../api//y", true},
		{Rule{PathRE: "^/a[0-9]+$"}, "/a12", true},
		{Rule{PathRE: "^/a[0-9]+$"}, "/a12x", false},
		{Rule{Path: "/a", PathPrefix: "/b"}, "/a", false},
	} {
		want := "local default"
		if c.want {
			want = "to a rule"
		}
		c.rule.Name, c.rule.Action = "x", RulePrimary
		check(t, withRules(t, c.rule), request("GET", c.target), want)
	}
	badTriplet := request("GET", "/x") // no server hands out such a path: a handler outside may
	badTriplet.URL.Path = "/a%zzb/c"
	check(t, withRules(t, Rule{Name: "x", Path: "/a%zzb/c", Action: RulePrimary}), badTriplet, "to a rule")
}

// 2, MatchPath: it gets the path as it came, neither decoded nor cleaned.
func TestMatchPathGetsTheRawPath(t *testing.T) {
	rt := newRouter(t, nil, func(o *Options) {
		o.MatchPath = func(host, rawPath string) string { return host + " " + rawPath }
		o.Rules.Rules = []Rule{{Name: "x", Path: "example.com /a%2Fb//..", Action: RulePrimary}}
	})
	check(t, rt, request("GET", "/a%2Fb//.."), "to a rule")
}

// 3.3, Query: decoded once, key and value, and what follows one that does not decode counts too.
func TestQueryIsDecodedOnce(t *testing.T) {
	for _, c := range []struct {
		condition, query string
		want             string
	}{
		{"title=a%2Bb", "title=a%252Bb", "to a rule"},
		{"title=a+b", "title=a%252Bb", "local default"},
		{"a b", "a%20b=1", "to a rule"},
		{"z=%zz", "x=1;y=2&z=%zz", "to a rule"},
		{"x=1;y=2", "x=1;y=2&z=%zz", "to a rule"},
	} {
		rt := withRules(t, Rule{Name: "x", Query: []string{c.condition}, Action: RulePrimary})
		check(t, rt, request("GET", "/?"+c.query), c.want)
	}
}

// 3.3, Header: name and value prefix, in the value's case, and all of them.
func TestHeaderConditions(t *testing.T) {
	rt := withRules(t, Rule{Name: "x", Header: map[string]string{"x-requested-with": "XML", "X-Any": ""}, Action: RulePrimary})
	check(t, rt, request("GET", "/", "X-Requested-With: XMLHttpRequest", "X-Any: y"), "to a rule")
	check(t, rt, request("GET", "/", "X-Requested-With: xml", "X-Any: y"), "local default")
	check(t, rt, request("GET", "/", "X-Requested-With: XML"), "local default")
	check(t, rt, request("GET", "/", "X-Any: y"), "local default")
}

// 3.3, host globs: compared lower-case, without port and trailing dot, on both sides; IPv6 addresses are hosts too.
func TestRuleHosts(t *testing.T) {
	for _, c := range []struct{ glob, host, want string }{
		{"A.EXAMPLE.", "a.example", "to a rule"},
		{"a.example:8080", "a.example:9", "to a rule"},
		{"*.b.example", "x.y.B.example.:1", "to a rule"},
		{"[::1]:80", "[::1]:8080", "to a rule"},
		{"[::1]", "[::1]", "to a rule"},
		{"::1", "[::1]:80", "to a rule"},
		{"2001:DB8::1", "[2001:db8::1]:80", "to a rule"},
		{"::1", "[::2]:80", "local default"},
	} {
		rt := withRules(t, Rule{Name: "x", Hosts: []string{"other.example", c.glob}, Action: RulePrimary})
		r := request("GET", "/")
		r.Host = c.host
		check(t, rt, r, c.want)
	}
}

// 3.3, "for each attribute the first rule that matches and sets it wins": intent, place, and policy come from different rules.
func TestAttributesOfDifferentRules(t *testing.T) {
	rt := withRules(t, Rule{Name: "reads", Action: RuleNonWrite}, Rule{Name: "writes", Action: RuleWrite})
	if d := check(t, rt, request("POST", "/"), "local default"); d.Rule != "reads" || d.Intent != Read {
		t.Errorf("%+v", d)
	}
	rt = withRules(t, Rule{Name: "there", Action: RulePrimary}, Rule{Name: "reads", Action: RuleNonWrite})
	if d := check(t, rt, request("POST", "/"), "to a rule"); d.Rule != "there" || d.Intent != Read {
		t.Errorf("%+v", d)
	}
	rt = withRules(t, Rule{Name: "here", Upgrade: UpgradeLocal}, Rule{Name: "there", Upgrade: UpgradePrimary, Section: "chat"})
	upgrade := request("GET", "/", "Connection: upgrade", "Upgrade: websocket")
	check(t, rt, upgrade, "local default")
	same(t, "section", rt.judge(upgrade, nil).section, "chat")
}

// 3.9, Section: the first matching rule's, else the option's; AllowReadOnly passes whichever section it is.
func TestSectionOfARequest(t *testing.T) {
	m := NewMemory("b")
	m.Update(func(s *State) { s.ReadOnly["media"] = ReadOnlyInfo{Reason: "disk"} })
	rt := newRouter(t, m, func(o *Options) {
		o.Section = func(r *http.Request) string { return r.Header.Get("X-Section") }
		o.Rules.Rules = []Rule{
			{Name: "login", Path: "/login", AllowReadOnly: true},
			{Name: "upload", PathPrefix: "/upload", Section: "media"},
			{Name: "second", PathPrefix: "/upload/2", Section: "other"},
		}
	})
	check(t, rt, request("POST", "/upload/2"), "refuse read-only")
	check(t, rt, request("POST", "/upload", "X-Section: other"), "refuse read-only")
	check(t, rt, request("POST", "/", "X-Section: media"), "refuse read-only")
	check(t, rt, request("POST", "/login", "X-Section: media"), "local local-is-primary")
}
