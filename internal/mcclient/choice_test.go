package mcclient

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"testing"
	"testing/quick"
)

func pool(t *testing.T, servers map[string]string) *Pool {
	t.Helper()
	return open(t, Options{}, servers)
}

// names are servers whose addresses matter nothing.
func names(names ...string) map[string]string {
	servers := map[string]string{}
	for i, name := range names {
		servers[name] = fmt.Sprintf("10.0.0.%d:11211", i)
	}
	return servers
}

// The choice is part of what processes of all versions agree on: these answers never change.
func TestChoiceIsForEver(t *testing.T) {
	p := pool(t, names("mc1", "mc2", "mc3", "mc4"))
	var got []string
	for i := range 16 {
		got = append(got, p.server(fmt.Sprintf("WANCache:default:user:%d", i)).name)
	}
	want := strings.Fields("mc1 mc1 mc2 mc1 mc3 mc4 mc1 mc3 mc2 mc1 mc4 mc4 mc3 mc1 mc4 mc4")
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The same in other words: FNV-1a of the standard library, and splitmix64's next() for a state that is one step back.
func TestChoiceAgainstTwin(t *testing.T) {
	twin := func(servers []*server, key string) (best int) {
		fnv1a := func(s string) uint64 {
			h := fnv.New64a()
			_, _ = h.Write([]byte(s))
			return h.Sum64()
		}
		score := func(s *server) uint64 {
			z := fnv1a(key) ^ fnv1a(s.name)
			z ^= z >> 30
			z *= 0xbf58476d1ce4e5b9
			z ^= z >> 27
			z *= 0x94d049bb133111eb
			z ^= z >> 31
			return z
		}
		for i := range servers {
			if score(servers[i]) > score(servers[best]) {
				best = i
			}
		}
		return best
	}
	same := func(key string, others []string) bool {
		named := names(append(others, "mc1", "mc2")...)
		delete(named, "")
		p := pool(t, named)
		return p.choose(key) == twin(p.servers, key)
	}
	if err := quick.Check(same, nil); err != nil {
		t.Error(err)
	}
}

// A host that is replaced, or looked at from another DC, has another address and the same keys.
func TestChoiceIsByName(t *testing.T) {
	p := pool(t, map[string]string{"mc1": "10.0.0.1:11211", "mc2": "10.0.0.2:11211", "mc3": "10.0.0.3:11211"})
	q := pool(t, map[string]string{"mc1": "10.9.9.9:11211", "mc2": "10.0.0.1:11211", "mc3": "mc3.example:1"})
	for i := range 1000 {
		key := fmt.Sprint("key", i)
		if a, b := p.server(key).name, q.server(key).name; a != b {
			t.Fatalf("%s is on %s by some addresses and on %s by others", key, a, b)
		}
	}
}

// One more server takes its share from all others and moves nothing between them.
func TestChoiceMovesLittle(t *testing.T) {
	before := pool(t, names("mc1", "mc2", "mc3", "mc4"))
	after := pool(t, names("mc1", "mc2", "mc3", "mc4", "mc5"))
	counts := map[string]int{}
	for i := range 10_000 {
		key := fmt.Sprint("key", i)
		was, is := before.server(key).name, after.server(key).name
		if is != was && is != "mc5" {
			t.Fatalf("%s moved from %s to %s", key, was, is)
		}
		counts[is]++
	}
	for name, n := range counts {
		if n < 1800 || n > 2200 {
			t.Errorf("%s has %d of 10,000 keys", name, n)
		}
	}
}

func TestTiesGoToTheFirstName(t *testing.T) {
	alike := []*server{{name: "a", hash: 7}, {name: "b", hash: 7}}
	if got := choose(alike, 42); got != 0 {
		t.Errorf("of two equal scores %s wins, want a", alike[got].name)
	}
}

func TestShardChooses(t *testing.T) {
	p := open(t, Options{Shard: func(key string) string { return key[:3] }}, names("mc1", "mc2", "mc3"))
	for _, key := range []string{"abc:1", "abc:2", "abc:3", "abc:4", "abc:5", "abc:6"} {
		if got, want := p.server(key).name, p.server("abc").name; got != want {
			t.Errorf("%s is on %s, its sisters on %s", key, got, want)
		}
	}
}
