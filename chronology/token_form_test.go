package chronology_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/chronology"
)

// rawEntry is an entry of a token that is made by hand.
type rawEntry struct {
	name     string
	hash     uint32 // if there is no name
	flags    byte
	ago      uint64
	position string
}

func rawBody(version, key byte, issued int64, list ...rawEntry) []byte {
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(issued))
	b := append([]byte{version, key}, ms[2:]...)
	b = append(b, byte(len(list)))
	for _, e := range list {
		h := e.hash
		if e.name != "" {
			sum := sha256.Sum256([]byte(e.name))
			h = binary.BigEndian.Uint32(sum[:])
		}
		b = binary.BigEndian.AppendUint32(b, h)
		b = append(b, e.flags)
		b = binary.AppendUvarint(b, e.ago)
		b = binary.AppendUvarint(b, uint64(len(e.position)))
		b = append(b, e.position...)
	}
	return b
}

func signed(b []byte) []byte {
	m := hmac.New(sha256.New, secret())
	_, _ = m.Write([]byte("multidc/chronology/token/1\x00"))
	_, _ = m.Write(b)
	return append(slices.Clone(b), m.Sum(nil)[:16]...)
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// 4.2: the order of the checks, with the reason of each.
func TestOrderOfChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main := &cluster{name: "main", writer: "a"}
		s := newSite(t, chronology.Options{Keys: keys()}, main)
		now := time.Now().UnixMilli()
		good := rawEntry{name: "main", flags: 1, ago: 5, position: "a1"}
		ok := signed(rawBody(1, 1, now, good))
		flip := slices.Clone(ok)
		flip[len(flip)-1] ^= 1
		for what, tc := range map[string][2]string{
			"good":                      {b64(ok), ""},
			"long, and no base64":       {strings.Repeat("*", 1025), "cookie:form"},
			"no base64":                 {"A*" + b64(ok)[2:], "cookie:form"},
			"padded":                    {b64(ok) + "=", "cookie:form"},
			"std alphabet":              {"+/" + b64(ok)[2:], "cookie:form"},
			"version 2, unknown key":    {b64(rawBody(2, 9, now, good)), "cookie:version"},
			"version 0":                 {b64(append(rawBody(0, 1, now, good), make([]byte, 16)...)), "cookie:version"},
			"unknown key, bad MAC":      {b64(append(rawBody(1, 9, now, good), make([]byte, 16)...)), "cookie:key"},
			"bad MAC, old":              {b64(append(rawBody(1, 1, now-1e6, good), make([]byte, 16)...)), "cookie:mac"},
			"bad MAC":                   {b64(flip), "cookie:mac"},
			"old, and bad entries":      {b64(signed(append(rawBody(1, 1, now-10_001), 7))), "cookie:old"},
			"just not old":              {b64(signed(rawBody(1, 1, now-10_000, good))), ""},
			"future, and bad entries":   {b64(signed(append(rawBody(1, 1, now+5_001), 7))), "cookie:future"},
			"just not future":           {b64(signed(rawBody(1, 1, now+5_000, good))), ""},
			"trailing byte":             {b64(signed(append(rawBody(1, 1, now, good), 0))), "cookie:form"},
			"no entries":                {b64(signed(rawBody(1, 1, now))), ""},
			"unsorted":                  {b64(signed(rawBody(1, 1, now, rawEntry{hash: 9, position: "a1"}, rawEntry{hash: 8, position: "a1"}))), "cookie:form"},
			"twice":                     {b64(signed(rawBody(1, 1, now, good, good))), "cookie:form"},
			"unknown cluster":           {b64(signed(rawBody(1, 1, now, rawEntry{hash: 9, position: "a1"}))), "cookie:cluster"},
			"unknown flags":             {b64(signed(rawBody(1, 1, now, rawEntry{name: "main", flags: 0xff, position: "a1"}))), ""},
			"a position past the end":   {b64(signed(append(rawBody(1, 1, now)[:8], 1, 0x0d, 0x6e, 0x40, 0x79, 1, 0, 200))), "cookie:form"},
			"an endless uvarint":        {b64(signed(append(rawBody(1, 1, now)[:8], append([]byte{1, 0x0d, 0x6e, 0x40, 0x79, 1}, slices.Repeat([]byte{0xff}, 11)...)...))), "cookie:form"},
			"one entry announced, none": {b64(signed(append(rawBody(1, 1, now)[:8], 1))), "cookie:form"},
			"asOf before the epoch":     {b64(signed(rawBody(1, 1, now, rawEntry{name: "main", ago: 1 << 62, position: "a1"}))), "cookie:form"},
			"empty":                     {"", "cookie:form"},
			"only a MAC":                {b64(signed([]byte{1, 1})), "cookie:form"},
		} {
			s.j.take()
			var required string
			newClient().send(s, get(t, "Cookie", "cp="+tc[0]), reading(main, &required))
			same(t, what, s.j.take(), tc[1])
			if tc[1] != "" && required != "" {
				t.Errorf("%s: required %q", what, required)
			}
		}
	})
}

