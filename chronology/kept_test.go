package chronology_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/chronology"
)

func put(t *testing.T, s chronology.Store, key, value string) {
	t.Helper()
	if err := s.Update(context.Background(), key, time.Minute, func([]byte) ([]byte, error) { return []byte(value), nil }); err != nil {
		t.Fatal(err)
	}
}

// recording keeps what Update got and gave.
type recording struct {
	chronology.Store

	mu    sync.Mutex
	key   string
	ttl   time.Duration
	value string
}

func (r *recording) Update(ctx context.Context, key string, ttl time.Duration, fn func([]byte) ([]byte, error)) error {
	return r.Store.Update(ctx, key, ttl, func(old []byte) ([]byte, error) {
		b, err := fn(old)
		again, err2 := fn(old) // pure
		if string(b) != string(again) || !errors.Is(err, err2) {
			return nil, errors.New("fn is not pure")
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.key, r.ttl, r.value = key, ttl, string(b)
		return b, err
	})
}

// 4.3: the golden value; key and TTL of 3.4.
func TestStoreValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.UnixMilli(1700000000100)
		main := &cluster{name: "main", writer: "a"}
		for _, tc := range []struct {
			o   chronology.Options
			key string
			ttl time.Duration
		}{
			{chronology.Options{}, "cp", time.Minute},
			{chronology.Options{Window: 50 * time.Second, KeyPrefix: "A.z_0:-"}, "A.z_0:-", time.Minute},
			{chronology.Options{Window: 51 * time.Second}, "cp", 61 * time.Second},
			{chronology.Options{Window: 60 * time.Second, KeyPrefix: strings.Repeat("k", 64)}, strings.Repeat("k", 64), 70 * time.Second},
		} {
			r := &recording{Store: chronology.NewMemory(0)}
			tc.o.Store, tc.o.Now = r, func() time.Time { return now }
			tc.o.Keys, tc.o.ClientID = keys(), func(*http.Request) string { return "user:42" }
			s := newSite(t, tc.o, main)
			id := "6ce29a1d6e2195a6f9dc29a6f784ea36"
			put(t, r.Store, tc.key+"/v1/"+id, `{"v":1,"i":2,"c":{},"new":[1]}`)
			res := newClient().do(s, "POST", func(_ http.ResponseWriter, r *http.Request) {
				main.commitAt(r.Context(), "m1:0-1-10", now.Add(-50*time.Millisecond))
			})
			same(t, "value", r.value, `{"v":1,"i":3,"c":{"main":{"t":1700000000100,"a":1700000000050,"p":"m1:0-1-10"}}}`)
			same(t, "key and ttl", []any{r.key, r.ttl}, []any{tc.key + "/v1/" + id, tc.ttl})
			same(t, "cookie", res.Cookies()[0].Value, "3@1700000000#"+id)
		}
	})
}

// 3.4: what does not decode counts as absent.
func TestUndecodable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main := &cluster{name: "main", writer: "a"}
		s, store := storeSite(t, chronology.Options{}, main)
		id := strings.Repeat("ab", 16)
		for _, v := range []string{``, `x`, `{}`, `{"v":2,"i":9,"c":{}}`, `{"v":1,"i":-1,"c":{}}`, `{"v":1,"i":4294967296,"c":{}}`, `[]`, `null`, `{"v":1,"i":1,"c":{"main":{"t":"x"}}}`, `{"v":1,"i":9,"c":{"main":{"t":1,"p":"a9"}}} x`, `{"v":1,"i":1,"c":{}}` + strings.Repeat(" ", 16<<10)} {
			put(t, store.Store, "cp/v1/"+id, v)
			var required string
			newClient().send(s, get(t, "Cookie", fmt.Sprintf("cpPosIndex=1@%d#%s", time.Now().Unix(), id)), reading(main, &required))
			same(t, v, required+" "+s.j.take(), " index-behind")
			r := httptest.NewRequestWithContext(t.Context(), "POST", "/", nil)
			r.Header.Set("Cookie", fmt.Sprintf("cpPosIndex=1@%d#%s", time.Now().Unix(), id))
			c := newClient()
			c.send(s, r, writing(main, "a2"))
			s.j.take()
			c.do(s, "GET", reading(main, &required))
			same(t, v, required+s.j.take(), "a2")
		}
	})
}

