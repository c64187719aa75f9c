package storetest

import (
	"bytes"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

func reads() []test {
	return []test{
		{name: "missing", run: readMissing},
		{name: "what was written", run: readWritten},
		{name: "any bytes", run: readBytes},
		{name: "an empty value", run: readEmpty},
		{name: "16 KiB", run: readLarge},
		{name: "any key", run: readKeys},
		{name: "memory", run: readMemory},
	}
}

func readMissing(t *testing.T, s *subject) {
	s.put(t, s.key("another"), "value", life)
	for range 2 { // looking does not make it
		s.expectNone(t, s.key("a"))
	}
}

// A read that follows a write sees it, each time.
func readWritten(t *testing.T, s *subject) {
	key := s.key("a")
	for i := range 100 {
		want := strconv.Itoa(i)
		s.put(t, key, want, life)
		if got, ok := s.get(t, key); !ok || string(got) != want {
			t.Fatalf("after write number %d: ok is %t and the value %s", i, ok, brief(got))
		}
	}
	s.expect(t, key, "99")
}

func readBytes(t *testing.T, s *subject) {
	var every []byte
	for b := range 256 {
		every = append(every, byte(b))
	}
	for i, value := range []string{
		string(every), "\r\n", "\x00", "text\r\nEND\r\n", " blanks ", "\n", "nil",
		`{"v":1,"i":3,"c":{"main":{"t":1700000000100,"a":1700000000050,"p":"m1:0-1-10"}}}`,
	} {
		key := s.key(strconv.Itoa(i))
		s.put(t, key, value, life)
		s.expect(t, key, value)
		s.put(t, key, value+value, life)
		s.expect(t, key, value+value)
	}
}

// What is stored is there, however short: fn is given nil only if nothing is.
func readEmpty(t *testing.T, s *subject) {
	for name, empty := range map[string][]byte{"empty": {}, "nil": nil} {
		key := s.key(name)
		for _, over := range []string{"nothing", "something"} {
			if over == "something" {
				s.put(t, key, "value", life)
			}
			if err := s.Update(t.Context(), key, life, func([]byte) ([]byte, error) { return empty, nil }); err != nil {
				t.Fatalf("Update whose fn returns a value that is %s: %v", name, err)
			}
			if got, ok := s.get(t, key); !ok || len(got) > 0 {
				t.Errorf("Get of a value that was %s, over %s: ok is %t and the value %s", name, over, ok, brief(got))
			}
			if old := s.seen(t, key); old == nil || len(old) > 0 {
				t.Errorf("fn is given %s for a value that was %s, over %s, want an empty one", brief(old), name, over)
			}
		}
	}
}

func readLarge(t *testing.T, s *subject) {
	key := s.key("a")
	for range 2 { // over nothing, and over another one
		large := make([]byte, 16<<10)
		for i := range large {
			large[i] = byte(rand.Uint32()) //nolint:gosec // it need not be secret
		}
		s.put(t, key, string(large), life)
		s.expect(t, key, string(large))
	}
	s.put(t, key, "small", life)
	s.expect(t, key, "small")
}

// Keys are as long as chronology's longest prefix makes them, and differ in any character of it.
func readKeys(t *testing.T, s *subject) {
	long := strings.Repeat("x", 100-len(s.prefix)-1)
	keys := []string{s.key("a"), s.key("A"), s.key("a."), s.key("a-"), s.key("a_"), s.key("a:"), s.key(long + "1"), s.key(long + "2")}
	for _, key := range keys {
		s.expectNone(t, key)
		s.put(t, key, key, life)
	}
	for _, key := range keys {
		s.expect(t, key, key)
	}
}

// Nobody's value changes when somebody else writes into what is his own.
func readMemory(t *testing.T, s *subject) {
	key, given := s.key("a"), []byte("value")
	if err := s.Update(t.Context(), key, life, func([]byte) ([]byte, error) { return given, nil }); err != nil {
		t.Fatalf("Update: %v", err)
	}
	copy(given, "XXXXX")
	s.expect(t, key, "value")

	got, _ := s.get(t, key)
	held := bytes.Clone(got)
	copy(got, "YYYYY")
	s.expect(t, key, "value")
	got, _ = s.get(t, key)
	s.put(t, key, "other", life)
	if !bytes.Equal(got, held) {
		t.Errorf("a value that Get returned has become %s by a later Update", brief(got))
	}

	copy(s.seen(t, key), "ZZZZZ")
	s.expect(t, key, "other")
}
