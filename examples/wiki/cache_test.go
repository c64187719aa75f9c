package main

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/multidc/multidc/chronology"
	"github.com/multidc/multidc/wanobjectcache"
)

const hits = "page hit.good, HTML hit.good"

func TestPagesAreCached(t *testing.T) {
	data, dir := t.TempDir(), docs(t, map[string]string{"x.md": "imported"})
	w := startWiki(t, "-lag", "20ms", "-data", data, "-import", dir)
	w.imported()
	require.NoError(t, w.stop())
	w = startWiki(t, "-lag", "20ms", "-data", data, "-import", dir)
	w.imported()
	w.readsNear(dcB)
	w.aged(dcB, false, 5)
	for _, dc := range []string{dcA, dcB} {
		first := w.get(dc, "/wiki/x").body
		require.Contains(t, first, "page miss.compute, HTML miss.compute")
		require.NotContains(t, first, "Last purge")
		second := w.get(dc, "/wiki/x").body
		require.Contains(t, second, hits)
		require.NotContains(t, second, ", from "+dc+".db", "no database was asked")
	}

	// An edit in a purges both. In b it is seen when it has been replicated, and is cached again after the hold-off.
	w.edit(dcA, "x", "edited in a")
	require.Contains(t, w.get(dcA, "/wiki/x").body, "edited in a")
	w.shows(dcA, "/recent", "Last purge from DC a, of x: page <strong>a: done in ")
	w.shows(dcA, "/recent", "; b: done in ")
	require.NotContains(t, w.get(dcB, "/recent").body, "Last purge", "it came from a")
	w.shows(dcB, "/wiki/x", "edited in a")
	old := false
	require.Eventually(t, func() bool {
		page := w.get(dcB, "/wiki/x").body
		old = old || !strings.Contains(page, "edited in a")
		return strings.Contains(page, hits)
	}, patience, tick)
	require.False(t, old, "it came back")

	// A cut link loses the purge, and it is told.
	require.Equal(t, http.StatusSeeOther, w.post(dcB, "/_dc/cut", nil).status)
	w.edit(dcA, "x", "edited during the cut")
	require.Contains(t, w.get(dcA, "/wiki/x").body, "edited during the cut")
	w.shows(dcA, "/recent", "; b: failed: ")
	require.Contains(t, w.get(dcA, "/recent").body, "the link is cut")
	require.Contains(t, w.get(dcB, "/wiki/x").body, "edited in a", "b has not heard of it")
	require.Contains(t, w.get(dcA, "/_dc/cache").body, "DC b does not answer")
	require.Equal(t, http.StatusSeeOther, w.post(dcB, "/_dc/heal", nil).status)
	w.edit(dcB, "x", "edited after the cut")
	w.shows(dcB, "/wiki/x", "edited after the cut")
	w.shows(dcA, "/wiki/x", "edited after the cut")
	w.shows(dcA, "/recent", "; b: done in ")
	require.NotContains(t, w.get(dcB, "/recent").body, "Last purge", "all edits are made in a")
}

func TestCacheIsExplained(t *testing.T) {
	w := startWiki(t, "-lag", "0s", "-import", t.TempDir())
	require.Contains(t, w.get(dcA, "/_dc").body, `href="/_dc/cache"`)
	for _, dc := range []string{dcA, dcB} {
		require.Contains(t, w.get(dc, "/_dc/cache").body, "cache of DC "+dc+", keyspace wiki")
		var e wanobjectcache.Explanation
		w.explained(dc, "/_dc/cache", &e)
		require.Equal(t, dc, e.DC)
		require.Len(t, e.DCs, 2)
		require.Len(t, e.Groups, 2)
		require.True(t, e.DCs[1].Reached)
	}
}

// Two values of one page are read one after the other. What does not belong together is not shown together.
func TestHTMLOfAnotherRevisionIsNotShown(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	states, err := openStates(ctx, config{})
	require.NoError(t, err)
	dbs, err := openEmbedded(ctx, config{dataDir: t.TempDir()}, dcA, t.Output())
	require.NoError(t, err)
	defer func() { require.NoError(t, dbs.close()) }()
	sites, err := openSites(states, dbs, chronology.TokenMode, t.Output())
	require.NoError(t, err)
	defer func() { require.NoError(t, sites.close(t.Context())) }()
	var group errgroup.Group
	defer func() { stop(); _ = group.Wait() }()
	group.Go(func() error { return sites[0].run(ctx) })
	require.NoError(t, createTables(ctx, sites[0].cluster.Primary(), dbs.dialect()))

	p := newPages(sites[0])
	_, err = p.save(ctx, edit{title: "x", text: "the text", imported: true})
	require.NoError(t, err)
	_, err = p.cache.html.Set(ctx, "x", rendered{Revision: 7, HTML: "another"}, wanobjectcache.SetOptions{})
	require.NoError(t, err)
	body, cached, err := p.newest(ctx, "x")
	require.NoError(t, err)
	require.Equal(t, "page miss.compute, HTML hit.good, of another revision: not used", cached)
	require.Equal(t, int64(1), body.Revision.ID)
	require.Contains(t, body.HTML, "the text")
}
