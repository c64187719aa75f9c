package wanobjectcache

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/quick"
	"time"
)

const t0 = micros(1549343530_000000)

var goldenRecords = []struct {
	name   string
	record record
}{
	{"value", record{kind: kindValue, at: t0, span: 3600_000000, gen: 12345, payload: []byte(`{"Name":"Ada"}`)}},
	{"capped value", record{kind: kindValue, capped: true, at: t0 + 1, span: 30_000000, gen: 1, payload: []byte("x")}},
	{"value without end, saturated", record{kind: kindValue, at: t0, gen: math.MaxUint32, payload: []byte{0, 0xFF}}},
	{"empty value", record{kind: kindValue, at: t0, span: 1, payload: []byte{}}},
	{"no such thing", record{kind: kindValue, negative: true, at: t0, span: 60_000000, gen: 800, payload: []byte{}}},
	{"no such thing, capped", record{kind: kindValue, negative: true, capped: true, at: t0, span: 30_000000, payload: []byte{}}},
	{"tombstone", record{kind: kindTombstone, at: t0, span: 11_000000, payload: []byte("eqiad")}},
	{"tombstone of nobody", record{kind: kindTombstone, at: t0, span: 11_000000, payload: []byte{}}},
	{"tag", record{kind: kindTag, at: t0, span: 11_000000, payload: []byte("codfw")}},
	{"tag made by a reader", record{kind: kindTag, at: t0, payload: []byte("a")}},
	{"epoch", record{kind: kindTag, at: t0 + 11_000000, payload: []byte("b")}},
}

// What was written once is read for ever.
func TestGoldenRecords(t *testing.T) {
	golden := readGolden(t, "records.txt")
	if len(golden) != len(goldenRecords) {
		t.Errorf("%d lines, want %d", len(golden), len(goldenRecords))
	}
	for i, tc := range goldenRecords {
		written := tc.record.append(nil)
		if want := tc.name + "\t" + hex.EncodeToString(written); i >= len(golden) || golden[i] != want {
			t.Errorf("want the line\n%s", want)
		}
		if got, ok := decodeRecord(written); !ok || !reflect.DeepEqual(got, tc.record) {
			t.Errorf("%s: read back as %+v, %v", tc.name, got, ok)
		}
	}
}

func readGolden(tb testing.TB, name string) []string {
	tb.Helper()
	b, err := os.ReadFile("testdata/golden/" + name)
	if err != nil {
		tb.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(b)) {
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
	return lines
}

func TestRecordAppendsToWhatIsThere(t *testing.T) {
	for _, tc := range goldenRecords {
		if got := tc.record.append([]byte("before")); !bytes.Equal(got, append([]byte("before"), tc.record.append(nil)...)) {
			t.Errorf("%s: %q", tc.name, got)
		}
	}
}

// A tombstone whose origin is too long must stand all the same.
func TestRecordCutsTheOrigin(t *testing.T) {
	long := bytes.Repeat([]byte("o"), 1000)
	got, ok := decodeRecord(record{kind: kindTombstone, at: t0, span: 1, payload: long}.append(nil))
	if !ok || len(got.payload) != 255 || got.at != t0 {
		t.Errorf("%+v, %v", got, ok)
	}
}

func TestDecodeRecordRefuses(t *testing.T) {
	value := goldenRecords[0].record.append(nil)
	tombstone := goldenRecords[6].record.append(nil)
	with := func(b []byte, at int, c byte) []byte {
		b = bytes.Clone(b)
		b[at] = c
		return b
	}
	bad := map[string][]byte{
		"nothing": nil, "a header without its last byte": value[:recordHeader-1], "no magic": with(value, 0, 'w'), "half a magic": with(value, 1, 'c'),
		"format 0": with(value, 2, 0), "format 2": with(value, 2, 2), "kind 0": with(value, 3, 0), "a mutex": with(value, 3, 4), "kind 5": with(value, 3, 5),
		"kind 255": with(value, 3, 255), "negative time": with(value, 8, 0x80), "negative span": with(value, 16, 0xFF),
		"a tombstone without length byte":   tombstone[:recordHeader],
		"a tombstone without its last byte": tombstone[:len(tombstone)-1],
		"a tombstone with a byte more":      append(bytes.Clone(tombstone), 'x'),
		"an origin shorter than it says":    with(tombstone, recordHeader, 6), "an origin longer than it says": with(tombstone, recordHeader, 4),
		"a tag without length byte": with(tombstone, 3, byte(kindTag))[:recordHeader],
	}
	for bit := 2; bit < 8; bit++ {
		bad[fmt.Sprintf("bit %d", bit)] = with(value, 4, 1<<bit)
	}
	for _, at := range []int{5, 6, 7, 24, 25, 26, 27} {
		bad[fmt.Sprintf("reserved byte %d", at)] = with(value, at, 1)
	}
	for name, b := range bad {
		if got, ok := decodeRecord(b); ok || !reflect.DeepEqual(got, record{}) {
			t.Errorf("%s: %+v, %v", name, got, ok)
		}
	}
}

func TestDecodeRecordAllocatesNothing(t *testing.T) {
	for _, tc := range goldenRecords {
		b := tc.record.append(nil)
		if n := testing.AllocsPerRun(100, func() { decodeRecord(b) }); n != 0 {
			t.Errorf("%s: %v allocations", tc.name, n)
		}
	}
}

func TestKinds(t *testing.T) {
	for kind, want := range map[recordKind]uint32{kindValue: 0x57430101, kindTombstone: 0x57430102, kindTag: 0x57430103, kindMutex: 0x57430104} {
		if got, ok := kindOf(want); kind.flags() != want || got != kind || !ok {
			t.Errorf("kind %d has flags %x, and %x is kind %d, %v", kind, kind.flags(), want, got, ok)
		}
	}
	for _, foreign := range []uint32{0, 1, 2, 4, 0x57430100, 0x57430105, 0x574301FF, 0x57430201, 0x57420101, 0xFFFFFFFF, 0x01014357} {
		if kind, ok := kindOf(foreign); ok {
			t.Errorf("%x is kind %d", foreign, kind)
		}
	}
}

// Any record survives, whatever is in it.
func TestRecordRoundTrip(t *testing.T) {
	check := func(kind uint8, negative, capped bool, at, span int64, gen uint32, payload []byte) bool {
		r := record{kind: recordKind(1 + kind%3), negative: negative, capped: capped, gen: gen, payload: payload[:min(len(payload), 255)],
			at: micros(at & math.MaxInt64), span: micros(span & math.MaxInt64)}
		got, ok := decodeRecord(r.append(nil))
		same := bytes.Equal(got.payload, r.payload)
		got.payload, r.payload = nil, nil
		return ok && same && reflect.DeepEqual(got, r)
	}
	if err := quick.Check(check, nil); err != nil {
		t.Error(err)
	}
}

// A damaged record is refused, or understood to the last bit.
func TestDecodeRecordOfRandomHeaders(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	accepted := 0
	for range 20_000 {
		b := goldenRecords[random.Intn(len(goldenRecords))].record.append(nil)
		for range random.Intn(3) {
			b[random.Intn(len(b))] ^= 1 << random.Intn(8)
		}
		if r, ok := decodeRecord(b); ok {
			accepted++
			if again := r.append(nil); !bytes.Equal(again, b) {
				t.Fatalf("%x is read as %+v, which is written as %x", b, r, again)
			}
		}
	}
	if accepted == 0 || accepted == 20_000 {
		t.Errorf("%d of 20000 accepted: the test is empty", accepted)
	}
}

func FuzzDecodeRecord(f *testing.F) {
	for _, line := range readGolden(f, "records.txt") {
		_, digits, _ := strings.Cut(line, "\t")
		b, err := hex.DecodeString(digits)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, ok := decodeRecord(b)
		if !ok {
			if !reflect.DeepEqual(r, record{}) {
				t.Fatalf("%x is refused, and %+v", b, r)
			}
			return
		}
		if again := r.append(nil); !bytes.Equal(again, b) {
			t.Fatalf("%x is written again as %x", b, again)
		}
		if r.at < 0 || r.span < 0 || r.loadedAt() < 0 || r.loadedAt() > r.at {
			t.Fatalf("%x: %+v, loaded at %d", b, r, r.loadedAt())
		}
	})
}

