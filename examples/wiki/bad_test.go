package main

import (
	"html"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBadRequests(t *testing.T) {
	w := startWiki(t, "-lag", "0s", "-import", t.TempDir())
	form := "application/x-www-form-urlencoded"
	long := strings.Repeat("x", maxTitle+1)
	for name, c := range map[string]struct {
		method, path, kind, body string
		status                   int
		says                     string
	}{
		"title too long":       {"GET", "/wiki/" + long, "", "", 400, "at most 255"},
		"control character":    {"GET", "/wiki/a%01b", "", "", 400, "U+0001"},
		"newline in title":     {"POST", "/edit/a%0Ab", form, "text=x", 400, "U+000A"},
		"not UTF-8":            {"GET", "/edit/%ff", "", "", 400, "not valid UTF-8"},
		"no title":             {"GET", "/wiki/", "", "", 400, "needs a title"},
		"blank at the end":     {"GET", "/history/a%20", "", "", 400, "blank"},
		"dots":                 {"GET", "/wiki/a%2F..%2Fb", "", "", 400, "neither empty nor dots"},
		"no such page":         {"GET", "/wiki/Nothing/here", "", "", 404, `href="/edit/Nothing/here"`},
		"no history":           {"GET", "/history/Nothing", "", "", 404, "no page with this title"},
		"no such route":        {"GET", "/nowhere", "", "", 404, ""},
		"revision no number":   {"GET", "/wiki/x?revision=one", "", "", 400, "no number of a revision"},
		"no such revision":     {"GET", "/wiki/x?revision=77", "", "", 404, "no revision 77"},
		"unsupported method":   {"DELETE", "/wiki/x", "", "", 405, ""},
		"GET on a button":      {"GET", "/_dc/cut", "", "", 405, ""},
		"malformed escape":     {"POST", "/edit/x", form, "text=%zz", 400, "cannot be read"},
		"no text field":        {"POST", "/edit/x", form, "summary=x", 400, "text is missing"},
		"JSON":                 {"POST", "/edit/x", "application/json", `{"text":"x"}`, 400, "form-urlencoded"},
		"no type":              {"POST", "/edit/x", "", "text=x", 400, "form-urlencoded"},
		"text not UTF-8":       {"POST", "/edit/x", form, "text=%ff", 400, "not valid UTF-8"},
		"NUL":                  {"POST", "/edit/x", form, "text=a%00b", 400, "NUL"},
		"summary too long":     {"POST", "/edit/x", form, "text=x&summary=" + long, 400, "at most 255"},
		"base no number":       {"POST", "/edit/x", form, "text=x&base=new", 400, "field base"},
		"text too large":       {"POST", "/edit/x", form, "text=" + strings.Repeat("y", maxText+1), 413, "at most 1 MiB"},
		"body too large":       {"POST", "/edit/x", form, "text=" + strings.Repeat("y", maxForm), 413, "at most 1 MiB"},
		"no lag":               {"POST", "/_dc/lag", form, "lag=soon", 400, "for example"},
		"negative lag":         {"POST", "/_dc/lag", form, "lag=-1s", 400, "want 0s to"},
		"endless lag":          {"POST", "/_dc/lag", form, "lag=1000h", 400, "want 0s to"},
		"primary of no DC":     {"POST", "/_dc/primary", form, "dc=c", 400, "c"},
		"no primary":           {"POST", "/_dc/primary", form, "", 400, "No such primary"},
		"folder no title":      {"GET", "/?in=%01", "", "", 400, "cannot be seen"},
		"empty folder is fine": {"GET", "/?in=none", "", "", 200, "no pages below"},
	} {
		t.Run(name, func(t *testing.T) {
			a := w.do(c.method, dcA, c.path, c.kind, c.body)
			require.Equal(t, c.status, a.status, a.body)
			require.Contains(t, html.UnescapeString(a.body), html.UnescapeString(c.says))
		})
	}
	require.NotContains(t, w.get(dcA, "/recent").body, `href="/wiki/`, "nothing was saved")
	a := w.post(dcA, "/edit/Large", url.Values{"text": {strings.Repeat("é ", maxText/3)}})
	require.Equal(t, http.StatusSeeOther, a.status, "as large as it may be")
}

func TestForeignSitesCannotPost(t *testing.T) {
	w := startWiki(t, "-lag", "0s", "-import", t.TempDir())
	for _, path := range []string{"/edit/x", "/_dc/cut", "/_dc/lag", "/_dc/primary"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.urls[dcA]+path, strings.NewReader("text=x&lag=1s"))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", "https://evil.example")
		res, err := w.http.Do(req)
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, http.StatusForbidden, res.StatusCode, path)
	}
	require.Contains(t, w.get(dcA, "/_dc").body, `<span class="pill">open</span>`)
}

