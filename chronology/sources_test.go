package chronology_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/chronology"
)

func get(t *testing.T, header ...string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

// 3.2: both sources valid: both required; one bad: the other is.
func TestSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main, other := &cluster{name: "main", writer: "a"}, &cluster{name: "other", writer: "a"}
		now := time.Now().UnixMilli()
		x := b64(signed(rawBody(1, 1, now, rawEntry{name: "main", flags: 1, position: "a1"})))
		y := b64(signed(rawBody(1, 1, now, rawEntry{name: "main", flags: 1, position: "b2"})))
		for _, mode := range []chronology.Options{{Keys: keys()}, {Keys: keys(), Store: chronology.NewMemory(0)}} {
			s := newSite(t, mode, main, other)
			c := newClient()
			c.do(s, "POST", writing(main, "a1"))
			var required string
			c.send(s, get(t, chronology.TokenHeader, y), reading(main, &required))
			same(t, "both", required, "a1 b2")
			c.send(s, get(t, chronology.TokenHeader, y[1:]), reading(main, &required))
			same(t, "a bad header", required, "a1")
			same(t, "told", strings.HasPrefix(s.j.take(), "header:"), true)
			newClient().send(s, get(t, chronology.TokenHeader, y, "Cookie", "cp=x; cpPosIndex=x"), reading(main, &required))
			same(t, "a bad cookie", required, "b2")
			same(t, "told", s.j.take(), "cookie:form")
		}
		none := newSite(t, chronology.Options{}, main)
		var required string
		newClient().send(none, get(t, chronology.TokenHeader, x, "Cookie", "cp="+x), reading(main, &required))
		same(t, "sticky mode", required+none.j.take(), "")
		noKeys := newSite(t, chronology.Options{Store: chronology.NewMemory(0)}, main)
		newClient().send(noKeys, get(t, chronology.TokenHeader, x, "Cookie", "cp="+x), reading(main, &required))
		same(t, "store mode without keys", required+noKeys.j.take(), "")
	})
}

// 3.8: Token's "" is nothing; a caller sets the header all the same.
func TestEmptyHeader(t *testing.T) {
	main := &cluster{name: "main", writer: "a"}
	s := newSite(t, chronology.Options{Keys: keys()}, main)
	called := get(t)
	newClient().do(s, "GET", func(_ http.ResponseWriter, r *http.Request) {
		token, err := s.own.Token(r.Context())
		if err != nil {
			t.Error(err)
		}
		called.Header.Set(chronology.TokenHeader, token)
	})
	newClient().send(s, called, quiet)
	same(t, "told", s.j.take(), "")
}

// 4.1: nothing before or after, no newline; 3.2: what is ignored is told.
func TestTicketForm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main := &cluster{name: "main", writer: "a"}
		s, store := storeSite(t, chronology.Options{}, main)
		good := fmt.Sprintf("3@%d#%s", time.Now().Unix(), strings.Repeat("0a", 16))
		for what, header := range map[string]string{
			"newline": "cpPosIndex=" + good + "\n", "CR": "cpPosIndex=" + good + "\r", "blank after": "cpPosIndex=" + good + " ",
			"tab after": "cpPosIndex=" + good + "\t", "blank before": "cpPosIndex= " + good, "backslash": "cpPosIndex=" + good + `\`,
			"quote": "cpPosIndex=" + good + `"`, "control": "cpPosIndex=" + good + "\x00", "not ASCII": "cpPosIndex=" + good + "é",
			"newline, then another": "cpPosIndex=" + good + "\n; x=y", "empty": "cpPosIndex=",
		} {
			store.gets.Store(0)
			newClient().send(s, get(t, "Cookie", header), quiet)
			same(t, what, s.j.take(), "cookie:form")
			same(t, what+": Gets", store.gets.Load(), 0)
		}
		newClient().send(s, get(t, "Cookie", "a=b; cpPosIndex="+good+"; c=d"), quiet)
		same(t, "among others", s.j.take(), "index-behind")
		newClient().send(s, get(t, "Cookie", "a=b", "Cookie", "cpPosIndex="+good), quiet)
		same(t, "in the second line", s.j.take(), "index-behind")
		newClient().send(s, get(t, "Cookie", "xcpPosIndex="+good+"; cpposindex="+good+"; cpPosIndex2="+good), quiet)
		same(t, "other names", s.j.take(), "")
	})
}

