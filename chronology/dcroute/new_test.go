package dcroute

import (
	"context"
	"strings"
	"testing"
	"time"
)

// primaryOnly has no abilities.
type primaryOnly struct{}

func (primaryOnly) Primary(context.Context) (string, uint64, error) { return "a", 7, nil }

func TestNewRefuses(t *testing.T) {
	addrs := func(list ...string) func(*Options) {
		return func(o *Options) { o.Upstreams["a"] = Upstream{Addrs: list} }
	}
	for _, c := range []struct {
		want   string // parts of the error
		change func(*Options)
	}{
		{`Options.DC: DC name is empty`, func(o *Options) { o.DC = "" }},
		{`Options.DC: DC name "B"`, func(o *Options) { o.DC = "B" }},
		{`Options.Upstreams: DC name "A"`, func(o *Options) { o.Upstreams["A"] = o.Upstreams["a"] }},
		{`Options.Upstreams: "b" is this DC`, func(o *Options) { o.Upstreams["b"] = o.Upstreams["a"] }},
		{`Options.Upstreams["a"].Addrs is empty`, addrs()},
		{`Options.Upstreams["a"].Addrs[1]: malformed`, addrs("https://a", "")},
		{`Addrs[0]: malformed address "a.example.net:443": want https://host:port`, addrs("a.example.net:443")},
		{`malformed`, addrs("a.example.net")},
		{`malformed`, addrs("//a.example.net")},
		{`malformed`, addrs("ftp://a.example.net")},
		{`malformed`, addrs("https://")},
		{`malformed`, addrs("https://:443")},
		{`malformed`, addrs("https://a/")},
		{`malformed`, addrs("https://a/x")},
		{`malformed`, addrs("https://a?x")},
		{`malformed`, addrs("https://a#x")},
		{`malformed address "https://user:xxxxx@a"`, addrs("https://user:secret@a")},
		{`bad port`, addrs("https://a:")},
		{`bad port`, addrs("https://a:0")},
		{`bad port`, addrs("https://a:65536")},
		{`malformed`, addrs("https://a:x")},
		// Case Xt: the DC, the field, and what helps.
		{`Options.Upstreams["a"].Addrs[0]: "http://a:80" is plaintext: use https, or set AllowPlaintext`, addrs("http://a:80")},
		{`Options.HopKeys is empty`, func(o *Options) { o.HopKeys = nil }},
		{`Options.HopKeys[1] has 31 bytes: want 32`, func(o *Options) { o.HopKeys = append(o.HopKeys, make([]byte, 31)) }},
		{`Options.Order[1]: "d"`, func(o *Options) { o.Order = []string{"a", "d"} }},
		{`Options.Order[1]: "a" stands there twice`, func(o *Options) { o.Order = []string{"a", "a"} }},
		// Case 18: both are named.
		{`Options.StickyTTL is 9s: want Options.PositionTTL, 10s`, func(o *Options) { o.StickyTTL = 9 * time.Second }},
		{`Options.StickyTTL is 10s: want Options.PositionTTL, 11s`, func(o *Options) { o.PositionTTL = 11 * time.Second }},
		{`Options.StickyTTL`, func(o *Options) { o.StickyTTL, o.PositionTTL = -1, -1 }},
		{`Options.SessionCookies[0]`, func(o *Options) { o.SessionCookies = []string{""} }},
		{`Options.SessionCookies[0]`, func(o *Options) { o.SessionCookies = []string{"*"} }},
		{`Options.SessionCookies[1]`, func(o *Options) { o.SessionCookies = []string{"a", "b**"} }},
		{`Options.SessionCookies[0]`, func(o *Options) { o.SessionCookies = []string{"a*b"} }},
		{`Options.SessionCookies[0]`, func(o *Options) { o.SessionCookies = []string{"a=b"} }},
		{`Options.AnonCookie`, func(o *Options) { o.AnonCookie = "a b" }},
		{`Options.LoopToken`, func(o *Options) { o.LoopToken = "a, b" }},
		{`RuleSet.Default.Mode`, func(o *Options) { o.Rules.Default.Mode = "x" }},
	} {
		opts := testOptions()
		c.change(opts)
		if _, err := New(NewMemory("a"), opts); err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "dcroute: ") ||
			strings.Contains(err.Error(), "secret") {
			t.Errorf("want %s, got %v", c.want, err)
		}
	}
	if _, err := New(nil, testOptions()); err == nil {
		t.Error("no state")
	}
	if _, err := New(NewMemory("a"), nil); err == nil {
		t.Error("no options")
	}
}

func TestNewAccepts(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"plaintext": func(o *Options) { o.Upstreams["a"] = Upstream{Addrs: []string{"http://a:80"}, AllowPlaintext: true} }, // case Xt
		"addresses": func(o *Options) {
			o.Upstreams["a"] = Upstream{Addrs: []string{"https://a", "https://[::1]:1", "https://192.0.2.1:65535"}}
		},
		"no upstreams":    func(o *Options) { o.Upstreams, o.HopKeys = nil, nil },
		"equal TTLs":      func(o *Options) { o.StickyTTL, o.PositionTTL = 20*time.Second, 20*time.Second },
		"rounded up":      func(o *Options) { o.StickyTTL, o.PositionTTL = 11500*time.Millisecond, 12*time.Second },
		"no position TTL": func(o *Options) { o.StickyTTL, o.PositionTTL = time.Second, -1 },
		"globs":           func(o *Options) { o.SessionCookies = []string{"a*", "a.b"} },
	} {
		opts := testOptions()
		change(opts)
		if _, err := New(NewMemory("a"), opts); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOptionsAreCopied(t *testing.T) {
	opts := testOptions()
	opts.Order = []string{"c", "a"}
	rt, err := New(NewMemory("a"), opts)
	if err != nil {
		t.Fatal(err)
	}
	want := rt.signHop("a", 1)
	opts.HopKeys[0] = append([]byte(nil), testKey...)
	opts.HopKeys[0][0]++
	opts.Upstreams["a"].Addrs[0] = "x"
	delete(opts.Upstreams, "c")
	opts.Order[0], opts.SessionCookies[0] = "x", "x"
	if kind := func() HopKind { _, kind := rt.openHop([]string{want}); return kind }(); kind != "" {
		t.Error(kind)
	}
	if rt.opts.Upstreams["a"].Addrs[0] == "x" || !rt.known("c") || rt.order[0] != "c" || rt.opts.SessionCookies[0] != "session" {
		t.Errorf("%+v", rt.opts)
	}
	if opts.RetryAfter != 0 || opts.Now != nil || opts.LoopToken != "" {
		t.Error("the defaults were written into the caller's options")
	}
}

// A state that knows of the primary alone: all is writable and pooled, and the rules have the rollout.
func TestNoAbilities(t *testing.T) {
	rt := newRouter(t, primaryOnly{}, nil)
	check(t, rt, request("GET", "/"), "local default")
	if v := rt.judge(request("POST", "/"), nil); short(v.Decision) != "to a write" || v.Epoch != 7 || rt.epochFor(v) != 7 || v.readOnly.Reason != "" {
		t.Errorf("%+v", v)
	}
}
