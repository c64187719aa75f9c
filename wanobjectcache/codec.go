package wanobjectcache

import (
	"encoding/json"
	"fmt"
)

// codecOf is GroupOptions.Codec, or its default.
func codecOf[V any](c Codec[V]) Codec[V] {
	if c != nil {
		return c
	}
	// Only string and []byte themselves: a type made from one of them may know its own JSON.
	for _, raw := range []any{stringCodec{}, bytesCodec{}} {
		if c, ok := raw.(Codec[V]); ok {
			return c
		}
	}
	return jsonCodec[V]{}
}

type stringCodec struct{}

func (stringCodec) Append(dst []byte, v string) ([]byte, error) { return append(dst, v...), nil }

func (stringCodec) Decode(b []byte) (string, error) { return string(b), nil }

// bytesCodec writes nil and empty alike, and reads both as empty.
type bytesCodec struct{}

func (bytesCodec) Append(dst, v []byte) ([]byte, error) { return append(dst, v...), nil }

func (bytesCodec) Decode(b []byte) ([]byte, error) { return b, nil }

type jsonCodec[V any] struct{}

func (jsonCodec[V]) Append(dst []byte, v V) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return dst, fmt.Errorf("a %T has no JSON, GroupOptions.Codec must say how to write it: %w", v, err)
	}
	return append(dst, b...), nil
}

func (jsonCodec[V]) Decode(b []byte) (V, error) {
	var v V
	if err := json.Unmarshal(b, &v); err != nil {
		var zero V
		return zero, fmt.Errorf("not the JSON of a %T: %w", v, err)
	}
	return v, nil
}
