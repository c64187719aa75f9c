package main

import (
	"database/sql"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multidc/multidc/internal/testservers"
)

// startBed starts servers of the test's own, and returns the env file that names them: on shared ones a cut would disturb
// others, and so would two wikis in one cache.
func startBed(t *testing.T) (ring, pool *testservers.Instance, env string) {
	t.Helper()
	pool = testservers.Memcached(t)
	for _, name := range []string{"MEMCACHED_A", "MEMCACHED_A_VIA_B", "MEMCACHED_B", "MEMCACHED_B_VIA_A"} {
		t.Setenv(envPrefix+name, pool.Var(name)) // from there the ring takes what it does not have
	}
	ring = testservers.MariaDB(t, testservers.MariaDBOptions{Heartbeat: true})
	return ring, pool, ring.EnvFile()
}

const misses = "page miss.compute, HTML miss.compute"

// hit is one from before the last purge. Whether a refresh has begun, chance decides.
const hit = `hit\.(good|refresh)`

var hitBoth = regexp.MustCompile("page " + hit + ", HTML " + hit + "<")

// missed is what becomes of a purge whose servers are gone: unknown if they were while it was sent.
const missed = "(failed|unknown)"

// purged waits until the last purge from a DC has ended like this, there and in the other.
func (r *running) purged(dc, here, there string) {
	r.tb.Helper()
	ends := "<strong>" + dc + ": " + here + "[^<]*; " + otherDC(dc) + ": " + there + "[^<]*</strong>"
	want := regexp.MustCompile("page " + ends + " · HTML " + ends)
	require.Eventually(r.tb, func() bool { return want.MatchString(r.get(dc, "/recent").body) }, patience, tick)
}

// havePages waits until so many have been replicated to every server: each read goes to one of them.
func havePages(t *testing.T, ring *testservers.Instance, pages int) {
	t.Helper()
	for _, b := range bedDatabases {
		db, err := sql.Open("mysql", ring.Var(b.variable))
		require.NoError(t, err)
		defer func() { require.NoError(t, db.Close()) }()
		require.Eventually(t, func() bool {
			var n int
			err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM wiki.page").Scan(&n)
			return err == nil && n == pages
		}, patience, tick)
	}
}

func TestPagesAreCachedOnMemcached(t *testing.T) {
	ring, pool, env := startBed(t)
	odd := "an odd title, of 'ünusual' length/" + strings.Repeat("x", 200) // longer than a key of memcached, and with blanks
	dir := docs(t, map[string]string{odd + ".md": "imported", "x.md": "imported", "y.md": "imported"})
	args := []string{"-servers", env, "-import", dir}
	w := startWiki(t, args...)
	w.imported()
	w.readsNear(dcB)
	w.aged(dcB, false, 5)
	havePages(t, ring, 3)
	for _, dc := range []string{dcA, dcB} {
		for _, path := range []string{urlOf("wiki", odd), "/wiki/x", "/wiki/y"} {
			require.Contains(t, w.get(dc, path).body, misses)
			require.Regexp(t, hitBoth, w.get(dc, path).body)
		}
	}

	// Another process finds them in the servers of its DC.
	require.NoError(t, w.stop())
	w = startWiki(t, args...)
	w.imported()
	for _, dc := range []string{dcA, dcB} {
		require.Regexp(t, hitBoth, w.get(dc, "/wiki/x").body)
	}

	// An edit in a purges both, also across a slow link.
	require.Equal(t, http.StatusSeeOther, w.post(dcA, "/_dc/lag", url.Values{"lag": {"300ms"}}).status)
	w.edit(dcA, "x", "edited in a")
	w.purged(dcA, "done", "done")
	require.NotRegexp(t, hit, w.get(dcB, "/wiki/x").body)
	w.shows(dcB, "/wiki/x", "edited in a")

	// A cut link loses the purge, and that is told. The next one reaches b.
	require.Equal(t, http.StatusSeeOther, w.post(dcB, "/_dc/cut", nil).status)
	w.edit(dcA, "y", "edited during the cut")
	w.purged(dcA, "done", missed)
	require.Contains(t, w.get(dcA, "/_dc/cache").body, "DC b does not answer")
	require.Contains(t, w.get(dcB, "/_dc/cache").body, "DC a does not answer")
	require.Regexp(t, hitBoth, w.get(dcB, "/wiki/y").body, "b has not heard of it")
	require.Equal(t, http.StatusSeeOther, w.post(dcB, "/_dc/heal", nil).status)
	w.edit(dcA, "y", "edited after the cut")
	w.purged(dcA, "done", "done")
	require.NotRegexp(t, hit, w.get(dcB, "/wiki/y").body)
	w.shows(dcB, "/wiki/y", "edited after the cut")

	// Without its servers b loads what it shows, and saves what it cannot purge.
	pool.Server("memcached-b-1").Stop()
	pool.Server("memcached-b-2").Stop()
	w.shows(dcB, "/wiki/y", "edited after the cut")
	for range 2 {
		require.Contains(t, w.get(dcB, "/wiki/y").body, "a server does not answer: "+misses)
	}
	w.edit(dcB, "y", "edited without a cache")
	w.purged(dcA, "done", missed)
	w.shows(dcA, "/wiki/y", "edited without a cache")
	w.shows(dcB, "/wiki/y", "edited without a cache")
	pool.Server("memcached-b-1").Start()
	pool.Server("memcached-b-2").Start()
	require.NotContains(t, w.get(dcB, "/wiki/y").body, "does not answer")
}
