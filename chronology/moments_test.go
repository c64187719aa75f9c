package chronology_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/chronology"
)

// 3.3: captures run in parallel, for CaptureTimeout at most together.
func TestCaptureTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := &cluster{name: "one", writer: "a"}, &cluster{name: "two", writer: "a"}
		s, _ := storeSite(t, chronology.Options{}, one, two)
		one.slow, two.slow = 400*time.Millisecond, 400*time.Millisecond
		c := newClient()
		began := time.Now()
		c.do(s, "POST", func(_ http.ResponseWriter, r *http.Request) {
			one.commit(r.Context(), "a1")
			two.commit(r.Context(), "b1")
		})
		same(t, "together", time.Since(began), 400*time.Millisecond)
		same(t, "told", s.j.take(), "")
		two.slow = time.Hour
		began = time.Now()
		c = newClient()
		res := c.do(s, "POST", func(_ http.ResponseWriter, r *http.Request) {
			one.commit(r.Context(), "a1")
			two.commit(r.Context(), "b1")
		})
		same(t, "one hangs", []any{time.Since(began), names(res), s.j.take()}, []any{500 * time.Millisecond, "cpPosIndex UseDC", "capture:two"})
		one.slow, two.slow = 0, 0
		c.do(s, "GET", func(_ http.ResponseWriter, r *http.Request) {
			same(t, "required", one.positions(r.Context())+"|"+two.positions(r.Context())+"|"+strconv.Itoa(len(two.requiredBy(r.Context()))), "a1||1")
		})
	})
}

// 3.6: each moment, over HTTP/1 and HTTP/2, calls the hook once, with cookies on the answer.
func TestMoments(t *testing.T) {
	main := &cluster{name: "main", writer: "a"}
	for _, two := range []bool{false, true} {
		for what, answer := range map[string]func(http.ResponseWriter){
			"return":      func(http.ResponseWriter) {},
			"WriteHeader": func(w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) },
			"Write":       func(w http.ResponseWriter) { _, _ = w.Write([]byte("x")) },
			"Write empty": func(w http.ResponseWriter) { _, _ = w.Write(nil) },
			"WriteString": func(w http.ResponseWriter) { _, _ = io.WriteString(w, "x") },
			"Flusher":     func(w http.ResponseWriter) { w.(http.Flusher).Flush() },
			"FlushError":  func(w http.ResponseWriter) { _ = w.(interface{ FlushError() error }).FlushError() },
			"controller":  func(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() },
			"ReadFrom":    func(w http.ResponseWriter) { _, _ = io.Copy(w, io.LimitReader(strings.NewReader("x"), 1)) },
			"hints": func(w http.ResponseWriter) {
				w.WriteHeader(http.StatusEarlyHints)
				w.WriteHeader(http.StatusProcessing)
				w.WriteHeader(http.StatusOK)
			},
			"redirect": func(w http.ResponseWriter) { w.Header().Set("Location", "/x"); w.WriteHeader(http.StatusSeeOther) },
			"serve content": func(w http.ResponseWriter) {
				http.ServeContent(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil), "x.txt", time.Time{}, strings.NewReader("content"))
			},
		} {
			s := newSite(t, chronology.Options{Keys: keys()}, main)
			server := httptest.NewUnstartedServer(s.own.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				main.commit(r.Context(), "a1")
				answer(w)
			})))
			server.EnableHTTP2 = two
			if two {
				server.StartTLS()
			} else {
				server.Start()
			}
			hc := server.Client()
			hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			res := post(t, hc, server.URL)
			same(t, fmt.Sprintf("%s, HTTP/%d", what, res.ProtoMajor), []any{names(res), len(s.j.kept), s.j.take()}, []any{"cp UseDC", 1, ""})
			if want := map[bool]int{false: 1, true: 2}[two]; res.ProtoMajor != want {
				t.Errorf("HTTP/%d", res.ProtoMajor)
			}
			hc.CloseIdleConnections()
			server.Close()
		}
	}
}

// plain is a ResponseWriter that can do nothing else.
type plain struct{ h http.Header }

func (p plain) Header() http.Header { return p.h }

func (p plain) Write(b []byte) (int, error) { return len(b), nil }

func (p plain) WriteHeader(int) {}

type hijackable struct{ plain }

func (hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, errors.New("no") }

// 3.6: as far as the inner writer does; 101 counts.
func TestAbilities(t *testing.T) {
	main := &cluster{name: "main", writer: "a"}
	s := newSite(t, chronology.Options{Keys: keys()}, main)
	for _, inner := range []http.ResponseWriter{plain{http.Header{}}, hijackable{plain{http.Header{}}}, httptest.NewRecorder()} {
		_, flushes := inner.(http.Flusher)
		_, hijacks := inner.(http.Hijacker)
		s.own.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, f := w.(http.Flusher)
			_, h := w.(http.Hijacker)
			same(t, "abilities", []bool{f, h}, []bool{flushes, hijacks})
			main.commit(r.Context(), "a1")
			if !flushes {
				same(t, "Flush", errors.Is(http.NewResponseController(w).Flush(), http.ErrNotSupported), true)
				same(t, "not yet", len(inner.Header()), 0)
			}
			w.WriteHeader(http.StatusSwitchingProtocols)
			same(t, "set", len(inner.Header()["Set-Cookie"]), 2)
		})).ServeHTTP(inner, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil))
	}
	same(t, "told", s.j.take(), "")
}

