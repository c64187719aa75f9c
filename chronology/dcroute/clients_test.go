package dcroute

import (
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

// 3.3: the hosts of a set are compared lower-case, without port and trailing dot, as those of requests are. Default's own
// share is nobody's, and a host may have more than Default.
func TestHostsDecide(t *testing.T) {
	rt := newRouter(t, nil, func(o *Options) {
		o.Rules.Hosts = map[string]HostConfig{
			"UPPER.example.":     {Mode: ModePrimary},
			"[2001:db8::7]:8443": {Mode: ModePrimary},
		}
	})
	check(t, rt, request("GET", "http://upper.example/"), "to a host-mode")
	check(t, rt, request("GET", "http://[2001:db8::7]/"), "to a host-mode")
	check(t, rt, request("GET", "http://[2001:db8::8]/"), "local default")

	rt = newRouter(t, nil, func(o *Options) { o.Rules = &RuleSet{} })
	check(t, rt, request("GET", "/"), "to a host-mode")
	rt = newRouter(t, nil, func(o *Options) { o.Rules.Default = HostConfig{Mode: ModeLocal} })
	check(t, rt, request("GET", "/"), "to a rollout")
	rt = newRouter(t, nil, func(o *Options) {
		o.Rules = &RuleSet{Default: HostConfig{Mode: ModeLocal, Share: -1}, Hosts: map[string]HostConfig{"x.org": {Share: maxShare}}}
	})
	check(t, rt, request("GET", "http://x.org/"), "local default")
}

// 3.2, D11: what is a session, and what only looks like one.
func TestWhatIsASession(t *testing.T) {
	rt := newRouter(t, nil, func(o *Options) { o.Rules.Default.Mode = ModeLocalAnon })
	check(t, rt, request("GET", "/", "Cookie: wiki=1"), "to a session") // the * may stand for nothing
	check(t, rt, request("GET", "/", "Cookie: x=session=1"), "local default")
	check(t, rt, request("GET", "/", "Proxy-Authorization: Bearer x"), "local default")
}

// 3.5: a client is local if its bucket is below the share, and the bucket is that of the first key there is; without any it is
// 9,999. Through Decide, at the share that is the bucket and at the next.
func TestClientsBelowTheShare(t *testing.T) {
	everyKey := func(o *Options) {
		o.AnonCookie = "anon"
		o.Subject = func(r *http.Request) string { return r.Header.Get("X-User") }
	}
	clientIP := func(ip netip.Addr) func(*Options) {
		return func(o *Options) { o.ClientIP = func(*http.Request) netip.Addr { return ip } }
	}
	const lastBucket = 9999
	for _, c := range []struct {
		name    string
		options func(*Options)
		addr    string
		headers []string
		want    int // as in 4.4, or of bucket, which those prove
	}{
		{"session cookie", everyKey, "203.0.113.7:1", []string{"Cookie: anon=z; session=alice", "X-User: q"}, bucket("s1", "alice")},
		{"another session cookie", everyKey, "203.0.113.7:1", []string{"Cookie: anon=z; wikiUser=bob", "X-User: q"}, bucket("s1", "bob")},
		{"user", everyKey, "203.0.113.7:1", []string{"Cookie: anon=z", "X-User: alice"}, bucket("s1", "alice")},
		{"anonymous id", everyKey, "203.0.113.7:1", []string{"Cookie: anon=alice"}, bucket("s1", "alice")},
		{"address", everyKey, "203.0.113.7:1", nil, bucket("s1", "203.0.113.7")},
		{"v4-mapped address", nil, "[::ffff:203.0.113.7]:1", nil, bucket("s1", "203.0.113.7")},
		{"v6 address", nil, "[2001:db8:1:2:3:4:5:6]:1", nil, bucket("s1", "2001:db8:1:2::/64")},
		{"address of ClientIP", clientIP(netip.MustParseAddr("203.0.113.7")), "198.51.100.1:1", nil, bucket("s1", "203.0.113.7")},
		{"ClientIP knows none", clientIP(netip.Addr{}), "198.51.100.1:1", nil, lastBucket},
		{"none", nil, "@", nil, lastBucket},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := request("GET", "/", c.headers...)
			r.RemoteAddr = c.addr
			rt := newRouter(t, nil, c.options)
			for share, want := range map[int]string{c.want: "to a rollout", c.want + 1: "local default"} {
				if err := rt.SetRules(&RuleSet{Default: HostConfig{Mode: ModeLocal, Share: share, Salt: "s1"}}); err != nil {
					t.Fatal(err)
				}
				check(t, rt, r, want)
			}
		})
	}
}

// 3.1, Rollout: an unknown mode is logged once, also when two hosts have two of them.
func TestUnknownModesAreLoggedOnce(t *testing.T) {
	m := NewMemory("a")
	m.Update(func(s *State) {
		s.Rollout = map[string]HostConfig{"x.org": {Mode: "odd", Share: maxShare}, "y.org": {Mode: "strange", Share: maxShare}}
	})
	var log strings.Builder
	rt := newRouter(t, m, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	for range 5 {
		check(t, rt, request("GET", "http://x.org/"), "to a host-mode")
		check(t, rt, request("GET", "http://y.org/"), "to a host-mode")
	}
	if strings.Count(log.String(), "\n") != 2 || !strings.Contains(log.String(), "odd") || !strings.Contains(log.String(), "strange") {
		t.Error(log.String())
	}
}
