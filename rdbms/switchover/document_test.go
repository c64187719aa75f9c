package switchover_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/multidc/multidc/rdbms/switchover"
)

// Golden: what FORMAT.md says, byte by byte. A .json parses and marshals to its .golden, which marshals to itself.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*.json")
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		want := golden(t, strings.TrimSuffix(file, ".json")+".golden")
		for _, raw := range [][]byte{golden(t, file), want} {
			doc, err := switchover.Parse(raw)
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if got, err := doc.Marshal(); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s:\n got %s (%v)\nwant %s", file, got, err, want)
			}
		}
	}
}

func golden(t *testing.T, file string) []byte {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.TrimRight(raw, "\n")
}

func TestJSONMethodsAreParseAndMarshal(t *testing.T) {
	raw := golden(t, "testdata/golden/full.golden")
	var boxed struct{ Doc switchover.Doc }
	if err := json.Unmarshal(fmt.Appendf(nil, `{"Doc":%s}`, raw), &boxed); err != nil {
		t.Fatal(err)
	}
	// json.Marshal itself escapes HTML; what it means stays the same.
	out, err := json.Marshal(boxed.Doc)
	if err != nil || !bytes.Contains(out, []byte(`"plan":{"id":"7","step":2}`)) || !bytes.Contains(out, []byte(`\u003csoon\u003e`)) {
		t.Errorf("got %s, %v", out, err)
	}
	if _, err := json.Marshal(switchover.Doc{}); !errors.Is(err, switchover.ErrInvalid) {
		t.Errorf("an invalid document was marshalled: %v", err)
	}
}

