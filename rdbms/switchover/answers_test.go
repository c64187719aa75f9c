package switchover_test

import (
	"strings"
	"testing"
	"time"

	"github.com/multidc/multidc/rdbms/switchover"
)

func TestChanged(t *testing.T) {
	m := switchover.NewMemory(twoDCs())
	s := newState(t, m, nil)
	closed := func(change func(*switchover.Doc)) bool {
		t.Helper()
		ch := s.Changed()
		if change != nil {
			update(t, newState(t, m, nil), change)
		}
		refresh(t, s)
		return isClosed(ch)
	}
	for _, tc := range []struct {
		what   string
		change func(*switchover.Doc)
		want   bool
	}{
		{"the first load", nil, true},
		{"nothing", nil, false},
		{"unpooled", func(d *switchover.Doc) { d.DCs["b"] = switchover.DC{} }, false},
		{"pooled", func(d *switchover.Doc) { d.DCs["b"] = switchover.DC{Pooled: true} }, false},
		{"read-only", func(d *switchover.Doc) { d.ReadOnly = &switchover.Window{Reason: "x"} }, true},
		{"another reason", func(d *switchover.Doc) { d.ReadOnly = &switchover.Window{Reason: "y"} }, true},
		{"read-write", func(d *switchover.Doc) { d.ReadOnly = nil }, true},
		{"moved", func(d *switchover.Doc) { d.Primary = "b" }, true},
	} {
		if got := closed(tc.change); got != tc.want {
			t.Errorf("%s: closed %t, want %t", tc.what, got, tc.want)
		}
	}
}

func TestReadOnlyLeavesPrimarysEpoch(t *testing.T) { // SXu
	m := switchover.NewMemory(twoDCs())
	s := newState(t, m, nil)
	refresh(t, s)
	_, before, _ := s.Primary(t.Context())
	update(t, s, func(d *switchover.Doc) { d.ReadOnly = &switchover.Window{Reason: "moving"} })
	if reason, err := s.ReadOnly(t.Context()); err != nil || reason != "moving" {
		t.Errorf("ReadOnly = %q, %v", reason, err)
	}
	doc := update(t, s, func(d *switchover.Doc) { d.ReadOnly = nil })
	if _, after, _ := s.Primary(t.Context()); after != before || doc.Epoch != 3 {
		t.Errorf("Primary's epoch %d → %d, the document's is %d", before, after, doc.Epoch)
	}
	update(t, s, func(d *switchover.Doc) { d.Primary = "b" })
	if dc, after, _ := s.Primary(t.Context()); dc != "b" || after != 4 {
		t.Errorf("Primary = %q, %d; want b, 4", dc, after)
	}
}

func TestRollout(t *testing.T) {
	doc := twoDCs()
	doc.Rollout = &switchover.Rollout{
		Default: &switchover.Rule{Mode: "local", Share: 100, Salt: "2026"},
		Hosts: map[string]switchover.Rule{
			"*.example.org":      {Share: 200},
			"*.wiki.example.org": {Mode: "primary", Share: 300},
			"en.wiki.example.org": {
				Mode: "local-anon", Share: 400, Salt: "own"},
			"::1": {Share: 500},
		},
	}
	s := newState(t, switchover.NewMemory(doc), nil)
	refresh(t, s)
	type rule struct {
		mode  string
		share int
		salt  string
		ok    bool
	}
	for host, want := range map[string]rule{
		"example.org":               {"local", 100, "2026", true},
		"a.example.org":             {"local", 200, "2026", true},
		"a.b.example.org":           {"local", 200, "2026", true},
		"wiki.example.org":          {"local", 200, "2026", true},
		"de.wiki.example.org":       {"primary", 300, "2026", true},
		"EN.wiki.example.org.":      {"local-anon", 400, "own", true},
		"en.wiki.example.org:8443":  {"local-anon", 400, "own", true},
		"m.en.wiki.example.org":     {"primary", 300, "2026", true},
		".example.org":              {"local", 100, "2026", true},
		"notexample.org":            {"local", 100, "2026", true},
		"[::1]:80":                  {"local", 500, "2026", true},
		"":                          {"local", 100, "2026", true},
		strings.Repeat(".", 10_000): {"local", 100, "2026", true},
	} {
		var got rule
		if got.mode, got.share, got.salt, got.ok = s.Rollout(host); got != want {
			t.Errorf("Rollout(%.40q) = %+v, want %+v", host, got, want)
		}
	}
	update(t, s, func(d *switchover.Doc) { d.Rollout.Default = nil })
	if _, _, _, ok := s.Rollout("example.org"); ok {
		t.Error("no rule, no default, and yet an override")
	}
	update(t, s, func(d *switchover.Doc) { d.Rollout = nil })
	if _, _, _, ok := s.Rollout("a.example.org"); ok {
		t.Error("no rollout, and yet an override")
	}
}

func TestCurrentIsACopy(t *testing.T) {
	s := newState(t, switchover.NewMemory(twoDCs()), nil)
	refresh(t, s)
	doc, _, _ := s.Current()
	doc.DCs["a"] = switchover.DC{}
	if !s.Pooled("a") || ask(s).primary != "a" {
		t.Error("a caller changed what requests see")
	}
	if s.Pooled("nowhere") {
		t.Error("a DC that the document does not list is pooled")
	}
}

func TestAnswersDoNotAllocate(t *testing.T) {
	doc := twoDCs()
	doc.Sections = map[string]string{"s4": "disk"}
	s := newState(t, switchover.NewMemory(doc), nil)
	refresh(t, s)
	ctx, reason := t.Context(), s.ClusterReason("s4")
	if n := testing.AllocsPerRun(1000, func() {
		_, _, _ = s.Primary(ctx)
		_, _ = s.ReadOnly(ctx)
		_, _, _ = s.ReadOnlyFor(ctx, "b", "s4")
		_, _, _, _ = s.Rollout("en.example.org:443")
		_, _ = s.Pooled("a"), reason()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestNewRefuses(t *testing.T) {
	m := switchover.NewMemory(twoDCs())
	for name, tc := range map[string]struct {
		store switchover.Store
		opts  *switchover.Options
		want  string
	}{
		"no store":                  {nil, &switchover.Options{DC: "a"}, "a store is required"},
		"no options":                {m, nil, "Options.DC"},
		"no DC":                     {m, &switchover.Options{}, "Options.DC"},
		"a bad DC":                  {m, &switchover.Options{DC: "A"}, "Options.DC"},
		"negative poll":             {m, &switchover.Options{DC: "a", Poll: -1}, "Options.Poll"},
		"negative timeout":          {m, &switchover.Options{DC: "a", FetchTimeout: -1}, "Options.FetchTimeout"},
		"a fence within three poll": {m, &switchover.Options{DC: "a", Poll: 11 * time.Second}, "Options.MaxStale is 30s, and must be at least 3 × Poll, 33s"},
	} {
		if s, err := switchover.New(tc.store, tc.opts); err == nil || s != nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}
