package purgelog

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Wire keys, as FORMAT.md of package wanobjectcache has them: prefix, base key, separator, type.
const (
	keyPrefix    = "WANCache:"
	keySeparator = "|#|"
	typeValue    = "v"
	typeTag      = "t"
	tagGroup     = "tag"
	maxBase      = 205
)

// What follows keyspace and group: components with colons between them, or a tag, with all else escaped that cannot stand
// in a key or means something there; or the hash of what was too long. Escapes of what needs none are refused, for then
// two keys would mean the same. In a tag a colon is one of these.
var (
	keyspaceAndGroup = regexp.MustCompile(`\A[A-Za-z0-9_-]{1,64}:[A-Za-z0-9_-]{1,64}:`)
	components       = regexp.MustCompile(`\A(?:[!-"$&-z~]|` + escape + `|%3A)+\z`)
	tagText          = regexp.MustCompile(`\A(?:[!-"$&-z~]|` + escape + `)+\z`)
	hash             = regexp.MustCompile(`\A#[0-9a-f]{64}\z`)
)

// escape: controls and space, % # { | } DEL, and what is no ASCII.
const escape = `%(?:[01][0-9A-F]|20|25|23|7[BCDF]|[89A-F][0-9A-F])`

var errKey = errors.New("key is none that this op can have")

// baseOf is the base key in a wire key of a type, or an error if wanobjectcache cannot have made the key.
func baseOf(key, typ string) (string, error) {
	base, okPrefix := strings.CutPrefix(key, keyPrefix)
	base, okType := strings.CutSuffix(base, keySeparator+typ)
	head := keyspaceAndGroup.FindString(base)
	if !okPrefix || !okType || len(base) > maxBase || head == "" {
		return "", fmt.Errorf("%w: %.300q", errKey, key)
	}
	rest := base[len(head):]
	ok := hash.MatchString(rest)
	if typ == typeTag {
		ok = strings.HasSuffix(head, ":"+tagGroup+":") && (ok || tagText.MatchString(rest))
	} else {
		ok = ok || components.MatchString(rest) && strings.Trim(rest, ":") != ""
	}
	if !ok {
		return "", fmt.Errorf("%w: %.300q", errKey, key)
	}
	return base, nil
}
