package wanobjectcache

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/quick"

	"github.com/multidc/multidc/wanobjectcache/internal/wirekey"
)

// What was written once is found for ever.
func TestGoldenKeys(t *testing.T) {
	lines := readGolden(t, "keys.txt")
	if len(lines) < 10 {
		t.Fatalf("%d lines: the test is empty", len(lines))
	}
	for _, line := range lines {
		columns := strings.Split(line, "\t")
		want, parts := columns[0], make([]string, len(columns)-3)
		for i, quoted := range columns[3:] {
			part, err := strconv.Unquote(quoted)
			if err != nil {
				t.Fatalf("%s: %v", quoted, err)
			}
			parts[i] = part
		}
		typ := want[len(want)-1]
		var made string
		if columns[2] == "(tag)" {
			made = mustTagKey(t, columns[1], Tag(parts[0]))
		} else {
			made = mustBaseKey(t, columns[1], columns[2], parts...)
		}
		if got := wireKey(made, typ); got != want {
			t.Errorf("%q has the key\n%s, want\n%s", parts, got, want)
		}
		if base, gotTyp, ok := wirekey.Split(want); !ok || gotTyp != typ || wireKey(base, typ) != want {
			t.Errorf("%s is split into %s, %c, %v", want, base, gotTyp, ok)
		}
	}
}

