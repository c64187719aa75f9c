package position

import (
	"os"
	"strings"
	"testing"
)

// Case 73: any text is refused or read; what is read keeps its bounds and survives its own text.
func FuzzParse(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse(text)
		if err != nil {
			if !p.IsZero() {
				t.Fatalf("%q: an error and %v", text, p)
			}
			return
		}
		roundTrip(t, p)
	})
}

// What a server says goes in by other doors.
func FuzzServerTexts(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, text string) {
		m, _ := ParseMariaDB(text) // an error comes with the zero position
		g, _ := ParseMySQL(text)
		if !m.IsZero() && !g.IsZero() {
			t.Fatalf("%q is of both flavours: %v and %v", text, m, g)
		}
		roundTrip(t, m)
		roundTrip(t, g)
	})
}

// Two texts: merging never panics, never lowers, and does not depend on the order.
func FuzzMerge(f *testing.F) {
	f.Add("m1:0-1-10", "m1:0-2-11,1-1-1")
	f.Add("g1:"+u+":1-5:7-9", "g1:"+u+":6:a:1")
	f.Add("g1:"+u+":1-5:7-9", "m1:0-1-10")
	f.Fuzz(func(t *testing.T, x, y string) {
		a, errA := Parse(x)
		b, errB := Parse(y)
		if errA != nil || errB != nil {
			return
		}
		ab, err := Merge(a, b)
		ba, errBA := Merge(b, a)
		if (err == nil) != (errBA == nil) || !ab.Equal(ba) {
			t.Fatalf("%v, %v and the other way round %v, %v", ab, err, ba, errBA)
		}
		if err == nil {
			roundTrip(t, ab)
			if !reached(t, ab, a) || !reached(t, ab, b) || !merged(t, ab, a).Equal(ab) {
				t.Fatalf("%v and %v merge to %v", a, b, ab)
			}
		}
	})
}

func seed(f *testing.F) {
	f.Helper()
	golden, err := os.ReadFile("testdata/golden.txt")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(golden)) {
		text, _, _ := strings.Cut(line, "\t")
		f.Add(text)
		f.Add(strings.TrimPrefix(strings.TrimPrefix(text, prefixMariaDB), prefixMySQL))
	}
	for _, text := range []string{"m2:0-1-1", "g1:" + u, "1-2", u + ":0", u + ":5-3", "0-1-18446744073709551616", "\xff", "m1:\x00"} {
		f.Add(text)
	}
}

func roundTrip(t *testing.T, p Position) {
	t.Helper()
	text := p.String()
	if len(text) > MaxText+3 || len(p.mariadb) > maxDomains {
		t.Fatalf("%v is over the bounds", p)
	}
	for _, c := range []byte(text) {
		if c <= ' ' || c > '~' {
			t.Fatalf("%q is not printable ASCII", text)
		}
	}
	again, err := Parse(text)
	if err != nil || !again.Equal(p) || again.String() != text || !reached(t, again, p) {
		t.Fatalf("%q is read back as %v, %v", text, again, err)
	}
}
