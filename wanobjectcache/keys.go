package wanobjectcache

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strconv"

	"github.com/multidc/multidc/wanobjectcache/internal/wirekey"
)

const epochBase = "global:WANCache-epoch"

var (
	errNoComponents = errors.New("the id gives no key: GroupOptions.Key, or the id itself, must have at least one component that is not empty")
	errNoTag        = errors.New("a tag is empty: it must name something")
)

// checkName checks a keyspace or the name of a group. The error does not say which.
func checkName(name string) error {
	if !wirekey.IsName(name) {
		return fmt.Errorf("%.80q is no usable name: want 1 to %d of A-Z, a-z, 0-9, _, -", name, wirekey.MaxName)
	}
	return nil
}

// baseKey appends the base key of components. Different lists have different keys: the colon between components is
// escaped inside them.
func baseKey(dst []byte, keyspace, group string, components []string) ([]byte, error) {
	if allEmpty(components) {
		return dst, errNoComponents
	}
	start := len(dst)
	dst = appendGroup(dst, keyspace, group)
	for i, component := range components {
		if i > 0 {
			dst = append(dst, ':')
		}
		dst = appendEscaped(dst, component, wirekey.MustEscape)
	}
	return shortened(dst, start, keyspace, group), nil
}

// tagKey is the base key of a tag. Its colons stay: "site:7" is nobody else's key.
func tagKey(keyspace string, tag Tag) (string, error) {
	if tag == "" {
		return "", errNoTag
	}
	var buf [256]byte
	b := appendEscaped(appendGroup(buf[:0], keyspace, wirekey.TagGroup), string(tag), wirekey.MustEscapeInTag)
	return string(shortened(b, 0, keyspace, wirekey.TagGroup)), nil
}

func allEmpty(components []string) bool {
	for _, component := range components {
		if component != "" {
			return false
		}
	}
	return true
}

func appendGroup(dst []byte, keyspace, group string) []byte {
	dst = append(append(dst, keyspace...), ':')
	return append(append(dst, group...), ':')
}

// shortened puts a hash in place of the components if the base key, which begins at start, is too long. No component can
// look like it, because # is escaped.
func shortened(dst []byte, start int, keyspace, group string) []byte {
	if len(dst)-start <= wirekey.MaxBase {
		return dst
	}
	sum := sha256.Sum256(dst[start:])
	return hex.AppendEncode(append(appendGroup(dst[:start], keyspace, group), '#'), sum[:])
}

func appendEscaped(dst []byte, s string, must func(byte) bool) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		if c := s[i]; must(c) {
			dst = append(dst, '%', digits[c>>4], digits[c&15])
		} else {
			dst = append(dst, c)
		}
	}
	return dst
}

// wireKey is the key under which the store has a record of type typ.
func wireKey(base string, typ byte) string {
	var buf [256]byte
	return string(appendType(append(append(buf[:0], wirekey.Prefix...), base...), typ))
}

func appendType(dst []byte, typ byte) []byte { return append(append(dst, wirekey.Separator...), typ) }

// baseOf is the base key in a wire key that we made ourselves; it shares its memory.
func baseOf(wire string) string {
	return wire[len(wirekey.Prefix) : len(wire)-len(wirekey.Separator)-1]
}

// componentsOf is GroupOptions.Key, or its default.
func componentsOf[K comparable](key func(K) []string) (func(K) []string, error) {
	if key != nil {
		return key, nil
	}
	switch text := textOf[K](); text {
	case notText:
		return nil, fmt.Errorf("GroupOptions.Key is needed: only strings and integers have a key by themselves, and ids are of type %v",
			reflect.TypeFor[K]())
	default:
		return func(id K) []string { return []string{string(appendID(nil, id, text))} }, nil
	}
}

// keyer makes the keys of a group's ids. For an id that is its own component no list is made: a wire key costs one
// allocation.
type keyer[K comparable] struct {
	keyspace, group string
	components      func(K) []string
	text            idText // notText: ask components
}

func keyerOf[K comparable](keyspace, group string, key func(K) []string) (keyer[K], error) {
	components, err := componentsOf(key)
	k := keyer[K]{keyspace: keyspace, group: group, components: components}
	if key == nil {
		k.text = textOf[K]()
	}
	return k, err
}

// wire is the id's wire key; baseOf has the base key in it.
func (k *keyer[K]) wire(id K, typ byte) (string, error) {
	var buf [256]byte
	b, err := k.appendBase(append(buf[:0], wirekey.Prefix...), id)
	if err != nil {
		return "", err
	}
	return string(appendType(b, typ)), nil
}

func (k *keyer[K]) appendBase(dst []byte, id K) ([]byte, error) {
	switch k.text {
	case notText:
		return baseKey(dst, k.keyspace, k.group, k.components(id))
	case asString:
		return baseKey(dst, k.keyspace, k.group, []string{reflect.ValueOf(id).String()})
	default: // digits need no escape, and are never too long
		return appendID(appendGroup(dst, k.keyspace, k.group), id, k.text), nil
	}
}

// idText is how ids of a type become text by themselves.
type idText byte

const (
	notText idText = iota
	asString
	asInt
	asUint
)

func textOf[K comparable]() idText {
	switch reflect.TypeFor[K]().Kind() {
	case reflect.String:
		return asString
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return asInt
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return asUint
	default:
		return notText
	}
}

func appendID[K comparable](dst []byte, id K, text idText) []byte {
	switch v := reflect.ValueOf(id); text {
	case asInt:
		return strconv.AppendInt(dst, v.Int(), 10)
	case asUint:
		return strconv.AppendUint(dst, v.Uint(), 10)
	default:
		return append(dst, v.String()...)
	}
}
