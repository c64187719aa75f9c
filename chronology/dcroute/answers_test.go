package dcroute

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"
)

// 3.7: the answer arrives as the other DC gave it, whatever its kind: nothing is added, unpacked, or followed.
func TestAnswersArriveAsTheyAre(t *testing.T) {
	overEveryProtocol(t, func(t *testing.T, p protocols) {
		f := p.front(t, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/head":
				w.Header().Set("Content-Length", "123")
			case "/204":
				w.WriteHeader(http.StatusNoContent)
			case "/304":
				w.Header().Set("Etag", `"x"`)
				w.WriteHeader(http.StatusNotModified)
			case "/302":
				http.Redirect(w, r, "/elsewhere", http.StatusFound)
			case "/packed":
				w.Header().Set("Content-Encoding", "gzip")
				_, _ = fmt.Fprint(w, r.Header["Accept-Encoding"], r.Header["User-Agent"])
			case "/cookies":
				w.Header()["Set-Cookie"] = []string{"a=1", "b=2"}
			case "/length":
				b, err := io.ReadAll(r.Body)
				_, _ = fmt.Fprint(w, len(b), " ", err)
			}
		})
		for path, want := range map[string]struct {
			status        int
			header, value string
		}{
			"/204": {204, "Location", "[]"}, "/304": {304, "Etag", `["x"]`}, "/302": {302, "Location", "[/elsewhere]"}, "/cookies": {200, "Set-Cookie", "[a=1 b=2]"},
		} {
			got := f.ask("GET", path, nil, readPinned)
			f.expect(path, got, want.status, "")
			same(t, path+": "+want.header, got.header[want.header], want.value)
		}
		same(t, "length of HEAD", f.ask("HEAD", "/head", nil, readPinned).header.Get("Content-Length"), "123")
		f.expect("packed", f.ask("GET", "/packed", nil, readPinned, "Accept-Encoding: gzip", "User-Agent: "), 200, "[gzip] []")
		f.expect("no body", f.ask("POST", "/length", nil), 200, "0 <nil>")
		f.expect("an empty body of unknown length", f.ask("POST", "/length", io.NopCloser(strings.NewReader(""))), 200, "0 <nil>")
	})
}

// 3.7: "1xx passed on, trailers kept", both ways, announced or not.
func TestTrailersAndHintsOverEveryProtocol(t *testing.T) {
	overEveryProtocol(t, func(t *testing.T, p protocols) {
		f := p.front(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Link", "</style.css>")
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusProcessing)
			w.Header().Del("Link")
			w.Header().Set("Trailer", "Checksum")
			_, _ = io.WriteString(w, "x")
			w.Header().Set("Checksum", r.Trailer.Get("Client-Checksum"))
			w.Header().Set(http.TrailerPrefix+"Late", "2")
		})
		var early []string
		r := f.newRequest("POST", "/", io.NopCloser(strings.NewReader("abc")))
		r.Trailer = http.Header{"Client-Checksum": {"1"}}
		r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{Got1xxResponse: func(status int, h textproto.MIMEHeader) error {
			early = append(early, fmt.Sprint(status, h["Link"]))
			return nil
		}}))
		res, err := f.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		_, _ = io.Copy(io.Discard, res.Body)
		same(t, "early", early, "[103 [</style.css>] 102 [</style.css>]]")
		same(t, "Link of the answer", res.Header["Link"], "[]")
		same(t, "trailers", fmt.Sprint(res.Trailer["Checksum"], res.Trailer["Late"]), "[1] [2]")
		same(t, "X-DC", res.Header[headerDC], "[a; via=b; reason=write]")
	})
}

// 3.7, "trailers kept": HTTP/2 has them beside a Content-Length, as short answers have one; HTTP/1 has not.
func TestTrailersOfAShortAnswer(t *testing.T) {
	overEveryProtocol(t, func(t *testing.T, p protocols) {
		f := p.front(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "Checksum")
			_, _ = io.WriteString(w, "x")
			w.Header().Set("Checksum", "42")
		})
		res, err := f.client.Do(f.newRequest("POST", "/", nil))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		_, _ = io.Copy(io.Discard, res.Body)
		same(t, "trailer", res.Trailer["Checksum"], "[42]")
	})
}

