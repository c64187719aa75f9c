package dcroute

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// against measures how much b's throughput is of a's: requests at a time, in alternating turns, of which the best count.
func against(b *testing.B, callers, calls int, a, other func() error) {
	b.Helper()
	turn := func(f func() error) time.Duration {
		began := time.Now()
		var all sync.WaitGroup
		for range callers {
			all.Go(func() {
				for range calls {
					if err := f(); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
		return time.Since(began)
	}
	turn(a)
	turn(other)
	bestA, bestOther := time.Hour, time.Hour
	for b.Loop() {
		bestA, bestOther = min(bestA, turn(a)), min(bestOther, turn(other))
	}
	b.ReportMetric(float64(bestA)/float64(bestOther), "throughput-ratio")
}

func get(b *testing.B, address string, headers ...string) func() error {
	b.Helper()
	t := &http.Transport{MaxIdleConnsPerHost: 128}
	b.Cleanup(t.CloseIdleConnections)
	return func() error {
		r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, address+"/wiki/Main_Page?action=view", nil)
		if err != nil {
			return err
		}
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			r.Header.Set(name, value)
		}
		res, err := t.RoundTrip(r)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		return err
	}
}

func page() http.HandlerFunc {
	kilobyte := []byte(strings.Repeat("x", 1<<10))
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(kilobyte) }
}

func serve(b *testing.B, h http.Handler) string {
	b.Helper()
	s := httptest.NewServer(h)
	b.Cleanup(s.Close)
	return s.URL
}

// BenchmarkLocalPath is a request that is answered here, against the bare handler: at least 0.85 of its throughput.
func BenchmarkLocalPath(b *testing.B) {
	rt, err := New(NewMemory("a"), &Options{DC: "a"})
	if err != nil {
		b.Fatal(err)
	}
	against(b, 64, 40, get(b, serve(b, page())), get(b, serve(b, rt.Middleware(page()))))
}

// BenchmarkProxyPath is one that another DC answers, against a bare ReverseProxy to the same: at least 0.85.
func BenchmarkProxyPath(b *testing.B) {
	bare, ours := proxies(b, page())
	against(b, 64, 40, get(b, bare), get(b, ours))
}

// BenchmarkUpload is 100 MB on their way, likewise: at least 0.9.
func BenchmarkUpload(b *testing.B) {
	bare, ours := proxies(b, func(w http.ResponseWriter, r *http.Request) {
		if n, err := io.Copy(io.Discard, r.Body); n != 100<<20 {
			http.Error(w, fmt.Sprint(n, err), http.StatusBadRequest)
		}
	})
	upload := func(address string) func() error {
		return func() error {
			r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, address, io.LimitReader(new(pattern), 100<<20))
			if err != nil {
				return err
			}
			res, err := http.DefaultClient.Do(r)
			if err == nil && res.StatusCode != http.StatusOK {
				err = errors.New(res.Status)
			}
			if err == nil {
				err = res.Body.Close()
			}
			return err
		}
	}
	against(b, 1, 1, upload(bare), upload(ours))
}

// proxies are a bare ReverseProxy, and ours, to one application.
func proxies(b *testing.B, app http.HandlerFunc) (bare, ours string) {
	b.Helper()
	target := serve(b, app)
	at, err := url.Parse(target)
	if err != nil {
		b.Fatal(err)
	}
	rt, err := New(NewMemory("a"), &Options{DC: "b", HopKeys: [][]byte{testKey}, Upstreams: map[string]Upstream{"a": {Addrs: []string{target}, AllowPlaintext: true}}})
	if err != nil {
		b.Fatal(err)
	}
	bare = serve(b, &httputil.ReverseProxy{
		Rewrite:   func(p *httputil.ProxyRequest) { p.SetURL(at); p.SetXForwarded() },
		Transport: &http.Transport{MaxIdleConnsPerHost: 256},
	})
	return bare, serve(b, rt.Middleware(http.NotFoundHandler()))
}
