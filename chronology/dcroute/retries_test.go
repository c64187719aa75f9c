package dcroute

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// 3.7, Retry and Failure answers, "connection lost": the methods that TestConnectionLost has not, and upgrades, which are never
// sent again (3.8). A read that took nothing of its body is answered here, a write's outcome is unknown.
func TestConnectionLostByMethod(t *testing.T) {
	upgrade := []string{"Connection: Upgrade", "Upgrade: websocket"}
	for _, c := range []struct {
		method, body string
		headers      []string
		sent, status int
		outcome      string
	}{
		{"HEAD", "", nil, 2, 200, ""},
		{"OPTIONS", "", nil, 2, 200, ""},
		{"TRACE", "", nil, 2, 200, ""},
		{"QUERY", "", nil, 2, 200, ""},
		{"QUERY", "text", nil, 1, 502, ""},
		{"DELETE", "text", nil, 1, 502, "unknown"},
		{"GET", "", upgrade, 1, 200, ""},
		{"PUT", "", upgrade, 1, 502, "unknown"},
		{"DELETE", "", upgrade, 1, 502, "unknown"},
	} {
		t.Run(fmt.Sprint(c.method, " ", c.body, len(c.headers)), func(t *testing.T) {
			addr, requests := dropping(t, 0)
			f := newFront(t, http1, plaintext(addr), nil)
			var body io.Reader
			if c.body != "" {
				body = strings.NewReader(c.body)
			}
			got := f.ask(c.method, "/", body, append(c.headers, readPinned)...)
			same(t, "sent", requests(), c.sent)
			same(t, "status, outcome, Retry-After", fmt.Sprint(got.status, got.header.Get(headerOutcome), got.header["Retry-After"]), fmt.Sprint(c.status, c.outcome, "[]"))
			same(t, "X-DC", got.header[headerDC], "[b; via=b; reason=upstream-lost]")
			same(t, "told", f.lastDecision(t).Decision.Reason, ReasonUpstreamLost)
			if c.status == http.StatusOK {
				same(t, "stale risk", got.header.Get(headerStaleRisk)+" "+got.header.Get("Cache-Control"), "1 private")
			}
		})
	}
}

// 3.7: the same over HTTP/2, where a connection that breaks is a stream that is reset.
func TestConnectionLostOverHTTP2(t *testing.T) {
	var executed atomic.Int32
	f := protocols{http1, http2}.front(t, func(http.ResponseWriter, *http.Request) {
		executed.Add(1)
		panic(http.ErrAbortHandler)
	})
	for _, c := range []struct {
		method, body string
		sent, status int
	}{{"GET", "", 2, 200}, {"POST", "", 1, 502}, {"POST", "text", 1, 502}, {"PUT", "", 2, 502}} {
		executed.Store(0)
		f.expect(c.method, f.ask(c.method, "/", strings.NewReader(c.body), readPinned), c.status, "")
		same(t, c.method+": executed", executed.Load(), c.sent)
	}
}

// 3.7: "any answer, 4xx and 5xx too" is never retried, nor replaced by one of ours.
func TestAnswersAreNotRetried(t *testing.T) {
	status, executed := 0, 0
	f := protocols{http1, http1}.front(t, func(w http.ResponseWriter, _ *http.Request) {
		executed++
		http.Error(w, "of the application", status)
	})
	for _, status = range []int{400, 404, 421, 429, 500, 502, 503, 504} {
		executed = 0
		got := f.ask("GET", "/", nil, readPinned)
		f.expect("a read", got, status, "of the application")
		same(t, "executed, X-DC", fmt.Sprint(executed, got.header[headerDC]), "1 [a; via=b; reason=sticky]")
	}
}

