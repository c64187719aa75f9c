package headerhook_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/multidc/multidc/internal/headerhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hooked serves handler behind a hook that sets the header Hooked to the status that it was told, and counts.
func hooked(t *testing.T, http2 bool, handler http.HandlerFunc) (client *http.Client, url string, calls chan int) {
	t.Helper()
	calls = make(chan int, 10)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hook := headerhook.New(w, func(status int) {
			w.Header().Add("Hooked", http.StatusText(status))
			calls <- status
		})
		defer hook.Finish()
		handler(hook.Handlers(), r)
	}))
	s.EnableHTTP2 = http2
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Client(), s.URL, calls
}

func TestEachWayToAnswer(t *testing.T) {
	for what, tc := range map[string]struct {
		handler http.HandlerFunc
		want    int
	}{
		"nothing":     {func(http.ResponseWriter, *http.Request) {}, 200},
		"Write":       {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("x")) }, 200},
		"WriteString": {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") }, 200},
		"WriteHeader": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }, 404},
		"both": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte("x"))
		}, 404},
		"Copy": {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, strings.NewReader("x")) }, 200},
		"ServeContent": {func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "x.txt", time.Time{}, strings.NewReader("x"))
		}, 200},
		"Flush":      {func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush(); _, _ = w.Write([]byte("x")) }, 200},
		"controller": {func(w http.ResponseWriter, _ *http.Request) { must(http.NewResponseController(w).Flush()) }, 200},
	} {
		for _, http2 := range []bool{false, true} {
			client, url, calls := hooked(t, http2, tc.handler)
			res := get(t.Context(), t, client, url) //nolint:bodyclose // get does
			if got := res.Header["Hooked"]; len(got) != 1 || got[0] != http.StatusText(tc.want) {
				t.Errorf("%s, HTTP/2 %t: the header came as %q, want %q", what, http2, got, http.StatusText(tc.want))
			}
			if len(calls) != 1 {
				t.Errorf("%s, HTTP/2 %t: called %d times", what, http2, len(calls))
			}
		}
	}
}

func get(ctx context.Context, t *testing.T, client *http.Client, url string) *http.Response {
	t.Helper()
	r, _ := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// An informational answer is none: the hook's header is on the final one alone.
func TestEarlyHints(t *testing.T) {
	client, url, calls := hooked(t, false, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusAccepted)
	})
	early := http.Header{}
	res := get(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(_ int, h textproto.MIMEHeader) error { //nolint:bodyclose // likewise
		early = http.Header(h)
		return nil
	}}), t, client, url)
	if early.Get("Link") == "" || early.Get("Hooked") != "" || res.Header.Get("Hooked") != "Accepted" || len(calls) != 1 {
		t.Errorf("early %v, final %v, %d calls", early, res.Header, len(calls))
	}
}

func TestHijack(t *testing.T) {
	client, url, calls := hooked(t, false, func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		must(err)
		_, _ = rw.WriteString("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
		_ = rw.Flush()
		_ = conn.Close()
	})
	res := get(t.Context(), t, client, url) //nolint:bodyclose // likewise
	if res.StatusCode != http.StatusNoContent || len(calls) != 1 || <-calls != http.StatusSwitchingProtocols {
		t.Errorf("got %s", res.Status)
	}
}

// bare can do nothing but what it must.
type bare struct{ http.ResponseWriter }

type bareHijacker struct{ bare }

func (bareHijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, http.ErrHijacked }

// wrapper is one that others can see through.
type wrapper struct{ bare }

func (w wrapper) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// What the wrapped writer cannot do, ours does not pretend to.
func TestAbilities(t *testing.T) {
	recorder := httptest.NewRecorder()
	for what, tc := range map[string]struct {
		inner            http.ResponseWriter
		flushes, hijacks bool
	}{
		"neither":       {bare{recorder}, false, false},
		"flushes":       {recorder, true, false},
		"hijacks":       {bareHijacker{bare{recorder}}, false, true},
		"seen through":  {wrapper{bare{wrapper{bare{recorder}}}}, true, false},
		"hijacks below": {wrapper{bare{bareHijacker{bare{recorder}}}}, false, true},
	} {
		w := headerhook.New(tc.inner, func(int) {}).Handlers()
		_, flushes := w.(http.Flusher)
		_, hijacks := w.(http.Hijacker)
		if flushes != tc.flushes || hijacks != tc.hijacks {
			t.Errorf("%s: flushes %t, hijacks %t", what, flushes, hijacks)
		}
		if err := http.NewResponseController(w).Flush(); errors.Is(err, http.ErrNotSupported) == tc.flushes {
			t.Errorf("%s: flushing says %v", what, err)
		}
	}
}

// Deadlines and the like reach the writer inside.
func TestUnwrap(t *testing.T) {
	client, url, _ := hooked(t, false, func(w http.ResponseWriter, _ *http.Request) {
		must(http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute)))
		must(http.NewResponseController(w).EnableFullDuplex())
	})
	get(t.Context(), t, client, url) //nolint:bodyclose // get does
}