func TestParseRefuses(t *testing.T) {
	const good = `{"v":1,"epoch":2,"primary":"a","primary_epoch":1,"dcs":{"a":{"pooled":true},"b":{"pooled":true}}%s}`
	edited := func(old, replacement string) string {
		return strings.Replace(fmt.Sprintf(good, ""), old, replacement, 1)
	}
	with := func(more string) string { return fmt.Sprintf(good, ","+more) }
	for name, tc := range map[string]struct{ raw, want string }{
		"nothing":                 {"", "not JSON"},
		"half a document":         {`{"v":1,"epoch":`, "not JSON"},
		"two documents":           {fmt.Sprintf(good, "") + "{}", "not JSON"},
		"an array":                {`[]`, "document: "},
		"null":                    {`null`, "null is not an object"},
		"not UTF-8":               {with("\"x\":\"\xff\""), "not UTF-8"},
		"too large":               {with(`"x":"` + strings.Repeat("x", 64<<10) + `"`), "more than 65536 bytes"},
		"too deep":                {with(`"x":` + strings.Repeat("[", 70) + strings.Repeat("]", 70)), "nested deeper"},
		"a key twice":             {with(`"epoch":3`), `key "epoch" stands twice`},
		"a key twice, escaped":    {with(`"\u0065poch":3`), `key "epoch" stands twice`},
		"a key twice, inside":     {with(`"x":[{"y":1,"y":2}]`), `key "y" stands twice`},
		"a DC twice":              {edited(`"b":`, `"a":`), `key "a" stands twice`},
		"no version":              {edited(`"v":1,`, ``), "document.v is missing"},
		"another version":         {edited(`"v":1`, `"v":2`), "version 2: this program reads version 1"},
		"another version's rest":  {`{"v":2,"epoch":"new form"}`, "version 2"},
		"no epoch":                {edited(`"epoch":2,`, ``), "document.epoch is missing"},
		"epoch 0":                 {edited(`"epoch":2`, `"epoch":0`), "epoch 0 is not within"},
		"a negative epoch":        {edited(`"epoch":2`, `"epoch":-1`), "document.epoch is of the wrong type"},
		"an epoch with fraction":  {edited(`"epoch":2`, `"epoch":2.5`), "document.epoch is of the wrong type"},
		"an epoch beyond 2^53":    {edited(`"epoch":2`, `"epoch":9007199254740992`), "epoch 9007199254740992 is not within"},
		"primary_epoch above":     {edited(`"primary_epoch":1`, `"primary_epoch":3`), "primary_epoch 3 is not within"},
		"primary_epoch 0":         {edited(`"primary_epoch":1`, `"primary_epoch":0`), "primary_epoch 0 is not within"},
		"no primary":              {edited(`"primary":"a",`, ``), "document.primary is missing"},
		"an empty primary":        {edited(`"primary":"a"`, `"primary":""`), "primary is empty"},
		"primary not listed":      {edited(`"primary":"a"`, `"primary":"c"`), `primary "c" is not in dcs`},
		"primary not pooled":      {edited(`"a":{"pooled":true}`, `"a":{"pooled":false}`), `primary "a" is not pooled`},
		"a bad DC name":           {edited(`"b":`, `"B":`), `DC name "B"`},
		"no dcs":                  {`{"v":1,"epoch":2,"primary":"a","primary_epoch":1}`, "document.dcs is missing"},
		"pooled left out":         {edited(`"b":{"pooled":true}`, `"b":{}`), "document.dcs.b.pooled is missing"},
		"33 DCs":                  {edited(`"b":`, many("d%d", 33, `{"pooled":true}`)+`,"b":`), "dcs has 35 entries"},
		"read-only, no reason":    {with(`"read_only":{"by":"ann"}`), "document.read_only.reason is missing"},
		"read-only, blank reason": {with(`"read_only":{"reason":" "}`), "read_only.reason is empty"},
		"until before since":      {with(`"read_only":{"reason":"x","since":"2026-05-01T10:00:00Z","until":"2026-05-01T10:00:00.0009Z"}`), "is not after since"},
		"no time":                 {with(`"read_only":{"reason":"x","since":"yesterday"}`), `"yesterday" is no time`},
		"a time before 1970":      {with(`"read_only":{"reason":"x","since":"0001-01-01T00:00:01Z"}`), "in the year 1"},
		"a time after 9999":       {with(`"updated":{"at":"9999-12-31T23:59:59-10:00"}`), "in the year 10000"},
		"a bad section name":      {with(`"sections":{"s 4":"disk"}`), `name "s 4"`},
		"section, no reason":      {with(`"sections":{"s4":""}`), "sections.s4 is empty"},
		"1,001 sections":          {with(`"sections":{` + many("s%d", 1001, `"x"`) + `}`), "sections has 1001 entries"},
		"rule without share":      {with(`"rollout":{"default":{"mode":"local"}}`), "document.rollout.default.share is missing"},
		"host without share":      {with(`"rollout":{"hosts":{"x.org":{"mode":"local"}}}`), "document.rollout.hosts.x.org.share is missing"},
		"share too large":         {with(`"rollout":{"default":{"share":10001}}`), "rollout.default.share 10001"},
		"share negative":          {with(`"rollout":{"hosts":{"x.org":{"share":-1}}}`), "rollout.hosts.x.org.share -1"},
		"a bad mode":              {with(`"rollout":{"default":{"mode":"Local","share":1}}`), `rollout.default.mode "Local"`},
		"a host in capitals":      {with(`"rollout":{"hosts":{"X.org":{"share":1}}}`), `pattern "X.org"`},
		"a star inside":           {with(`"rollout":{"hosts":{"en.*.org":{"share":1}}}`), `pattern "en.*.org"`},
		"1,001 hosts":             {with(`"rollout":{"hosts":{` + many("h%d", 1001, `{"share":1}`) + `}}`), "rollout.hosts has 1001 entries"},
	} {
		_, err := switchover.Parse([]byte(tc.raw))
		if !errors.Is(err, switchover.ErrInvalid) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want ErrInvalid with %q", name, err, tc.want)
		}
	}
	if _, err := switchover.Parse(fmt.Appendf(nil, good, "")); err != nil {
		t.Errorf("the document that all were made from: %v", err)
	}
}

func many(name string, n int, value string) string {
	members := make([]string, n)
	for i := range members {
		members[i] = fmt.Sprintf("%q:%s", fmt.Sprintf(name, i), value)
	}
	return strings.Join(members, ",")
}

// The largest legal document, and one byte more.
func TestMarshalIsBounded(t *testing.T) {
	doc := twoDCs()
	doc.Epoch, doc.PrimaryEpoch = 1, 1
	doc.ReadOnly = &switchover.Window{Reason: "x"}
	raw, err := doc.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	doc.ReadOnly.Reason = strings.Repeat("x", 64<<10-len(raw)+1)
	if raw, err = doc.Marshal(); err != nil || len(raw) != 64<<10 {
		t.Fatalf("%d bytes, %v", len(raw), err)
	}
	if _, err := switchover.Parse(raw); err != nil {
		t.Error("the largest document:", err)
	}
	doc.ReadOnly.Reason += "x"
	if _, err := doc.Marshal(); !errors.Is(err, switchover.ErrInvalid) {
		t.Error("one byte more:", err)
	}
}

