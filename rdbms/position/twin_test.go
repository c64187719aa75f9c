package position

import (
	"fmt"
	"maps"
	"math/rand"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/quick"
)

// The dumb twin of a position is an explicit set of transaction numbers, a map for each domain or server.
// The texts are small on purpose, so that their sets meet often.
type twin map[string]map[uint64]bool

func (a twin) covers(b twin) bool {
	for from, numbers := range b {
		for n := range numbers {
			if !a[from][n] {
				return false
			}
		}
	}
	return true
}

func (a twin) union(b twin) twin {
	out := twin{}
	for _, t := range []twin{a, b} {
		for from, numbers := range t {
			if out[from] == nil {
				out[from] = map[uint64]bool{}
			}
			maps.Copy(out[from], numbers)
		}
	}
	return out
}

func (a twin) equal(b twin) bool { return a.covers(b) && b.covers(a) }

// mysqlText is a random set as a server, or an untidy person, might print it.
type mysqlText struct {
	text string
	twin twin
}

func (mysqlText) Generate(r *rand.Rand, _ int) reflect.Value {
	m := mysqlText{twin: twin{}}
	var elements []string
	for range r.Intn(5) {
		uuid := []string{u, v, w}[r.Intn(3)]
		element, tag := uuid, ""
		if r.Intn(4) == 0 {
			element = strings.ToUpper(element)
		}
		for i := range 1 + r.Intn(4) {
			if r.Intn(3) == 0 {
				tag = []string{"a", "b"}[r.Intn(2)]
				element = element + ":" + tag
			}
			first := uint64(1 + r.Intn(12))
			last := first + uint64(r.Intn(4))
			numbers := fmt.Sprintf("%d-%d", first, last)
			if last == first && r.Intn(2) == 0 {
				numbers = strconv.FormatUint(first, 10)
			}
			element = fmt.Sprint(element, strings.Repeat(" ", i%2), ":", []string{"", "\n"}[r.Intn(2)], numbers)
			more := twin{uuid + "/" + tag: {}}
			for n := first; n <= last; n++ {
				more[uuid+"/"+tag][n] = true
			}
			m.twin = m.twin.union(more)
		}
		elements = append(elements, element)
	}
	m.text = strings.Join(elements, ",")
	return reflect.ValueOf(m)
}

// mariadbText is a random list; its twin has all numbers up to the one that the list names.
type mariadbText struct {
	text string
	twin twin
}

func (mariadbText) Generate(r *rand.Rand, _ int) reflect.Value {
	m := mariadbText{twin: twin{}}
	var elements []string
	for range r.Intn(5) {
		domain, server, sequence := strconv.Itoa(r.Intn(3)), r.Intn(3), uint64(r.Intn(12))
		elements = append(elements, fmt.Sprintf("%s-%d-%d", domain, server, sequence))
		more := twin{domain: {}}
		for n := range sequence + 1 { // 0 too: a domain at 0 is not a missing one
			more[domain][n] = true
		}
		m.twin = m.twin.union(more)
	}
	m.text = strings.Join(elements, ",")
	return reflect.ValueOf(m)
}

func check(t *testing.T, property any) {
	t.Helper()
	if err := quick.Check(property, &quick.Config{MaxCount: 2000}); err != nil {
		t.Error(err)
	}
}

// agree checks Reached, Merge and the text of two positions against their twins, and Merge's laws with a third.
func agree(t *testing.T, p [3]Position, twins [3]twin) bool {
	t.Helper()
	for i := range p {
		for j := range p {
			if got, want := reached(t, p[i], p[j]), twins[i].covers(twins[j]); got != want {
				t.Errorf("Reached(%v, %v) = %t", p[i], p[j], got)
				return false
			}
		}
		if back := must(t, Parse, p[i].String()); !back.Equal(p[i]) || back.String() != p[i].String() {
			t.Errorf("%v is read back as %v", p[i], back)
			return false
		}
	}
	ab, union := merged(t, p[0], p[1]), twins[0].union(twins[1])
	for i := range p {
		if reached(t, ab, p[i]) != union.covers(twins[i]) || reached(t, p[i], ab) != twins[i].covers(union) {
			t.Errorf("%v and %v merge to %v", p[0], p[1], ab)
			return false
		}
	}
	return laws(t, p[0], p[1], p[2])
}

// laws is case 74.
func laws(t *testing.T, a, b, c Position) bool {
	t.Helper()
	ab := merged(t, a, b)
	for name, holds := range map[string]bool{
		"never lower": reached(t, ab, a) && reached(t, ab, b),
		"idempotent":  merged(t, a, a).Equal(a) && merged(t, ab, a).Equal(ab),
		"commutative": ab.Equal(merged(t, b, a)),
		"associative": merged(t, ab, c).Equal(merged(t, a, merged(t, b, c))),
	} {
		if !holds {
			t.Errorf("Merge is not %s: %v, %v, %v", name, a, b, c)
			return false
		}
	}
	return true
}

func TestMySQLAgainstTwin(t *testing.T) {
	check(t, func(a, b, c mysqlText) bool {
		return agree(t, [3]Position{mysql(t, a.text), mysql(t, b.text), mysql(t, c.text)}, [3]twin{a.twin, b.twin, c.twin})
	})
}

func TestMariaDBAgainstTwin(t *testing.T) {
	check(t, func(a, b, c mariadbText) bool {
		return agree(t, [3]Position{mariadb(t, a.text), mariadb(t, b.text), mariadb(t, c.text)}, [3]twin{a.twin, b.twin, c.twin})
	})
}

// Only against the twin: what is kept is the one history, whole.
func TestOnlyAgainstTwin(t *testing.T) {
	check(t, func(a mysqlText) bool {
		want := twin{}
		for from, numbers := range a.twin {
			if strings.HasPrefix(from, u) {
				want[from] = numbers
			}
		}
		got := twin{}
		for _, h := range mysql(t, a.text).Only(u).mysql {
			numbers := map[uint64]bool{}
			for _, i := range h.done {
				for n := i.first; n <= i.last; n++ {
					numbers[n] = true
				}
			}
			got[h.uuid+"/"+h.tag] = numbers
		}
		return got.equal(want)
	})
}

// Near 2^64 an addition would overflow.
func TestIntervalsAtTheEnd(t *testing.T) {
	const end = ^uint64(0)
	set := intervals{{end, end}, {end - 3, end - 1}, {1, 1}}.ordered()
	if want := (intervals{{1, 1}, {end - 3, end}}); !slices.Equal(set, want) {
		t.Errorf("ordered to %v", set)
	}
	if !set.include(intervals{{end, end}}) || set.include(intervals{{1, end}}) {
		t.Error("membership at the end is wrong")
	}
}
