package dcroute

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// The sets of testdata/golden, and what they are in Go.
func TestParseRulesGolden(t *testing.T) {
	sets := map[string]RuleSet{
		"smallest.json": {},
		"full.json": {
			Default: HostConfig{Mode: ModeLocal, Share: 200, Salt: "2026", StickyDomain: "example.org", Upgrade: UpgradeLocal},
			Hosts: map[string]HostConfig{
				"*.example.org":      {Mode: ModeLocalAnon},
				"admin.example.org":  {Mode: ModePrimary},
				"nobody.example.org": {Share: -1},
				"all.example.org":    {Share: 10000},
			},
			Rules: []Rule{
				{Name: "oauth", Path: "/wiki/Special:OAuth/initiate", Action: RulePrimary},
				{Name: "rollback", Methods: []string{"GET"}, Query: []string{"action=rollback"}, Action: RuleWrite},
				{
					Name: "search", Hosts: []string{"*.example.org"}, PathPrefix: "/api/", PathRE: "^/api/v[12]/search$",
					Header: map[string]string{"Content-Type": "application/json"}, Action: RuleNonWrite,
				},
				{Name: "chat", Path: "/chat", Upgrade: UpgradePrimary},
				{Name: "login", Path: "/login", Section: "users", AllowReadOnly: true},
			},
		},
	}
	files, err := filepath.Glob("testdata/golden/*.json")
	if err != nil || len(files) != len(sets) {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseRules(data)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if want := sets[filepath.Base(file)]; !reflect.DeepEqual(*got, want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", file, *got, want)
		}
		if _, err := New(NewMemory("a"), &Options{DC: "a", Rules: got}); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestParseRulesRefuses(t *testing.T) {
	deep := strings.Repeat("[", 100_000)
	for in, want := range map[string]string{
		``:                                    "EOF",
		`null`:                                "version 0",
		`[]`:                                  "",
		`{}`:                                  "version 0",
		`{"v":2}`:                             "version 2",
		`{"v":"1"}`:                           "",
		`{"v":1}x`:                            "behind the end",
		`{"v":1}{}`:                           "behind the end",
		`{"v":1,"v":1}`:                       `"v" is there twice`,
		`{"v":1,"extra":0}`:                   `unknown field "extra"`,
		`{"V":1}`:                             `unknown field "V"`,
		`{"v":1,"Default":{}}`:                `unknown field "Default"`,
		`{"v":1,"default":{"mode":"x"}}`:      "Mode: unknown",
		`{"v":1,"default":{"modes":"local"}}`: "unknown field",
		`{"v":1,"default":{"share":-1}}`:      "share: -1",
		`{"v":1,"default":{"share":10001}}`:   "Share: 10001",
		`{"v":1,"default":{"share":1.5}}`:     "",
		`{"v":1,"hosts":{"a.org":{},"a.org":{}}}`:                       "twice",
		`{"v":1,"hosts":{"a.org":{},"A.org":{}}}`:                       "two spellings",
		`{"v":1,"hosts":{"a.org":{"share":-5}}}`:                        `hosts: "a.org": share`,
		`{"v":1,"hosts":{"a.org":{"Mode":"local"}}}`:                    `unknown field "Mode"`,
		`{"v":1,"rules":[{"name":"x","pathPrefix":"/"}]}`:               `unknown field "pathPrefix"`,
		`{"v":1,"rules":[{"name":"x"},{"name":"x"}]}`:                   `"x" is there twice`,
		`{"v":1,"rules":[{"path":"/"}]}`:                                "Name",
		`{"v":1,"rules":[{"name":"x","header":{"X-A":"1","x-a":"2"}}]}`: "each once",
		"{\"v\":1,\"default\":{\"salt\":\"\xff\"}}":                     "UTF-8",
		`{"v":1,"rules":` + deep:                                        "deep",
		`{"v":1}` + strings.Repeat(" ", maxSetSize):                     "at most 262144",
	} {
		if _, err := ParseRules([]byte(in)); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "dcroute: ") {
			t.Errorf("%.100s: %v, want %s", in, err, want)
		}
	}
	var many strings.Builder
	many.WriteString(`{"v":1,"rules":[{"name":"r"}`)
	for i := range maxRules {
		fmt.Fprintf(&many, `,{"name":"r%d"}`, i)
	}
	if _, err := ParseRules([]byte(many.String() + "]}")); err == nil || !strings.Contains(err.Error(), "at most 1000") {
		t.Error(err)
	}
}

// Absent is inherited, 0 is nobody.
func TestParseRulesShare(t *testing.T) {
	set, err := ParseRules([]byte(`{"v":1,"default":{"mode":"local","share":10000},"hosts":{"none.org":{"share":0},"same.org":{"share":null},"also.org":{}}}`))
	if err != nil {
		t.Fatal(err)
	}
	rt := newRouter(t, nil, func(o *Options) { o.Rules = set })
	check(t, rt, request("GET", "http://none.org/"), "to a rollout")
	check(t, rt, request("GET", "http://same.org/"), "local default")
	check(t, rt, request("GET", "http://also.org/"), "local default")
}
