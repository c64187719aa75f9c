package examples

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multidc/multidc/chronology"
	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/rdbmstest"
)

// An author sees the own edit in the other DC at any lag, in the mode that works there; in store mode in the own one. What
// another sees there may be old: so the test can fail.
func TestAuthorSeesOwnEditAtAnyLag(t *testing.T) {
	for _, lag := range []time.Duration{0, 300 * time.Millisecond, 5 * time.Second, time.Hour} {
		for mode, o := range map[string]chronology.Options{
			"token": {Keys: []chronology.Key{{ID: 1, Secret: make([]byte, 32)}}},
			"store": {},
		} {
			t.Run(mode+" "+lag.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newTwoDCs(t, lag, o)
					readIn := "b"
					if mode == "store" {
						readIn = "a"
					}
					for _, text := range []string{"first", "second"} {
						w.ask("a", http.MethodPost, text, true)
						require.Equal(t, text, w.ask(readIn, http.MethodGet, "", true), "the author")
					}
					if lag > time.Minute {
						require.Empty(t, w.ask("b", http.MethodGet, "", false), "a stranger")
					}
				})
			})
		}
	}
}

// twoDCs is one page, in two DCs over the same database servers, with an author who keeps cookies.
type twoDCs struct {
	*testing.T

	apps map[string]http.Handler
	jar  http.CookieJar
}

func newTwoDCs(t *testing.T, lag time.Duration, o chronology.Options) *twoDCs {
	t.Helper()
	fake := rdbmstest.New(t, rdbmstest.Server{Name: "a1", DC: "a"}, rdbmstest.Server{Name: "a2", DC: "a"}, rdbmstest.Server{Name: "b1", DC: "b"})
	fake.Set("a2", func(k *rdbmstest.Knobs) { k.Lag = lag })
	fake.Set("b1", func(k *rdbmstest.Knobs) { k.Lag = lag })
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	w := &twoDCs{t, map[string]http.Handler{}, jar}
	for _, dc := range []string{"a", "b"} {
		db, own := openDC(t, fake, rdbms.Options{DC: dc}, o)
		w.apps[dc] = own.Middleware(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { page(t, db, rw, r) }))
	}
	time.Sleep(3 * time.Second) // lags are measured
	return w
}

// openDC is what the processes of a DC have. In store mode each has a store of its own.
func openDC(t *testing.T, fake *rdbmstest.Cluster, options rdbms.Options, o chronology.Options) (*rdbms.Cluster, *chronology.Protector) {
	t.Helper()
	options.MaxLag = 2 * time.Hour
	db, err := rdbms.New(fake.Config(), &options)
	require.NoError(t, err)
	running := make(chan error)
	go func() { running <- db.Run(t.Context()) }()
	t.Cleanup(func() {
		require.NoError(t, <-running)
		require.NoError(t, db.Close(context.Background()))
	})
	o.DC = options.DC
	if len(o.Keys) == 0 {
		o.Store = chronology.NewMemory(0)
	}
	own, err := chronology.New([]chronology.Cluster{db.Positions()}, &o)
	require.NoError(t, err)
	return db, own
}

func page(t *testing.T, db *rdbms.Cluster, w http.ResponseWriter, r *http.Request) {
	t.Helper()
	if r.Method == http.MethodPost {
		_, err := db.Primary().ExecContext(r.Context(), "REPLACE INTO kv VALUES (?, ?)", "page", r.URL.Query().Get("text"))
		require.NoError(t, err)
		return
	}
	var text string
	err := db.Replica().QueryRowContext(r.Context(), "SELECT v FROM kv WHERE k = ?", "page").Scan(&text)
	if !errors.Is(err, sql.ErrNoRows) {
		require.NoError(t, err)
	}
	_, _ = w.Write([]byte(text))
}

func (w *twoDCs) ask(dc, method, text string, author bool) string {
	w.Helper()
	at, err := url.Parse("http://wiki.example/?text=" + text)
	require.NoError(w, err)
	r := httptest.NewRequestWithContext(w.Context(), method, at.String(), nil)
	answer := httptest.NewRecorder()
	if author {
		for _, c := range w.jar.Cookies(at) {
			r.AddCookie(c)
		}
	}
	w.apps[dc].ServeHTTP(answer, r)
	if author {
		w.jar.SetCookies(at, answer.Result().Cookies())
	}
	return answer.Body.String()
}
