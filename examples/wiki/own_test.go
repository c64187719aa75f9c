package main

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// as is the same wiki, seen by a browser that keeps its cookies, but for those named.
func (r *running) as(without ...string) *running {
	r.tb.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(r.tb, err)
	return &running{tb: r.tb, urls: r.urls, http: &http.Client{
		Transport: r.http.Transport, CheckRedirect: r.http.CheckRedirect, Jar: forgetful{jar, without},
	}}
}

// forgetful is a jar that does not take some cookies.
type forgetful struct {
	http.CookieJar

	without []string
}

func (j forgetful) SetCookies(u *url.URL, cookies []*http.Cookie) {
	for _, c := range cookies {
		if !slices.Contains(j.without, c.Name) {
			j.CookieJar.SetCookies(u, []*http.Cookie{c})
		}
	}
}

// ownEdits: an edit in b is made in a, and its author sees it in both at once.
func ownEdits(t *testing.T, w *running) {
	t.Helper()
	for _, text := range []string{"first of mine", "second of mine"} {
		a := w.post(dcB, "/edit/Mine", url.Values{"text": {text}})
		require.Equal(t, http.StatusSeeOther, a.status, a.body)
		require.Equal(t, "a; via=b; reason=write", a.header.Get("X-DC"))
		require.Equal(t, dcA, a.header.Get("Multidc-Served-By"))
		for _, dc := range []string{dcB, dcA} {
			for _, path := range []string{"/wiki/Mine", "/edit/Mine", "/history/Mine"} {
				a := w.get(dc, path)
				require.Equal(t, http.StatusOK, a.status, "%s in %s: %s", path, dc, a.body)
				if !strings.HasPrefix(path, "/history") {
					require.Contains(t, a.body, text, "%s in %s", path, dc)
				}
				require.Regexp(t, "own edits that had to be seen: <strong>up to .*, by the cookie", a.body)
			}
		}
	}
}

func TestAuthorSeesOwnEdits(t *testing.T) {
	w := startWiki(t, "-lag", "0s", "-import", t.TempDir())
	w.shows(dcB, "/edit/Mine", "new page")
	w.readsNear(dcB)
	for _, lag := range []string{"3s", maxLag.String()} {
		require.Equal(t, http.StatusSeeOther, w.post(dcB, "/_dc/lag", url.Values{"lag": {lag}}).status)
		browser := w.as()
		ownEdits(t, browser)
		require.Equal(t, "a; via=b; reason=sticky", browser.get(dcB, "/wiki/Mine").header.Get("X-DC"))
		require.Contains(t, browser.get(dcB, "/wiki/Mine").body, "sent here by DC <strong>b</strong>")

		// Without the cookie that leads to a, it is b that reads what has to be seen.
		browser = w.as("UseDC")
		ownEdits(t, browser)
		a := browser.get(dcB, "/wiki/Mine")
		require.Equal(t, "b; via=b; reason=default", a.header.Get("X-DC"))
		require.Contains(t, a.body, "not asked, for this client has just written")
		require.Contains(t, a.body, "<strong>local</strong>, because: <strong>default</strong>")
	}
	w.shows(dcA, "/history/Mine", ">DC b<") // where it came in
}

// With the positions in a store of each DC the author is led to the DC whose store has it.
func TestAuthorSeesOwnEditsByStore(t *testing.T) {
	w := startWiki(t, "-lag", "3s", "-import", t.TempDir(), "-own", "store")
	require.Contains(t, w.get(dcB, "/_dc/own").body, "chronology in DC b: store mode")
	browser := w.as()
	ownEdits(t, browser)
	require.Equal(t, "a; via=b; reason=sticky", browser.get(dcB, "/wiki/Mine").header.Get("X-DC"))
}
