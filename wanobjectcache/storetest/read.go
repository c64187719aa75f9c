package storetest

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/multidc/multidc/wanobjectcache"
)

func reads() []test {
	return []test{
		{name: "nothing there", run: readNothing},
		{name: "no keys", run: readNoKeys},
		{name: "any bytes", run: readAnyBytes},
		{name: "any flags", run: readAnyFlags},
		{name: "any key", run: readAnyKey},
		{name: "a thousand keys", run: readMany},
		{name: "a key twice", run: readTwice},
		{name: "the caller's memory", run: readMemory},
	}
}

// out may be one that was used before: nothing of that remains.
func readNothing(t *testing.T, s *subject) {
	s.set(t, s.key("there"), "value")
	out := []wanobjectcache.StoreItem{
		{Value: []byte("old"), Flags: 7, Token: "old", Found: true, Err: wanobjectcache.ErrUnavailable},
		{Value: []byte("old"), Flags: 7, Token: "old", Found: true, Err: wanobjectcache.ErrUnavailable},
	}
	must(t, "GetMulti", s.GetMulti(t.Context(), []string{s.key("never"), s.key("there")}, out))
	if got := out[0]; got.Found || got.Err != nil || len(got.Value) > 0 || got.Flags != 0 || got.Token != nil {
		t.Errorf("an absent key: %+v, want a zero StoreItem", got)
	}
	if got := out[1]; !got.Found || got.Err != nil || string(got.Value) != "value" || got.Flags != 0 || got.Token == "old" {
		t.Errorf("a key that is there: %+v", got)
	}
}

func readNoKeys(t *testing.T, s *subject) {
	must(t, "GetMulti of no keys", s.GetMulti(t.Context(), nil, nil))
}

func readAnyBytes(t *testing.T, s *subject) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for i, value := range []string{
		"", "\x00", "\r\n", "END\r\n", "VALUE a 0 1\r\na\r\nEND\r\n", " leading and trailing ", "ÄÖ", string(all),
		strings.Repeat(string(all), 64),
	} {
		key := s.key(strconv.Itoa(i))
		s.set(t, key, value)
		s.expect(t, key, value)
	}
}

func readAnyFlags(t *testing.T, s *subject) {
	flags := []uint32{0, 1<<32 - 1, 0x57430101}
	for bit := range 32 {
		flags = append(flags, 1<<bit)
	}
	for i, want := range flags {
		key := s.key(strconv.Itoa(i))
		must(t, "Set", s.Set(t.Context(), key, wanobjectcache.StoreItem{Value: []byte("x"), Flags: want}, life))
		if got := s.get(t, key); got.Flags != want {
			t.Errorf("flags are %#x, want %#x", got.Flags, want)
		}
	}
}

// Keys are at most 250 bytes long, of the printable characters of ASCII but for the space.
func readAnyKey(t *testing.T, s *subject) {
	var keys []string
	long := s.key(strings.Repeat("x", 250))[:249]
	for c := byte('!'); c <= '~'; c++ {
		keys = append(keys, s.key(string(c)), long+string(c))
	}
	for _, key := range keys {
		s.set(t, key, key)
	}
	for i, got := range s.getMulti(t, keys) {
		if !got.Found || string(got.Value) != keys[i] {
			t.Errorf("key %s: found is %t, with the value %q", keys[i], got.Found, got.Value)
		}
	}
}

// Values go with their keys, in one read, with every third key missing.
func readMany(t *testing.T, s *subject) {
	keys := make([]string, 1000)
	for i := range keys {
		keys[i] = s.key(strconv.Itoa(i))
		if i%3 != 0 {
			s.set(t, keys[i], strconv.Itoa(i))
		}
	}
	out := s.getMulti(t, keys)
	for i, got := range out {
		if there := i%3 != 0; got.Found != there || there && string(got.Value) != strconv.Itoa(i) {
			t.Fatalf("key %d of 1000: found is %t, with the value %q", i, got.Found, got.Value)
		}
	}
	// Nor do their tokens get mixed up.
	must(t, "CAS with a token of many", s.CAS(t.Context(), keys[500], with("new", out[500].Token), life))
	s.expect(t, keys[500], "new")
	s.expect(t, keys[499], "499")
}

func readTwice(t *testing.T, s *subject) {
	s.set(t, s.key("a"), "value")
	for _, got := range s.getMulti(t, []string{s.key("a"), s.key("b"), s.key("a")}) {
		if got.Found && string(got.Value) != "value" {
			t.Errorf("the value is %q", got.Value)
		}
	}
	out := s.getMulti(t, []string{s.key("a"), s.key("a")})
	if !out[0].Found || !out[1].Found {
		t.Errorf("a key that was asked for twice is found %t and %t", out[0].Found, out[1].Found)
	}
}

// What a store keeps, and what it has given out, are not the same bytes as the caller's.
func readMemory(t *testing.T, s *subject) {
	key := s.key("a")
	value := []byte("first")
	must(t, "Set", s.Set(t.Context(), key, wanobjectcache.StoreItem{Value: value}, life))
	value[0] = 'X'
	s.expect(t, key, "first")

	out := make([]wanobjectcache.StoreItem, 1)
	must(t, "GetMulti", s.GetMulti(t.Context(), []string{key}, out))
	mine := out[0].Value
	s.set(t, key, "other")
	must(t, "GetMulti", s.GetMulti(t.Context(), []string{key}, out))
	if string(mine) != "first" {
		t.Errorf("a later read changed what an earlier one had returned, to %q", mine)
	}
	mine = out[0].Value
	_ = append(mine[:0], "XXXXX"...)
	s.expect(t, key, "other")
}

// brief shows a value, a long one by its length and begin.
func brief(value []byte) string {
	if len(value) > 64 {
		return fmt.Sprintf("%q… (%d bytes)", value[:32], len(value))
	}
	return fmt.Sprintf("%q", value)
}
