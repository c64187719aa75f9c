package purgelog

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/multidc/multidc/wanobjectcache"
	"github.com/multidc/multidc/wanobjectcache/internal/wirekey"
)

const goodKey = "WANCache:default:user:42|#|v"

func good() wanobjectcache.Purge {
	return wanobjectcache.Purge{Op: wanobjectcache.OpDelete, Key: goodKey, Time: time.UnixMicro(1549343530000000), Holdoff: 11 * time.Second, Origin: "a"}
}

func TestMessage(t *testing.T) {
	key, value, err := encode(good())
	want := `{"v":1,"op":"delete","key":"WANCache:default:user:42|#|v","t":1549343530000000,"h":11000000,"dc":"a"}`
	if err != nil || string(value) != want || string(key) != "default:user:42" {
		t.Fatalf("%s, %s, %v, want %s", key, value, err, want)
	}
	back, err := decode(value)
	if err != nil || back != good() {
		t.Errorf("read back as %+v, %v", back, err)
	}
}

// The longest key there is, of what JSON escapes.
func TestLongestMessageFits(t *testing.T) {
	for _, c := range []string{`"`, `\`, "<", "&", "~"} {
		p := good()
		p.Op, p.Origin = wanobjectcache.OpTag, strings.Repeat("z", 32)
		p.Time, p.Holdoff = time.UnixMicro(1<<62), maxHoldoff
		p.Key = "WANCache:k:tag:" + strings.Repeat(c, wirekey.MaxBase-len("k:tag:")) + "|#|t"
		_, value, err := encode(p)
		if err != nil || len(value) > maxMessage {
			t.Errorf("%q: %d bytes, %v", c, len(value), err)
		}
		if back, err := decode(value); err != nil || back != p {
			t.Errorf("%q: read back as %+v, %v", c, back, err)
		}
	}
}

func TestBadMessages(t *testing.T) {
	const m = `{"v":1,"op":"delete","key":"WANCache:default:user:42|#|v","t":1549343530000000,"h":11000000,"dc":"a"}`
	for name, tc := range map[string]struct{ old, new, why string }{
		"a newer version":      {`"v":1`, `"v":2`, "version 2"},
		"no version":           {`"v":1,`, ``, "version 0"},
		"an unknown op":        {`"delete"`, `"flush"`, `op "flush"`},
		"no time":              {`1549343530000000`, `0`, "t is not"},
		"a negative time":      {`1549343530000000`, `-1`, "t is not"},
		"a negative hold-off":  {`11000000`, `-1`, "h is not"},
		"more than an hour":    {`11000000`, `3600000001`, "h is not"},
		"a bad DC":             {`"dc":"a"`, `"dc":"A"`, "dc: "},
		"no DC":                {`,"dc":"a"`, ``, "dc: "},
		"no key":               {`"WANCache:default:user:42|#|v"`, `""`, "key is none"},
		"another program's":    {`WANCache:default`, `Cache:default`, "key is none"},
		"a tag's key":          {`|#|v`, `|#|t`, "key is none"},
		"a delete's key":       {`"delete"`, `"tag"`, "key is none"},
		"a mutex":              {`|#|v`, `|#|m`, "key is none"},
		"a command":            {`user:42`, `user:42\r\nflush_all\r\n`, "key is none"},
		"two words":            {`user:42`, `user:4 2`, "key is none"},
		"no group":             {`default:user:42`, `default`, "key is none"},
		"no component":         {`default:user:42`, `default:user::`, "key is none"},
		"an escape of nothing": {`user:42`, `user:%41`, "key is none"},
		"an open escape":       {`user:42`, `user:42%2`, "key is none"},
		"too long":             {`user:42`, `user:` + strings.Repeat("4", wirekey.MaxBase), "key is none"},
		"not JSON":             {`{`, `[`, "not JSON"},
		"a number that is not": {`11000000`, `1e400`, "not JSON"},
		"larger than it may":   {`{`, `{"x":"` + strings.Repeat("x", maxMessage) + `",`, "bytes"},
	} {
		_, err := decode([]byte(strings.Replace(m, tc.old, tc.new, 1)))
		if err == nil || !strings.Contains(err.Error(), tc.why) {
			t.Errorf("%s: %v, want %q", name, err, tc.why)
		}
	}
	if p, err := decode([]byte(strings.Replace(m, "{", `{"later":[1],`, 1))); err != nil || p != good() {
		t.Errorf("with an unknown field: %+v, %v", p, err)
	}
	epoch := strings.NewReplacer(`"delete"`, `"tag"`, "default:user:42|#|v", "global:WANCache-epoch|#|t").Replace(m)
	if _, err := decode([]byte(epoch)); !errors.Is(err, errKey) {
		t.Errorf("a purge of the epoch: %v", err)
	}
}

