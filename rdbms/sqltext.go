package rdbms

import "strings"

// sqlLexer cuts the text of a statement into tokens, as MariaDB and MySQL do, without allocation. Each byte is looked at
// a bounded number of times. Settings of the session that change how a text is cut are met by refusing (sqlUnclear) the
// few texts that could be cut in two ways. Here "(measured)" = tried on MariaDB 10.11.
type sqlLexer struct {
	text string
	at   int
}

type sqlKind uint8

const (
	sqlEnd     sqlKind = iota
	sqlWord            // a keyword, or an identifier without quotes
	sqlNumber          // without its sign
	sqlString          // '…' or "…"; the latter is an identifier under ANSI_QUOTES
	sqlName            // `…`
	sqlMark            // one byte of anything else
	sqlHigh            // bytes ≥ 0x80 outside of quotes
	sqlUnclear         // from here on the text has no end, or more than one meaning
)

type sqlToken struct {
	kind       sqlKind
	start, end int // in the text, quotes included
}

// What a byte may begin. Those up to sqlDigit go on in a word.
const (
	sqlLetter = iota
	sqlDigit
	sqlBlank
	sqlPlain // a mark that is nothing but itself
	sqlQuote
	sqlTick
	sqlNonASCII
	sqlComment // begins one, perhaps
	sqlStop    // ; and :
)

var sqlClasses = func() (classes [256]uint8) {
	for i := range classes {
		c := byte(i)
		switch {
		case 'a' <= c|0x20 && c|0x20 <= 'z', c == '_', c == '$':
			classes[i] = sqlLetter
		case '0' <= c && c <= '9':
			classes[i] = sqlDigit
		case c == ' ', '\t' <= c && c <= '\r':
			classes[i] = sqlBlank
		case c == '\'', c == '"':
			classes[i] = sqlQuote
		case c == '`':
			classes[i] = sqlTick
		case c >= 0x80:
			classes[i] = sqlNonASCII
		case c == '#', c == '-', c == '/', c == 0:
			classes[i] = sqlComment
		case c == ';', c == ':':
			classes[i] = sqlStop
		default:
			classes[i] = sqlPlain
		}
	}
	return classes
}()

func (l *sqlLexer) next() sqlToken {
	for text, at := l.text, l.at; at < len(text); {
		start := at
		at++
		switch sqlClasses[text[start]] {
		case sqlBlank:
			continue
		case sqlLetter:
			for at < len(text) && sqlClasses[text[at]] <= sqlDigit {
				at++
			}
			l.at = at
			return sqlToken{sqlWord, start, at}
		case sqlDigit:
			l.at = start + sqlNumberLen(text[start:])
			return sqlToken{sqlNumber, start, l.at}
		case sqlQuote, sqlTick:
			return l.quoted(start)
		case sqlNonASCII:
			l.at = start + runLen(text[start:], isNonASCII)
			return sqlToken{sqlHigh, start, l.at}
		case sqlComment:
			switch n, sure := sqlCommentLen(text[start:]); {
			case !sure:
				return sqlToken{sqlUnclear, start, len(text)}
			case n > 0:
				at = start + n
				continue
			}
		}
		l.at = at
		return sqlToken{sqlMark, start, at}
	}
	return sqlToken{sqlEnd, len(l.text), len(l.text)}
}

// sqlNumberLen returns the length of the number at the beginning of s: 12, 12.5, 1e-5, 0x1F, 0b1. What follows begins a
// new word, as the servers have it behind an exponent: 1e5FOR UPDATE is three tokens and locks (measured). Elsewhere (1FOR)
// they see one identifier where we see a number and a word.
func sqlNumberLen(s string) int {
	if len(s) > 1 && s[0] == '0' && (s[1]|0x20 == 'x' || s[1]|0x20 == 'b') {
		return 2 + runLen(s[2:], isHexDigit)
	}
	n := runLen(s, isDigit)
	if n < len(s) && s[n] == '.' {
		n++
		n += runLen(s[n:], isDigit)
	}
	return n + sqlExponentLen(s[n:])
}

// sqlExponentLen returns the length of the exponent at the beginning of s; 0 if there is none.
func sqlExponentLen(s string) int {
	if len(s) < 2 || s[0]|0x20 != 'e' {
		return 0
	}
	sign := 0
	if s[1] == '+' || s[1] == '-' {
		sign = 1
	}
	if digits := runLen(s[1+sign:], isDigit); digits > 0 {
		return 1 + sign + digits
	}
	return 0
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isNonASCII(c byte) bool { return c >= 0x80 }

func isHexDigit(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }

// runLen returns how many bytes at the beginning of s are of a kind.
func runLen(s string, of func(byte) bool) int {
	for i := range len(s) {
		if !of(s[i]) {
			return i
		}
	}
	return len(s)
}

// quoted skips a string or a quoted name; a doubled quote stands for one. A backslash takes the byte behind it out of
// account, except under NO_BACKSLASH_ESCAPES, and in "…" under ANSI_QUOTES. It makes no difference unless that byte is
// the quote: then the string ends there or goes on, and the text is unclear.
func (l *sqlLexer) quoted(start int) sqlToken {
	quote, kind := l.text[start], sqlString
	if quote == '`' {
		kind = sqlName
	}
	for i := start + 1; i < len(l.text); i++ {
		switch c := l.text[i]; {
		case c == '\\' && kind == sqlString:
			if i++; i < len(l.text) && l.text[i] == quote {
				return sqlToken{sqlUnclear, start, len(l.text)}
			}
		case c != quote:
		case i+1 < len(l.text) && l.text[i+1] == quote:
			i++
		default:
			l.at = i + 1
			return sqlToken{kind, start, l.at}
		}
	}
	return sqlToken{sqlUnclear, start, len(l.text)}
}

// sqlCommentLen returns the length of the comment at the beginning of s; 0 if there is none. Not sure: it has no end; it
// may be executed (/*! and /*M!); whether it is one depends on the character set (-- before a byte ≥ 0x80); and a zero
// byte, which ends a text in some places.
func sqlCommentLen(s string) (n int, sure bool) {
	switch {
	case s[0] == 0:
		return 0, false
	case s[0] == '#':
		return sqlLineLen(s), true
	case strings.HasPrefix(s, "--"):
		if len(s) > 2 && s[2] > ' ' && s[2] != 0x7f { // two signs
			return 0, s[2] < 0x80
		}
		return sqlLineLen(s), true
	case strings.HasPrefix(s, "/*"):
		end := strings.Index(s[2:], "*/")
		if end < 0 || strings.HasPrefix(s, "/*!") || strings.HasPrefix(s, "/*M!") {
			return 0, false
		}
		return end + 4, true
	}
	return 0, true
}

// sqlLineLen returns the length up to the end of the line, or to a zero byte, where the servers end such a comment too.
func sqlLineLen(s string) int { return runLen(s, func(c byte) bool { return c != '\n' && c != 0 }) }
