package wanobjectcache_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multidc/multidc/wanobjectcache"
)

// T1, T2
func TestEmptyCache(t *testing.T) {
	w := newWorld(t)
	g, l := numbers(t, w.cache)
	empty := func() {
		t.Helper()
		if r := peek(t, g, "1"); r.State != wanobjectcache.Absent || r.Found || !r.AsOf.IsZero() || l.calls() != 0 {
			t.Errorf("got %+v", r)
		}
	}
	empty()
	if fill := store(t, g, "1", 1, wanobjectcache.SetOptions{TTL: -1}); fill != wanobjectcache.FillUncacheable {
		t.Errorf("Set was %s", fill)
	}
	empty()
}

// roundTrip stores a value, and wants the same back, by each way.
func roundTrip[V any](t *testing.T, name string, v V) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		calls := 0
		g := group(t, w.cache, wanobjectcache.GroupOptions[string, V]{TTL: time.Hour, LowTTL: -1, Load: func(context.Context, string) (V, error) {
			calls++
			return v, nil
		}})
		same := func(how string, r wanobjectcache.Result[string, V], err error) {
			t.Helper()
			if err != nil || !r.Found || !reflect.DeepEqual(r.Value, v) || r.TTL <= 0 || r.TTL > 3*time.Second {
				t.Errorf("%s, %s: %+v, %v", name, how, r, err)
			}
		}
		if fill, err := g.Set(t.Context(), "1", v, wanobjectcache.SetOptions{TTL: 3 * time.Second}); fill != wanobjectcache.FillStored || err != nil {
			t.Errorf("%s: Set %s, %v", name, fill, err)
		}
		time.Sleep(time.Second)
		r, err := g.Peek(t.Context(), "1")
		same("Peek", r, err)
		r, err = g.Fetch(t.Context(), "1")
		same("Fetch", r, err)
		if loaded, err := g.Fetch(t.Context(), "2"); err != nil || !reflect.DeepEqual(loaded.Value, v) {
			t.Errorf("%s, loaded: %+v, %v", name, loaded, err)
		}
		if again, err := g.Get(t.Context(), "2"); err != nil || !reflect.DeepEqual(again, v) || calls != 1 {
			t.Errorf("%s, again: %+v, %v, %d loads", name, again, err, calls)
		}
	})
}

type nested struct {
	Name string
	List []int
	More *nested
}

// T3
func TestAnyValueIsCacheable(t *testing.T) {
	roundTrip(t, "int", 14)
	roundTrip(t, "zero", 0)
	roundTrip(t, "float", 3.14)
	roundTrip(t, "empty string", "")
	roundTrip(t, "string", "0")
	roundTrip(t, "bytes", []byte("\x00\xff"))
	roundTrip(t, "empty list", []int{})
	roundTrip(t, "nil list", []int(nil))
	roundTrip(t, "nil pointer", (*nested)(nil))
	roundTrip(t, "false", false)
	roundTrip(t, "nested", nested{"a", []int{1, 2}, &nested{Name: "b"}})
	roundTrip(t, "418 bytes", strings.Repeat("ü", 209))
}

// T5
func TestSetAgain(t *testing.T) {
	w := newWorld(t)
	g, _ := numbers(t, w.cache)
	for i := range 3 {
		store(t, g, "1", i, wanobjectcache.SetOptions{})
		if r := peek(t, g, "1"); r.Value != i {
			t.Errorf("got %+v instead of %d", r, i)
		}
	}
}

// T46
func TestLongID(t *testing.T) {
	w := newWorld(t)
	g, _ := numbers(t, w.cache)
	for i, id := range []string{strings.Repeat("x", 190), strings.Repeat("x", 195), strings.Repeat("x", 194) + "y", strings.Repeat("ü", 190)} {
		store(t, g, id, i, wanobjectcache.SetOptions{})
		sent := w.store.requests()
		key := strings.TrimPrefix(sent[len(sent)-1], "add ")
		if hashed := strings.Contains(key, ":#"); hashed != (i != 0 && len("default:g:")+len(id) > 205 || i == 3) || len(key) > 218 {
			t.Errorf("key %q", key)
		}
	}
	for i, id := range []string{strings.Repeat("x", 190), strings.Repeat("x", 195), strings.Repeat("x", 194) + "y", strings.Repeat("ü", 190)} {
		if r := peek(t, g, id); r.Value != i {
			t.Errorf("%d: %+v", i, r)
		}
	}
}

func TestIDsWithoutAKey(t *testing.T) {
	w := newWorld(t)
	g, l := numbers(t, w.cache)
	for name, call := range map[string]func() error{
		"Get":    func() error { _, err := g.Get(t.Context(), ""); return err },
		"Peek":   func() error { _, err := g.Peek(t.Context(), ""); return err },
		"Set":    func() error { _, err := g.Set(t.Context(), "", 1, wanobjectcache.SetOptions{}); return err },
		"Delete": func() error { _, err := g.Delete(t.Context(), "1", ""); return err },
		"Many":   func() error { _, err := g.GetMany(t.Context(), []string{"1", ""}); return err },
	} {
		if err := call(); err == nil {
			t.Errorf("%s takes an empty id", name)
		}
	}
	if sent := w.store.requests(); len(sent) != 0 || l.calls() != 0 {
		t.Errorf("sent %q", sent)
	}
}