// 3.6: a panic goes on as it was, over a server too; the hook ran once.
func TestPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main := &cluster{name: "main", writer: "a"}
		s, store := storeSite(t, chronology.Options{}, main)
		for _, began := range []bool{false, true} {
			w := httptest.NewRecorder()
			func() {
				defer func() { same(t, "panic", recover(), http.ErrAbortHandler) }()
				s.own.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if began {
						w.WriteHeader(http.StatusOK)
					}
					main.commit(r.Context(), "a1")
					panic(http.ErrAbortHandler)
				})).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "POST", "/", nil))
			}()
			if began {
				same(t, "told", s.j.take(), "after-headers:main")
			} else {
				same(t, "cookies", names(w.Result()), "cpPosIndex UseDC")
				same(t, "told", s.j.take(), "")
			}
		}
		same(t, "updates", store.updates.Load(), 2) // each has its own id
	})
}

// 3.6: Lagged is asked when the hook runs, not later.
func TestLaggedIsAskedWithTheHook(t *testing.T) {
	main := &cluster{name: "main"}
	s := newSite(t, chronology.Options{Keys: keys()}, main)
	res := newClient().do(s, "GET", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("x"))
		main.mu.Lock()
		main.lagging = true
		main.mu.Unlock()
	})
	same(t, "later", res.Header.Get("X-Database-Lagged"), "")
}

// 3.6: phases.
func TestPhasesByMethod(t *testing.T) {
	main := &cluster{name: "main"}
	s := newSite(t, chronology.Options{Keys: keys()}, main)
	for _, tc := range []struct{ method, header, during, after string }{
		{"GET", "", "[GET]", "[GET PostSend-GET]"}, {"HEAD", "true", "[GET]", "[GET PostSend-GET]"},
		{"OPTIONS", "", "[GET]", "[GET PostSend-GET]"}, {"TRACE", "", "[GET]", "[GET PostSend-GET]"}, {"QUERY", "", "[GET]", "[GET PostSend-GET]"},
		{"POST", "true", "[POST-nonwrite]", "[POST-nonwrite]"}, {"PUT", "true", "[POST-nonwrite]", "[POST-nonwrite]"},
		{"POST", "false", "[]", "[]"}, {"POST", "", "[]", "[]"}, {"DELETE", "", "[]", "[]"}, {"get", "", "[]", "[]"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), tc.method, "/", nil)
		if tc.header != "" {
			r.Header.Set("X-DC-Non-Write", tc.header)
		}
		var st *served
		var during string
		newClient().send(s, r, func(_ http.ResponseWriter, r *http.Request) {
			st = main.of(r.Context())
			during = join(st.phases)
		})
		same(t, tc.method+tc.header, []string{during, join(st.phases)}, []string{tc.during, tc.after})
	}
}

// 3.5: Private, over the middleware.
func TestAnswersWithCookiesArePrivate(t *testing.T) {
	main := &cluster{name: "main", writer: "a"}
	s := newSite(t, chronology.Options{Keys: keys()}, main)
	for _, tc := range []struct{ given, want []string }{
		{nil, []string{"private"}},
		{[]string{""}, []string{"private"}},
		{[]string{"public, max-age=60, s-maxage=600"}, []string{"private, max-age=60"}},
		{[]string{"PUBLIC", "S-MaxAge=3", "max-age=5"}, []string{"private, max-age=5"}},
		{[]string{"no-store"}, []string{"no-store"}},
		{[]string{"No-Store, public"}, []string{"No-Store, public"}},
		{[]string{"private, max-age=60"}, []string{"private, max-age=60"}},
		{[]string{"max-age=1, Private"}, []string{"max-age=1, Private"}},
		{[]string{"no-cache"}, []string{"private, no-cache"}},
		{[]string{"public,s-maxage=1"}, []string{"private"}},
		{[]string{`private="x-a", public`}, []string{`private, private="x-a"`}},
	} {
		res := newClient().do(s, "POST", func(w http.ResponseWriter, r *http.Request) {
			if tc.given != nil {
				w.Header()["Cache-Control"] = tc.given
			}
			w.Header().Set("Surrogate-Control", "max-age=600")
			w.Header().Set("CDN-Cache-Control", "max-age=600")
			w.Header().Set("Expires", "0")
			main.commit(r.Context(), "a1")
		})
		same(t, fmt.Sprint(tc.given), res.Header["Cache-Control"], tc.want)
		same(t, "others", res.Header.Get("Surrogate-Control")+res.Header.Get("CDN-Cache-Control")+res.Header.Get("Expires"), "0")
		res = newClient().do(s, "POST", func(w http.ResponseWriter, _ *http.Request) { // nothing written
			w.Header()["Cache-Control"] = tc.given
			w.Header().Set("Surrogate-Control", "max-age=600")
		})
		same(t, "untouched", []any{res.Header["Cache-Control"], res.Header.Get("Surrogate-Control")}, []any{tc.given, "max-age=600"})
	}
	alone := newSite(t, chronology.Options{Keys: keys(), StickyTTL: -1}, main)
	res := newClient().do(alone, "GET", writing(main, "a1")) // the position cookie alone
	same(t, "the position cookie alone", res.Header.Get("Cache-Control"), "private")
}

