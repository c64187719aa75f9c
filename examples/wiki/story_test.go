package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multidc/multidc/rdbms"
)

func TestStoryEmbedded(t *testing.T) {
	dir := docs(t, map[string]string{"guide/README.md": "# Guide\n\nSee [the other](other.md#part) one.", "guide/other.txt": "plain <text>"})
	story(t, startWiki(t, "-lag", "20ms", "-import", dir))
}

// story is what a visitor does: reads, edits, cuts and heals, in both datacenters.
func story(t *testing.T, w *running) {
	t.Helper()
	w.imported()
	for _, dc := range []string{dcA, dcB} {
		w.shows(dc, "/wiki/guide/README", `<a href="/wiki/guide/other#part" rel="nofollow">the other</a>`)
		w.shows(dc, "/wiki/guide/other", "plain &lt;text&gt;")
		w.shows(dc, "/", "guide")
		w.shows(dc, "/?in=guide", `<a href="/wiki/guide/README">README</a>`)
		require.Contains(t, w.get(dc, "/wiki/guide/README").body, "Served by <strong>DC "+dc+"</strong>")
		require.True(t, w.health(dc).OK)
	}
	w.readsNear(dcB)
	w.aged(dcB, false, 5)

	// An edit in either reaches both.
	w.edit(dcA, "Story", "first, written in a")
	w.shows(dcB, "/wiki/Story", "first, written in a")
	w.edit(dcB, "Story", "second, written in b")
	w.shows(dcA, "/wiki/Story", "second, written in b")
	w.shows(dcB, "/wiki/Story", "second, written in b")
	for _, path := range []string{"/history/Story", "/recent"} {
		for _, text := range []string{">DC a<", ">DC b<", "by the test"} { // another server of b may know it later
			w.shows(dcB, path, text)
		}
	}

	// Cut: both go on reading, a goes on writing, b refuses and grows old.
	a := w.post(dcB, "/_dc/cut", nil)
	require.Equal(t, http.StatusSeeOther, a.status, a.body)
	w.shows(dcA, "/_dc", `<span class="pill">cut</span>`)
	w.cannotReach(dcB, "/edit/Story")
	w.edit(dcA, "Story", "third, written during the cut")
	w.shows(dcA, "/wiki/Story", "third, written during the cut")
	before := w.get(dcB, "/wiki/Story")
	require.Contains(t, before.body, "second, written in b")
	old := w.health(dcB).AgeSeconds
	require.NotNil(t, old)
	w.aged(dcB, true, *old+1)
	require.Contains(t, w.get(dcB, "/wiki/Story").body, "second, written in b")
	w.shows(dcB, "/_dc/databases", "seen from DC b")

	// Heal: b catches up, and what was refused is nowhere.
	require.Equal(t, http.StatusSeeOther, w.post(dcA, "/_dc/heal", nil).status)
	w.shows(dcB, "/wiki/Story", "third, written during the cut")
	w.aged(dcB, false, 5)
	require.NotContains(t, w.get(dcA, "/history/Story").body, "never saved")
	w.edit(dcB, "Story", "fourth, written in b")
	w.shows(dcA, "/wiki/Story", "fourth, written in b")
	w.shows(dcB, "/_dc", `<span class="pill">open</span>`)

	// The lag can be set.
	require.Equal(t, http.StatusSeeOther, w.post(dcB, "/_dc/lag", url.Values{"lag": {"70ms"}}).status)
	w.shows(dcA, "/_dc", `value="70ms"`)
	require.Equal(t, http.StatusSeeOther, w.post(dcB, "/_dc/lag", url.Values{"lag": {"0s"}}).status)
}

func TestLagIsSeen(t *testing.T) {
	w := startWiki(t, "-lag", "0s", "-import", t.TempDir())
	w.edit(dcA, "Late", "one")
	w.shows(dcB, "/wiki/Late", "one")
	w.readsNear(dcB)
	require.Equal(t, http.StatusSeeOther, w.post(dcA, "/_dc/lag", url.Values{"lag": {"10m"}}).status)
	w.edit(dcB, "Late", "two")
	w.shows(dcA, "/wiki/Late", "two")
	w.aged(dcB, true, 0.5)
	require.Contains(t, w.get(dcB, "/wiki/Late").body, "one", "b has not heard of it")
	w.shows(dcB, "/edit/Late", "two") // too far behind: b reads a's database
	require.Contains(t, w.get(dcB, "/recent").body, "from a.db")
	require.Equal(t, http.StatusSeeOther, w.post(dcA, "/_dc/cut", nil).status)
	w.shows(dcB, "/edit/Late", "one") // that cannot be reached: old, and it says so
	require.Contains(t, w.get(dcB, "/edit/Late").body, "more than it should")
	require.True(t, w.health(dcB).Lagged)
	require.Equal(t, http.StatusSeeOther, w.post(dcA, "/_dc/heal", nil).status)
	require.Equal(t, http.StatusSeeOther, w.post(dcA, "/_dc/lag", url.Values{"lag": {"0s"}}).status)
	w.shows(dcB, "/wiki/Late", "two")
}