// 3.7, "dial or TLS failed, in every attempt": two of them, any method, then 503 with Retry-After, rounded up, or a read here.
func TestPrimaryUnreachable(t *testing.T) {
	for _, c := range []struct {
		method, body   string
		noReadFallback bool
		status         int
	}{
		{"GET", "", false, 200}, {"GET", "", true, 503}, {"POST", "text", false, 503}, {"PUT", "", false, 503}, {"DELETE", "", true, 503},
	} {
		t.Run(fmt.Sprint(c.method, " ", c.noReadFallback), func(t *testing.T) {
			f := newFront(t, http1, plaintext(nowhere(t)), func(o *Options) {
				o.NoReadFallback, o.RetryAfter = c.noReadFallback, 1500*time.Millisecond
			})
			got := f.ask(c.method, "/", strings.NewReader(c.body), readPinned)
			want := "503 [2] [no-store] [] [b; via=b; reason=primary-unreachable]"
			if c.status == http.StatusOK {
				want = "200 [] [private] [1] [b; via=b; reason=primary-unreachable]"
			}
			same(t, "answer", fmt.Sprint(got.status, " ", got.header["Retry-After"], got.header["Cache-Control"], got.header[headerStaleRisk], got.header[headerDC]), want)
			same(t, "outcome", got.header[headerOutcome], "[]")
			for i, attempt := range f.sent() {
				if attempt.Attempt != i+1 || attempt.Err == nil || attempt.Sent || attempt.Status != 0 {
					t.Errorf("OnForward %+v", attempt)
				}
			}
			same(t, "attempts", len(f.sent()), 2)
			told := f.lastDecision(t)
			same(t, "told", fmt.Sprint(told.Decision.Reason, told.Status, told.Decision.StaleRisk), fmt.Sprint(ReasonPrimaryUnreachable, c.status, c.status == 200))
		})
	}
}

// 3.7: lost "in any attempt" is 502, in whichever order the attempts go wrong; Explain names an address's last failure (2).
func TestLostInAnyAttempt(t *testing.T) {
	lost, _ := dropping(t, 0)
	unreachable := nowhere(t)
	for _, c := range []struct {
		method string
		addrs  []string
	}{{"PUT", []string{lost, unreachable}}, {"POST", []string{unreachable, lost}}} {
		f := newFront(t, http1, plaintext(c.addrs...), nil)
		got := f.ask(c.method, "/", nil)
		f.expect(c.method, got, 502, "")
		same(t, c.method+": outcome", got.header.Get(headerOutcome), "unknown")
		if text := f.router.Explain(t.Context()).String(); !strings.Contains(text, "refused") {
			t.Error(text)
		}
	}
}

// 3.7: "if no byte of the client's body has been taken" the body is whole for who comes next: next in this DC after a dial that
// failed, or the second attempt of a PUT whose client was not told to send.
func TestUntouchedBody(t *testing.T) {
	for _, headers := range [][]string{{readPinned}, {readPinned, "Expect: 100-continue"}} {
		f := newFront(t, http1, plaintext(nowhere(t)), nil)
		f.handle(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
		got := f.ask("QUERY", "/", strings.NewReader("hello"), headers...)
		same(t, "answered here", fmt.Sprint(got.status, got.body, got.header[headerStaleRisk]), "200hello[1]")
	}
	addr, requests := dropping(t, 0)
	f := newFront(t, http1, plaintext(addr), nil)
	f.expect("PUT", f.ask("PUT", "/", strings.NewReader("hello"), "Expect: 100-continue"), 502, "")
	same(t, "sent", requests(), 2)
}

// 3.2, StaleRisk: "a private answer", also where next says that it is public.
func TestStaleAnswersArePrivate(t *testing.T) {
	f := newFront(t, http1, plaintext(nowhere(t)), nil)
	f.handle(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=60")
		w.Header().Set("Surrogate-Control", "max-age=60")
	})
	got := f.ask("GET", "/", nil, readPinned)
	same(t, "answer", fmt.Sprint(got.status, got.header["Cache-Control"], got.header["Surrogate-Control"]), "200 [private, max-age=60] []")
}

// 3.7: a read that is answered here after a failed forward is answered as any other: next may take away what a handler outside
// has set.
func TestFallbackMayDeleteHeaders(t *testing.T) {
	f := newFront(t, http1, plaintext(nowhere(t)), nil)
	f.wrap(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Deleted", "1")
			w.Header().Set("X-Kept", "1")
			next.ServeHTTP(w, r)
		})
	})
	f.handle(func(w http.ResponseWriter, _ *http.Request) { w.Header().Del("X-Deleted") })
	for _, cookie := range []string{"Cookie: a=b", readPinned} {
		got := f.ask("GET", "/", nil, cookie)
		same(t, cookie, fmt.Sprint(got.header["X-Deleted"], got.header["X-Kept"]), "[] [1]")
	}
}