// 4.2: the version is checked before what follows it.
func TestVersionOfAShortToken(t *testing.T) {
	s := newSite(t, chronology.Options{Keys: keys()}, &cluster{name: "main"})
	newClient().send(s, get(t, "Cookie", "cp="+b64([]byte{2})), quiet)
	same(t, "told", s.j.take(), "cookie:version")
}

// 4.2 writes a cluster's hash as eight digits: 0d6e4079.
func TestHashOfAnUnknownCluster(t *testing.T) {
	other := &cluster{name: "other", writer: "a"}
	s := newSite(t, chronology.Options{Keys: keys()}, other)
	token := b64(signed(rawBody(1, 1, time.Now().UnixMilli(), rawEntry{name: "main", flags: 1, position: "a1"})))
	newClient().send(s, get(t, "Cookie", "cp="+token), quiet)
	same(t, "hash", s.j.rejected[0].Cluster, "0d6e4079")
}

// 4.2: altered spare bits; every single bit of a token counts.
func TestEachBitCounts(t *testing.T) {
	main := &cluster{name: "main", writer: "a"}
	s := newSite(t, chronology.Options{Keys: keys()}, main)
	for n := range 3 { // three lengths modulo 3: with and without spare bits
		ok := signed(rawBody(1, 1, time.Now().UnixMilli(), rawEntry{name: "main", flags: 1, position: "a1" + strings.Repeat("0", n)}))
		text := b64(ok)
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		for at := range text {
			for bit := range 6 {
				b := []byte(text)
				b[at] = alphabet[strings.IndexByte(alphabet, b[at])^(1<<bit)]
				var required string
				newClient().send(s, get(t, "Cookie", "cp="+string(b)), reading(main, &required))
				if required != "" {
					t.Fatalf("character %d, bit %d: required %q", at, bit, required)
				}
			}
		}
		var required string
		newClient().send(s, get(t, "Cookie", "cp="+text), reading(main, &required))
		same(t, "the good one", required, "a1"+strings.Repeat("0", n))
	}
}

// 4.2: exactly 1,024 characters count, 1,025 do not.
func TestTokenLength(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main := &cluster{name: "main", writer: "a"}
		s := newSite(t, chronology.Options{Keys: keys()}, main)
		for _, tc := range []struct {
			bytes int
			want  string
		}{{768, ""}, {769, "header:form"}} {
			empty := len(signed(rawBody(1, 1, 0, rawEntry{name: "main", position: "x"}))) - 1 + 1 // the length takes a byte more
			p := "a" + strings.Repeat("0", tc.bytes-empty-2) + "1"
			text := b64(signed(rawBody(1, 1, time.Now().UnixMilli(), rawEntry{name: "main", flags: 1, position: p})))
			var required string
			newClient().send(s, get(t, chronology.TokenHeader, text), reading(main, &required))
			same(t, strconv.Itoa(len(text)), s.j.take(), tc.want)
			same(t, "required", required == p, tc.want == "")
		}
	})
}

