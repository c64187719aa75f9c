package dcroute

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// FuzzHop: what is read is what would be written, and a signature over anything opens nothing that does not parse.
func FuzzHop(f *testing.F) {
	f.Add(hopVector)
	f.Add("v1.eqiad.codfw.1.0.1760000000000." + strings.Repeat("A", 43))
	f.Add("v2.x")
	f.Add("v1.eqiad.codfw.01.42.1760000000000.way3XSSpYJo8imup1ssRbqboaGI83U4q1gaN8GSTeds")
	rt := hopRouter(f, testKey)
	f.Fuzz(func(t *testing.T, text string) {
		h, kind := parseHop(text)
		if kind == "" {
			sealed := h.sealed(testKey)
			if body := text[:strings.LastIndexByte(text, '.')]; sealed[:strings.LastIndexByte(sealed, '.')] != body {
				t.Errorf("%q was read as %q", text, sealed)
			}
		}
		if i := strings.LastIndexByte(text, '.'); i > 0 { // signed rightly, whatever it says
			text = text[:i+1] + hopMAC(testKey, text[:i])
		}
		opened, kind := rt.openHop([]string{text})
		if (opened == nil) == (kind == "") || opened != nil && (opened.sealed(testKey) != text || len(text) > hopMaxLen) {
			t.Errorf("%q: %+v, %q", text, opened, kind)
		}
	})
}

// FuzzParseRules: a set that is read is good for a router, which then decides without a panic; and it is what it would be read as
// again.
func FuzzParseRules(f *testing.F) {
	files, _ := filepath.Glob("testdata/golden/*.json")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"v":1,"default":{"mode":"local","share":0},"rules":[{"name":"x","query":["a=b","%="],"header":{"a":""}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := ParseRules(data)
		if err != nil {
			return
		}
		rt := newRouter(t, nil, func(o *Options) { o.Rules = set })
		r := request("GET", "http://a.example.org//x/../y?a=b&%=%zz&a", "Cookie: session=1")
		if d := rt.Decide(r); d != rt.Trace(r).Decision {
			t.Error("Trace decides otherwise")
		}
		again, err := ParseRules(written(t, set))
		if err != nil || !reflect.DeepEqual(again, set) {
			t.Errorf("%+v became %+v, %v", set, again, err)
		}
	})
}

// written is the JSON of a set.
func written(t *testing.T, set *RuleSet) []byte {
	t.Helper()
	host := func(c HostConfig) hostJSON {
		share := max(c.Share, 0)
		h := hostJSON{HostConfig: c, Share: &share}
		if c.Share == 0 {
			h.Share = nil
		}
		return h
	}
	out := setJSON{V: 1, Default: host(set.Default), Rules: set.Rules}
	if set.Hosts != nil {
		out.Hosts = map[string]hostJSON{}
		for name, c := range set.Hosts {
			out.Hosts[name] = host(c)
		}
	}
	text, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	// What encoding/json escapes must not make a set too large to be read.
	if len(text) > maxSetSize {
		t.Skip("grown too large")
	}
	return text
}

// FuzzQuery: a dumb twin says the same of a condition: split at &, decode, compare.
func FuzzQuery(f *testing.F) {
	f.Add("action=rollback", "x=1&%61ction=rollback&y=%zz")
	f.Add("a", "b=1;a=2&a")
	f.Add("a b=c+d", "a+b=c%2Bd")
	f.Add("%zz=1", "%zz=1&&=")
	f.Fuzz(func(t *testing.T, condition, query string) {
		if condition == "" || condition[0] == '=' || len(condition) > 1000 {
			return
		}
		rt := withRules(t, Rule{Name: "x", Query: []string{condition}, Action: RulePrimary})
		r := request("GET", "/")
		r.URL.RawQuery = query
		want := false
		wantKey, wantValue, both := strings.Cut(condition, "=")
		for _, pair := range strings.Split(query, "&") {
			key, value, _ := strings.Cut(pair, "=")
			k, err1 := url.QueryUnescape(key)
			v, err2 := url.QueryUnescape(value)
			if err1 == nil && err2 == nil {
				key, value = k, v
			}
			want = want || pair != "" && key == wantKey && (!both || value == wantValue)
		}
		if got := rt.Decide(r).Reason == ReasonRule; got != want {
			t.Errorf("%q in %q: %t", condition, query, got)
		}
	})
}

var twoSlashes = regexp.MustCompile(`/+`)

// FuzzPath: a dumb twin, RFC 3986's algorithm letter by letter, and then the slashes.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{"/a/b/c/./../../g", "/a//../b", "/..", "//", "/.a/..b/...", "/a/."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		path = "/" + path
		in, out := path, ""
		for in != "" {
			switch {
			case strings.HasPrefix(in, "/./"):
				in = in[2:]
			case in == "/.":
				in = "/"
			case strings.HasPrefix(in, "/../"), in == "/..":
				in = "/" + strings.TrimPrefix(in[3:], "/")
				out = out[:max(strings.LastIndexByte(out, '/'), 0)]
			default:
				end := strings.IndexByte(in[1:], '/') + 1
				if end == 0 {
					end = len(in)
				}
				out, in = out+in[:end], in[end:]
			}
		}
		if want, got := twoSlashes.ReplaceAllString(out, "/"), normalPath(path); got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	})
}

// FuzzRequest: nothing in a request makes deciding panic, or forwards what was forwarded.
func FuzzRequest(f *testing.F) {
	f.Add("GET", "example.org:80", "/a/../b", "x=%zz", "UseDC=primary; session=1", "multidc,multidc", hopVector)
	f.Add("POST", "[::1", "*", "&&", ";;=", ";,", "v1.......")
	rt := typicalRouter(f)
	f.Fuzz(func(t *testing.T, method, host, path, query, cookie, loop, hop string) {
		r := &http.Request{Method: method, Host: host, URL: &url.URL{Path: path, RawQuery: query}, Header: http.Header{
			"Cookie": {cookie}, "Cdn-Loop": {loop}, headerHop: {hop},
		}}
		d := rt.Decide(r)
		if d.Entry != "b" && d.Action == Forward || d.Intent == Write && d.Action == Forward && d.Target != "a" {
			t.Errorf("%+v", d)
		}
	})
}