// 3.2, 4: retry after 20 ms, exactly two Gets; equal and above are fine, at once; wrap-around.
func TestIndexes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main := &cluster{name: "main", writer: "a"}
		s, store := storeSite(t, chronology.Options{}, main)
		id := strings.Repeat("ab", 16)
		for _, tc := range []struct {
			stored, brought string
			gets            int
			took            time.Duration
			told, required  string
		}{
			{"3", "3", 1, 0, "", "a1"},
			{"4", "3", 1, 0, "", "a1"},
			{"2", "3", 2, 20 * time.Millisecond, "index-behind", "a1"},
			{"4294967295", "4294967295", 1, 0, "", "a1"},
			{"", "3", 2, 20 * time.Millisecond, "index-behind", ""},
		} {
			if tc.stored != "" {
				put(t, store.Store, "cp/v1/"+id, fmt.Sprintf(`{"v":1,"i":%s,"c":{"main":{"t":%d,"a":%[2]d,"p":"a1"}}}`, tc.stored, time.Now().UnixMilli()))
			} else {
				store.Store = chronology.NewMemory(0)
			}
			store.gets.Store(0)
			began := time.Now()
			var required string
			newClient().send(s, get(t, "Cookie", fmt.Sprintf("cpPosIndex=%s@%d#%s", tc.brought, began.Unix(), id)), reading(main, &required))
			same(t, tc.stored+" "+tc.brought, []any{store.gets.Load(), time.Since(began), s.j.take(), required}, []any{tc.gets, tc.took, tc.told, tc.required})
		}
		put(t, store.Store, "cp/v1/"+id, fmt.Sprintf(`{"v":1,"i":4294967295,"c":{"main":{"t":%d,"a":%[1]d,"p":"a1"}}}`, time.Now().UnixMilli()))
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/", nil)
		r.Header.Set("Cookie", fmt.Sprintf("cpPosIndex=4294967295@%d#%s", time.Now().Unix(), id))
		c := newClient()
		c.send(s, r, writing(main, "a2"))
		same(t, "after the highest", strings.HasPrefix(c.cookies["cpPosIndex"], "1@"), true)
	})
}

// 3.2, 4.2: asOf, wait and policy reach the cluster as they are.
func TestRequireGets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main := &cluster{name: "main", writer: "a"}
		for _, tc := range []struct {
			wait   time.Duration
			want   time.Duration
			policy chronology.TimeoutPolicy
			text   string
		}{{0, time.Second, "", "primary"}, {3 * time.Second, 3 * time.Second, chronology.OnTimeoutError, "error"}, {-time.Second, -time.Second, chronology.OnTimeoutStale, "stale"}} {
			for _, o := range []chronology.Options{{Keys: keys()}, {Store: chronology.NewMemory(0)}} {
				o.Wait, o.OnTimeout = tc.wait, tc.policy
				s := newSite(t, o, main)
				c, at := newClient(), time.Now().Add(-400*time.Millisecond)
				c.do(s, "POST", func(_ http.ResponseWriter, r *http.Request) { main.commitAt(r.Context(), "a1", at) })
				c.do(s, "GET", func(_ http.ResponseWriter, r *http.Request) {
					q := main.requiredBy(r.Context())
					if len(q) != 1 || q[0].position != "a1" || !q[0].asOf.Equal(at) || q[0].onTimeout != tc.text || (q[0].wait < 0) != (tc.want < 0) || tc.want > 0 && q[0].wait != tc.want {
						t.Errorf("%+v", q)
					}
				})
			}
		}
	})
}

