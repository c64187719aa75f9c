package switchover

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// What the document may measure.
const (
	version  = 1
	maxBytes = 64 << 10
	maxDepth = 64 // of values in values; ours needs four
)

// Parse reads a document. It refuses what is not valid on its own, with an error that is [ErrInvalid] and names
// the field: see [Doc.Validate] for the rules. Fields of later versions are kept.
func Parse(raw []byte) (Doc, error) {
	d, err := decode(raw)
	if err != nil {
		return Doc{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if err := d.Validate(nil); err != nil {
		return Doc{}, err
	}
	return d, nil
}

// UnmarshalJSON is [Parse].
func (d *Doc) UnmarshalJSON(raw []byte) (err error) {
	*d, err = Parse(raw)
	return err
}

func decode(raw []byte) (Doc, error) {
	if err := checkText(raw); err != nil {
		return Doc{}, err
	}
	r := open("document", raw)
	var v int
	r.need("v", &v)
	if r.err() == nil && v != version {
		return Doc{}, fmt.Errorf("document version %d: this program reads version %d", v, version)
	}
	var d Doc
	r.need("epoch", &d.Epoch)
	r.need("primary", &d.Primary)
	r.need("primary_epoch", &d.PrimaryEpoch)
	d.DCs = members(r, "dcs", decodeDC)
	if d.DCs == nil {
		r.fail("dcs", errors.New("is missing"))
	}
	if w, ok := r.object("read_only"); ok {
		d.ReadOnly = decodeWindow(w)
	}
	r.take("sections", &d.Sections)
	if len(d.Sections) == 0 {
		d.Sections = nil
	}
	if o, ok := r.object("rollout"); ok {
		d.Rollout = decodeRollout(o)
	}
	if u, ok := r.object("updated"); ok {
		d.Updated = decodeStamp(u)
	}
	d.unknown = r.rest()
	return d, r.err()
}

func decodeDC(r *reader) DC {
	var dc DC
	r.need("pooled", &dc.Pooled)
	r.take("read_only", &dc.ReadOnly)
	dc.unknown = r.rest()
	return dc
}

func decodeWindow(r *reader) *Window {
	var w Window
	r.need("reason", &w.Reason)
	r.time("since", &w.Since)
	r.time("until", &w.Until)
	r.take("by", &w.By)
	w.unknown = r.rest()
	return &w
}

func decodeRollout(r *reader) *Rollout {
	var o Rollout
	if rule, ok := r.object("default"); ok {
		decoded := decodeRule(rule)
		o.Default = &decoded
	}
	o.Hosts = members(r, "hosts", decodeRule)
	if len(o.Hosts) == 0 {
		o.Hosts = nil
	}
	o.unknown = r.rest()
	return &o
}

func decodeRule(r *reader) Rule {
	var rule Rule
	r.take("mode", &rule.Mode)
	r.need("share", &rule.Share)
	r.take("salt", &rule.Salt)
	rule.unknown = r.rest()
	return rule
}

func decodeStamp(r *reader) Stamp {
	var s Stamp
	r.time("at", &s.At)
	r.take("by", &s.By)
	r.take("id", &s.ID)
	s.unknown = r.rest()
	return s
}

// reader takes the fields of one JSON object; what is left over is unknown. Names are compared exactly, which
// encoding/json's structs do not. The first error of a whole document is kept.
type reader struct {
	path   string
	fields map[string]json.RawMessage
	first  *error
}

func open(path string, raw []byte) *reader {
	var first error
	r := &reader{path: path, first: &first}
	r.read(raw)
	return r
}

func (r *reader) read(raw []byte) {
	err := json.Unmarshal(raw, &r.fields)
	if err == nil && r.fields == nil {
		err = errors.New("null is not an object")
	}
	if err != nil && *r.first == nil {
		*r.first = fmt.Errorf("%s: %w", r.path, err)
	}
}

func (r *reader) err() error { return *r.first }

func (r *reader) fail(key string, err error) {
	if *r.first == nil {
		*r.first = fmt.Errorf("%s.%s %w", r.path, key, err)
	}
}

// pull removes a field and returns it; null counts as absent.
func (r *reader) pull(key string) (json.RawMessage, bool) {
	raw, ok := r.fields[key]
	delete(r.fields, key)
	return raw, ok && string(raw) != "null"
}

func (r *reader) take(key string, into any) bool {
	raw, ok := r.pull(key)
	if !ok {
		return false
	}
	if err := json.Unmarshal(raw, into); err != nil {
		r.fail(key, fmt.Errorf("is of the wrong type: %w", err))
	}
	return true
}

func (r *reader) need(key string, into any) {
	if !r.take(key, into) {
		r.fail(key, errors.New("is missing"))
	}
}

func (r *reader) time(key string, into *time.Time) {
	var text string
	if !r.take(key, &text) {
		return
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		r.fail(key, fmt.Errorf("%.40q is no time as 2026-05-01T10:00:00.000Z", text))
	}
	*into = t.UTC().Truncate(time.Millisecond)
}

func (r *reader) object(key string) (*reader, bool) {
	raw, ok := r.pull(key)
	if !ok {
		return nil, false
	}
	inner := &reader{path: r.path + "." + key, first: r.first}
	inner.read(raw)
	return inner, true
}

// members reads an object whose keys are names, not fields; nil if it is absent.
func members[T any](r *reader, key string, decode func(*reader) T) map[string]T {
	outer, ok := r.object(key)
	if !ok {
		return nil
	}
	out := make(map[string]T, len(outer.fields))
	for name, raw := range outer.fields {
		inner := &reader{path: fmt.Sprintf("%s.%.64s", outer.path, name), first: r.first}
		inner.read(raw)
		out[name] = decode(inner)
	}
	return out
}

func (r *reader) rest() unknown {
	if len(r.fields) == 0 {
		return nil
	}
	u := make(unknown, len(r.fields))
	for key, raw := range r.fields {
		u[key] = raw
	}
	return u
}

// checkText refuses what two readers could understand differently, and what is too large to look at.
func checkText(raw []byte) error {
	if len(raw) > maxBytes {
		return fmt.Errorf("document has more than %d bytes", maxBytes)
	}
	if !utf8.Valid(raw) {
		return errors.New("document is not UTF-8")
	}
	var whole json.RawMessage
	if err := json.Unmarshal(raw, &whole); err != nil {
		return fmt.Errorf("document is not JSON: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber() // a number too large for us may suit a later version
	return unambiguous(d, 0)
}

// unambiguous walks one value: no key twice in an object, no bottomless nesting.
func unambiguous(d *json.Decoder, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("document is nested deeper than %d", maxDepth)
	}
	token, err := d.Token()
	if err != nil {
		return err
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	seen := map[string]bool{}
	for d.More() {
		if delim == '{' {
			token, err := d.Token()
			if err != nil {
				return err
			}
			key, _ := token.(string)
			if seen[key] {
				return fmt.Errorf("key %.64q stands twice in one object", key)
			}
			seen[key] = true
		}
		if err := unambiguous(d, depth+1); err != nil {
			return err
		}
	}
	_, err = d.Token() // the closing bracket
	return err
}