// 3.4: over 64 clusters; over 16 KiB.
func TestNoRoomInTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all []chronology.Cluster
		var list []*cluster
		for i := range 65 {
			c := &cluster{name: fmt.Sprintf("db-%02d", i), writer: "a"}
			list, all = append(list, c), append(all, c)
		}
		s, _ := storeSite(t, chronology.Options{}, all...)
		write := func(n int, size int) (c *client, told string) {
			c = newClient()
			c.do(s, "POST", func(_ http.ResponseWriter, r *http.Request) {
				for i := range n {
					list[i].commitAt(r.Context(), "a"+strings.Repeat("0", size-2)+"1", time.Now().Add(time.Duration(i-100)*time.Millisecond))
				}
			})
			return c, s.j.take()
		}
		count := func(c *client) (positions, touches int, first string) {
			c.do(s, "GET", func(_ http.ResponseWriter, r *http.Request) {
				for _, one := range list {
					for _, q := range one.requiredBy(r.Context()) {
						if q.position == "" {
							touches++
						} else {
							if positions++; first == "" {
								first = one.name
							}
						}
					}
				}
			})
			return positions, touches, first
		}
		c, told := write(64, 10)
		same(t, "64: told", told, "")
		p, q, _ := count(c)
		same(t, "64", []int{p, q}, []int{64, 0})
		c, told = write(65, 10)
		same(t, "65: told", strings.Contains(told, "no-room"), true)
		p, q, _ = count(c)
		t.Log("65 clusters: positions, touches", p, q)
		same(t, "65", p+q, 64)
		c, told = write(5, 4096)
		same(t, "5 × 4 KiB: told", told, "no-room:db-00 no-room:db-01")
		p, q, first := count(c)
		same(t, "5 × 4 KiB", []any{p, q, first}, []any{3, 2, "db-02"})
	})
}

// 3.4: the id of a valid cookie comes before ClientID; "" is unknown.
func TestClientIDOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main := &cluster{name: "main", writer: "a"}
		user, asked := "", 0
		s, _ := storeSite(t, chronology.Options{Keys: keys(), ClientID: func(*http.Request) string { asked++; return user }}, main)
		c := newClient()
		c.do(s, "GET", quiet)
		same(t, "asked by a read", asked, 0)
		c.do(s, "POST", writing(main, "a1"))
		random := c.cookies["cpPosIndex"]
		if !regexp.MustCompile(`^1@\d+#[0-9a-f]{32}$`).MatchString(random) || strings.Contains(random, "6ce29a1d") {
			t.Errorf("%q", random)
		}
		user = "user:42"
		c.do(s, "POST", writing(main, "a2"))
		same(t, "the cookie's", c.cookies["cpPosIndex"][1:], random[1:])
		time.Sleep(11 * time.Second)
		c.do(s, "POST", writing(main, "a3"))
		same(t, "without a cookie", strings.HasSuffix(c.cookies["cpPosIndex"], "#6ce29a1d6e2195a6f9dc29a6f784ea36"), true)
		c.ends["cpPosIndex"] = time.Now().Add(time.Hour)
		time.Sleep(11 * time.Second)
		user = ""
		old := c.cookies["cpPosIndex"]
		c.do(s, "POST", writing(main, "a4"))
		same(t, "an old cookie's id", strings.HasSuffix(c.cookies["cpPosIndex"], old[len(old)-33:]), false)
	})
}

// 3.4: rules of the merge, as they are stored.
func TestMergeAsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := time.UnixMilli(1700000000000)
		main := &cluster{name: "main", writer: "a"}
		for what, tc := range map[string]struct {
			old      string
			position string
			asOf     int64 // after base
			now      int64
			want     string
		}{
			"later":          {`"t":100,"a":50,"p":"a3"`, "b5", 900, 950, `"t":950,"a":900,"p":"a3,b5"`},
			"older":          {`"t":100,"a":50,"p":"a3"`, "b5", 20, 30, `"t":100,"a":50,"p":"a3,b5"`},
			"not comparable": {`"t":100,"a":50,"p":"binlog:1"`, "b5", 60, 110, `"t":110,"a":60,"p":"b5"`},
			"nor older":      {`"t":100,"a":50,"p":"binlog:1"`, "b5", 40, 110, `"t":110,"a":50,"p":"binlog:1"`},
			"a touch":        {`"t":100,"a":50,"p":"a3"`, "", 0, 300, `"t":300,"a":50,"p":"a3"`},
			"after a touch":  {`"t":100`, "a4", 200, 300, `"t":300,"a":200,"p":"a4"`},
		} {
			r := &recording{Store: chronology.NewMemory(0)}
			s := newSite(t, chronology.Options{Store: r, Keys: keys(), ClientID: func(*http.Request) string { return "user:42" }, Now: func() time.Time { return base.Add(time.Duration(tc.now) * time.Millisecond) }}, main)
			stamp := regexp.MustCompile(`"([ta])":(\d+)`)
			full := func(x string) string {
				return stamp.ReplaceAllStringFunc(x, func(m string) string {
					p := stamp.FindStringSubmatch(m)
					var n int64
					_, _ = fmt.Sscan(p[2], &n)
					return fmt.Sprintf(`"%s":%d`, p[1], base.UnixMilli()+n)
				})
			}
			put(t, r.Store, "cp/v1/6ce29a1d6e2195a6f9dc29a6f784ea36", full(`{"v":1,"i":7,"c":{"main":{`+tc.old+`},"stranger":{"t":5,"a":5,"p":"?"}}}`))
			newClient().do(s, "POST", func(_ http.ResponseWriter, r *http.Request) {
				at := base.Add(time.Duration(tc.asOf) * time.Millisecond)
				main.commitAt(r.Context(), tc.position, at)
			})
			same(t, what, r.value, full(`{"v":1,"i":8,"c":{"main":{`+tc.want+`},"stranger":{"t":5,"a":5,"p":"?"}}}`))
		}
	})
}