// 3.5: each cell, in each mode.
func TestStickyTable(t *testing.T) {
	main, other, all := &cluster{name: "main", writer: "a"}, &cluster{name: "other", writer: "c"}, &cluster{name: "all"}
	for _, mode := range []string{"store", "token", "sticky"} {
		for _, dc := range []string{"a", "b"} {
			for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "CONNECT", "MKCOL", "GET", "HEAD", "OPTIONS", "TRACE", "QUERY"} {
				for what, wrote := range map[string]*cluster{"nothing": nil, "main": main, "other": other, "all": all} {
					o := chronology.Options{DC: dc}
					switch mode {
					case "store":
						o.Store = chronology.NewMemory(0)
					case "token":
						o.Keys = keys()
					}
					s := newSite(t, o, main, other, all)
					got := names(newClient().do(s, method, func(_ http.ResponseWriter, r *http.Request) {
						if wrote != nil {
							wrote.commit(r.Context(), "a1")
						}
					}))
					unsafe := !slices.Contains([]string{"GET", "HEAD", "OPTIONS", "TRACE", "QUERY"}, method)
					var want []string
					if wrote != nil {
						switch mode {
						case "store":
							want = append(want, "cpPosIndex")
						case "token":
							want = append(want, "cp")
						}
						if unsafe && (dc == "a" || mode != "store" && wrote.writer != "") {
							want = append(want, "UseDC")
						}
					}
					same(t, strings.Join([]string{mode, dc, method, what}, " "), got, strings.Join(want, " "))
				}
			}
		}
	}
}

// One Require for each cluster with a position, however long the answer began after the commit.
func TestSlowAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main := &cluster{name: "main", writer: "a"}
		s, _ := storeSite(t, chronology.Options{}, main)
		c := newClient()
		c.do(s, "POST", func(_ http.ResponseWriter, r *http.Request) {
			main.commit(r.Context(), "a1")
			time.Sleep(2 * time.Second)
		})
		c.do(s, "GET", func(_ http.ResponseWriter, r *http.Request) {
			same(t, "requires", len(main.requiredBy(r.Context())), 1)
		})
	})
}

// Everything of a request may be asked from several goroutines.
func TestParallelUse(t *testing.T) {
	main := &cluster{name: "main", writer: "a"}
	for _, o := range []chronology.Options{{Keys: keys()}, {Keys: keys(), Store: chronology.NewMemory(0)}} {
		s := newSite(t, o, main)
		c := newClient()
		for range 3 {
			c.do(s, "POST", func(w http.ResponseWriter, r *http.Request) {
				var all sync.WaitGroup
				for range 8 {
					all.Go(func() { //nolint:contextcheck // the request has it
						s.own.MarkWritten(r.Context(), "main")
						main.commit(r.Context(), "a1")
						_ = s.own.RecentWriter(r.Context())
						_, _ = s.own.Token(r.Context())
						_ = s.own.Explain(r.Context()).String()
						_ = s.own.WithToken(r.Context(), "")
					})
				}
				w.WriteHeader(http.StatusOK)
				all.Wait()
			})
		}
	}
}

// Section 5, over a server: the client hangs up after the commit.
func TestHangUp(t *testing.T) {
	main := &cluster{name: "main", writer: "a"}
	updated := make(chan struct{}, 1)
	s := newSite(t, chronology.Options{Store: &telling{chronology.NewMemory(0), updated}}, main)
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewServer(s.own.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		main.commit(r.Context(), "a1")
		cancel()
		<-r.Context().Done()
	})))
	defer server.Close()
	r, _ := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, nil)
	if res, err := http.DefaultClient.Do(r); err == nil {
		_ = res.Body.Close()
	}
	select {
	case <-updated:
	case <-time.After(10 * time.Second):
		t.Error("not persisted")
	}
	http.DefaultClient.CloseIdleConnections()
}

type telling struct {
	chronology.Store

	updated chan struct{}
}

func (s *telling) Update(ctx context.Context, key string, ttl time.Duration, fn func([]byte) ([]byte, error)) error {
	err := s.Store.Update(ctx, key, ttl, fn)
	if err == nil {
		s.updated <- struct{}{}
	}
	return err
}
