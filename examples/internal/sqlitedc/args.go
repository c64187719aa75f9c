package sqlitedc

import (
	"database/sql/driver"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// arg is one argument of a logged statement. JSON alone would turn an int64 into a float64 and a []byte into
// a string; kind and text keep every type exactly.
type arg struct {
	Name string `json:"name,omitempty"`
	Kind string `json:"kind"`
	Text string `json:"text,omitempty"`
}

// The kinds of arguments, all that database/sql hands to a driver.
const (
	kindNull   = "null"
	kindInt    = "int"
	kindFloat  = "float"
	kindBool   = "bool"
	kindBytes  = "bytes"  // base64
	kindString = "string" // as it is
	kindRaw    = "raw"    // a string that is not valid UTF-8, in base64
	kindTime   = "time"   // seconds since 1970 in UTC, a dot, nanoseconds
)

func encodeArgs(args []driver.NamedValue) (string, error) {
	list := make([]arg, len(args))
	for i, a := range args {
		kind, text, err := encodeValue(a.Value)
		if err != nil {
			return "", fmt.Errorf("argument %d: %w", i+1, err)
		}
		list[i] = arg{Name: a.Name, Kind: kind, Text: text}
	}
	out, err := json.Marshal(list)
	return string(out), err
}

func encodeValue(value driver.Value) (kind, text string, err error) {
	switch v := value.(type) {
	case nil:
		return kindNull, "", nil
	case int64:
		return kindInt, strconv.FormatInt(v, 10), nil
	case float64:
		return kindFloat, strconv.FormatFloat(v, 'g', -1, 64), nil
	case bool:
		return kindBool, strconv.FormatBool(v), nil
	case []byte:
		if v == nil { // SQLite stores NULL
			return kindNull, "", nil
		}
		return kindBytes, base64.StdEncoding.EncodeToString(v), nil
	case string:
		if !utf8.ValidString(v) {
			return kindRaw, base64.StdEncoding.EncodeToString([]byte(v)), nil
		}
		return kindString, v, nil
	case time.Time:
		return kindTime, fmt.Sprintf("%d.%09d", v.Unix(), v.Nanosecond()), nil
	}
	return "", "", fmt.Errorf("cannot log a %T", value)
}

func decodeArgs(text string) ([]driver.NamedValue, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	var list []arg
	if err := d.Decode(&list); err != nil {
		return nil, fmt.Errorf("arguments: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("arguments: text after the list")
	}
	values := make([]driver.NamedValue, len(list))
	for i, a := range list {
		v, err := decodeValue(a.Kind, a.Text)
		if err != nil {
			return nil, fmt.Errorf("argument %d: %s: %w", i+1, a.Kind, err)
		}
		values[i] = driver.NamedValue{Name: a.Name, Ordinal: i + 1, Value: v}
	}
	return values, nil
}

func decodeValue(kind, text string) (driver.Value, error) {
	switch kind {
	case kindNull:
		return nil, nil
	case kindInt:
		return strconv.ParseInt(text, 10, 64)
	case kindFloat:
		return strconv.ParseFloat(text, 64)
	case kindBool:
		return strconv.ParseBool(text)
	case kindBytes:
		return decodeBytes(text)
	case kindRaw:
		raw, err := decodeBytes(text)
		return string(raw), err
	case kindString:
		return text, nil
	case kindTime:
		return decodeTime(text)
	}
	return nil, errors.New("unknown kind of argument")
}

func decodeBytes(text string) ([]byte, error) {
	return base64.StdEncoding.Strict().AppendDecode([]byte{}, []byte(text)) // never nil: an empty blob is not NULL
}

func decodeTime(text string) (time.Time, error) {
	whole, fraction, ok := strings.Cut(text, ".")
	if !ok || len(fraction) != 9 {
		return time.Time{}, errors.New("want seconds, a dot and nine digits")
	}
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return time.Time{}, err
	}
	nsec, err := strconv.ParseUint(fraction, 10, 32)
	if err != nil {
		return time.Time{}, err
	}
	return time.Unix(sec, int64(nsec)).UTC(), nil
}
