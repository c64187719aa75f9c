package chronology_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/multidc/multidc/chronology"
)

func TestNewRefuses(t *testing.T) {
	main := &cluster{name: "main"}
	one := []chronology.Cluster{main}
	short := []chronology.Key{{ID: 1, Secret: secret()[1:]}}
	for what, tc := range map[string]struct {
		clusters []chronology.Cluster
		o        *chronology.Options
		want     string
	}{
		"no options":            {one, nil, "Options.DC"},
		"no DC":                 {one, &chronology.Options{}, "Options.DC"},
		"bad DC":                {one, &chronology.Options{DC: "A"}, "Options.DC"},
		"no cluster":            {nil, &chronology.Options{DC: "a"}, "clusters: none"},
		"nil cluster":           {[]chronology.Cluster{nil}, &chronology.Options{DC: "a"}, "number 0 is nil"},
		"bad name":              {[]chronology.Cluster{&cluster{name: "Main"}}, &chronology.Options{DC: "a"}, "number 0"},
		"one name twice":        {[]chronology.Cluster{main, &cluster{name: "main"}}, &chronology.Options{DC: "a"}, "two have the name main"},
		"short secret":          {one, &chronology.Options{DC: "a", Keys: short}, "Options.Keys: the secret of key 1 has 31 bytes"},
		"one id twice":          {one, &chronology.Options{DC: "a", Keys: append(keys(), keys()...)}, "two keys have the id 1"},
		"three keys":            {one, &chronology.Options{DC: "a", Keys: append(append(keys(), keys()...), keys()...)}, "3 keys"},
		"ClientID, no store":    {one, &chronology.Options{DC: "a", Keys: keys(), ClientID: func(*http.Request) string { return "" }}, "Options.ClientID"},
		"ClientID, no keys":     {one, &chronology.Options{DC: "a", Store: chronology.NewMemory(0), ClientID: func(*http.Request) string { return "" }}, "Options.ClientID"},
		"short Window":          {one, &chronology.Options{DC: "a", Window: time.Second - 1}, "Options.Window"},
		"long Window":           {one, &chronology.Options{DC: "a", Window: time.Minute + 1}, "Options.Window"},
		"negative Window":       {one, &chronology.Options{DC: "a", Window: -1}, "Options.Window"},
		"long Wait":             {one, &chronology.Options{DC: "a", Wait: 10*time.Second + 1}, "Options.Wait"},
		"unknown policy":        {one, &chronology.Options{DC: "a", OnTimeout: "panic"}, "Options.OnTimeout"},
		"short StickyTTL":       {one, &chronology.Options{DC: "a", StickyTTL: 5 * time.Second}, "Options.StickyTTL"},
		"bad prefix":            {one, &chronology.Options{DC: "a", KeyPrefix: "a b"}, "Options.KeyPrefix"},
		"a prefix with a line":  {one, &chronology.Options{DC: "a", KeyPrefix: "ab\n"}, "Options.KeyPrefix"},
		"negative MaxTokenAge":  {one, &chronology.Options{DC: "a", MaxTokenAge: -1}, "Options.MaxTokenAge"},
		"negative ReadTimeout":  {one, &chronology.Options{DC: "a", ReadTimeout: -1}, "Options.ReadTimeout"},
		"negative WriteTimeout": {one, &chronology.Options{DC: "a", WriteTimeout: -1}, "Options.WriteTimeout"},
		"neg. CaptureTimeout":   {one, &chronology.Options{DC: "a", CaptureTimeout: -1}, "Options.CaptureTimeout"},
		"two with one hash":     {[]chronology.Cluster{&cluster{name: collisionA}, &cluster{name: collisionB}}, &chronology.Options{DC: "a"}, "one hash"},
	} {
		if _, err := chronology.New(tc.clusters, tc.o); err == nil || !strings.Contains(err.Error(), tc.want) || !strings.HasPrefix(err.Error(), "chronology: ") {
			t.Errorf("%s: got %v, want %q", what, err, tc.want)
		}
	}
}

// Two names whose SHA-256 begins with the same four bytes.
const collisionA, collisionB = "db-89535", "db-115853"

// Without a store and keys there is little protection: that is logged.
func TestNewWarns(t *testing.T) {
	var log bytes.Buffer
	newSite(t, chronology.Options{Logger: textLogger(&log)}, &cluster{name: "main"})
	if !strings.Contains(log.String(), "neither Store nor Keys") {
		t.Errorf("logged %q", &log)
	}
	log.Reset()
	newSite(t, chronology.Options{Logger: textLogger(&log), Keys: keys()}, &cluster{name: "main"})
	same(t, "logged", log.String(), "")
}

func TestExplain(t *testing.T) {
	main, sessions := &cluster{name: "main", writer: "a"}, &cluster{name: "sessions"}
	s := newSite(t, chronology.Options{Keys: keys()}, main, sessions)
	c := newClient()
	c.do(s, "POST", writing(main, "a1"))
	var e chronology.Explanation
	c.do(s, "GET", func(_ http.ResponseWriter, r *http.Request) {
		sessions.commit(r.Context(), "s4")
		e = s.own.Explain(r.Context())
	})
	text := e.String()
	for _, want := range []string{"chronology in DC a: token mode", "main, written in DC a; required by the cookie: a1 as of", "sessions, written in every DC; this request wrote s4"} {
		if !strings.Contains(text, want) {
			t.Errorf("it reads\n%s\nwant %q", text, want)
		}
	}
	b, err := json.Marshal(e)
	if err != nil || !strings.Contains(string(b), `"key_ids":[1]`) || strings.Contains(string(b), "AAEC") {
		t.Errorf("JSON %s, %v", b, err)
	}
	if outside := s.own.Explain(t.Context()); outside.Scope || outside.Clusters[0].Required != "" {
		t.Errorf("outside of a request: %+v", outside)
	}
}
