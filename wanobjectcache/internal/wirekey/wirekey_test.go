package wirekey

import (
	"strings"
	"testing"
)

func TestIsName(t *testing.T) {
	for s, want := range map[string]bool{
		"a": true, "Users_2-old": true, "-": true, "0": true, strings.Repeat("x", MaxName): true,
		"": false, "a b": false, "a:b": false, "a%": false, "a.b": false, "ä": false, "a\n": false, strings.Repeat("x", MaxName+1): false,
	} {
		if got := IsName(s); got != want {
			t.Errorf("%q: %v", s, got)
		}
	}
}

func TestMustEscape(t *testing.T) {
	for i := range 256 {
		c := byte(i)
		inTag := c < '!' || c > '~' || strings.IndexByte("%#|{}", c) >= 0
		if got := MustEscapeInTag(c); got != inTag {
			t.Errorf("%q in a tag: %v", c, got)
		}
		if got := MustEscape(c); got != (inTag || c == ':') {
			t.Errorf("%q in a component: %v", c, got)
		}
	}
}

func TestSplit(t *testing.T) {
	hash := "#" + strings.Repeat("0123456789abcdef", 4)
	for _, key := range []string{
		"WANCache:default:user:42|#|v", "WANCache:default:user:42|#|m", "WANCache:default:user:42|#|i", "WANCache:default:tag:site:7|#|t",
		"WANCache:default:tag:%25|#|t", "WANCache:default:tag::|#|t", "WANCache:default:tag:42|#|v",
		"WANCache:default:user::1|#|v", "WANCache:default:user:1:|#|v", "WANCache:default:user:%3A|#|v", "WANCache:default:user:" + hash + "|#|v",
		"WANCache:default:tag:" + hash + "|#|t", "WANCache:default:user:" + strings.Repeat("i", MaxBase-len("default:user:")) + "|#|v",
	} {
		if base, typ, ok := Split(key); !ok || Prefix+base+Separator+string(typ) != key {
			t.Errorf("%s: %q, %c, %v", key, base, typ, ok)
		}
	}
	for _, key := range bad {
		if base, typ, ok := Split(key); ok || base != "" || typ != 0 {
			t.Errorf("%.300q: %q, %c, %v", key, base, typ, ok)
		}
	}
}

var bad = []string{
	"", "WANCache:", "WANCache:|#|v", "WANCache:v", "WANCache|#|v", "wancache:default:user:42|#|v", "default:user:42|#|v",
	"WANCache:default:user:42", "WANCache:default:user:42|#|", "WANCache:default:user:42|#|x", "WANCache:default:user:42|#|V",
	"WANCache:default:user:42|#|vv", "WANCache:default:user:42|#v", "WANCache:default:user:42|#|v|#|v", "WANCache:default:user:42|@|v",
	"WANCache:default:user:|#|v", "WANCache:default:user:::|#|v", "WANCache:default:user|#|v", "WANCache:default|#|v", "WANCache::user:42|#|v",
	"WANCache:default::42|#|v", "WANCache:de fault:user:42|#|v", "WANCache:default:us.er:42|#|v", "WANCache:default:" + strings.Repeat("g", 65) + ":42|#|v",
	"WANCache:default:user:a b|#|v", "WANCache:default:user:a\nb|#|v", "WANCache:default:user:ä|#|v", "WANCache:default:user:a\x00|#|v",
	"WANCache:default:user:{42}|#|v", "WANCache:default:user:a|b|#|v", "WANCache:default:user:a#b|#|v",
	"WANCache:default:user:%|#|v", "WANCache:default:user:%4|#|v", "WANCache:default:user:%41|#|v", "WANCache:default:user:%3a|#|v",
	"WANCache:default:user:%G0|#|v", "WANCache:default:user:%0G|#|v", "WANCache:default:tag:site%3A7|#|t",
	"WANCache:default:tag:|#|t", "WANCache:default:user:42|#|t", "WANCache:global:WANCache-epoch|#|t", "WANCache:global:WANCache-epoch|#|v", "WANCache:global:WANCache-epoch|#|i",
	"WANCache:default:WANCache-epoch|#|t", "WANCache:default:user:#|#|v", "WANCache:default:user:#" + strings.Repeat("0", 63) + "|#|v",
	"WANCache:default:user:#" + strings.Repeat("0", 65) + "|#|v", "WANCache:default:user:#" + strings.Repeat("A", 64) + "|#|v",
	"WANCache:default:user:x:#" + strings.Repeat("0", 64) + "|#|v", "WANCache:default:tag:#|#|t",
	"WANCache:default:user:" + strings.Repeat("i", MaxBase+1-len("default:user:")) + "|#|v", "WANCache:default:user:" + strings.Repeat("i", 1e6) + "|#|v",
}
