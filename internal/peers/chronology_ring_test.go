package peers

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/multidc/multidc/chronology"
	"github.com/multidc/multidc/rdbms"
)

// Nobody misses an own edit on a ring whose DC b is 3 s behind: 1,000 clients edit in one DC and read at once in the other, or
// where the sticky cookie leads them. What does not come from a replica comes after a wait in vain, as the policy says.
func TestRingOwnEdits(t *testing.T) {
	r := newRing(t, ptHeartbeat)
	exec(t, r.admin[b1], "STOP SLAVE", "CHANGE MASTER TO MASTER_DELAY = 3", "START SLAVE")
	t.Run("the primary after 1 s", func(t *testing.T) {
		w := newWiki(t, r, chronology.Options{Keys: wikiKeys, Wait: time.Second})
		ways := w.edits(t, func(*http.Client) string { return "b" })
		if ways["primary"] < clients/2 {
			t.Errorf("too few came from the primary: %v", ways)
		}
	})
	t.Run("the replica within 8 s", func(t *testing.T) {
		w := newWiki(t, r, chronology.Options{Keys: wikiKeys, Wait: 8 * time.Second})
		ways := w.edits(t, func(*http.Client) string { return "b" })
		if ways[b1]+ways[b2] < clients/2 || ways["waits that reached"] < clients/2 {
			t.Errorf("too few waited for a replica: %v", ways)
		}
		w.forgeries(t)
	})
	t.Run("the sticky cookie", func(t *testing.T) {
		w := newWiki(t, r, chronology.Options{}) // each DC gets a store
		ways := w.edits(t, func(c *http.Client) string {
			if at, _ := url.Parse(w.dcs["b"].URL); slices.ContainsFunc(c.Jar.Cookies(at), func(k *http.Cookie) bool { return k.Name == "UseDC" }) {
				return "a"
			}
			return "b"
		})
		if ways[a2] < clients/2 {
			t.Errorf("too few read a replica in a: %v", ways)
		}
		w.forgedTickets(t)
	})
}

const clients = 1000

var wikiKeys = []chronology.Key{{ID: 1, Secret: []byte(strings.Repeat("k", 32))}}

// wiki is an application with a process in each DC.
type wiki struct {
	dcs map[string]*wikiDC

	mu       sync.Mutex
	rejected map[chronology.Rejection]int
	holes    map[chronology.Hole]int
}

type wikiDC struct {
	*watched
	*httptest.Server
}

func newWiki(t *testing.T, r *ring, o chronology.Options) *wiki {
	t.Helper()
	w := &wiki{dcs: map[string]*wikiDC{}, rejected: map[chronology.Rejection]int{}, holes: map[chronology.Hole]int{}}
	o.CaptureTimeout, o.ReadTimeout = 10*time.Second, 10*time.Second // this is not about a machine with too little of everything
	o.Events = chronology.Events{
		OnRejected: func(_ context.Context, i chronology.RejectedInfo) { w.note(func() { w.rejected[i.Reason]++ }) },
		OnHole: func(_ context.Context, i chronology.HoleInfo) {
			w.note(func() { w.holes[i.Kind]++ })
			if i.Err != nil {
				t.Logf("hole %s: %v", i.Kind, i.Err)
			}
		},
	}
	// Neither knows the other's replicas: one in a would have what b waits for.
	for dc, config := range map[string]rdbms.Config{"a": r.config(a1, a2), "b": r.config(a1, b1, b2)} {
		for i := range config.Servers {
			config.Servers[i].AllowPlaintext = true // seen from b, those of a are elsewhere
		}
		d := &wikiDC{watched: watch(t, config, rdbms.Options{DC: dc, PrimaryShare: 1})}
		w.dcs[dc], o.DC = d, dc
		if o.Keys == nil {
			o.Store = chronology.NewMemory(0)
		}
		own, err := chronology.New([]chronology.Cluster{d.Positions()}, &o)
		if err != nil {
			t.Fatal(err)
		}
		d.Server = httptest.NewServer(own.Middleware(d.page()))
		t.Cleanup(d.Server.Close) //nolint:staticcheck // the cluster has a Close too
	}
	w.dcs["a"].are(t, rdbms.HealthFresh, a2)
	w.dcs["b"].are(t, rdbms.HealthFresh, b1, b2)
	return w
}

func (w *wiki) note(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// page is edited by POST, and read by GET from a replica.
func (d *wikiDC) page() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k := r.FormValue("k")
		if r.Method == http.MethodPost {
			if _, err := d.Primary().ExecContext(r.Context(), "REPLACE INTO kv VALUES (?, ?)", k, r.FormValue("v")); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
			return
		}
		v, err := get(r.Context(), d.Replica(), k)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Served-By", strings.Join(d.Served(r.Context()).Servers, " "))
		_, _ = fmt.Fprint(w, v)
	})
}

