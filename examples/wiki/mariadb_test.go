package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/multidc/multidc/rdbms/switchover"
)

func TestStoryOnMariaDB(t *testing.T) {
	ring, _, env := startBed(t)
	dir := docs(t, map[string]string{"guide/README.md": "# Guide\n\nSee [the other](other.md#part) one.", "guide/other.txt": "plain <text>"})
	w := startWiki(t, "-servers", env, "-import", dir)
	story(t, w)
	require.Contains(t, w.get(dcB, "/").body, "from mariadb-b")
	require.Equal(t, http.StatusConflict, w.post(dcB, "/_dc/primary", url.Values{"dc": {dcB}}).status, "the servers are their operator's")

	// The whole range of titles and texts arrives as it was.
	title, text := "Zürich 🏔 %?#&+ 'x' ", "é 🏔 'quoted' \\ \"double\""
	title = strings.TrimSpace(title)
	a := w.post(dcB, "/edit/"+url.PathEscape(title), url.Values{"text": {text}})
	require.Equal(t, http.StatusSeeOther, a.status, a.body)
	w.shows(dcB, "/edit/"+url.PathEscape(title), "é 🏔 &#39;quoted&#39; \\ &#34;double&#34;")

	// Started again on the same servers it imports nothing, and -lag sets the latency of the link.
	require.NoError(t, w.stop())
	w = startWiki(t, "-servers", env, "-import", dir, "-lag", "5ms")
	w.imported()
	require.Contains(t, w.printed(), "imported 0 pages of 2 documents")
	w.shows(dcB, "/_dc", `value="5ms"`)
	require.Equal(t, http.StatusBadRequest, w.post(dcA, "/_dc/lag", url.Values{"lag": {"2m"}}).status, "more than the link can")

	// A heartbeat that is gone makes the age unknown, not zero.
	admin, err := sql.Open("mysql", ring.Var("MARIADB_A_ADMIN"))
	require.NoError(t, err)
	defer func() { require.NoError(t, admin.Close()) }()
	_, err = admin.ExecContext(t.Context(), "RENAME TABLE heartbeat.heartbeat TO heartbeat.gone")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return w.health(dcB).AgeSeconds == nil }, patience, 10*time.Millisecond)
	w.shows(dcB, "/recent", "<strong>not known</strong>")
	w.shows(dcB, "/_dc/databases", "no heartbeat table")
	require.True(t, w.health(dcB).OK)
}

// Two people who save at the same time: one page, and nobody's text is lost without a word.
func TestEditsAtOnceOnMariaDB(t *testing.T) {
	_, _, env := startBed(t)
	w := startWiki(t, "-servers", env, "-import", t.TempDir())
	w.imported()
	answers := make(chan answer, 8)
	for i := range cap(answers) {
		go func() {
			var a answer
			defer func() { answers <- a }() // also if the request fails, which ends this goroutine
			a = w.post([]string{dcA, dcB}[i%2], "/edit/Race", url.Values{"text": {strings.Repeat("x", i+1)}})
		}()
	}
	saved := 0
	for range cap(answers) {
		a := <-answers
		require.Contains(t, []int{http.StatusSeeOther, http.StatusConflict}, a.status, a.body)
		if a.status == http.StatusSeeOther {
			saved++
		}
	}
	require.Positive(t, saved)
	require.Eventually(t, func() bool {
		return strings.Count(w.get(dcB, "/history/Race").body, "?revision=") == saved
	}, patience, 10*time.Millisecond)
}

func TestMariaDBErrorsMeanWhatTheyMean(t *testing.T) {
	m := &mariaDB{}
	for _, lost := range []error{driver.ErrBadConn, mysql.ErrInvalidConn, io.ErrUnexpectedEOF, context.DeadlineExceeded, os.ErrDeadlineExceeded} {
		require.ErrorIs(t, m.classify(lost, false), errUnavailable)
		require.ErrorIs(t, m.classify(lost, true), errUnknownOutcome, "who knows")
	}
	require.ErrorIs(t, m.classify(&mysql.MySQLError{Number: 1213}, false), errConflict)
	syntax := &mysql.MySQLError{Number: 1064}
	require.Equal(t, error(syntax), m.classify(syntax, true))
}

// The operator switches the servers and then the state, and the wiki follows. In between it is read-only.
func TestWikiFollowsSwitchedServers(t *testing.T) {
	ring, _, env := startBed(t)
	state := filepath.Join(t.TempDir(), "state.json")
	w := startWiki(t, "-servers", env, "-state", state, "-import", t.TempDir())
	w.imported()
	w.edit(dcB, "Switched", "saved in a")
	setReadOnly := func(variable string, on int) {
		admin, err := sql.Open("mysql", ring.Var(variable))
		require.NoError(t, err)
		defer func() { require.NoError(t, admin.Close()) }()
		_, err = admin.ExecContext(t.Context(), "SET GLOBAL read_only = ?", on)
		require.NoError(t, err)
	}
	setReadOnly("MARIADB_A_ADMIN", 1)
	w.refuses(dcA, "/edit/Other", "server mariadb-a is read-only")
	w.refuses(dcB, "/edit/Other", "server mariadb-a is read-only")
	w.shows(dcB, "/wiki/Switched", "saved in a")
	setReadOnly("MARIADB_B_ADMIN", 0)
	command, err := switchover.New(switchover.NewFile(state), &switchover.Options{DC: dcA})
	require.NoError(t, err)
	_, err = command.Update(t.Context(), func(d *switchover.Doc) error {
		d.Primary = dcB
		return nil
	})
	require.NoError(t, err)
	w.primaryIs(dcB)
	w.edit(dcA, "Switched", "saved in b")
	w.shows(dcB, "/wiki/Switched", "saved in b")
	w.shows(dcA, "/wiki/Switched", "saved in b")
	w.shows(dcA, "/_dc/databases", "primary mariadb-b")
}

// With the replication to b stopped, too, an author sees the own edits in b; and a cut makes no edit happen twice.
func TestOwnEditsOnMariaDB(t *testing.T) {
	ring, _, env := startBed(t)
	w := startWiki(t, "-servers", env, "-import", docs(t, map[string]string{"x.md": "x"}), "-lag", "20ms")
	w.imported()
	w.readsNear(dcB)
	havePages(t, ring, 1)
	admin, err := sql.Open("mysql", ring.Var("MARIADB_B_ADMIN"))
	require.NoError(t, err)
	defer func() { require.NoError(t, admin.Close()) }()
	_, err = admin.ExecContext(t.Context(), "STOP SLAVE SQL_THREAD")
	require.NoError(t, err)
	for _, browser := range []*running{w.as(), w.as("UseDC")} {
		ownEdits(t, browser)
	}
	require.Equal(t, http.StatusNotFound, w.get(dcB, "/history/Mine").status, "no other reader sees them yet")
	_, err = admin.ExecContext(t.Context(), "START SLAVE SQL_THREAD")
	require.NoError(t, err)
	w.shows(dcB, "/wiki/Mine", "second of mine")
	cutDuringEdits(t, w, 10, 100)
}
