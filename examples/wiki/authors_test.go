package main

import (
	"database/sql"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/multidc/multidc/internal/testservers"
)

// A thousand authors come in in b, whose servers are 3 s behind, save what is made in a, and read it at once in b: nobody
// misses the own edit, wherever it is remembered. Half of those whose cookie says which one it is come without the other
// cookie, by which the router would lead them to a.
func TestAuthorsOnDelayedRing(t *testing.T) {
	const authors = 1000
	ring, _, env := startBed(t)
	delay(t, ring, 3)
	for _, own := range []string{"token", "store"} {
		w := startWiki(t, "-servers", env, "-import", docs(t, map[string]string{"x.md": "x"}), "-own", own)
		w.imported()
		w.readsNear(dcB)
		ways, led := map[string]int{}, map[string]int{}
		var mu sync.Mutex
		var group errgroup.Group
		group.SetLimit(24)
		for n := range authors {
			without := []string{"UseDC"}
			if n%2 == 0 || own == "store" {
				without = nil
			}
			group.Go(func() error {
				by, way := author(w.as(without...), fmt.Sprintf("%s/%d", own, n))
				mu.Lock()
				defer mu.Unlock()
				led[by]++
				ways[way]++
				return nil
			})
		}
		require.NoError(t, group.Wait())
		t.Logf("%s mode: answered by %v, from %v", own, led, ways)
		require.Zero(t, ways["MISSED"])
		require.Equal(t, authors, ways["mariadb-a"]+ways["mariadb-a-replica"]+ways["flagged"], "b's own servers cannot have it")
		if own == "store" {
			require.Equal(t, map[string]int{"a; via=b; reason=sticky": authors}, led)
		} else {
			require.Equal(t, map[string]int{"a; via=b; reason=sticky": authors / 2, "b; via=b; reason=default": authors / 2}, led)
			require.Less(t, ways["flagged"], authors/10, "who waited in vain reads the primary")
		}
		require.NoError(t, w.stop())
	}
}

// author saves a page, and reads it: by whom the answer was decided, and whose data it is.
func author(browser *running, name string) (by, way string) {
	browser.tb.Helper()
	text := "written by " + name + "."
	a := browser.post(dcB, "/edit/"+name, url.Values{"text": {text}})
	for range 50 {
		if a.status != http.StatusConflict { // new pages next to each other are in each other's way
			break
		}
		a = browser.post(dcB, "/edit/"+name, url.Values{"text": {text}})
	}
	require.Equal(browser.tb, http.StatusSeeOther, a.status, a.body)
	require.Equal(browser.tb, "a; via=b; reason=write", a.header.Get("X-DC"))
	a = browser.get(dcB, "/wiki/"+name)
	by = a.header.Get("X-DC")
	switch seen := strings.Contains(a.body, text); {
	case !seen && a.header.Get("X-Database-Lagged") == "true":
		return by, "flagged"
	case !seen:
		browser.tb.Errorf("%s misses the own edit: %s, %d: %s", name, by, a.status, a.body)
		return by, "MISSED"
	}
	if m := servedBy.FindStringSubmatch(a.body); m != nil {
		return by, m[1]
	}
	return by, "?"
}

var servedBy = regexp.MustCompile(`Served by <strong>[^/]*</strong>[^/]*, from ([^·]*[^ ·])`)

// delay sets how far DC b follows behind a, in whole seconds.
func delay(t *testing.T, ring *testservers.Instance, seconds int) {
	t.Helper()
	admin, err := sql.Open("mysql", ring.Var("MARIADB_B_ADMIN"))
	require.NoError(t, err)
	defer func() { require.NoError(t, admin.Close()) }()
	for _, statement := range []string{"STOP SLAVE", fmt.Sprint("CHANGE MASTER TO MASTER_DELAY = ", seconds), "START SLAVE"} {
		_, err = admin.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
}
