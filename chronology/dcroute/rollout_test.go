package dcroute

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Case 15.
func TestBucketVectors(t *testing.T) {
	for _, line := range golden(t, "buckets.txt") {
		var salt, client string
		var want int
		if _, err := fmt.Sscanf(line, "%q %q %d", &salt, &client, &want); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if got := bucket(salt, client); got != want {
			t.Errorf("%s: got %d", line, got)
		}
	}
}

// golden are the lines of a file of testdata/golden, without comments.
func golden(t *testing.T, file string) (lines []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata/golden", file))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSuffix(line, "\n"); line != "" && line[0] != '#' {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		t.Fatalf("%s has nothing", file)
	}
	return lines
}

// Cases 13 and 14, through Decide: 100,000 clients at 2 % and at 10 %.
func TestShares(t *testing.T) {
	rt := newRouter(t, nil, nil)
	r := request("GET", "/", "Cookie: ")
	local := func(client int) bool {
		r.Header["Cookie"][0] = "session=client-" + strconv.Itoa(client)
		return rt.Decide(r).Action == Local
	}
	setShare := func(share int) {
		if err := rt.SetRules(&RuleSet{Default: HostConfig{Mode: ModeLocal, Share: share, Salt: "s1"}}); err != nil {
			t.Fatal(err)
		}
	}
	const clients = 100_000
	setShare(200)
	small := map[int]bool{}
	for i := range clients {
		if local(i) {
			small[i] = true
		}
	}
	setShare(1000)
	large, both := 0, 0
	for i := range clients {
		if local(i) {
			large++
			if small[i] {
				both++
			}
		}
	}
	if len(small) != 1975 || large != 10_004 || both != len(small) {
		t.Errorf("%d at 2 %%, %d at 10 %%, %d in both", len(small), large, both)
	}
}

// Case 14: whatever the salt, 2 % are 2 % ± 0.2.
func TestShareIsFair(t *testing.T) {
	for _, salt := range []string{"", "a", "b", "2026"} {
		n := 0
		for i := range 100_000 {
			if bucket(salt, fmt.Sprint("client-", i)) < 200 {
				n++
			}
		}
		if n < 1800 || n > 2200 {
			t.Errorf("%q: %d", salt, n)
		}
	}
}

func TestClientKey(t *testing.T) {
	var subject string
	var ip netip.Addr
	rt := newRouter(t, nil, func(o *Options) {
		o.Subject = func(*http.Request) string { return subject }
		o.AnonCookie = "anon"
		o.ClientIP = func(*http.Request) netip.Addr { return ip }
	})
	key := func(want string, headers ...string) {
		t.Helper()
		if _, got := rt.client(request("GET", "/", headers...)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	key("")
	if got := rt.bucketOf(request("GET", "/"), ""); got != 9999 {
		t.Errorf("nothing known: bucket %d", got)
	}
	for in, want := range map[string]string{
		"203.0.113.7": "203.0.113.7", "::ffff:203.0.113.7": "203.0.113.7", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
		"2001:DB8:1:2::": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64", "::1": "::/64",
	} {
		ip = netip.MustParseAddr(in)
		key(want)
	}
	key("an id", "Cookie: anon=an id")
	subject = "user:1"
	key("user:1", "Cookie: anon=x")
	key("user:1", "Cookie: anon=x; session=")
	key("s", "Cookie: wikiA=1; anon=x; session=s")
	key("2", "Cookie: wikiA=; wikiB=2; wikiC=3")
}

func TestClientIPIsRemoteAddr(t *testing.T) {
	rt := newRouter(t, nil, nil)
	for in, want := range map[string]string{
		"203.0.113.7:1234": "203.0.113.7", "[2001:db8::1]:80": "2001:db8::/64", "203.0.113.7": "203.0.113.7", "@": "", "": "",
	} {
		r := request("GET", "/", "X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.1")
		r.RemoteAddr = in
		if _, got := rt.client(r); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// The state steers: share at once, mode and salt where it has them, and the kill switch.
func TestRolloutFromTheState(t *testing.T) {
	m := NewMemory("a")
	var log strings.Builder
	rt := newRouter(t, m, func(o *Options) {
		o.Rules.Default = HostConfig{Mode: ModeLocal, Share: 1, Salt: "s1"}
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	alice := request("GET", "http://en.example.org:80/", "Cookie: session=alice") // in bucket 2130 with s1, in 4998 with s2
	check(t, rt, alice, "to a rollout")
	set := func(host string, c HostConfig) { m.Update(func(s *State) { s.Rollout[host] = c }) }
	set("*.example.org", HostConfig{Share: 2131})
	check(t, rt, alice, "local default")
	set("*.example.org", HostConfig{Share: 2130})
	check(t, rt, alice, "to a rollout")
	set("*.example.org", HostConfig{Share: 4998, Salt: "s2"})
	check(t, rt, alice, "to a rollout")
	set("*.example.org", HostConfig{Share: 4999, Salt: "s2"})
	check(t, rt, alice, "local default")
	set("en.example.org", HostConfig{Share: maxShare, Mode: ModePrimary})
	check(t, rt, alice, "to a host-mode")
	set("en.example.org", HostConfig{Share: maxShare, Mode: "loca1"})
	check(t, rt, alice, "to a host-mode")
	check(t, rt, alice, "to a host-mode")
	if n := strings.Count(log.String(), "loca1"); n != 1 || strings.Count(log.String(), "\n") != 1 {
		t.Errorf("the unknown mode is logged %d times: %s", n, &log)
	}
	set("en.example.org", HostConfig{Mode: ModeLocal})
	check(t, rt, alice, "to a rollout")
	other := request("GET", "/", "Cookie: session=alice")
	check(t, rt, other, "to a rollout")
	set("*", HostConfig{Share: maxShare})
	check(t, rt, other, "local default")
}
