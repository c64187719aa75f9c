package switchover_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/multidc/multidc/rdbms/switchover"
)

// Whatever is parsed is written so that nothing is lost and the next reader sees the same; whatever is not
// parsed is refused without a panic. The twin that judges knows only encoding/json.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/golden/*")
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add([]byte(`{"v":1,"epoch":1,"primary":"a","primary_epoch":1,"dcs":{"a":{"pooled":true,"x":{"\ud800":-0.0}}},"":[]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		doc, err := switchover.Parse(raw)
		if err != nil {
			return
		}
		first, err := doc.Marshal()
		if err != nil {
			if len(raw) < 16<<10 { // written out in full it may exceed the bound, if it was near
				t.Fatalf("parsed, but not marshalled: %v", err)
			}
			return
		}
		again, err := switchover.Parse(first)
		if err != nil {
			t.Fatalf("marshalled, but not parsed: %v\n%s", err, first)
		}
		if err := again.Validate(&doc); err != nil {
			t.Fatalf("a copy does not follow its original: %v", err)
		}
		if second, err := again.Marshal(); err != nil || !bytes.Equal(first, second) {
			t.Fatalf("two writings differ: %v\n%s\n%s", err, first, second)
		}
		if where := lost(generic(t, raw), generic(t, first)); where != "" {
			t.Fatalf("%s was lost:\n%s\n%s", where, raw, first)
		}
	})
}

func generic(t *testing.T, raw []byte) (v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// lost names a value of before that after does not have. Absent, null and empty say the same; so do two texts
// of one instant, to the millisecond.
func lost(before, after any) string {
	switch before := before.(type) {
	case nil:
		return ""
	case string:
		if text, ok := after.(string); before == "" || ok && (text == before || sameInstant(text, before)) {
			return ""
		}
		return before
	case map[string]any:
		object, _ := after.(map[string]any)
		for key, value := range before {
			if where := lost(value, object[key]); where != "" {
				return key + "." + where
			}
		}
		return ""
	case []any:
		array, _ := after.([]any)
		if len(array) != len(before) {
			return "an element"
		}
		for i := range before {
			if where := lost(before[i], array[i]); where != "" {
				return where
			}
		}
		return ""
	default:
		if before != after {
			return "a number or boolean"
		}
		return ""
	}
}

func sameInstant(a, b string) bool {
	x, errX := time.Parse(time.RFC3339, a)
	y, errY := time.Parse(time.RFC3339, b)
	return errX == nil && errY == nil && x.Truncate(time.Millisecond).Equal(y.Truncate(time.Millisecond))
}
