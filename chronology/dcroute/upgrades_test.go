package dcroute

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// splice answers 101 and gives back what it gets.
func splice(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Connection", "Upgrade")
	w.Header().Set("Upgrade", r.Header.Get("Upgrade"))
	w.WriteHeader(http.StatusSwitchingProtocols)
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_ = rw.Flush()
	_, _ = io.Copy(conn, rw)
}

// 3.7, "and one without HTTP/2 for upgrades", and section 6: an upgrade of any name is spliced, by either protocol that the other
// DC speaks, and also if the caller's TLS names HTTP/2.
func TestUpgradesGoWithoutHTTP2(t *testing.T) {
	namesHTTP2 := upstreamOf(t, http2, splice)
	namesHTTP2.TLS.NextProtos = []string{"h2", "http/1.1"}
	for what, a := range map[string]Upstream{http1: upstreamOf(t, http1, splice), http2: upstreamOf(t, http2, splice), "NextProtos": namesHTTP2} {
		f := newFront(t, http1, a, nil)
		for _, name := range []string{"websocket", "other/1"} {
			conn, in := f.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: " + name + "\r\n\r\n")
			res, err := http.ReadResponse(in, nil) //nolint:bodyclose // it has none
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != http.StatusSwitchingProtocols || res.Header.Get(headerDC) != "a; via=b; reason=upgrade" {
				t.Errorf("%s, %s: %s %v", what, name, res.Status, res.Header)
				continue
			}
			_, _ = io.WriteString(conn, "ping\n")
			line, _ := in.ReadString('\n')
			same(t, what+", "+name, line, "ping\n")
			_ = conn.Close()
		}
	}
}

// 3.7, X-DC-Outcome: an upgrade whose name is none is refused before anything is sent: its outcome is known.
func TestUpgradeThatIsNotSent(t *testing.T) {
	f := protocols{http1, http1}.front(t, func(http.ResponseWriter, *http.Request) { t.Error("it was sent") })
	got := f.ask("POST", "/", nil, "Connection: Upgrade", "Upgrade: w\xe9b")
	same(t, "outcome", got.header[headerOutcome], "[]")
	if got.status < 400 {
		t.Errorf("%+v", got)
	}
}

// 3.4, Hijack: a handler here may take its connection, by HTTP/1; by HTTP/2 there is none to take, and other abilities stay.
func TestHijackHere(t *testing.T) {
	f := newFront(t, http1, Upstream{}, nil)
	f.handle(func(w http.ResponseWriter, _ *http.Request) {
		hijacker, ok := w.(http.Hijacker)
		if !ok {
			t.Error("no http.Hijacker")
			return
		}
		conn, rw, err := hijacker.Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = rw.WriteString("HTTP/1.1 299 Mine\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		_ = rw.Flush()
		_ = conn.Close()
	})
	f.expect("hijacked", f.ask("GET", "/", nil), 299, "")

	f = newFront(t, http2, Upstream{}, nil)
	f.handle(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := w.(http.Hijacker); ok || !strings.HasPrefix(r.Proto, http2) {
			t.Error("HTTP/2 has a Hijacker")
		}
		if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Error(err)
		}
	})
	f.expect("deadlines", f.ask("GET", "/", nil), 200, "")
}