// 3.4: not comparable, read in the same moment: what was written last counts, as in rdbms.
func TestTieOfPositions(t *testing.T) {
	for mode, o := range map[string]chronology.Options{"token": {Keys: keys()}, "store": {Store: chronology.NewMemory(0)}} {
		synctest.Test(t, func(t *testing.T) {
			main := &cluster{name: "main", writer: "a"}
			s := newSite(t, o, main)
			c := newClient()
			c.do(s, "POST", writing(main, "binlog:9"))
			c.do(s, "POST", writing(main, "a4"))
			var required string
			c.do(s, "GET", reading(main, &required))
			same(t, mode, required, "a4")
		})
	}
}

// 3.4: merged beyond 4 KiB: the newer alone.
func TestMergedTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		huge := &growing{cluster{name: "main", writer: "a"}}
		s, _ := storeSite(t, chronology.Options{}, huge)
		for _, older := range []bool{false, true} {
			c, now := newClient(), time.Now()
			c.do(s, "POST", writing(&huge.cluster, "a"+strings.Repeat("0", 3000)+"1"))
			c.do(s, "POST", func(_ http.ResponseWriter, r *http.Request) {
				at := now.Add(time.Second)
				if older {
					at = now.Add(-time.Second)
				}
				huge.commitAt(r.Context(), "b"+strings.Repeat("0", 3000)+"2", at)
			})
			var required string
			c.do(s, "GET", reading(&huge.cluster, &required))
			same(t, "the newer", strings.ReplaceAll(required, "0", ""), map[bool]string{false: "b2", true: "a1"}[older])
		}
	})
}

type growing struct{ cluster }

func (*growing) Merge(a, b string) (string, error) { return a + "," + b, nil }

// OnKept: a write was remembered. Here nothing is, and no cookie goes out.
func TestKeptNothing(t *testing.T) {
	main := &cluster{name: "main", writer: "a"}
	s, store := storeSite(t, chronology.Options{DC: "b"}, main)
	store.updateErr = errors.New("down")
	same(t, "cookies", names(newClient().do(s, "POST", writing(main, "a1"))), "")
	same(t, "kept", fmt.Sprint(s.j.kept), "[]")
	sticky := newSite(t, chronology.Options{}, main)
	newClient().do(sticky, "GET", writing(main, "a1"))
	same(t, "kept in sticky mode", fmt.Sprint(sticky.j.kept), "[]")
}

// 3.3 and section 5: nothing is kept without a store; what Update's failure leaves; slow Update.
func TestUpdateFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main := &cluster{name: "main", writer: "a"}
		slow := &slowUpdates{Store: chronology.NewMemory(0)}
		s := newSite(t, chronology.Options{Store: slow}, main)
		began := time.Now()
		res := newClient().do(s, "POST", func(w http.ResponseWriter, r *http.Request) {
			main.commit(r.Context(), "a1")
			w.WriteHeader(http.StatusCreated)
		})
		same(t, "slow", []any{res.StatusCode, names(res), s.j.take(), time.Since(began)}, []any{201, "UseDC", "store-write", 250 * time.Millisecond})
		same(t, "Cache-Control", res.Header.Get("Cache-Control"), "private")
		s.j.kept = nil
		inB := newSite(t, chronology.Options{Store: slow, DC: "b"}, main)
		res = newClient().do(inB, "POST", writing(main, "a1"))
		same(t, "in b", []any{names(res), res.Header.Get("Cache-Control")}, []any{"", ""})
		for _, k := range inB.j.kept {
			t.Logf("OnKept although nothing was: %+v", k)
		}
	})
}

type slowUpdates struct{ chronology.Store }

func (*slowUpdates) Update(ctx context.Context, _ string, _ time.Duration, _ func([]byte) ([]byte, error)) error {
	<-ctx.Done()
	return ctx.Err()
}
