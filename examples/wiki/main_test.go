package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	patience = cacheTTL + 30*time.Second
	tick     = 10 * time.Millisecond
)

// running is a wiki that a test has started.
type running struct {
	tb   testing.TB
	urls map[string]string // by DC
	http *http.Client
	stop func() error

	mu  sync.Mutex
	out strings.Builder
}

// startWiki runs the program on free ports, and ends it with the test.
func startWiki(tb testing.TB, args ...string) *running {
	tb.Helper()
	r := &running{tb: tb, urls: map[string]string{}, http: &http.Client{
		Transport:     &http.Transport{},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	ctx, cancel := context.WithCancel(context.Background())
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, append([]string{"-a", "127.0.0.1:0", "-b", "127.0.0.1:0"}, args...), writer, writer)
		_ = writer.Close()
		ended <- err
	}()
	ready := make(chan struct{})
	go r.read(reader, ready)
	r.stop = sync.OnceValue(func() error {
		r.http.CloseIdleConnections()
		cancel()
		return <-ended
	})
	tb.Cleanup(func() { require.NoError(tb, r.stop()) })
	select {
	case <-ready:
	case <-time.After(patience):
		tb.Fatal("no addresses were printed")
	}
	if len(r.urls) < 2 {
		tb.Fatalf("the wiki did not start: %v", r.stop())
	}
	return r
}

var addressLine = regexp.MustCompile(`^DC ([ab]): (http://[^ ]+)/$`)

// read collects the output, and closes ready when both addresses are known.
func (r *running) read(from io.Reader, ready chan struct{}) {
	closed := false
	for lines := bufio.NewScanner(from); lines.Scan(); {
		r.mu.Lock()
		r.out.WriteString(lines.Text() + "\n")
		r.mu.Unlock()
		if m := addressLine.FindStringSubmatch(lines.Text()); m != nil && !closed {
			if r.urls[m[1]] = m[2]; len(r.urls) == 2 {
				closed = true
				close(ready)
			}
		}
	}
	if !closed {
		close(ready)
	}
}

func (r *running) printed() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out.String()
}

// imported waits for the end of the import.
func (r *running) imported() {
	r.tb.Helper()
	require.Eventually(r.tb, func() bool { return strings.Contains(r.printed(), "imported ") }, patience, tick, r.printed())
}

// answer is one response, read to its end.
type answer struct {
	status int
	header http.Header
	body   string
}

func (r *running) do(method, dc, path, kind, body string) answer {
	r.tb.Helper()
	req, err := http.NewRequestWithContext(r.tb.Context(), method, r.urls[dc]+path, strings.NewReader(body))
	require.NoError(r.tb, err)
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	res, err := r.http.Do(req)
	require.NoError(r.tb, err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	require.NoError(r.tb, err)
	if routed := res.Header.Get("X-DC"); routed != "" {
		require.Contains(r.tb, routed, "; via="+dc+"; ", "%s %s", method, path)
	} else {
		require.Equal(r.tb, dc, res.Header.Get("Multidc-Served-By"), "%s %s", method, path)
	}
	return answer{status: res.StatusCode, header: res.Header, body: string(text)}
}

func (r *running) get(dc, path string) answer {
	r.tb.Helper()
	return r.do(http.MethodGet, dc, path, "", "")
}

func (r *running) post(dc, path string, form url.Values) answer {
	r.tb.Helper()
	return r.do(http.MethodPost, dc, path, "application/x-www-form-urlencoded", form.Encode())
}

// edit saves a page, which must succeed.
func (r *running) edit(dc, title, text string) {
	r.tb.Helper()
	a := r.post(dc, "/edit/"+title, url.Values{"text": {text}, "summary": {"by the test"}})
	require.Equal(r.tb, http.StatusSeeOther, a.status, a.body)
	require.Equal(r.tb, "/wiki/"+title, a.header.Get("Location"))
}

// shows waits until a page has a text.
func (r *running) shows(dc, path, text string) {
	r.tb.Helper()
	var last answer
	require.Eventually(r.tb, func() bool {
		last = r.get(dc, path)
		return last.status == http.StatusOK && strings.Contains(last.body, text)
	}, patience, tick, "%s in %s never shows %q", path, dc, text)
}

// health is /healthz, decoded.
func (r *running) health(dc string) (h health) {
	r.tb.Helper()
	require.NoError(r.tb, json.Unmarshal([]byte(r.get(dc, "/healthz").body), &h))
	return h
}

// aged waits until a DC says that its data may be older, or less old, than some seconds.
func (r *running) aged(dc string, older bool, seconds float64) {
	r.tb.Helper()
	require.Eventually(r.tb, func() bool {
		h := r.health(dc)
		return h.AgeSeconds != nil && (*h.AgeSeconds > seconds) == older
	}, patience, tick)
}

// readsNear waits until a DC reads a server of its own: at the start it does not know yet how old that one's data is.
func (r *running) readsNear(dc string) {
	r.tb.Helper()
	require.Eventually(r.tb, func() bool {
		name := r.health(dc).Database
		return strings.HasPrefix(name, dc+".db") || strings.HasPrefix(name, "mariadb-"+dc)
	}, patience, tick)
}

// explained decodes what a DC says of itself.
func (r *running) explained(dc, path string, into any) {
	r.tb.Helper()
	req, err := http.NewRequestWithContext(r.tb.Context(), http.MethodGet, r.urls[dc]+path, http.NoBody)
	require.NoError(r.tb, err)
	req.Header.Set("Accept", "application/json")
	res, err := r.http.Do(req)
	require.NoError(r.tb, err)
	defer func() { _ = res.Body.Close() }()
	require.Equal(r.tb, "application/json", res.Header.Get("Content-Type"))
	require.NoError(r.tb, json.NewDecoder(res.Body).Decode(into))
}

// docs makes a directory to import, of file names and contents.
func docs(tb testing.TB, files map[string]string) string {
	tb.Helper()
	dir := tb.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(tb, os.MkdirAll(filepath.Dir(file), 0o700))
		require.NoError(tb, os.WriteFile(file, []byte(text), 0o600))
	}
	return dir
}