func FuzzKindOf(f *testing.F) {
	for kind := range kindMutex + 2 {
		f.Add(kind.flags())
	}
	f.Fuzz(func(t *testing.T, flags uint32) {
		if kind, ok := kindOf(flags); ok && (kind.flags() != flags || kind < kindValue || kind > kindMutex) {
			t.Fatalf("%x is kind %d", flags, kind)
		}
	})
}

func TestMicros(t *testing.T) {
	if got := microsOf(time.Time{}); got != 0 {
		t.Errorf("the zero time is %d", got)
	}
	if got := micros(0).time(); !got.IsZero() {
		t.Errorf("0 is %v", got)
	}
	at := time.Date(2019, 2, 5, 5, 12, 10, 123456789, time.FixedZone("east", 7200))
	got := microsOf(at).time()
	if !got.Equal(at.Truncate(time.Microsecond)) || got.Location() != time.UTC {
		t.Errorf("%v is %v", at, got)
	}
}

// A value must never look younger than it is.
func TestGen(t *testing.T) {
	for d, want := range map[time.Duration]uint32{
		-time.Hour: 0, 0: 0, 1: 1, 999: 1, time.Microsecond: 1, 1001: 2, time.Second: 1e6,
		math.MaxUint32*time.Microsecond - 1000: math.MaxUint32 - 1, math.MaxUint32*time.Microsecond - 999: math.MaxUint32,
		math.MaxUint32 * time.Microsecond: math.MaxUint32, 2 * time.Hour: math.MaxUint32, math.MaxInt64: math.MaxUint32,
	} {
		if got := genOf(d); got != want {
			t.Errorf("%v is %d, want %d", d, got, want)
		}
	}
	for _, tc := range []struct {
		at   micros
		gen  uint32
		want micros
	}{
		{t0, 0, t0}, {t0, 5, t0 - 5}, {t0, math.MaxUint32 - 1, t0 - math.MaxUint32 + 1}, {t0, math.MaxUint32, 0}, {5, 6, 0}, {0, 0, 0},
		{math.MaxInt64, 1, math.MaxInt64 - 1},
	} {
		if got := (record{kind: kindValue, at: tc.at, gen: tc.gen}).loadedAt(); got != tc.want {
			t.Errorf("stored at %d after %d µs: loaded at %d, want %d", tc.at, tc.gen, got, tc.want)
		}
	}
}