// What cannot be decoded, or is not ours, is absent, and replaced by what is loaded.
func TestUnusableRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, item := range map[string]wanobjectcache.StoreItem{
			"unreadable": {Value: []byte("WC?"), Flags: 0x57430101},
			"foreign":    {Value: []byte("<html>"), Flags: 0},
		} {
			w := newWorld(t)
			g, l := numbers(t, w.cache)
			_ = w.store.Memory.Set(t.Context(), wire("g:1", "v"), item, 0)
			if r := peek(t, g, "1"); r.State != wanobjectcache.Absent {
				t.Errorf("%s: %+v", name, r)
			}
			want(t, fetch(t, g, "1"), 1, wanobjectcache.MissCompute)
			want(t, fetch(t, g, "1"), 1, wanobjectcache.HitGood)
			if l.calls() != 1 {
				t.Errorf("%s: %d loads", name, l.calls())
			}
		}
		w := newWorld(t)
		texts := group(t, w.cache, wanobjectcache.GroupOptions[string, string]{TTL: time.Hour, Load: func(context.Context, string) (string, error) { return "text", nil }})
		if _, err := texts.Get(t.Context(), "1"); err != nil {
			t.Fatal(err)
		}
		g, _ := numbers(t, w.cache)
		want(t, fetch(t, g, "1"), 1, wanobjectcache.MissCompute)
		if w.seen.warned(wanobjectcache.Undecodable) == 0 {
			t.Error("nobody was warned")
		}
	})
}

// A tombstone whose body cannot be read is one all the same.
func TestUnreadableTombstone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g, _ := numbers(t, w.cache)
		_ = w.store.Memory.Set(t.Context(), wire("g:1", "v"), wanobjectcache.StoreItem{Value: []byte("?"), Flags: 0x57430102}, 11*time.Second)
		if r := peek(t, g, "1"); r.State != wanobjectcache.Purged || !r.PurgedAt.Equal(time.Now()) {
			t.Errorf("got %+v", r)
		}
		if fill := store(t, g, "1", 1, wanobjectcache.SetOptions{}); fill != wanobjectcache.FillPurged {
			t.Errorf("Set was %s", fill)
		}
	})
}

// A clock that is too far ahead must not make values that live for ever.
func TestValuesFromTheFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tc := range []struct {
			ahead, skew time.Duration
			want        wanobjectcache.State
		}{{time.Minute, 0, wanobjectcache.Fresh}, {time.Minute + ms, 0, wanobjectcache.Absent}, {time.Minute + ms, time.Second, wanobjectcache.Fresh}} {
			w := newWorld(t, func(o *wanobjectcache.Options) { o.MaxClockSkew = tc.skew })
			ahead, _ := w.process(func(o *wanobjectcache.Options) { o.Now = func() time.Time { return time.Now().Add(tc.ahead) } })
			h, _ := numbers(t, ahead)
			store(t, h, "1", 1, wanobjectcache.SetOptions{})
			g, _ := numbers(t, w.cache)
			if r := peek(t, g, "1"); r.State != tc.want || r.TTL > time.Hour {
				t.Errorf("%v ahead, skew %v: %+v", tc.ahead, tc.skew, r)
			}
		}
	})
}

