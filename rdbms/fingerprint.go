package rdbms

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxFingerprint is in bytes.
const maxFingerprint = 200

const cutOff = "…"

// fingerprint is a statement to be shown to people: strings and numbers are "?", comments are left out, blanks are one,
// and it has at most 200 bytes of valid UTF-8. It ends in "…" where that is too little, or where the text is unclear:
// what follows may be part of a value, and no value must get into a log.
func fingerprint(query string) string {
	lexer := sqlLexer{text: query}
	out := make([]byte, 0, maxFingerprint)
	for behind := 0; ; {
		t := lexer.next()
		if t.kind == sqlEnd {
			return printable(out)
		}
		piece := query[t.start:t.end]
		switch t.kind {
		case sqlString, sqlNumber:
			piece = "?"
		case sqlUnclear:
			return printable(append(out, cutOff...))
		}
		gap := t.start > behind && len(out) > 0
		if len(out)+len(" ")+len(piece) > maxFingerprint-len(cutOff) {
			return printable(append(out, cutOff...))
		}
		if gap {
			out = append(out, ' ')
		}
		out, behind = append(out, piece...), t.end
	}
}

// printable replaces what is no character, or steers a terminal. No byte becomes longer.
func printable(text []byte) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) {
			return '?'
		}
		return r
	}, string(text))
}
