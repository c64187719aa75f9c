package switchover

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// timeFormat is RFC 3339, in UTC and with milliseconds.
const timeFormat = "2006-01-02T15:04:05.000Z"

// Marshal returns the document as JSON, with the fields in a fixed order and those of later versions behind
// them. It refuses a document that [Parse] would refuse.
func (d Doc) Marshal() ([]byte, error) {
	if err := d.Validate(nil); err != nil {
		return nil, err
	}
	raw := d.encode()
	if len(raw) > maxBytes {
		return nil, fmt.Errorf("%w: document has %d bytes, more than %d", ErrInvalid, len(raw), maxBytes)
	}
	return raw, nil
}

// MarshalJSON is [Doc.Marshal].
func (d Doc) MarshalJSON() ([]byte, error) { return d.Marshal() }

// encode writes any document, valid or not.
func (d *Doc) encode() []byte {
	var w writer
	w.field("v", value(version))
	w.field("epoch", value(d.Epoch))
	w.field("primary", value(d.Primary))
	w.field("primary_epoch", value(d.PrimaryEpoch))
	w.field("dcs", object(d.DCs, DC.encode))
	w.field("read_only", d.ReadOnly.encode())
	if len(d.Sections) > 0 {
		w.field("sections", value(d.Sections))
	}
	if d.Rollout != nil {
		w.field("rollout", d.Rollout.encode())
	}
	w.field("updated", d.Updated.encode())
	return w.end(d.unknown)
}

func (dc DC) encode() []byte {
	var w writer
	w.field("pooled", value(dc.Pooled))
	w.field("read_only", value(dc.ReadOnly))
	return w.end(dc.unknown)
}

func (o *Window) encode() []byte {
	if o == nil {
		return []byte("null")
	}
	var w writer
	w.field("reason", value(o.Reason))
	w.time("since", o.Since)
	w.time("until", o.Until)
	w.text("by", o.By)
	return w.end(o.unknown)
}

func (o *Rollout) encode() []byte {
	var w writer
	if o.Default != nil {
		w.field("default", o.Default.encode())
	}
	if len(o.Hosts) > 0 {
		w.field("hosts", object(o.Hosts, Rule.encode))
	}
	return w.end(o.unknown)
}

func (o Rule) encode() []byte {
	var w writer
	w.text("mode", o.Mode)
	w.field("share", value(o.Share))
	w.text("salt", o.Salt)
	return w.end(o.unknown)
}

func (o Stamp) encode() []byte {
	var w writer
	w.time("at", o.At)
	w.text("by", o.By)
	w.text("id", o.ID)
	return w.end(o.unknown)
}

// writer builds one JSON object.
type writer struct{ buf []byte }

func (w *writer) field(key string, raw []byte) {
	if len(w.buf) > 0 {
		w.buf = append(w.buf, ',')
	}
	w.buf = append(append(append(w.buf, value(key)...), ':'), raw...)
}

// text and time leave out what is not told.
func (w *writer) text(key, text string) {
	if text != "" {
		w.field(key, value(text))
	}
}

func (w *writer) time(key string, t time.Time) { w.text(key, stampText(t)) }

func (w *writer) end(rest unknown) []byte {
	for _, key := range slices.Sorted(maps.Keys(rest)) {
		w.field(key, value(json.RawMessage(rest[key])))
	}
	return append(append([]byte{'{'}, w.buf...), '}')
}

func object[T any](byName map[string]T, encode func(T) []byte) []byte {
	var w writer
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		w.field(name, encode(byName[name]))
	}
	return w.end(nil)
}

// value marshals strings, numbers, booleans, string maps and JSON that was parsed before; none of these fails.
// '<' stays '<': HTML escapes would let a document outgrow its bound by being copied.
func value(v any) []byte {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("switchover: a %T cannot be encoded: %v", v, err))
	}
	return bytes.TrimRight(buf.Bytes(), "\n")
}

func stampText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(timeFormat)
}
