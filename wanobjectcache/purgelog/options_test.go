package purgelog

import (
	"crypto/tls"
	"strings"
	"testing"

	"github.com/multidc/multidc/wanobjectcache"
)

func testCache(t *testing.T) *wanobjectcache.Cache {
	t.Helper()
	c, err := wanobjectcache.New(wanobjectcache.NewMemory(nil), &wanobjectcache.Options{DC: "a", Freshness: wanobjectcache.Unreplicated})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Case Nv.
func TestOtherDCsSourceNeedsTLS(t *testing.T) {
	brokers := []string{"h:1"}
	for _, tc := range []struct {
		name   string
		dc     string
		source Source
		why    []string // nil = accepted
	}{
		{"another DC's in plaintext", "b", Source{Brokers: brokers}, []string{`DC "b"`, "Source.TLS", "AllowPlaintext"}},
		{"another DC's with TLS", "b", Source{Brokers: brokers, TLS: &tls.Config{MinVersion: tls.VersionTLS12}}, nil},
		{"another DC's, encrypted below", "b", Source{Brokers: brokers, AllowPlaintext: true}, nil},
		{"the own DC's in plaintext", "a", Source{Brokers: brokers}, nil},
		{"a DC that has no name", "B", Source{Brokers: brokers, AllowPlaintext: true}, []string{`"B"`}},
		{"no brokers", "a", Source{}, []string{`DC "a"`, "Brokers"}},
	} {
		_, err := NewApplier(testCache(t), map[string]Source{tc.dc: tc.source}, &ApplierOptions{DC: "a"})
		if (err == nil) != (tc.why == nil) {
			t.Errorf("%s: %v", tc.name, err)
		}
		for _, part := range tc.why {
			if err != nil && !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v, want it to name %s", tc.name, err, part)
			}
		}
	}
}

func TestApplierOptionsAreChecked(t *testing.T) {
	sources := map[string]Source{"a": {Brokers: []string{"h:1"}}}
	for name, do := range map[string]func() error{
		"Cache":             func() error { _, err := NewApplier(nil, sources, &ApplierOptions{DC: "a"}); return err },
		"ApplierOptions.DC": func() error { _, err := NewApplier(testCache(t), sources, nil); return err },
		"MaxParked": func() error {
			_, err := NewApplier(testCache(t), sources, &ApplierOptions{DC: "a", MaxParked: -1})
			return err
		},
		"StartWindow": func() error {
			_, err := NewApplier(testCache(t), sources, &ApplierOptions{DC: "a", StartWindow: -1})
			return err
		},
		"source":        func() error { _, err := NewApplier(testCache(t), nil, &ApplierOptions{DC: "a"}); return err },
		"LogOptions.DC": func() error { _, err := NewLog([]string{"h:1"}, nil); return err },
		"brokers":       func() error { _, err := NewLog(nil, &LogOptions{DC: "a"}); return err },
		"Timeout":       func() error { _, err := NewLog([]string{"h:1"}, &LogOptions{DC: "a", Timeout: -1}); return err },
	} {
		if err := do(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDefaults(t *testing.T) {
	a, err := NewApplier(testCache(t), map[string]Source{"a": {Brokers: []string{"h:1"}}}, &ApplierOptions{DC: "a"})
	if err != nil || a.opts.Group != "cache-purge.a" || a.opts.MaxParked != 10_000 {
		t.Errorf("%+v, %v", a.opts, err)
	}
	log, err := NewLog([]string{"h:1"}, &LogOptions{DC: "a"})
	if err != nil || log.opts.Topic != "a.cache-purge" || log.opts.Timeout != appendLimit {
		t.Errorf("%+v, %v", log.opts, err)
	}
}