func mustBaseKey(t *testing.T, keyspace, group string, components ...string) string {
	t.Helper()
	b, err := baseKey(nil, keyspace, group, components)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func mustTagKey(t *testing.T, keyspace string, tag Tag) string {
	t.Helper()
	key, err := tagKey(keyspace, tag)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestCheckName(t *testing.T) {
	for _, name := range []string{"a", "user", "Users_2-old", "-", "_", "0", "tag", "WANCache-epoch", strings.Repeat("x", 64)} {
		if err := checkName(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"", " ", "a b", "a:b", "a%", "a/b", "a.b", "ä", "a\x00", "a\n", strings.Repeat("x", 65), strings.Repeat("x", 1e6)} {
		err := checkName(name)
		if err == nil || !strings.Contains(err.Error(), "1 to 64 of A-Z, a-z, 0-9, _, -") || len(err.Error()) > 200 {
			t.Errorf("%.70q: %v", name, err)
		}
	}
}

func TestKeysOfNothing(t *testing.T) {
	for _, components := range [][]string{nil, {}, {""}, {"", "", ""}} {
		got, err := baseKey([]byte("before"), "default", "user", components)
		if err == nil || string(got) != "before" {
			t.Errorf("%q has the key %q, %v", components, got, err)
		}
	}
	if key, err := tagKey("default", ""); err == nil || key != "" {
		t.Errorf("the empty tag has the key %q, %v", key, err)
	}
}

func TestBaseKeyAppends(t *testing.T) {
	for _, id := range []string{"7", strings.Repeat("7", 300)} {
		got, err := baseKey([]byte("before"), "default", "user", []string{id})
		if err != nil || string(got) != "before"+mustBaseKey(t, "default", "user", id) {
			t.Errorf("%q, %v", got, err)
		}
	}
}

// Cases T46 and T78: an id as long as one likes has a key; the hash is that of the key it would have.
func TestLongKeys(t *testing.T) {
	const prefix = "default:articles:"
	longest := wirekey.MaxBase - len(prefix)
	for n, hashed := range map[int]bool{1: false, 32: false, longest: false, longest + 1: true, 190: true, 418: true, 1 << 20: true} {
		id := strings.Repeat("i", n)
		base := mustBaseKey(t, "default", "articles", id)
		if hashed {
			sum := sha256.Sum256([]byte(prefix + id))
			id = "#" + hex.EncodeToString(sum[:])
		}
		if base != prefix+id {
			t.Errorf("%d bytes: %s", n, base)
		}
	}
	name := strings.Repeat("n", wirekey.MaxName)
	for _, base := range []string{mustBaseKey(t, name, name, strings.Repeat("i", 418)), mustTagKey(t, name, Tag(strings.Repeat("\xFF", 100)))} {
		if wire := wireKey(base, typValue); len(wire) > 218 || strings.Count(base, "#") != 1 {
			t.Errorf("%d bytes: %s", len(wire), wire)
		}
	}
}

// components are short and of few bytes, so that lists that nearly meet are frequent.
func randomComponents(r *rand.Rand) []string {
	components := make([]string, 1+r.Intn(3))
	for i := range components {
		var b []byte
		for range r.Intn(4) {
			b = append(b, "a:%#|{}3A \xC3"[r.Intn(11)])
		}
		if r.Intn(20) == 0 {
			b = bytes.Repeat(append(b, 'a'), 150)
		}
		components[i] = string(b)
	}
	return components
}

// Different lists never share a key, and what a key is made of can be read back.
func TestBaseKeysDiffer(t *testing.T) {
	owner := map[string][]string{}
	random := rand.New(rand.NewSource(2))
	for range 50_000 {
		components := randomComponents(random)
		b, err := baseKey(nil, "default", "user", components)
		if (err != nil) != (strings.Join(components, "") == "") {
			t.Fatalf("%q: %v", components, err)
		}
		if err != nil {
			continue
		}
		base := string(b)
		if other, taken := owner[base]; taken && !slices.Equal(other, components) {
			t.Fatalf("%q and %q share %s", other, components, base)
		}
		owner[base] = components
		if rest := strings.TrimPrefix(base, "default:user:"); !strings.HasPrefix(rest, "#") && !slices.Equal(unescaped(t, rest), components) {
			t.Fatalf("%q is written %s", components, base)
		}
	}
	if len(owner) < 1000 {
		t.Errorf("%d keys: the test is empty", len(owner))
	}
}

func unescaped(t *testing.T, rest string) []string {
	t.Helper()
	parts := strings.Split(rest, ":")
	for i := range parts {
		part, err := url.PathUnescape(parts[i])
		if err != nil {
			t.Fatalf("%s: %v", rest, err)
		}
		parts[i] = part
	}
	return parts
}

// twinEscape is the rule read aloud.
func twinEscape(s, more string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c >= 0x21 && c <= 0x7E && !strings.ContainsRune("%#|{}"+more, rune(c)) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func TestEscapingAgainstTwin(t *testing.T) {
	check := func(component, tag []byte) bool {
		return string(appendEscaped(nil, string(component), wirekey.MustEscape)) == twinEscape(string(component), ":") &&
			string(appendEscaped(nil, string(tag), wirekey.MustEscapeInTag)) == twinEscape(string(tag), "")
	}
	if err := quick.Check(check, nil); err != nil {
		t.Error(err)
	}
	for c := range 256 {
		if s := string([]byte{byte(c)}); !check([]byte(s), []byte(s)) {
			t.Errorf("%q is written %s, in a tag %s", s, appendEscaped(nil, s, wirekey.MustEscape), appendEscaped(nil, s, wirekey.MustEscapeInTag))
		}
	}
}

// A key of any id can be sent to memcached, and split again.
func TestWireKeysAreLegal(t *testing.T) {
	check := func(components [][]byte, tag []byte, long uint8) bool {
		parts := []string{strings.Repeat("x", int(long))}
		for _, c := range components {
			parts = append(parts, string(c))
		}
		return legal(wireKey(mustBaseKey(t, "default", "user", append(parts, "x")...), typValue)) &&
			legal(wireKey(mustTagKey(t, "default", Tag(string(tag)+"x")), typTag))
	}
	if err := quick.Check(check, nil); err != nil {
		t.Error(err)
	}
}

func legal(wire string) bool {
	if len(wire) > 218 {
		return false
	}
	for _, c := range []byte(wire) {
		if c < 0x21 || c > 0x7E {
			return false
		}
	}
	base, typ, ok := wirekey.Split(wire)
	return ok && wireKey(base, typ) == wire && baseOf(wire) == base
}

// Whatever is accepted is what its parts give when they are put together again.
func FuzzSplitWireKey(f *testing.F) {
	for _, line := range readGolden(f, "keys.txt") {
		key, _, _ := strings.Cut(line, "\t")
		f.Add(key)
	}
	for _, key := range []string{
		"WANCache:|#|v", "WANCache:default:user:42|#|x", "WANCache:default:user:::|#|v", "WANCache:de fault:user:42|#|v", "WANCache:default:user:a\nb|#|v",
		"WANCache:default:user:{42}|#|v", "WANCache:default:user:%41|#|v", "WANCache:default:tag:site%3A7|#|t", "WANCache:global:WANCache-epoch|#|t",
	} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		base, typ, ok := wirekey.Split(key)
		if !ok {
			return
		}
		if !legal(key) {
			t.Fatalf("%q was accepted", key)
		}
		parts := strings.SplitN(base, ":", 3)
		switch {
		case strings.HasPrefix(parts[2], "#"): // nothing to be put together
		case typ == typTag:
			tag, err := url.PathUnescape(parts[2])
			if again := mustTagKey(t, parts[0], Tag(tag)); err != nil || again != base {
				t.Fatalf("%q is a tag, %v, and made again %q", key, err, again)
			}
		default:
			if again := mustBaseKey(t, parts[0], parts[1], unescaped(t, parts[2])...); again != base {
				t.Fatalf("%q is made again %q", key, again)
			}
		}
	})
}

type (
	namedInt    int64
	namedUint   uint8
	namedString string
)

func (namedInt) String() string { return "not this" }

func TestComponentsOfDefaults(t *testing.T) {
	checkComponents(t, "42", "42")
	checkComponents(t, "", "")
	checkComponents(t, namedString("a:b"), "a:b")
	checkComponents(t, 7, "7")
	checkComponents(t, int8(-128), "-128")
	checkComponents(t, int16(-1), "-1")
	checkComponents(t, 'x', "120")
	checkComponents(t, int64(math.MinInt64), "-9223372036854775808")
	checkComponents(t, namedInt(-5), "-5")
	checkComponents(t, uint(7), "7")
	checkComponents(t, namedUint(255), "255")
	checkComponents(t, uint16(1), "1")
	checkComponents(t, uint32(1), "1")
	checkComponents(t, uint64(math.MaxUint64), "18446744073709551615")
	checkComponents(t, uintptr(9), "9")
}

// checkComponents also holds the short way of a keyer against the long one.
func checkComponents[K comparable](t *testing.T, id K, want string) {
	t.Helper()
	components, err := componentsOf[K](nil)
	if err != nil || !slices.Equal(components(id), []string{want}) {
		t.Fatalf("%T: %v, want %q", id, err, want)
	}
	k, err := keyerOf[K]("default", "user", nil)
	if err != nil {
		t.Fatal(err)
	}
	wire, err := k.wire(id, typInterim)
	if want == "" {
		if err == nil {
			t.Errorf("the empty %T has the key %s", id, wire)
		}
		return
	}
	if base := mustBaseKey(t, "default", "user", want); err != nil || wire != wireKey(base, typInterim) || baseOf(wire) != base {
		t.Errorf("%T: %s, %v", id, wire, err)
	}
}

func TestComponentsOfOwnKey(t *testing.T) {
	type pair struct{ a, b int }
	key := func(p pair) []string { return []string{strconv.Itoa(p.a), "", strconv.Itoa(p.b)} }
	k, err := keyerOf("default", "pair", key)
	if err != nil {
		t.Fatal(err)
	}
	if wire, err := k.wire(pair{1, -2}, typValue); err != nil || wire != "WANCache:default:pair:1::-2|#|v" {
		t.Errorf("%s, %v", wire, err)
	}
	// It goes before the default.
	n, err := keyerOf("default", "n", func(n int) []string { return []string{"n", strconv.Itoa(n)} })
	if wire, err2 := n.wire(3, typMutex); err != nil || err2 != nil || wire != "WANCache:default:n:n:3|#|m" {
		t.Errorf("%s, %v, %v", wire, err, err2)
	}
}

func TestComponentsOfNeedsKey(t *testing.T) {
	needsKey[bool](t)
	needsKey[float64](t)
	needsKey[[2]int](t)
	needsKey[struct{ A int }](t)
	needsKey[any](t)
	needsKey[fmt.Stringer](t)
	needsKey[*int](t)
	needsKey[complex64](t)
	needsKey[chan int](t)
}

func needsKey[K comparable](t *testing.T) {
	t.Helper()
	name := reflect.TypeFor[K]().String()
	components, err := componentsOf[K](nil)
	if err == nil || components != nil || !strings.Contains(err.Error(), "GroupOptions.Key") || !strings.Contains(err.Error(), name) {
		t.Errorf("%s: %v", name, err)
	}
	if _, err := keyerOf[K]("default", "user", nil); err == nil {
		t.Errorf("%s has a keyer", name)
	}
}

// The hit path pays one allocation for a key.
func TestKeyerAllocations(t *testing.T) {
	oneAllocation(t, int64(1234567890123))
	oneAllocation(t, namedInt(1234567890123))
	oneAllocation(t, "some:user")
	oneAllocation(t, uint32(4_000_000_000))
}

func oneAllocation[K comparable](t *testing.T, id K) {
	t.Helper()
	k, err := keyerOf[K]("default", "user", nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { sinkKey, _ = k.wire(id, typValue) }); n != 1 {
		t.Errorf("%T: %v allocations", id, n)
	}
}

var sinkKey string

func BenchmarkWireKey(b *testing.B) {
	k, err := keyerOf[int64]("default", "user", nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for id := int64(1 << 40); b.Loop(); id++ {
		sinkKey, _ = k.wire(id, typValue)
	}
}
