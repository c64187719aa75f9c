package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/multidc/multidc/chronology"
	"github.com/multidc/multidc/chronology/dcroute"
)

// cannotReach waits until edits in a DC are refused because the link is cut. An open connection may notice late.
func (r *running) cannotReach(dc, path string) {
	r.tb.Helper()
	require.Eventually(r.tb, func() bool {
		a := r.post(dc, path, url.Values{"text": {"never saved"}})
		require.Contains(r.tb, []int{http.StatusServiceUnavailable, http.StatusBadGateway}, a.status)
		return a.header.Get("Retry-After") != "" && a.header.Get("X-DC") == dc+"; via="+dc+"; reason=primary-unreachable" &&
			strings.Contains(a.body, "Nothing was changed")
	}, patience, tick)
}

func TestRoutingIsExplained(t *testing.T) {
	w := startWiki(t, "-lag", "0s", "-import", t.TempDir(), "-rollout", "2").as()
	for _, path := range []string{"/_dc/routing", "/_dc/own"} {
		require.Contains(t, w.get(dcA, "/_dc").body, `href="`+path+`"`)
	}
	require.Contains(t, w.get(dcB, "/_dc/own").body, "chronology in DC b: token mode")
	w.edit(dcB, "x", "x")
	require.Contains(t, w.get(dcB, "/_dc/own").body, "required by the cookie")
	var own chronology.Explanation
	w.explained(dcB, "/_dc/own", &own)
	require.Equal(t, dcB, own.DC)
	require.Contains(t, w.get(dcB, "/_dc/routing").body, "dcroute in DC b: the primary is a, epoch 1")
	var e struct {
		dcroute.Explanation
		Trace dcroute.Trace
	}
	w.explained(dcB, "/_dc/routing", &e)
	require.Equal(t, dcB, e.DC)
	require.Equal(t, 200, e.Rules.Default.Share)
	require.NotEmpty(t, e.Trace.Steps)
	require.Equal(t, uint64(1), e.Counts[dcroute.ReasonWrite])
}

// A share of the browsers reads in b, and always the same ones.
func TestRollout(t *testing.T) {
	for _, c := range []struct {
		percent              string
		clients, least, most int
	}{{"2", 1000, 10, 30}, {"0", 100, 0, 0}, {"100", 100, 100, 100}} {
		w := startWiki(t, "-lag", "0s", "-import", t.TempDir(), "-rollout", c.percent)
		require.Contains(t, w.get(dcB, "/style.css").header.Get("Set-Cookie"), clientCookie)
		answeredBy := func(n int) string {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.urls[dcB]+"/nowhere", http.NoBody)
			require.NoError(t, err)
			req.AddCookie(&http.Cookie{Name: clientCookie, Value: fmt.Sprint("client-", n)})
			res, err := w.http.Do(req)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			return res.Header.Get("Multidc-Served-By")
		}
		local := 0
		for n := range c.clients {
			by := answeredBy(n)
			if by == dcB {
				local++
			}
			if by == dcB || n%100 == 0 {
				require.Equal(t, by, answeredBy(n))
			}
		}
		require.GreaterOrEqual(t, local, c.least, "at %s %%", c.percent)
		require.LessOrEqual(t, local, c.most, "at %s %%", c.percent)
		require.NoError(t, w.stop())
	}
}