// Golden: lines of op, a tab, key, a tab and the message.
func TestGoldenMessages(t *testing.T) {
	file, err := os.Open("testdata/golden/messages.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := 0
	for scan := bufio.NewScanner(file); scan.Scan(); lines++ {
		part := strings.Split(scan.Text(), "\t")
		p, err := decode([]byte(part[2]))
		if err != nil || string(p.Op) != part[0] {
			t.Errorf("%s: %+v, %v", scan.Text(), p, err)
			continue
		}
		key, value, err := encode(p)
		if err != nil || string(key) != part[1] || string(value) != part[2] {
			t.Errorf("%s: written as %s %s, %v", scan.Text(), key, value, err)
		}
	}
	if lines == 0 {
		t.Error("no golden messages")
	}
}

// What is read is written again as the same, and is nothing that Replay refuses: it would be tried for ever.
func FuzzDecode(f *testing.F) {
	_, seed, _ := encode(good())
	f.Add(seed)
	f.Add(bytes.Replace(seed, []byte("delete"), []byte("tag"), 1))
	f.Add([]byte(`{"v":1,"op":"tag","key":"WANCache:default:tag:site:7|#|t","t":1,"h":0,"dc":"b"}`))
	f.Add([]byte(`{"v":1,"op":"delete","key":"WANCache:d:g:#` + strings.Repeat("0a", 32) + `|#|v","t":1,"h":0,"dc":"b"}`))
	f.Add([]byte(`{"v":1,"op":"delete","key":"WANCache:d:g:%3A%FF::x|#|v","t":1,"h":0,"dc":"b"}`))
	cache, err := wanobjectcache.New(wanobjectcache.NewMemory(nil), &wanobjectcache.Options{Freshness: wanobjectcache.Unreplicated})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		p, err := decode(value)
		if err != nil {
			return
		}
		_, again, err := encode(p)
		if err != nil || len(again) > maxMessage {
			t.Fatalf("%+v is written as %s, %v", p, again, err)
		}
		if back, err := decode(again); err != nil || back != p {
			t.Errorf("%+v, then %+v, %v", p, back, err)
		}
		if errs := cache.Replay(t.Context(), []wanobjectcache.Purge{p}); errs[0] != nil {
			t.Errorf("Replay of %+v: %v", p, errs[0])
		}
	})
}

// The other way: whatever a cache logs can be read.
func FuzzWhatIsLogged(f *testing.F) {
	f.Add("42", "site:7")
	f.Add("a:b%c#d|e{f}", "a b\x00é~")
	f.Add(strings.Repeat("x", 300), strings.Repeat("é", 300))
	f.Fuzz(func(t *testing.T, id, tag string) {
		log := wanobjectcache.NewMemoryPurgeLog()
		cache, err := wanobjectcache.New(wanobjectcache.NewMemory(nil), &wanobjectcache.Options{Freshness: wanobjectcache.Unreplicated, DC: "a", PurgeLog: log})
		if err != nil {
			t.Fatal(err)
		}
		group, err := wanobjectcache.NewGroup(cache, "g", &wanobjectcache.GroupOptions[string, string]{
			TTL: time.Hour, Key: func(id string) []string { return strings.Split(id, "/") },
		})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = group.Delete(t.Context(), id)
		_, _ = cache.PurgeTags(t.Context(), wanobjectcache.Tag(tag))
		for _, p := range log.From(0) {
			if _, _, err := encode(p); err != nil {
				t.Errorf("%+v: %v", p, err)
			}
		}
		if err := cache.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