// edits lets each client edit in a, and read at once where to says. It returns how the reads were answered.
func (w *wiki) edits(t *testing.T, to func(*http.Client) string) map[string]int {
	t.Helper()
	w.strangers(t)
	ways, writers := map[string]int{}, make(chan struct{}, 8) // these two cores have other things to do as well
	var all sync.WaitGroup
	for i := range clients {
		writers <- struct{}{}
		all.Go(func() {
			way, err := w.edit(t.Context(), i+1, to, func() { <-writers })
			w.note(func() { ways[way]++ })
			if err != nil {
				t.Errorf("client %d: %v", i, err)
			}
		})
	}
	all.Wait()
	for _, d := range w.dcs {
		for _, i := range told(d.watched, &d.waits) {
			if i.Reached {
				ways["waits that reached"]++
			} else {
				ways["waits in vain"]++
			}
		}
	}
	t.Logf("%v; holes %v, rejected %v", ways, w.holes, w.rejected)
	unread := w.holes[chronology.HoleCapture] // on a busy machine a position may not be read in time: then the lag is limited
	if others := w.holes[chronology.HoleStoreRead] + w.holes[chronology.HoleStoreWrite] + w.holes[chronology.HoleIndexBehind]; others > 0 ||
		len(w.rejected) > 0 || unread > clients/20 {
		t.Error("that was not to go wrong")
	}
	if late := ways["primary"] + ways["flagged"] - ways["waits in vain"]; late < 0 || late > unread {
		t.Errorf("%d answers are late for no reason", late)
	}
	return ways
}

// strangers read before, in b: the primary's budget for late reads is a share of all.
func (w *wiki) strangers(t *testing.T) {
	t.Helper()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range clients {
				if _, err := get(rdbms.WithScope(t.Context()), w.dcs["b"].Replica(), "nothing"); !errors.Is(err, sql.ErrNoRows) {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

// edit is one client. It calls written in between.
func (w *wiki) edit(ctx context.Context, n int, to func(*http.Client) string, written func()) (way string, err error) {
	jar, _ := cookiejar.New(nil)
	c := &http.Client{Jar: jar}
	query := "/?k=edit-" + strconv.Itoa(n) + "&v=" + strconv.FormatInt(time.Now().UnixMicro(), 10)
	_, err = send(ctx, c, http.MethodPost, w.dcs["a"].URL+query)
	written()
	if err != nil {
		return "error", err
	}
	res, err := send(ctx, c, http.MethodGet, w.dcs[to(c)].URL+query)
	if err != nil {
		return "error", err
	}
	by := res.header.Get("Served-By")
	switch seen := strings.HasSuffix(query, "v="+res.body); {
	case !seen && res.header.Get("X-Database-Lagged") == "true":
		return "flagged", nil
	case !seen:
		return "MISSED", fmt.Errorf("it reads %q from %s after %s", res.body, by, query)
	case by == a1:
		return "primary", nil
	}
	return by, nil
}

type answer struct {
	header http.Header
	body   string
}

func send(ctx context.Context, c *http.Client, method, at string, cookies ...*http.Cookie) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, at, nil)
	if err != nil {
		return answer{}, err
	}
	for _, k := range cookies {
		r.AddCookie(k)
	}
	res, err := c.Do(r)
	if err != nil {
		return answer{}, err
	}
	body, err := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusOK {
		err = errors.Join(err, fmt.Errorf("%s: %s", res.Status, body))
	}
	return answer{res.Header, string(body)}, errors.Join(err, res.Body.Close())
}

// forgeries are cookies that nobody here signed, of positions that are far away: no read waits for them.
func (w *wiki) forgeries(t *testing.T) {
	t.Helper()
	jar, _ := cookiejar.New(nil)
	c := &http.Client{Jar: jar}
	if _, err := send(t.Context(), c, http.MethodPost, w.dcs["a"].URL+"/?k=forged&v=1"); err != nil {
		t.Fatal(err)
	}
	at, _ := url.Parse(w.dcs["b"].URL)
	cookies := jar.Cookies(at)
	good := cookies[slices.IndexFunc(cookies, func(k *http.Cookie) bool { return k.Name == "cp" })].Value
	raw, err := base64.RawURLEncoding.DecodeString(good)
	if err != nil {
		t.Fatal(err)
	}
	before := len(told(w.dcs["b"].watched, &w.dcs["b"].waits))
	for i := range raw {
		forged := slices.Clone(raw)
		forged[i] ^= 1 << (i % 8)
		k := &http.Cookie{Name: "cp", Value: base64.RawURLEncoding.EncodeToString(forged)}
		res, err := send(t.Context(), &http.Client{}, http.MethodGet, w.dcs["b"].URL+"/?k=forged", k)
		if by := res.header.Get("Served-By"); err != nil || by != b1 && by != b2 {
			t.Errorf("byte %d: by %q, %v", i, by, err)
		}
	}
	w.note(func() {
		sum := 0
		for n := range maps.Values(w.rejected) {
			sum += n
		}
		if sum != len(raw) {
			t.Errorf("of %d forged cookies were rejected: %v", len(raw), w.rejected)
		}
	})
	if after := len(told(w.dcs["b"].watched, &w.dcs["b"].waits)); after != before {
		t.Errorf("%d reads waited for what was forged", after-before)
	}
}

// forgedTickets have the form, and ids that nobody has.
func (w *wiki) forgedTickets(t *testing.T) {
	t.Helper()
	const n = 100
	for _, dc := range []string{"a", "b"} {
		before := len(told(w.dcs[dc].watched, &w.dcs[dc].waits))
		for i := range n {
			k := &http.Cookie{Name: "cpPosIndex", Value: fmt.Sprintf("1@%d#%032x", time.Now().Unix(), i)}
			if _, err := send(t.Context(), &http.Client{}, http.MethodGet, w.dcs[dc].URL+"/?k=forged", k); err != nil {
				t.Error(err)
			}
		}
		if after := len(told(w.dcs[dc].watched, &w.dcs[dc].waits)); after != before {
			t.Errorf("in %s %d reads waited for what was forged", dc, after-before)
		}
	}
	w.note(func() {
		if w.holes[chronology.HoleIndexBehind] != 2*n {
			t.Errorf("of %d forged ids were told: %v", 2*n, w.holes)
		}
	})
}
