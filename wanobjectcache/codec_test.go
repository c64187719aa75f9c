package wanobjectcache

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
)

type profile struct {
	Name  string
	Tags  []string
	Inner *profile
	Since map[string]int64
}

// Case T3: zero, nil and empty values are values.
func TestDefaultCodec(t *testing.T) {
	checkCodec(t, "", "")
	checkCodec(t, "0", "0")
	checkCodec(t, "any \x00 \xFF bytes", "any \x00 \xFF bytes")
	checkCodec(t, []byte{0, 255}, "\x00\xFF")
	checkCodec(t, []byte{}, "")
	checkCodec(t, 0, "0")
	checkCodec(t, -7, "-7")
	checkCodec(t, int64(math.MaxInt64), "9223372036854775807")
	checkCodec(t, 0.1, "0.1")
	checkCodec(t, false, "false")
	checkCodec(t, []string{}, "[]")
	checkCodec(t, []string(nil), "null")
	checkCodec(t, (*profile)(nil), "null")
	checkCodec[any](t, nil, "null")
	checkCodec[any](t, "a", `"a"`)
	checkCodec(t, namedString("a"), `"a"`)
	checkCodec(t, json.RawMessage(`{"a":1}`), `{"a":1}`)
	checkCodec(t, profile{}, `{"Name":"","Tags":null,"Inner":null,"Since":null}`)
	checkCodec(t, profile{Name: "Ada", Tags: []string{"x"}, Inner: &profile{}, Since: map[string]int64{"a": 1}},
		`{"Name":"Ada","Tags":["x"],"Inner":{"Name":"","Tags":null,"Inner":null,"Since":null},"Since":{"a":1}}`)
}

func checkCodec[V any](t *testing.T, v V, want string) {
	t.Helper()
	c := codecOf[V](nil)
	b, err := c.Append([]byte("before"), v)
	if err != nil || string(b) != "before"+want {
		t.Errorf("%#v is written %q, %v", v, b, err)
		return
	}
	if got, err := c.Decode(b[len("before"):]); err != nil || !reflect.DeepEqual(got, v) {
		t.Errorf("%#v is read back as %#v, %v", v, got, err)
	}
}

func TestNilBytesAreEmpty(t *testing.T) {
	b, err := codecOf[[]byte](nil).Append([]byte{}, nil)
	if err != nil || len(b) != 0 {
		t.Fatalf("%q, %v", b, err)
	}
	if got, err := codecOf[[]byte](nil).Decode(b); err != nil || got == nil || len(got) != 0 {
		t.Errorf("%#v, %v", got, err)
	}
}

func TestJSONErrors(t *testing.T) {
	b, err := codecOf[float64](nil).Append([]byte("before"), math.NaN())
	if unsupported := (*json.UnsupportedValueError)(nil); !errors.As(err, &unsupported) || !strings.Contains(err.Error(), "GroupOptions.Codec") {
		t.Errorf("NaN: %v", err)
	}
	if string(b) != "before" {
		t.Errorf("NaN is written %q", b)
	}
	for _, text := range []string{"", "{", `{"Name":"Ada"`, `{"Name":"Ada"} {}`, `{"Name":"Ada","Tags":7}`, "[]", "\x00"} {
		if v, err := codecOf[profile](nil).Decode([]byte(text)); err == nil || !reflect.DeepEqual(v, profile{}) {
			t.Errorf("%q is read as %+v, %v", text, v, err)
		}
	}
}

type upper struct{ stringCodec }

func (upper) Decode(b []byte) (string, error) { return strings.ToUpper(string(b)), nil }

func TestOwnCodec(t *testing.T) {
	if got, err := codecOf[string](upper{}).Decode([]byte("ada")); err != nil || got != "ADA" {
		t.Errorf("%q, %v", got, err)
	}
}

func FuzzJSONDecode(f *testing.F) {
	for _, text := range []string{"", "null", `{"Name":"Ada","Inner":{"Since":{"a":1}}}`, `{"Name":"` + "\xFF" + `"}`, strings.Repeat("[", 100)} {
		f.Add([]byte(text))
	}
	c := codecOf[profile](nil)
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := c.Decode(bytes.Clone(b))
		if err != nil {
			if !reflect.DeepEqual(v, profile{}) {
				t.Fatalf("%q: %v and %+v", b, err, v)
			}
			return
		}
		text, err := c.Append(nil, v)
		if err != nil {
			t.Fatalf("%q is read, and not written: %v", b, err)
		}
		if again, err := c.Decode(text); err != nil || !reflect.DeepEqual(again, v) {
			t.Fatalf("%q is read as %+v, then as %+v, %v", b, v, again, err)
		}
	})
}