// 3.6: RecentWriter, from each source.
func TestRecentWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main := &cluster{name: "main", writer: "a"}
		store := chronology.NewMemory(0)
		token := newSite(t, chronology.Options{Keys: keys()}, main)
		stored := newSite(t, chronology.Options{Keys: keys(), Store: store}, main)
		now := time.Now()
		entry := func(issued, ago time.Duration, flags byte) string {
			return b64(signed(rawBody(1, 1, now.Add(-issued).UnixMilli(), rawEntry{name: "main", flags: flags, ago: uint64(ago / time.Millisecond)})))
		}
		for what, tc := range map[string]struct {
			s    *site
			head []string
			want bool
		}{
			"nothing":              {token, nil, false},
			"UseDC":                {token, []string{"Cookie", "UseDC=primary"}, true},
			"UseDC master":         {token, []string{"Cookie", "UseDC=master"}, true},
			"UseDC second":         {token, []string{"Cookie", "UseDC=x; UseDC=primary"}, true},
			"usedc":                {token, []string{"Cookie", "usedc=primary; UseDC=Primary; UseDCx=primary; xUseDC=primary"}, false},
			"cookie 10 s":          {token, []string{"Cookie", "cp=" + entry(0, 10*time.Second, 1)}, true},
			"cookie 10.001 s":      {token, []string{"Cookie", "cp=" + entry(0, 10001*time.Millisecond, 1)}, false},
			"cookie, 6 and 4":      {token, []string{"Cookie", "cp=" + entry(6*time.Second, 4*time.Second, 1)}, true},
			"cookie, 6 and 5":      {token, []string{"Cookie", "cp=" + entry(6*time.Second, 5*time.Second, 1)}, false},
			"header":               {token, []string{chronology.TokenHeader, entry(0, 0, 1)}, true},
			"header in store mode": {stored, []string{chronology.TokenHeader, entry(0, 0, 1)}, true},
			"bad header":           {stored, []string{chronology.TokenHeader, entry(0, 0, 1)[1:]}, false},
			"token in store mode":  {stored, []string{"Cookie", "cp=" + entry(0, 0, 1)}, false},
			"old index":            {stored, []string{"Cookie", fmt.Sprintf("cpPosIndex=1@%d#%032d", now.Unix()-11, 1)}, false},
		} {
			newClient().send(tc.s, get(t, tc.head...), func(_ http.ResponseWriter, r *http.Request) {
				same(t, what, tc.s.own.RecentWriter(r.Context()), tc.want)
			})
		}
		newClient().send(stored, get(t, "Cookie", fmt.Sprintf("cpPosIndex=1@%d#%032d", now.Unix(), 1)), func(_ http.ResponseWriter, r *http.Request) {
			same(t, "index", stored.own.RecentWriter(r.Context()), true)
		})
		same(t, "no scope", token.own.RecentWriter(t.Context()), false)
		ctx := token.own.WithToken(t.Context(), "")
		token.own.MarkWritten(ctx, "main")
		same(t, "marked", token.own.RecentWriter(ctx), true)
	})
}

// 4.1: the attributes, exactly.
func TestAttributes(t *testing.T) {
	main := &cluster{name: "main", writer: "a"}
	now := time.Unix(1700000000, 0)
	for _, store := range []bool{false, true} {
		o := chronology.Options{Keys: keys(), Now: func() time.Time { return now }, StickyTTL: 30 * time.Second}
		if store {
			o.Store, o.ClientID = chronology.NewMemory(0), func(*http.Request) string { return "user:42" }
		}
		s := newSite(t, o, main)
		got := newClient().do(s, "POST", func(_ http.ResponseWriter, r *http.Request) { main.commitAt(r.Context(), "a1", now) }).Header["Set-Cookie"]
		first := `cp=[A-Za-z0-9_-]+`
		if store {
			first = `cpPosIndex=1@1700000000#6ce29a1d6e2195a6f9dc29a6f784ea36`
		}
		want := "^" + first + `; Path=/; Max-Age=10; HttpOnly; SameSite=Lax\|UseDC=primary; Path=/; Max-Age=30; HttpOnly; SameSite=Lax$`
		if !regexp.MustCompile(want).MatchString(strings.Join(got, "|")) {
			t.Errorf("got %q", got)
		}
	}
}