func TestRestartKeepsPagesAndImportsNothingTwice(t *testing.T) {
	data := t.TempDir()
	dir := docs(t, map[string]string{"x.md": "x", "y.md": "y"})
	w := startWiki(t, "-lag", "0s", "-data", data, "-import", dir)
	w.imported()
	require.Contains(t, w.printed(), "imported 2 pages of 2 documents")
	w.edit(dcB, "x", "edited since")
	w.shows(dcB, "/wiki/x", "edited since")
	require.NoError(t, w.stop())

	w = startWiki(t, "-lag", "0s", "-data", data, "-import", dir)
	w.imported()
	require.Contains(t, w.printed(), "imported 0 pages of 2 documents")
	for _, dc := range []string{dcA, dcB} {
		w.shows(dc, "/wiki/x", "edited since")
		w.shows(dc, "/wiki/y", "y")
	}
}

// Where it reads from b has no tables: it says so, and does not pretend to be an empty wiki.
func TestNothingHereYet(t *testing.T) {
	w := startWiki(t, "-lag", "9m", "-import", t.TempDir())
	require.Equal(t, http.StatusSeeOther, w.post(dcA, "/_dc/cut", nil).status)
	for _, path := range []string{"/", "/wiki/x", "/edit/x", "/history/x", "/recent"} {
		a := w.get(dcB, path)
		require.Equal(t, http.StatusServiceUnavailable, a.status, path)
		require.NotEmpty(t, a.header.Get("Retry-After"))
		require.Contains(t, a.body, "have not reached datacenter b")
	}
	require.Equal(t, http.StatusServiceUnavailable, w.get(dcB, "/healthz").status)
	require.Nil(t, w.health(dcB).AgeSeconds, "unknown is not zero")
	require.Contains(t, w.get(dcB, "/_dc").body, "not known")
	require.Equal(t, http.StatusOK, w.get(dcA, "/").status)
}

func TestSecondEditorIsTold(t *testing.T) {
	w := startWiki(t, "-lag", "0s", "-import", t.TempDir())
	w.edit(dcA, "Shared", "base")
	w.shows(dcB, "/edit/Shared", `name="base" value="1"`)
	save := func(dc, base, text string) answer {
		return w.post(dc, "/edit/Shared", url.Values{"text": {text}, "base": {base}})
	}
	require.Equal(t, http.StatusSeeOther, save(dcB, "1", "first wins").status)
	a := save(dcA, "1", "second loses")
	require.Equal(t, http.StatusConflict, a.status)
	require.Contains(t, a.body, "second loses")
	require.Contains(t, a.body, "first wins")
	require.Contains(t, a.body, `name="base" value="2"`)
	require.Equal(t, http.StatusSeeOther, save(dcA, "2", "both, merged").status)
	w.shows(dcB, "/wiki/Shared", "both, merged")
	require.Equal(t, http.StatusOK, w.get(dcA, "/wiki/Shared?revision=1").status)
	require.Contains(t, w.get(dcA, "/wiki/Shared?revision=1").body, "base")
}

// A form opened where a page has not arrived yet says base=0: saving it must not undo what is in the primary.
func TestSecondAuthorIsTold(t *testing.T) {
	w := startWiki(t, "-lag", "0s", "-import", t.TempDir())
	form := func(text string) url.Values { return url.Values{"text": {text}, "base": {"0"}} }
	w.shows(dcB, "/edit/New", `name="base" value="0"`)
	require.Equal(t, http.StatusSeeOther, w.post(dcA, "/edit/New", form("first wins")).status)
	a := w.post(dcB, "/edit/New", form("second loses"))
	require.Equal(t, http.StatusConflict, a.status)
	require.Contains(t, a.body, "second loses")
	require.Contains(t, w.get(dcA, "/wiki/New").body, "first wins")
	w.edit(dcA, "New", "whoever names no base takes the newest")
}

func TestLinkToTheOther(t *testing.T) {
	at := func(ip string, port int) net.Listener {
		return fakeListener{addr: &net.TCPAddr{IP: net.ParseIP(ip), Port: port}}
	}
	for want, s := range map[string]sockets{
		"http://wiki.test:82/recent": {a: at("127.0.0.1", 81), b: at("127.0.0.1", 82)},
		"http://127.0.0.2:81/recent": {a: at("127.0.0.1", 81), b: at("127.0.0.2", 81)},
		"http://wiki.test:83/recent": {a: at("127.0.0.1", 81), b: at("::", 83)},
		"http://[fe80::1]:84/recent": {a: at("::", 81), b: at("fe80::1", 84)},
	} {
		require.Equal(t, want, s.otherURL(dcA, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://wiki.test:81/recent", http.NoBody)))
	}
}

type fakeListener struct {
	net.Listener
	addr net.Addr
}

func (l fakeListener) Addr() net.Addr { return l.addr }

func TestAge(t *testing.T) {
	for text, l := range map[string]rdbms.Lag{
		"not known": {}, "current": {Known: true}, "up to 0.1 s": {Known: true, Value: time.Millisecond},
		"up to 0.4 s": {Known: true, Value: 301 * time.Millisecond}, "up to 1m2s": {Known: true, Value: 61*time.Second + 1},
	} {
		require.Equal(t, text, age(l))
	}
}
