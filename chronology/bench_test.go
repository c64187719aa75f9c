package chronology

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// nothing is a cluster that never has anything to tell.
type nothing struct{ name string }

func (n nothing) Name() string                             { return n.name }
func (nothing) WriterDC() string                           { return "a" }
func (nothing) Attach(ctx context.Context) context.Context { return ctx }
func (nothing) Captured(context.Context) (bool, string, time.Time, error) {
	return false, "", time.Time{}, nil
}
func (nothing) Merge(a, _ string) (string, error)                                       { return a, nil }
func (nothing) Require(context.Context, string, time.Time, time.Duration, string) error { return nil }

func threeClaims() []claim {
	var claims []claim
	for i, name := range []string{"main", "wiki", "sessions"} {
		claims = append(claims, claim{clusterHash(name), true, time.Now().Add(-time.Duration(i) * time.Second), "m1:0-180359184-1000000"})
	}
	return claims
}

func ring() keyring { return keyring{newSigner(Key{ID: 1, Secret: make([]byte, minSecret)})} }

// BenchmarkOneHMAC is what the others are compared with: of a token's bytes, as crypto/hmac is used.
func BenchmarkOneHMAC(b *testing.B) {
	text := make([]byte, len(ring().seal(time.Now(), threeClaims()))*3/4)
	key := make([]byte, minSecret)
	b.ReportAllocs()
	for b.Loop() {
		mac := hmac.New(sha256.New, key)
		_, _ = mac.Write(text)
		_ = mac.Sum(nil)
	}
}

// BenchmarkOpenToken verifies and decodes one of three clusters: at most 3 times BenchmarkOneHMAC, and 8 allocations.
func BenchmarkOpenToken(b *testing.B) {
	k := ring()
	text := k.seal(time.Now(), threeClaims())
	b.ReportAllocs()
	for b.Loop() {
		if claims, why := k.open(text, time.Now(), time.Hour); len(claims) != 3 {
			b.Fatal(why)
		}
	}
}

// BenchmarkMiddleware is an empty handler's, of a request without a cookie: at most 2 times BenchmarkOpenToken, and 10
// allocations.
func BenchmarkMiddleware(b *testing.B) {
	p, err := New([]Cluster{nothing{"main"}}, &Options{DC: "a", Keys: []Key{{ID: 1, Secret: make([]byte, minSecret)}}})
	if err != nil {
		b.Fatal(err)
	}
	h := p.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	r, w := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/wiki/Main", nil), httptest.NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(w, r)
	}
}

func TestAllocations(t *testing.T) {
	k := ring()
	text := k.seal(time.Now(), threeClaims())
	if n := testing.AllocsPerRun(100, func() { k.open(text, time.Now(), time.Hour) }); n > 8 {
		t.Errorf("%v allocations for a token of three clusters, want 8 at most", n)
	}
	p, err := New([]Cluster{nothing{"main"}}, &Options{DC: "a"})
	if err != nil {
		t.Fatal(err)
	}
	h := p.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	r, w := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/wiki/Main", nil), httptest.NewRecorder()
	if n := testing.AllocsPerRun(100, func() { h.ServeHTTP(w, r) }); n > 10 {
		t.Errorf("%v allocations for a request without a cookie, want 10 at most", n)
	}
}
