package chronology

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// FuzzTicket: what is read is what would be written.
func FuzzTicket(f *testing.F) {
	for _, seed := range []string{"3@542#" + strings.Repeat("0", 32), "4294967295@999999999999#" + strings.Repeat("f", 32), "0@0#", "1@1#\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if ticket, ok := parseTicket(text); ok && ticket.String() != text {
			t.Errorf("%q was read as %q", text, ticket)
		}
	})
}

// FuzzToken: a body that is signed rightly, whatever it says, is read or refused; what is read can be signed and read again.
func FuzzToken(f *testing.F) {
	issued := time.UnixMilli(1700000000000)
	ring := keyring{newSigner(Key{ID: 1, Secret: make([]byte, 32)})}
	f.Add([]byte{0})
	f.Add([]byte("\x01\x0d\x6e\x40\x79\x01\x19\x09m1:0-1-10"))
	f.Add([]byte("\x02\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, entries []byte) {
		body := append(appendMillis([]byte{tokenVersion, 1}, issued), entries...)
		claims, why := ring.open(base64url.EncodeToString(ring[0].sum(body, tokenContext, body)), issued, time.Hour)
		if why != "" {
			return
		}
		again, why := ring.open(ring.seal(issued, claims), issued, time.Hour)
		if why != "" || fmt.Sprint(again) != fmt.Sprint(claims) {
			t.Errorf("%v became %v, %s", claims, again, why)
		}
	})
}

// FuzzValue: what is read is kept by the next write.
func FuzzValue(f *testing.F) {
	f.Add([]byte(`{"v":1,"i":3,"c":{"main":{"t":1700000000100,"a":1700000000050,"p":"m1:0-1-10"}}}`))
	f.Add([]byte(`{"v":2,"i":3}`))
	f.Add([]byte(`{"v":1,"i":4294967295,"c":{"x":{"t":-1}}}`))
	never := func(string) func(a, b string) (string, error) { return nil }
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := decodeValue(b)
		if err != nil {
			return
		}
		next, lost := v.add(nil, never)
		again, err := decodeValue(next.encode())
		if err != nil || again.index != next.index || len(lost) == 0 && len(again.entries) != len(v.entries) {
			t.Errorf("%s became %s: %v", b, next.encode(), err)
		}
	})
}

// An index has 32 bits, and 0 is none.
func TestIndexGoesRound(t *testing.T) {
	next, _ := value{index: 1<<32 - 1}.add(nil, nil)
	if next.index != 1 {
		t.Errorf("after the last index comes %d, want 1", next.index)
	}
}

// The oldest positions go first, then the oldest touches.
func TestReduce(t *testing.T) {
	at := func(second int64) time.Time { return time.Unix(second, 0) }
	list := []entry{
		{cluster: "a", touch: at(9), asOf: at(5), position: "new"},
		{cluster: "b", touch: at(2)},
		{cluster: "c", touch: at(3), asOf: at(3), position: "old"},
	}
	for most, want := range map[int]string{
		3: "a:new b: c:old lost []", 2: "a:new b: c: lost [c]", 1: "a: b: c: lost [a c]", 0: "a: c: lost [a b c]", -1: "a: lost [a b c]", -2: " lost [a b c]",
	} {
		kept, lost := reduce(list, func(kept []entry) bool {
			weight := len(kept)
			for _, e := range kept {
				if e.position != "" {
					weight++
				}
			}
			return weight <= most+2
		})
		var text []string
		for _, e := range kept {
			text = append(text, e.cluster+":"+e.position)
		}
		if got := fmt.Sprint(strings.Join(text, " "), " lost ", lost); got != want {
			t.Errorf("room for %d: %s, want %s", most, got, want)
		}
	}
	if list[2].position != "old" {
		t.Error("the list itself was changed")
	}
}