func TestValidateAfter(t *testing.T) {
	before := twoDCs()
	before.Epoch, before.PrimaryEpoch = 42, 39
	for name, tc := range map[string]struct {
		change func(*switchover.Doc)
		epochs [2]uint64
		want   string
	}{
		"nothing":                         {nil, [2]uint64{42, 39}, ""},
		"unpooled":                        {func(d *switchover.Doc) { d.DCs["b"] = switchover.DC{} }, [2]uint64{42, 39}, ""},
		"moved":                           {func(d *switchover.Doc) { d.Primary = "b" }, [2]uint64{43, 43}, ""},
		"moved, among others":             {func(d *switchover.Doc) { d.Primary = "b" }, [2]uint64{50, 44}, ""},
		"moved by hand, numbers left":     {func(d *switchover.Doc) { d.Primary = "b" }, [2]uint64{42, 39}, `needs "epoch":43 and "primary_epoch":43, has 42 and 39`},
		"moved, primary_epoch left":       {func(d *switchover.Doc) { d.Primary = "b" }, [2]uint64{43, 39}, `needs "epoch":43 and "primary_epoch":43, has 43 and 39`},
		"moved, primary_epoch too low":    {func(d *switchover.Doc) { d.Primary = "b" }, [2]uint64{45, 42}, `needs "epoch":45 and "primary_epoch":45`},
		"read-only":                       {func(d *switchover.Doc) { d.ReadOnly = &switchover.Window{Reason: "x"} }, [2]uint64{43, 39}, ""},
		"read-only, epoch left":           {func(d *switchover.Doc) { d.ReadOnly = &switchover.Window{Reason: "x"} }, [2]uint64{42, 39}, `needs "epoch":43, has 42`},
		"a section, epoch left":           {func(d *switchover.Doc) { d.Sections = map[string]string{"s4": "x"} }, [2]uint64{42, 39}, `needs "epoch":43, has 42`},
		"a DC, epoch left":                {func(d *switchover.Doc) { d.DCs["b"] = switchover.DC{Pooled: true, ReadOnly: "x"} }, [2]uint64{42, 39}, `needs "epoch":43, has 42`},
		"risen for nothing":               {nil, [2]uint64{43, 39}, `needs "epoch":42, has 43`},
		"read-only on and off":            {nil, [2]uint64{44, 39}, ""},
		"moved and back":                  {nil, [2]uint64{44, 44}, ""},
		"fallen":                          {nil, [2]uint64{41, 39}, "epoch 41 is below 42"},
		"fallen, moved":                   {func(d *switchover.Doc) { d.Primary = "b" }, [2]uint64{41, 41}, "epoch 41 is below 42"},
		"primary_epoch risen for nothing": {nil, [2]uint64{42, 42}, `needs "primary_epoch":39, has 42`},
		"primary_epoch fallen":            {nil, [2]uint64{42, 38}, `needs "primary_epoch":39, has 38`},
		"primary_epoch, with read-only":   {func(d *switchover.Doc) { d.ReadOnly = &switchover.Window{Reason: "x"} }, [2]uint64{43, 43}, `needs "primary_epoch":39, has 43`},
		"primary_epoch of before, higher": {func(d *switchover.Doc) { d.ReadOnly = &switchover.Window{Reason: "x"} }, [2]uint64{49, 41}, `needs "primary_epoch":39, has 41`},
	} {
		d := twoDCs()
		d.Epoch, d.PrimaryEpoch = tc.epochs[0], tc.epochs[1]
		if tc.change != nil {
			tc.change(&d)
		}
		err := d.Validate(&before)
		if tc.want == "" && err != nil || tc.want != "" && (!errors.Is(err, switchover.ErrInvalid) || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}

func TestReadOnlyFor(t *testing.T) {
	until := time.Date(2026, 5, 1, 10, 2, 0, 0, time.UTC)
	doc := twoDCs()
	doc.DCs["b"] = switchover.DC{Pooled: true, ReadOnly: "b is copied"}
	doc.Sections = map[string]string{"s4": "disk"}
	everywhere := doc
	everywhere.ReadOnly = &switchover.Window{Reason: "moving", Until: until}
	for _, tc := range []struct {
		doc         switchover.Doc
		dc, section string
		want        string
		until       time.Time
	}{
		{twoDCs(), "a", "s4", "", time.Time{}},
		{doc, "a", "", "", time.Time{}},
		{doc, "a", "s5", "", time.Time{}},
		{doc, "a", "s4", "disk", time.Time{}},
		{doc, "b", "s4", "b is copied", time.Time{}},
		{doc, "c", "", "DC c is not in the state document", time.Time{}},
		{everywhere, "b", "s4", "moving", until},
	} {
		if reason, until := tc.doc.ReadOnlyFor(tc.dc, tc.section); reason != tc.want || until != tc.until {
			t.Errorf("ReadOnlyFor(%q, %q) = %q, %v; want %q, %v", tc.dc, tc.section, reason, until, tc.want, tc.until)
		}
	}
}