// 3.9: what the cookie has is at most 1,024 characters; the longest that fit stay whole.
func TestCookieLength(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main := &cluster{name: "main", writer: "a"}
		s := newSite(t, chronology.Options{Keys: keys()}, main)
		longest := 0
		for n := 600; n < 800; n++ {
			p := "a" + strings.Repeat("0", n-2) + "1"
			c := newClient()
			c.do(s, "POST", writing(main, p))
			if len(c.cookies["cp"]) > 1024 {
				t.Fatalf("%d characters", len(c.cookies["cp"]))
			}
			var required string
			c.do(s, "GET", reading(main, &required))
			told := s.j.take()
			if required == p {
				longest = len(c.cookies["cp"])
				same(t, "told", told, "")
			} else {
				same(t, "told", told, "no-room:main")
				same(t, "required", required, "")
			}
		}
		same(t, "the longest", longest, 1024)
	})
}

// 3.9 and 3.4: the oldest asOf goes first, again and again.
func TestTokenReduced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all []chronology.Cluster
		var list []*cluster
		for _, n := range []string{"one", "two", "three"} {
			c := &cluster{name: n, writer: "a"}
			list, all = append(list, c), append(all, c)
		}
		s := newSite(t, chronology.Options{Keys: keys()}, all...)
		c := newClient()
		c.do(s, "POST", func(_ http.ResponseWriter, r *http.Request) {
			for i, at := range []int{2, 1, 3} { // two is the oldest, then one
				list[i].commitAt(r.Context(), "a"+strings.Repeat("0", 500)+strconv.Itoa(i+1), time.Now().Add(time.Duration(at-4)*time.Second))
			}
		})
		same(t, "told", s.j.take(), "no-room:one no-room:two")
		c.do(s, "GET", func(_ http.ResponseWriter, r *http.Request) {
			for i, want := range []string{"", "", "a3"} {
				q := list[i].requiredBy(r.Context())
				if len(q) != 1 || strings.ReplaceAll(q[0].position, "0", "") != want {
					t.Errorf("%s: %+v", list[i].name, q)
				}
			}
		})
	})
}

// 3.3: what is carried on: at most Window old, merged with the new, of cookie and header.
func TestCarryOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		main, other := &cluster{name: "main", writer: "a"}, &cluster{name: "other", writer: "a"}
		s := newSite(t, chronology.Options{Keys: keys()}, main, other)
		now := time.Now()
		tok := func(issued, ago time.Duration, name, p string) string {
			return b64(signed(rawBody(1, 1, now.Add(-issued).UnixMilli(), rawEntry{name: name, flags: 1, ago: uint64(ago / time.Millisecond), position: p})))
		}
		for what, tc := range map[string]struct{ cookie, header, want string }{
			"young":          {tok(3*time.Second, 2*time.Second, "main", "a3"), "", "a3,z1|"},
			"at Window":      {tok(5*time.Second, 5*time.Second, "main", "a3"), "", "a3,z1|"},
			"past Window":    {tok(5*time.Second, 5*time.Second+time.Millisecond, "main", "a3"), "", "z1|"},
			"another":        {tok(time.Second, 0, "other", "b3"), "", "z1|b3"},
			"both":           {tok(time.Second, 0, "main", "a3"), tok(0, 0, "main", "b4"), "a3,b4,z1|"},
			"a header alone": {"", tok(0, 0, "other", "b4"), "z1|b4"},
			"touch":          {tok(time.Second, 0, "other", ""), "", "z1|"},
		} {
			r := httptest.NewRequestWithContext(t.Context(), "POST", "/", nil)
			if tc.cookie != "" {
				r.Header.Set("Cookie", "cp="+tc.cookie)
			}
			if tc.header != "" {
				r.Header.Set(chronology.TokenHeader, tc.header)
			}
			c := newClient()
			c.send(s, r, writing(main, "z1"))
			c.do(s, "GET", func(_ http.ResponseWriter, r *http.Request) {
				same(t, what, main.positions(r.Context())+"|"+other.positions(r.Context()), tc.want)
				if what == "touch" {
					same(t, "a touch is carried on", len(other.requiredBy(r.Context())), 1)
				}
			})
			// a request that writes nothing gives no token
			c = newClient()
			r = httptest.NewRequestWithContext(t.Context(), "POST", "/", nil)
			r.Header.Set("Cookie", "cp="+tc.cookie)
			same(t, "nothing written", names(c.send(s, r, quiet)), "")
		}
		same(t, "told", strings.Contains(s.j.take(), "hole"), false)
	})
}