// While the link is cut who should read in a reads in b, and the answer says so.
func TestReadsGoOnDuringACut(t *testing.T) {
	w := startWiki(t, "-lag", "0s", "-import", t.TempDir())
	browser := w.as()
	browser.edit(dcB, "Kept", "mine")
	require.Eventually(t, func() bool { // b has it itself: else it reads in a
		body := w.get(dcB, "/history/Kept").body
		return strings.Contains(body, "?revision=") && strings.Contains(body, "from b.db ")
	}, patience, tick)
	require.Equal(t, http.StatusSeeOther, w.post(dcB, "/_dc/cut", nil).status)
	a := browser.get(dcB, "/wiki/Kept")
	require.Equal(t, http.StatusOK, a.status, a.body)
	require.Equal(t, "1", a.header.Get("X-DC-Stale-Risk"))
	require.Contains(t, a.body, "mine")
	require.Contains(t, a.body, "though the primary should have answered")
	a = w.get(dcB, "/wiki/Kept") // it belongs here
	require.Equal(t, http.StatusOK, a.status)
	require.Empty(t, a.header.Get("X-DC-Stale-Risk"))
	w.cannotReach(dcB, "/edit/Kept")
	a = w.post(dcB, "/edit/Kept", url.Values{"text": {"not lost"}})
	require.Regexp(t, "(?s)Not saved.*not lost", a.body, "the author has the text still")

	// Who edits in a meanwhile does not see it in b, but is told: no purge has reached the cache, so it is not asked.
	browser.edit(dcA, "Kept", "mine, during the cut")
	a = browser.get(dcB, "/wiki/Kept")
	require.Equal(t, "true", a.header.Get("X-Database-Lagged"))
	require.Contains(t, a.body, "more than it should")
	require.Equal(t, http.StatusSeeOther, w.post(dcB, "/_dc/heal", nil).status)
	browser.edit(dcB, "Kept", "mine, after the cut")
	require.Contains(t, browser.get(dcB, "/wiki/Kept").body, "mine, after the cut")
}

// cutDuringEdits: whatever b tells its authors, no edit is made twice, and one that is said to have failed was not made.
func cutDuringEdits(t *testing.T, w *running, authors, edits int) {
	t.Helper()
	const saved, conflict, refused = http.StatusSeeOther, http.StatusConflict, http.StatusServiceUnavailable
	const lost, late = http.StatusBadGateway, http.StatusGatewayTimeout
	statuses := make([][]int, authors) // by author and edit
	var answered atomic.Int32
	var group errgroup.Group
	for author := range authors {
		statuses[author] = make([]int, edits)
		group.Go(func() error {
			for n := range edits {
				a := w.post(dcB, fmt.Sprint("/edit/Cut", author), url.Values{"text": {strconv.Itoa(n)}, "summary": {fmt.Sprintf("edit %d", n)}})
				statuses[author][n] = a.status
				answered.Add(1)
				switch a.status {
				case saved, conflict:
				case refused:
					require.NotEmpty(t, a.header.Get("Retry-After"), a.body)
				case lost, late:
					require.Equal(t, "unknown", a.header.Get("X-DC-Outcome"), a.body)
				default:
					require.Fail(t, "no such answer", "%d: %s", a.status, a.body)
				}
			}
			return nil
		})
	}
	for _, button := range []string{"cut", "heal", "cut", "heal", "cut", "heal"} { // each when some more have been answered
		before := int(answered.Load())
		require.Eventually(t, func() bool { n := int(answered.Load()); return n >= min(before+authors*edits/10, authors*edits) }, patience, tick)
		require.Equal(t, http.StatusSeeOther, w.post(dcB, "/_dc/"+button, nil).status)
	}
	require.NoError(t, group.Wait())
	counts := map[int]int{}
	for author := range authors {
		history := w.get(dcA, fmt.Sprint("/history/Cut", author)).body
		for n, status := range statuses[author] {
			made := strings.Count(history, fmt.Sprintf(">edit %d<", n))
			counts[status]++
			require.LessOrEqual(t, made, 1, "edit %d of author %d was made twice", n, author)
			if status != lost && status != late {
				require.Equal(t, status == saved, made == 1, "edit %d of author %d was answered by %d", n, author, status)
			}
		}
	}
	t.Logf("answers by status: %v", counts)
	require.Positive(t, counts[saved])
	require.Positive(t, counts[refused])
}

func TestCutDuringEdits(t *testing.T) {
	w := startWiki(t, "-lag", "0s", "-import", t.TempDir())
	cutDuringEdits(t, w, 8, 125)
}
