package main

import (
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/switchover"
)

// primaryIs waits until both datacenters, and the databases, have followed the state.
func (r *running) primaryIs(dc string) {
	r.tb.Helper()
	for _, in := range []string{dcA, dcB} {
		require.Eventually(r.tb, func() bool {
			h, page := r.health(in), r.get(in, "/_dc").body
			return h.Primary == dc && !strings.Contains(page, "is moving") && !strings.Contains(page, "Read-only:")
		}, patience, tick, "in %s the primary is not %s", in, dc)
	}
}

// move presses the button.
func (r *running) move(in, to string) {
	r.tb.Helper()
	a := r.post(in, "/_dc/primary", url.Values{"dc": {to}})
	require.Equal(r.tb, http.StatusSeeOther, a.status, a.body)
	r.primaryIs(to)
}

// refuses waits until edits in a DC get the read-only page.
func (r *running) refuses(dc, path, reason string) {
	r.tb.Helper()
	tries := 0
	require.Eventually(r.tb, func() bool {
		tries++
		text := strings.Repeat("refused ", tries)
		a := r.post(dc, path, url.Values{"text": {text}})
		return a.status == http.StatusServiceUnavailable && a.header.Get("Retry-After") == "10" &&
			strings.Contains(a.body, "takes no edits at the moment: "+reason) && strings.Contains(a.body, text)
	}, patience, tick)
}

func TestPrimaryMoves(t *testing.T) {
	w := startWiki(t, "-lag", "20ms", "-import", t.TempDir())
	w.shows(dcB, "/edit/Moved", "Save in DC a")
	w.edit(dcA, "Moved", "written in a, saved in a")
	w.move(dcA, dcB)
	require.Contains(t, w.get(dcA, "/_dc").body, "primary b since epoch 2")
	require.NotContains(t, w.get(dcB, "/edit/Moved").body, "Save in DC")
	require.Contains(t, w.get(dcA, "/edit/Moved").body, "Save in DC b")
	require.Contains(t, w.get(dcB, "/wiki/Moved").body, "written in a, saved in a", "b had all before it became the primary")
	w.edit(dcB, "Moved", "written in b, saved in b")
	require.Contains(t, w.get(dcB, "/wiki/Moved").body, "written in b, saved in b", "it is there at once")
	w.shows(dcA, "/wiki/Moved", "written in b, saved in b")

	// Now it is a that a cut keeps from writing.
	require.Equal(t, http.StatusSeeOther, w.post(dcB, "/_dc/cut", nil).status)
	w.cannotReach(dcA, "/edit/Moved")
	w.edit(dcB, "Moved", "third")
	require.Contains(t, w.get(dcB, "/_dc").body, "disabled title=")
	require.Equal(t, http.StatusSeeOther, w.post(dcB, "/_dc/heal", nil).status)
	w.shows(dcA, "/wiki/Moved", "third")
	w.move(dcB, dcA)
	w.edit(dcB, "Moved", "fourth")
	w.shows(dcA, "/wiki/Moved", "fourth") // when the purge has arrived
	w.shows(dcB, "/wiki/Moved", "fourth")
}

// Until the new primary has everything nobody takes edits, and whoever made the mistake can take it back.
func TestMoveWaitsAndCanBeTakenBack(t *testing.T) {
	w := startWiki(t, "-lag", "0s", "-import", t.TempDir())
	w.edit(dcA, "Kept", "first")
	w.shows(dcB, "/wiki/Kept", "first")
	require.Equal(t, http.StatusSeeOther, w.post(dcA, "/_dc/lag", url.Values{"lag": {"10m"}}).status)
	w.edit(dcA, "Kept", "second")
	require.Equal(t, http.StatusSeeOther, w.post(dcA, "/_dc/primary", url.Values{"dc": {dcB}}).status)
	w.shows(dcA, "/_dc", "The primary is moving.")
	w.refuses(dcA, "/edit/Kept", "server a.db is read-only")
	w.refuses(dcB, "/edit/Kept", "server a.db is read-only")
	require.Equal(t, dcA, w.health(dcB).Primary)
	w.move(dcB, dcA)
	w.edit(dcB, "Kept", "third")
	w.shows(dcA, "/wiki/Kept", "third")
}

// An operator's command changes the state in a file: the wiki follows, also after it was started again.
func TestStateInAFile(t *testing.T) {
	data := t.TempDir()
	w := startWiki(t, "-lag", "0s", "-data", data, "-import", t.TempDir())
	w.edit(dcA, "File", "first")
	command, err := switchover.New(switchover.NewFile(filepath.Join(data, "state.json")), &switchover.Options{DC: dcA})
	require.NoError(t, err)
	update := func(change func(*switchover.Doc)) {
		_, err := command.Update(t.Context(), func(d *switchover.Doc) error {
			change(d)
			return nil
		})
		require.NoError(t, err)
	}
	update(func(d *switchover.Doc) { d.ReadOnly = &switchover.Window{Reason: "spring cleaning"} })
	w.refuses(dcB, "/edit/Other", "spring cleaning")
	w.shows(dcB, "/wiki/File", "first") // reading goes on
	update(func(d *switchover.Doc) { d.ReadOnly, d.Primary = nil, dcB })
	w.primaryIs(dcB)
	w.edit(dcA, "File", "second, saved in b")
	require.NoError(t, w.stop())

	w = startWiki(t, "-lag", "0s", "-data", data, "-import", t.TempDir())
	w.primaryIs(dcB)
	w.edit(dcB, "File", "third, saved in b")
	w.shows(dcA, "/wiki/File", "third, saved in b")
}

func TestDatabasesAreExplained(t *testing.T) {
	w := startWiki(t, "-lag", "0s", "-import", t.TempDir())
	require.Contains(t, w.get(dcA, "/_dc").body, `href="/_dc/databases"`)
	for dc, reads := range map[string]string{dcA: "a.db", dcB: "b.db"} {
		w.shows(dc, "/_dc/databases", "reads of no group: class A, "+reads+": near and fresh")
		w.shows(dc, "/_dc/databases", "cluster wiki seen from DC "+dc+": primary a.db")
		var e rdbms.Explanation
		w.explained(dc, "/_dc/databases", &e)
		require.Equal(t, "a.db", e.Primary)
		require.Len(t, e.Servers, 2)
	}
}