// Np
func TestNewNamesWhatIsWrong(t *testing.T) {
	memory := wanobjectcache.NewMemory(nil)
	for name, tc := range map[string]struct {
		change func(*wanobjectcache.Options)
		words  []string
	}{
		"no Freshness":       {func(o *wanobjectcache.Options) { o.Freshness = nil }, []string{"Options.Freshness", "Unreplicated", "FromContext", "function of your own"}},
		"a bad DC":           {func(o *wanobjectcache.Options) { o.DC = "A" }, []string{"Options.DC"}},
		"Remote without DC":  {func(o *wanobjectcache.Options) { o.Remote = map[string]wanobjectcache.Store{"b": memory} }, []string{"Options.DC"}},
		"a log without DC":   {func(o *wanobjectcache.Options) { o.PurgeLog = wanobjectcache.NewMemoryPurgeLog() }, []string{"Options.DC"}},
		"own DC as remote":   {func(o *wanobjectcache.Options) { o.DC, o.Remote = "a", map[string]wanobjectcache.Store{"a": memory} }, []string{"Options.Remote", `"a"`}},
		"a remote without":   {func(o *wanobjectcache.Options) { o.DC, o.Remote = "a", map[string]wanobjectcache.Store{"b": nil} }, []string{"Options.Remote", "b"}},
		"a bad remote":       {func(o *wanobjectcache.Options) { o.DC, o.Remote = "a", map[string]wanobjectcache.Store{"B!": memory} }, []string{"Options.Remote"}},
		"a bad keyspace":     {func(o *wanobjectcache.Options) { o.Keyspace = "a:b" }, []string{"Options.Keyspace"}},
		"a negative timeout": {func(o *wanobjectcache.Options) { o.RemoteTimeout = -1 }, []string{"Options.RefreshTimeout, RemoteTimeout"}},
		"plaintext": {func(o *wanobjectcache.Options) {
			o.DC, o.Remote = "a", map[string]wanobjectcache.Store{"b": plaintext{memory}}
		}, []string{"Options.Remote", "b", "TLS", "AllowPlaintext"}},
	} {
		o := wanobjectcache.Options{Freshness: wanobjectcache.Unreplicated}
		tc.change(&o)
		_, err := wanobjectcache.New(memory, &o)
		for _, word := range tc.words {
			if err == nil || !strings.Contains(err.Error(), word) {
				t.Errorf("%s: the error has no %q: %v", name, word, err)
			}
		}
	}
	if _, err := wanobjectcache.New(nil, &wanobjectcache.Options{Freshness: wanobjectcache.Unreplicated}); err == nil {
		t.Error("New takes no Store")
	}
	if _, err := wanobjectcache.New(memory, nil); err == nil || !strings.Contains(err.Error(), "Freshness") {
		t.Errorf("without options: %v", err)
	}
}

type plaintext struct{ wanobjectcache.Store }

func (plaintext) Plaintext() bool { return true }

func TestNewGroupNamesWhatIsWrong(t *testing.T) {
	w := newWorld(t)
	for _, ttl := range []time.Duration{0, -1} {
		if _, err := wanobjectcache.NewGroup(w.cache, "g", &options{TTL: ttl}); err == nil || !strings.Contains(err.Error(), "GroupOptions.TTL") {
			t.Errorf("TTL %v: %v", ttl, err)
		}
	}
	for _, name := range []string{"", "a:b", strings.Repeat("x", 65), "ü"} {
		if _, err := wanobjectcache.NewGroup(w.cache, name, &options{TTL: time.Hour}); err == nil {
			t.Errorf("name %q was taken", name)
		}
	}
	type point struct{ X, Y int }
	if _, err := wanobjectcache.NewGroup(w.cache, "g", &wanobjectcache.GroupOptions[point, int]{TTL: time.Hour}); err == nil || !strings.Contains(err.Error(), "GroupOptions.Key") {
		t.Errorf("ids without a key: %v", err)
	}
	if _, err := wanobjectcache.NewGroup[string, int](w.cache, "g", nil); err == nil {
		t.Error("no options were taken")
	}
}

// The options are copied: to change them afterwards changes nothing.
func TestOptionsAreCopied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		remote := newFaulty(nil)
		remotes := map[string]wanobjectcache.Store{"b": remote}
		w := newWorld(t, func(o *wanobjectcache.Options) { o.DC, o.Remote = "a", remotes })
		delete(remotes, "b")
		o := options{TTL: time.Hour, Load: func(context.Context, string) (int, error) { return 1, nil }}
		g, err := wanobjectcache.NewGroup(w.cache, "g", &o)
		if err != nil {
			t.Fatal(err)
		}
		o.Load = nil
		if _, err := g.Get(t.Context(), "1"); err != nil {
			t.Error(err)
		}
		if d, err := g.Delete(t.Context(), "1"); err != nil || d.Wait(t.Context()) != nil || !remote.item(wire("g:1", "v")).Found {
			t.Errorf("DC b was forgotten: %v, %v", d, err)
		}
	})
}

// A value that cannot be encoded is an error of Set, and fails no load.
func TestEncodingFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		f := func() {}
		g := group(t, w.cache, wanobjectcache.GroupOptions[string, func()]{TTL: time.Hour, Load: func(context.Context, string) (func(), error) { return f, nil }})
		if v, err := g.Get(t.Context(), "1"); v == nil || err != nil {
			t.Errorf("Get: %v", err)
		}
		if fills := take(w.seen, &w.seen.fills); len(fills) != 1 || fills[0].Fill != wanobjectcache.FillFailed || fills[0].Err == nil {
			t.Errorf("told as %+v", fills)
		}
		if _, err := g.Set(t.Context(), "1", f, wanobjectcache.SetOptions{}); err == nil {
			t.Error("Set stores a function")
		}
		w.isUnlocked("g:1")
	})
}

func TestErrorsWrap(t *testing.T) {
	p := &wanobjectcache.PanicError{Value: errBroken}
	if !errors.Is(p, errBroken) || errors.Unwrap(&wanobjectcache.PanicError{Value: "text"}) != nil {
		t.Error("a PanicError unwraps to its value, if that is an error")
	}
}