// 3.7: "event streams and bodies of unknown length are flushed at once".
func TestStreamsAreFlushed(t *testing.T) {
	overEveryProtocol(t, func(t *testing.T, p protocols) {
		seen := make(chan struct{})
		f := p.front(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/events" {
				w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
			}
			_, _ = io.WriteString(w, "first")
			_ = http.NewResponseController(w).Flush()
			<-seen
		})
		for _, path := range []string{"/events", "/unknown-length"} {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			res, err := f.client.Do(f.newRequest("POST", path, nil).WithContext(ctx))
			if err != nil {
				t.Fatal(err)
			}
			first := make([]byte, len("first"))
			_, err = io.ReadFull(res.Body, first)
			same(t, path, fmt.Sprint(string(first), err), "first<nil>")
			seen <- struct{}{}
			_ = res.Body.Close()
			cancel()
		}
	})
}

// 3.7: a body above http.MaxBytesReader's limit is 413, of known length or not, and the connection's next one too.
func TestMaxBytesOverEveryProtocol(t *testing.T) {
	overEveryProtocol(t, func(t *testing.T, p protocols) {
		f := p.front(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
		f.wrap(func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Body = http.MaxBytesReader(w, r.Body, 1000)
				next.ServeHTTP(w, r)
			})
		})
		large := make([]byte, 5000)
		for range 3 {
			f.expect("known length", f.ask("POST", "/", bytes.NewReader(large)), http.StatusRequestEntityTooLarge, "")
			f.expect("unknown length", f.ask("POST", "/", io.NopCloser(bytes.NewReader(large))), http.StatusRequestEntityTooLarge, "")
		}
	})
}

// 3.7, "for early answers": one reaches a client that waits in the middle of its upload, by either protocol between the DCs.
func TestEarlyAnswerOverEitherLink(t *testing.T) {
	for _, link := range []string{http1, http2} {
		f := protocols{http1, link}.front(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadFull(r.Body, make([]byte, 10))
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		})
		for range 5 {
			conn, in := f.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1048576\r\n\r\n" + strings.Repeat("x", 100))
			f.expect(link, f.receive(in), http.StatusRequestEntityTooLarge, "too large\n")
			_ = conn.Close()
		}
	}
}

// 3.7, Expect: what the other DC says decides whether the client sends its body, by either protocol between the DCs.
func TestExpectOverEitherLink(t *testing.T) {
	for _, link := range []string{http1, http2} {
		f := protocols{http1, link}.front(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/refused" {
				http.Error(w, "no", http.StatusRequestEntityTooLarge)
				return
			}
			_, _ = io.Copy(w, r.Body)
		})
		const head = " HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
		_, in := f.send("POST /refused" + head)
		f.expect(link+", refused", f.receive(in), http.StatusRequestEntityTooLarge, "no\n")

		conn, in := f.send("POST /welcome" + head)
		line, err := in.ReadString('\n')
		same(t, link+", welcome", fmt.Sprint(strings.TrimSpace(line), err), "HTTP/1.1 100 Continue<nil>")
		_, _ = in.ReadString('\n')
		_, _ = io.WriteString(conn, "hello")
		f.expect(link+", welcome", f.receive(in), 200, "hello")
	}
}

// 3.7: after response headers the connection is aborted, "never a truncated 200", also where the length is not known.
func TestHalfAnAnswerOverEveryProtocol(t *testing.T) {
	overEveryProtocol(t, func(t *testing.T, p protocols) {
		f := p.front(t, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		})
		if got, err := f.try(f.newRequest("GET", "/", nil, readPinned)); err == nil {
			t.Errorf("a half answer looks whole: %+v", got)
		}
	})
}

// 3.7, "client gone: the upstream request is cancelled", and it is told once, as any other.
func TestClientGoesAwayOverEveryProtocol(t *testing.T) {
	overEveryProtocol(t, func(t *testing.T, p protocols) {
		arrived, cancelled := make(chan struct{}), make(chan struct{})
		f := p.front(t, func(_ http.ResponseWriter, r *http.Request) {
			close(arrived)
			<-r.Context().Done()
			close(cancelled)
		})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-arrived
			cancel()
		}()
		if _, err := f.try(f.newRequest("GET", "/", nil, readPinned).WithContext(ctx)); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		<-cancelled
		same(t, "decided", f.lastDecision(t).Decision.Reason, ReasonSticky)
		same(t, "attempts", len(f.sent()), 1)
	})
}

// 3.7, "client gone", in the middle of an upload: the other DC does not take the part for the whole.
func TestClientGoesAwayInItsUpload(t *testing.T) {
	begun, ended := make(chan struct{}), make(chan error, 1)
	f := protocols{http1, http1}.front(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadFull(r.Body, make([]byte, 3))
		close(begun)
		_, err := io.Copy(io.Discard, r.Body)
		ended <- err
	})
	conn, _ := f.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nabc")
	<-begun
	_ = conn.Close()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("a cut upload looks whole")
		}
	case <-time.After(10 * time.Second):
		t.Error("the other DC still waits")
	}
}
