package dcroute

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// 3.3: 1,000 rules and 256 KiB of JSON are allowed, whatever the characters, and not a rule or a byte more. What ParseRules
// takes SetRules takes.
func TestLimitsOfARuleSet(t *testing.T) {
	with := func(attribute, value string) string {
		return `{"v":1,"rules":[{"name":"x","` + attribute + `":"` + value + `"}]}`
	}
	ofSize := func(n int) string { return with("path", strings.Repeat("x", n-len(with("path", "")))) }
	rules := func(n int) string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprintf(`{"name":"r%d"}`, i)
		}
		return `{"v":1,"rules":[` + strings.Join(list, ",") + `]}`
	}
	for _, c := range []struct {
		name, text string
		allowed    bool
	}{
		{"the largest", ofSize(maxSetSize), true},
		{"a byte more", ofSize(maxSetSize + 1), false},
		{"characters that JSON in Go escapes", with("path_re", strings.Repeat("[<>&]", 20_000)), true},
		{"line separators", with("path", strings.Repeat("\u2028", 60_000)), true},
		{"the most rules", rules(maxRules), true},
		{"a rule more", rules(maxRules + 1), false},
		{"an end of line", "{\"v\":1}\n", true},
	} {
		set, err := ParseRules([]byte(c.text))
		if err == nil {
			err = newRouter(t, nil, nil).SetRules(set)
		}
		if (err == nil) != c.allowed {
			t.Errorf("%s, %d bytes: %v", c.name, len(c.text), err)
		}
	}
}

// 3.3: a name has 1 to 64 of [a-z0-9-].
func TestNamesOfRules(t *testing.T) {
	rt := newRouter(t, nil, nil)
	for name, allowed := range map[string]bool{"a": true, "a-1": true, strings.Repeat("a", 64): true, strings.Repeat("a", 65): false, "a_b": false, "é": false} {
		if err := rt.SetRules(&RuleSet{Rules: []Rule{{Name: name}}}); (err == nil) != allowed {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// 3.4, 4.1: a StickyDomain that net/http would drop from the cookie is refused, and so is one that adds attributes.
func TestStickyDomains(t *testing.T) {
	rt := newRouter(t, nil, nil)
	for domain, allowed := range map[string]bool{
		"": true, "example.org": true, "a-b.example.org": true, "my_host.example": false, "-a.example": false,
		strings.Repeat("a", 64) + ".example": false, "a.example; Secure": false,
	} {
		if err := rt.SetRules(&RuleSet{Default: HostConfig{StickyDomain: domain}}); (err == nil) != allowed {
			t.Errorf("%q: %v", domain, err)
		}
	}
}

// 2, "New refuses": short keys also without upstreams, and no error shows a password, not even of what is no address.
func TestNewRefusesQuietly(t *testing.T) {
	for _, c := range []struct {
		want   string
		change func(*Options)
	}{
		{"Options.DC", func(o *Options) { o.DC = strings.Repeat("a", 33) }},
		{"Options.HopKeys[0]", func(o *Options) { o.HopKeys = [][]byte{{}} }},
		{"Options.HopKeys[0]", func(o *Options) { o.Upstreams, o.HopKeys = nil, [][]byte{testKey[:5]} }},
		{"Options.PositionTTL", func(o *Options) { o.StickyTTL, o.PositionTTL = 20*time.Second, 21*time.Second }},
		{`Options.Upstreams["a"]`, func(o *Options) { o.Upstreams["a"] = Upstream{Addrs: []string{"https://user:" + secret + "@a b"}} }},
	} {
		opts := testOptions()
		c.change(opts)
		if _, err := New(NewMemory("a"), opts); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), secret) {
			t.Errorf("want %s, got %v", c.want, err)
		}
	}
}

// 2, Step: cookie values, tokens and keys as their length only, wherever they stand; nor does Explain have them.
func TestNothingSecretIsShown(t *testing.T) {
	rt := newRouter(t, nil, func(o *Options) {
		o.AnonCookie = "anon"
		o.Rules.Default = HostConfig{Mode: ModeLocalAnon, Share: 5000}
		o.Rules.Rules = []Rule{{Name: "x", Query: []string{"x=y"}, Header: map[string]string{"X-A": "b"}}}
	})
	forged := hop{"a", "b", 1, 5, time.Now()}.sealed([]byte(strings.Repeat("q", 32)))
	mac := forged[len(forged)-43:]
	for _, headers := range [][]string{
		{"Cookie: session=" + secret, "Authorization: Bearer " + secret, "X-DC-Hop: " + forged},
		{"Cookie: anon=" + secret + "; UseDC=" + secret, "CDN-Loop: " + secret, "X-A: " + secret},
	} {
		trace := rt.Trace(request("GET", "/?token="+secret, headers...))
		asJSON, err := json.Marshal(trace)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{trace.String(), string(asJSON)} {
			if strings.Contains(text, secret) || strings.Contains(text, mac) {
				t.Errorf("%v: %s", headers, text)
			}
		}
	}
	explanation := rt.Explain(t.Context())
	asJSON, err := json.Marshal(explanation)
	if err != nil || strings.Contains(explanation.String()+string(asJSON), string(testKey)) {
		t.Errorf("%v: %s", err, asJSON)
	}
}

// 2, Trace: its json tags are what others read.
func TestTraceAsJSON(t *testing.T) {
	text, err := json.Marshal(newRouter(t, nil, nil).Trace(request("GET", "/")))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"steps":[{"test":"D1 loop","input":`, `"outcome":`, `"decision":{"action":"local","intent":"read","target":"b","reason":"default"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is not in %s", want, text)
		}
	}
}
