package dcroute

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"testing"
)

// typical is a GET as a browser sends it.
func typical() *http.Request {
	return request("GET", "https://en.example.org/w/index.php?title=Special%3ARecentChanges&hidebots=1&limit=50&days=7&urlversion=2",
		"Cookie: session=0123456789abcdef0123456789abcdef; anon=42; theme=dark; consent=yes; lang=en",
		"Accept: text/html", "Accept-Language: en", "User-Agent: Mozilla/5.0", "Accept-Encoding: gzip")
}

// typicalRouter has 50 rules of all kinds, none of which matches.
func typicalRouter(tb testing.TB) *Router {
	tb.Helper()
	return newRouter(tb, nil, func(o *Options) {
		o.Rules = &RuleSet{
			Default: HostConfig{Mode: ModeLocal, Share: 9999},
			Hosts:   map[string]HostConfig{"*.example.org": {Salt: "2026"}, "login.example.org": {Mode: ModePrimary}},
		}
		for i := range 10 {
			o.Rules.Rules = append(o.Rules.Rules,
				Rule{Name: fmt.Sprint("path-", i), Path: fmt.Sprintf("/wiki/Special:Page%d", i), Action: RulePrimary},
				Rule{Name: fmt.Sprint("title-", i), Query: []string{fmt.Sprintf("title=Special:Page%d", i)}, Action: RulePrimary},
				Rule{Name: fmt.Sprint("prefix-", i), PathPrefix: fmt.Sprintf("/api/v%d/", i), Methods: []string{"POST"}, Action: RuleNonWrite},
				Rule{Name: fmt.Sprint("action-", i), Query: []string{fmt.Sprintf("action=do%d", i)}, Action: RuleWrite},
				Rule{Name: fmt.Sprint("host-", i), Hosts: []string{fmt.Sprintf("*.h%d.example.org", i)}, Section: "s"},
			)
		}
	})
}

func BenchmarkDecide(b *testing.B) {
	rt, r := typicalRouter(b), typical()
	if d := rt.Decide(r); d.Reason != ReasonDefault {
		b.Fatal(rt.Trace(r))
	}
	b.ReportAllocs()
	for b.Loop() {
		rt.Decide(r)
	}
}

// BenchmarkYardstick is what any application does with such a request.
func BenchmarkYardstick(b *testing.B) {
	r := typical()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := url.ParseQuery(r.URL.RawQuery); err != nil {
			b.Fatal(err)
		}
		if _, err := r.Cookie("session"); err != nil {
			b.Fatal(err)
		}
	}
}

// The figure of Decide with 50 rules: at most 5 times the yardstick of the same run, and 8 allocations. The time is only looked
// at when MULTIDC_BENCH is set: a busy machine, or -race, says nothing of it.
func TestDecideFigure(t *testing.T) {
	rt, r := typicalRouter(t), typical()
	if n := testing.AllocsPerRun(1000, func() { rt.Decide(r) }); n > 8 {
		t.Errorf("%v allocations", n)
	}
	if os.Getenv("MULTIDC_BENCH") == "" {
		return
	}
	decide, yardstick := testing.Benchmark(BenchmarkDecide), testing.Benchmark(BenchmarkYardstick)
	ratio := float64(decide.NsPerOp()) / float64(yardstick.NsPerOp())
	t.Logf("Decide %v ns, yardstick %v ns: %.2f times; %d allocations", decide.NsPerOp(), yardstick.NsPerOp(), ratio, decide.AllocsPerOp())
	if ratio > 5 {
		t.Errorf("%.2f times the yardstick", ratio)
	}
}
