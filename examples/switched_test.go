package examples

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multidc/multidc/chronology"
	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/rdbmstest"
)

func modes() map[string]chronology.Options {
	return map[string]chronology.Options{"token": {Keys: []chronology.Key{{ID: 1, Secret: make([]byte, 32)}}}, "store": {}}
}

// outcome is what a read gets whose replica does not get there.
type outcome struct {
	text   string
	lagged bool
	err    error
	path   rdbms.ReadPath // "" = none
}

func outcomes() map[chronology.TimeoutPolicy]outcome {
	return map[chronology.TimeoutPolicy]outcome{
		chronology.OnTimeoutPrimary: {"new", false, nil, rdbms.ReadPrimary},
		chronology.OnTimeoutStale:   {"", true, nil, rdbms.ReadLagged},
		chronology.OnTimeoutError:   {"", false, rdbms.ErrNotCaughtUp, ""},
	}
}

func (o outcome) check(t *testing.T, got answer) {
	t.Helper()
	require.ErrorIs(t, got.err, o.err)
	require.Equal(t, o.text, got.text)
	require.Equal(t, o.lagged, got.lagged)
	if o.path != "" {
		require.Equal(t, o.path, got.path)
	}
}

// switched is two DCs whose primary moves from a to b, with a replica in each that lags.
type switched struct {
	*testing.T

	fake   *rdbmstest.Cluster
	engine rdbms.Engine
	dbs    map[string]*rdbms.Cluster
	own    map[string]*chronology.Protector
	jar    http.CookieJar
	last   answer
}

type answer struct {
	text, required string
	err            error
	lagged, waited bool // waited, and then it was there
	path           rdbms.ReadPath
}

func newSwitched(t *testing.T, engine rdbms.Engine, o chronology.Options, lag time.Duration) *switched {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	w := &switched{T: t, engine: engine, dbs: map[string]*rdbms.Cluster{}, own: map[string]*chronology.Protector{}, jar: jar}
	w.fake = rdbmstest.New(t, rdbmstest.Server{Name: "a1", DC: "a"}, rdbmstest.Server{Name: "a2", DC: "a"},
		rdbmstest.Server{Name: "b1", DC: "b"}, rdbmstest.Server{Name: "b2", DC: "b"})
	for _, server := range []string{"a2", "b1", "b2", "a1"} { // a1 once it is a replica
		w.fake.Set(server, func(k *rdbmstest.Knobs) { k.Lag = lag })
	}
	if b, ok := engine.(*binlog); ok {
		b.primary.Store("a1")
	}
	for _, dc := range []string{"a", "b"} {
		w.dbs[dc], w.own[dc] = openDC(t, w.fake, rdbms.Options{DC: dc, Engine: engine, NoRemoteReads: true, Events: rdbms.Events{
			OnRead:   func(_ context.Context, i rdbms.ReadInfo) { w.last.path = i.Path },
			OnWaited: func(_ context.Context, i rdbms.WaitInfo) { w.last.waited = i.Reached },
		}}, o)
	}
	time.Sleep(3 * time.Second) // lags are measured
	return w
}

// readIn is where the author is protected: in store mode in the DC of the write.
func (*switched) readIn(mode string) string {
	if mode == "store" {
		return "a"
	}
	return "b"
}

// promote moves the primary to b1, and tells both DCs. The old one, which has all that it wrote, is taken out.
func (w *switched) promote() {
	w.Helper()
	time.Sleep(time.Second)
	w.fake.Promote("b1")
	if b, ok := w.engine.(*binlog); ok {
		b.primary.Store("b1")
	}
	config := w.fake.Config()
	config.Servers = slices.DeleteFunc(config.Servers, func(s rdbms.Server) bool { return s.Name == "a1" })
	for _, db := range w.dbs {
		require.NoError(w, db.SetServers(config))
		require.NoError(w, db.Refresh(w.Context()))
	}
}

func (w *switched) write(dc, text string) {
	w.Helper()
	w.ask(dc, http.MethodPost, func(ctx context.Context) {
		_, err := w.dbs[dc].Primary().ExecContext(ctx, "REPLACE INTO kv VALUES (?, ?)", "page", text)
		require.NoError(w, err)
	})
}

func (w *switched) read(dc string) answer {
	w.Helper()
	w.last = answer{}
	header := w.ask(dc, http.MethodGet, func(ctx context.Context) {
		w.last.required = w.own[dc].Explain(ctx).Clusters[0].Required
		err := w.dbs[dc].Replica().QueryRowContext(ctx, "SELECT v FROM kv WHERE k = ?", "page").Scan(&w.last.text)
		if !errors.Is(err, sql.ErrNoRows) {
			w.last.err = err
		}
	})
	w.last.lagged = header.Get("X-Database-Lagged") != ""
	return w.last
}

// ask runs a handler for the author, who keeps the cookies.
func (w *switched) ask(dc, method string, handler func(context.Context)) http.Header {
	w.Helper()
	at, err := url.Parse("http://wiki.example/")
	require.NoError(w, err)
	r := httptest.NewRequestWithContext(w.Context(), method, at.String(), nil)
	for _, c := range w.jar.Cookies(at) {
		r.AddCookie(c)
	}
	rec := httptest.NewRecorder()
	w.own[dc].Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { handler(r.Context()) })).ServeHTTP(rec, r)
	res := rec.Result()
	require.NoError(w, res.Body.Close())
	w.jar.SetCookies(at, res.Cookies())
	return res.Header
}
