package position

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// MaxText is the most bytes that a position's text has, its prefix of three bytes not counted.
const MaxText = 4096

// maxServerText is where a server's own text is refused unread: such text has line feeds that ours has not, but is
// never twice as long.
const maxServerText = 2 * MaxText

// The prefixes name flavour and version of a text.
const (
	prefixMariaDB = "m1:"
	prefixMySQL   = "g1:"
)

// Position is a set of transactions, as a MariaDB or a MySQL server names it. The zero Position is the empty set; it
// has no flavour and goes with both.
type Position struct {
	mariadb []gtid    // sorted by domain, one of each
	mysql   []history // sorted by uuid and tag, one of each; none is empty
}

// Parse reads a text that [Position.String] wrote. The empty text is the zero Position; a text of another flavour or
// version than this package knows is an error, and counts as no position. Behind the prefix everything is accepted
// that [ParseMariaDB] or [ParseMySQL] accepts, up to [MaxText] bytes.
func Parse(text string) (Position, error) {
	if text == "" {
		return Position{}, nil
	}
	if len(text) > MaxText+len(prefixMariaDB) {
		return Position{}, tooLong(len(text))
	}
	if body, ok := strings.CutPrefix(text, prefixMariaDB); ok {
		return ParseMariaDB(body)
	}
	if body, ok := strings.CutPrefix(text, prefixMySQL); ok {
		return ParseMySQL(body)
	}
	return Position{}, fmt.Errorf("position: %s begins with neither %s nor %s: it is no position, or a newer version wrote it", show(text), prefixMariaDB, prefixMySQL)
}

// String returns the text that [Parse] reads: sorted and without blanks, so that equal positions have equal texts.
// That of the zero Position is empty.
func (p Position) String() string {
	switch {
	case len(p.mariadb) > 0:
		return prefixMariaDB + formatMariaDB(p.mariadb)
	case len(p.mysql) > 0:
		return prefixMySQL + formatMySQL(p.mysql)
	}
	return ""
}

// IsZero reports whether p includes no transaction.
func (p Position) IsZero() bool { return len(p.mariadb) == 0 && len(p.mysql) == 0 }

// Equal reports whether p and q are the same: their texts are. With MariaDB two positions that are not equal can have
// reached each other: they differ in the server that wrote.
func (p Position) Equal(q Position) bool {
	return slices.Equal(p.mariadb, q.mariadb) && slices.EqualFunc(p.mysql, q.mysql, history.equal)
}

// Only returns the part of p that belongs to one history: with MariaDB the domain with that number (@@gtid_domain_id,
// in decimal), with MySQL the transactions of the server with that uuid (@@server_uuid, in either case), whatever
// their tag. It is the zero Position if p has nothing of it.
func (p Position) Only(domain string) Position {
	return Position{mariadb: onlyDomain(p.mariadb, domain), mysql: onlyUUID(p.mysql, domain)}
}

// Reached reports whether have includes all of want. The zero Position is always reached, and reaches nothing else.
// Positions of different flavours are an error.
func Reached(have, want Position) (bool, error) {
	if err := sameFlavour(have, want); err != nil {
		return false, err
	}
	return reachedMariaDB(have.mariadb, want.mariadb) && reachedMySQL(have.mysql, want.mysql), nil
}

// Merge returns the smallest position that includes both. Positions of different flavours, and a result over the
// bounds, are an error.
func Merge(a, b Position) (Position, error) {
	if err := sameFlavour(a, b); err != nil {
		return Position{}, err
	}
	return Position{mariadb: mergeMariaDB(a.mariadb, b.mariadb), mysql: mergeMySQL(a.mysql, b.mysql)}.bounded()
}

var errFlavours = errors.New("position: a MariaDB and a MySQL position cannot be compared or merged")

func sameFlavour(a, b Position) error {
	if len(a.mariadb) > 0 && len(b.mysql) > 0 || len(a.mysql) > 0 && len(b.mariadb) > 0 {
		return errFlavours
	}
	return nil
}

// bounded returns p, or an error if p is too large to be carried about.
func (p Position) bounded() (Position, error) {
	if n := len(p.mariadb); n > maxDomains {
		return Position{}, fmt.Errorf("position: %d replication domains are more than %d", n, maxDomains)
	}
	if n := len(p.String()) - len(prefixMariaDB); n > MaxText {
		return Position{}, tooLong(n)
	}
	return p, nil
}

func tooLong(n int) error {
	return fmt.Errorf("position: a text of %d bytes is longer than %d", n, MaxText)
}

// elements yields the elements of a list that are not blank.
func elements(list string, separator string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for element := range strings.SplitSeq(list, separator) {
			if element = trim(element); element != "" && !yield(element) {
				return
			}
		}
	}
}

// trim removes the blanks and line breaks that servers, and people, put between the parts.
func trim(s string) string { return strings.Trim(s, " \t\r\n") }

// lower folds ASCII alone: there are other letters whose lower case is an ASCII one.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}

func parseNumber(text string, bits int) (uint64, error) {
	n, err := strconv.ParseUint(trim(text), 10, bits)
	if err != nil {
		return 0, fmt.Errorf("%s is no number from 0 to 2^%d-1", show(text), bits)
	}
	return n, nil
}

// show quotes a text for an error, and not all of a long one.
func show(text string) string {
	const enough = 80
	if len(text) > enough {
		return fmt.Sprintf("%.*q…", enough, text)
	}
	return fmt.Sprintf("%q", text)
}