func TestScriptsAreCleaned(t *testing.T) {
	w := startWiki(t, "-lag", "0s", "-import", t.TempDir())
	text := `<script>alert(1)</script> <img src=x onerror=alert(2)> [click](javascript:alert(3)) <a href="data:text/html,x" onclick="y()">z</a>
<iframe src="https://evil.example"></iframe><svg onload=alert(4)><style>*{}</style><form action="/_dc/cut"><button>hi</button></form>

<div style="position:fixed">over all</div>`
	title := `<b>"quoted" & 'bold'<script>`
	escaped := url.PathEscape(title)
	a := w.post(dcA, "/edit/"+escaped, url.Values{"text": {text}, "summary": {"<script>alert(5)</script>"}})
	require.Equal(t, http.StatusSeeOther, a.status, a.body)
	for _, path := range []string{"/wiki/" + escaped, "/edit/" + escaped, "/history/" + escaped, "/recent", "/", "/wiki/" + escaped + "%2Fbelow"} {
		for _, dc := range []string{dcA, dcB} {
			if dc == dcB {
				require.Eventually(t, func() bool { return w.get(dcB, "/wiki/"+escaped).status == 200 }, patience, 10*time.Millisecond)
			}
			a := w.get(dc, path)
			require.Contains(t, a.header.Get("Content-Security-Policy"), "default-src 'none'")
			for _, bad := range []string{"<script", "<b>", "onerror=alert(2)>", "<iframe", "<svg", `action="/_dc/cut"`, `href="javascript`, `href="data:text`} {
				if strings.HasPrefix(path, "/edit") && bad == "onerror=alert(2)>" {
					continue // in a text area it is text
				}
				require.NotContains(t, a.body, bad, path)
			}
		}
	}
	page := w.get(dcA, "/wiki/"+escaped).body
	require.NotContains(t, page, "position:fixed")
	require.Contains(t, page, "over all")
}

func TestBadCommandLines(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test's
	require.NoError(t, err)
	defer func() { _ = taken.Close() }()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, []byte("x"), 0o600))
	env := func(text string) string {
		name := filepath.Join(t.TempDir(), "env")
		require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
		return name
	}
	free := []string{"-a", "127.0.0.1:0", "-b", "127.0.0.1:0"}
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"unknown flag":        {[]string{"-nonsense"}, "nonsense"},
		"argument":            {[]string{"up"}, `unexpected argument "up"`},
		"no address":          {[]string{"-a", "8081"}, "-a"},
		"no port":             {[]string{"-b", "127.0.0.1:http"}, "-b"},
		"same address":        {[]string{"-a", "127.0.0.1:8081", "-b", "127.0.0.1:8081"}, "both 127.0.0.1:8081"},
		"port taken":          {[]string{"-a", "127.0.0.1:0", "-b", taken.Addr().String()}, "choose another address with -b"},
		"negative lag":        {[]string{"-lag", "-1s"}, "-lag"},
		"negative rollout":    {[]string{"-rollout", "-1"}, "-rollout: -1: want 0 to 100"},
		"rollout to too many": {[]string{"-rollout", "101"}, "-rollout"},
		"rollout no number":   {[]string{"-rollout", "NaN"}, "-rollout"},
		"own edits nowhere":   {[]string{"-own", "none"}, "want token or store"},
		"missing directory":   {[]string{"-import", filepath.Join(file, "none")}, "-import"},
		"import of a file":    {[]string{"-import", file}, "is not a directory"},
		"data is a file":      {append(free, "-data", file), "data directory"},
		"data below a file":   {append(free, "-data", filepath.Join(file, "x")), "data directory"},
		"data and servers":    {[]string{"-data", "x", "-servers", file}, "give one of them"},
		"state of others":     {append(free, "-state", env(`{"v":1,"epoch":1,"primary":"c","primary_epoch":1,"dcs":{"c":{"pooled":true}}}`)), "DC c is the primary"},
		"state is no state":   {append(free, "-state", file), "who is the primary"},
		"no such folder":      {append(free, "-state", filepath.Join(file, "x", "state.json")), "who is the primary"},
		"no env file":         {append(free, "-servers", file+".none"), "no such file"},
		"env file is prose":   {append(free, "-servers", env("# good\n\nnot a variable\n")), "line 3"},
		"quote not closed":    {append(free, "-servers", env("export X='a\n")), "line 1: a quote is not closed"},
		"shell in env file":   {append(free, "-servers", env("export X=$(date)\n")), "line 1"},
		"env file incomplete": {append(free, "-servers", env("export MULTIDC_TEST_CA='/x'\n")), "missing: MULTIDC_TEST_CONTROL, MULTIDC_TEST_MARIADB_A,"},
		"bed of databases":    {append(free, "-servers", env(strings.ReplaceAll(badBed(file), "_MEMCACHED_", "_"))), "MULTIDC_TEST_MEMCACHED_B_VIA_A: want the env file of a test bed with all servers, or at least: testbed up --only mariadb,heartbeat,memcached"},
		"no CA file":          {append(free, "-servers", env(badBed(file+".none"))), "MULTIDC_TEST_CA"},
		"CA is no CA":         {append(free, "-servers", env(badBed(file))), "no certificate in"},
	} {
		t.Run(name, func(t *testing.T) {
			err := run(t.Context(), c.args, io.Discard, io.Discard)
			require.ErrorContains(t, err, c.says)
		})
	}
	require.NoError(t, run(t.Context(), []string{"-h"}, io.Discard, io.Discard))
	require.NoDirExists(t, filepath.Join(filepath.Dir(file), "x"))
}

// badBed is a complete env file of servers that do not exist.
func badBed(ca string) string {
	var out strings.Builder
	for _, name := range []string{"A", "A_REPLICA", "A_VIA_B", "A_REPLICA_VIA_B", "B", "B_REPLICA", "B_VIA_A", "B_REPLICA_VIA_A"} {
		out.WriteString("export MULTIDC_TEST_MARIADB_" + name + "='app:app@tcp(127.0.0.1:1)/'\n")
	}
	for _, name := range []string{"A", "A_VIA_B", "B", "B_VIA_A"} {
		out.WriteString("export MULTIDC_TEST_MEMCACHED_" + name + "='127.0.0.1:1,127.0.0.1:2'\n")
	}
	return out.String() + "export MULTIDC_TEST_CONTROL='127.0.0.1:1'\nexport MULTIDC_TEST_CA='" + ca + "'\n"
}
