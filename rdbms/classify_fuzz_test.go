package rdbms

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

func seedStatements(f *testing.F) {
	f.Helper()
	for _, query := range plainReads {
		f.Add(query)
	}
	for _, query := range notPlainReads {
		f.Add(query)
	}
}

// Any text is classified as the twin does, without a panic. Time is linear because each token begins where the one
// before ended or later, and costs its own length.
func FuzzIsRead(f *testing.F) {
	seedStatements(f)
	f.Fuzz(func(t *testing.T, query string) {
		if got, want := isRead(query), twinIsRead(query); got != want {
			t.Fatalf("isRead says %v, the twin %v: %q", got, want, query)
		}
		behind := 0
		for l := (sqlLexer{text: query}); ; {
			token := l.next()
			if token.start < behind || token.end < token.start || token.end > len(query) {
				t.Fatalf("%q: %+v behind %d", query, token, behind)
			}
			if token.kind == sqlEnd || token.kind == sqlUnclear {
				return
			}
			if token.end == token.start {
				t.Fatalf("%q: no progress at %d", query, token.start)
			}
			behind = token.end
		}
	})
}

// A fingerprint holds no string and no number, is short and valid; names may hold anything.
func FuzzFingerprint(f *testing.F) {
	seedStatements(f)
	names, values := regexp.MustCompile("`[^`]*`"), regexp.MustCompile(`['"]|(^|[^A-Za-z0-9_$])[0-9]`)
	f.Fuzz(func(t *testing.T, query string) {
		got := fingerprint(query)
		if len(got) > maxFingerprint || !utf8.ValidString(got) {
			t.Fatalf("%q: %d bytes, valid %v: %q", query, len(got), utf8.ValidString(got), got)
		}
		if rest := names.ReplaceAllString(got, "name"); strings.Contains(rest, "`") || values.MatchString(rest) {
			t.Fatalf("%q: %q shows a value", query, got)
		}
	})
}
