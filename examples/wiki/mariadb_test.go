package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/multidc/multidc/internal/testservers"
)

func TestStoryOnMariaDB(t *testing.T) {
	ring := testservers.MariaDB(t, testservers.MariaDBOptions{Heartbeat: true})
	env := ring.EnvFile()
	dir := docs(t, map[string]string{"guide/README.md": "# Guide\n\nSee [the other](other.md#part) one.", "guide/other.txt": "plain <text>"})
	w := startWiki(t, "-servers", env, "-import", dir)
	story(t, w)
	require.Contains(t, w.get(dcB, "/").body, "MariaDB replica of b")

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
	require.Contains(t, w.get(dcB, "/recent").body, "<strong>not known</strong>")
	require.True(t, w.health(dcB).OK)
}

// Two people who save at the same time: one page, and nobody's text is lost without a word.
func TestEditsAtOnceOnMariaDB(t *testing.T) {
	ring := testservers.MariaDB(t, testservers.MariaDBOptions{Heartbeat: true})
	w := startWiki(t, "-servers", ring.EnvFile(), "-import", t.TempDir())
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
	require.NoError(t, m.classify(nil, true))
	for _, lost := range []error{driver.ErrBadConn, mysql.ErrInvalidConn, io.ErrUnexpectedEOF, context.DeadlineExceeded, os.ErrDeadlineExceeded} {
		require.ErrorIs(t, m.classify(lost, false), errUnavailable)
		require.ErrorIs(t, m.classify(lost, true), errUnknownOutcome, "who knows")
	}
	require.ErrorIs(t, m.classify(&mysql.MySQLError{Number: 1213}, false), errConflict)
	syntax := &mysql.MySQLError{Number: 1064}
	require.Equal(t, error(syntax), m.classify(syntax, true))
}
