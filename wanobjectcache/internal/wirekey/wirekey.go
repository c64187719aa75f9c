// Package wirekey has the form of the keys under which records lie in the stores, for those who write keys and those who
// are sent one: FORMAT.md describes it, under "Keys".
package wirekey

import "strings"

// A wire key is Prefix, the base key, Separator and a type.
const (
	Prefix    = "WANCache:"
	Separator = "|#|"
	MaxName   = 64  // bytes of a keyspace, or of the name of a group
	MaxBase   = 205 // with prefix, separator and type a wire key has at most 218 bytes, of memcached's 250
	TagGroup  = "tag"
)

// The types of the records.
const (
	Value   = 'v'
	Tag     = 't'
	Mutex   = 'm'
	Interim = 'i'
)

// IsName reports whether s can be a keyspace, or the name of a group.
func IsName(s string) bool {
	if s == "" || len(s) > MaxName {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// MustEscape reports whether c is escaped in a component: what a memcached key cannot hold, what has a meaning in our keys,
// and the braces by which some proxies choose a server.
func MustEscape(c byte) bool { return c == ':' || MustEscapeInTag(c) }

// MustEscapeInTag reports whether c is escaped in a tag, where colons stay.
func MustEscapeInTag(c byte) bool {
	switch c {
	case '%', '#', '|', '{', '}':
		return true
	default:
		return c < 0x21 || c > 0x7E
	}
}

// Split takes apart a wire key that somebody else sent. It refuses what no value and no tag has: the key of the epoch too,
// for that is not purged.
func Split(key string) (base string, typ byte, ok bool) {
	rest, ok := strings.CutPrefix(key, Prefix)
	if !ok || rest == "" {
		return "", 0, false
	}
	rest, typ = rest[:len(rest)-1], rest[len(rest)-1]
	if base, ok = strings.CutSuffix(rest, Separator); !ok || !isBase(base, typ) {
		return "", 0, false
	}
	return base, typ, true
}

func isBase(base string, typ byte) bool {
	keyspace, rest, _ := strings.Cut(base, ":")
	group, rest, ok := strings.Cut(rest, ":")
	switch typ {
	case Value, Mutex, Interim:
		ok = ok && (isEscaped(rest, MustEscape) && strings.Trim(rest, ":") != "" || isHash(rest))
	case Tag:
		ok = ok && group == TagGroup && (isEscaped(rest, MustEscapeInTag) && rest != "" || isHash(rest))
	default:
		return false
	}
	return ok && len(base) <= MaxBase && IsName(keyspace) && IsName(group)
}

// isEscaped: the colons that stand there separate components, or stay in a tag.
func isEscaped(s string, must func(byte) bool) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '%':
			if i+2 >= len(s) {
				return false
			}
			high, low := hexDigit(s[i+1]), hexDigit(s[i+2])
			if high < 0 || low < 0 || !must(byte(high<<4|low)) {
				return false
			}
			i += 2
		case MustEscapeInTag(c):
			return false
		}
	}
	return true
}

func hexDigit(c byte) int { return strings.IndexByte("0123456789ABCDEF", c) }

// isHash: # and the SHA-256 of what was too long.
func isHash(s string) bool {
	if len(s) != 1+64 || s[0] != '#' {
		return false
	}
	for i := 1; i < len(s); i++ {
		if strings.IndexByte("0123456789abcdef", s[i]) < 0 {
			return false
		}
	}
	return true
}
