package rdbms

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

// The deliberately dumb classifier first makes a text without quotes and comments, then asks regular expressions.
// In that text \x01…\x01 stands for something quoted (with its content, if that is the name of a listed function), \x02
// for bytes ≥ 0x80, z for $ (which \b would take for no letter), and " 0 " for a number.

var (
	twinNumber   = regexp.MustCompile(`(^|[^a-z0-9_])(0[xb][0-9a-f]*|[0-9]+(\.[0-9]*)?(e[+-]?[0-9]+)?)`)
	twinSelect   = regexp.MustCompile(`^[\s(]*select\b`)
	twinWith     = regexp.MustCompile(`^[\s(]*with\b`)
	twinCalled   = strings.Join(listedWords[wordCalled], "|")
	twinFunction = regexp.MustCompile(`^(` + twinCalled + `)$`)
	twinWrites   = regexp.MustCompile(`\b(into|returning|procedure|nextval|currval|for\s+(update|share)|lock\s+in|value\s+for)\b` +
		`|\b(` + twinCalled + `)\x01?\s*\(|:=`)
	twinSecond  = regexp.MustCompile(`;[\s;]*[^\s;]`)
	twinChanges = regexp.MustCompile(`\b(insert|update|delete|merge)\b`)
	twinMain    = regexp.MustCompile(`\b(select|replace)\b`)
	twinOdd     = regexp.MustCompile(`\x02|\b0\b`)
)

func twinIsRead(query string) bool {
	bare, sure := twinStrip(strings.NewReplacer("\x01", "\x03", "\x02", "\x03").Replace(query))
	if !sure {
		return false
	}
	bare = strings.NewReplacer("$", "z", "\v", " ").Replace(strings.ToLower(bare))
	bare = twinNumber.ReplaceAllString(bare, "$1 0 ")
	if twinSecond.MatchString(bare) || twinWrites.MatchString(strings.ReplaceAll(bare, "\x02", " ")) {
		return false
	}
	return twinSelect.MatchString(bare) || twinWith.MatchString(bare) && twinMainIsSelect(bare)
}

func twinMainIsSelect(bare string) bool {
	if twinChanges.MatchString(bare) {
		return false
	}
	var text strings.Builder // at the depth of WITH
	depth := 0
	for _, c := range bare[strings.Index(bare, "with")+len("with"):] {
		switch {
		case c == '(':
			depth++
			text.WriteByte(' ')
		case c == ')':
			depth--
			text.WriteByte(' ')
		case depth == 0:
			text.WriteRune(c)
		}
	}
	level := text.String()
	at := twinMain.FindStringIndex(level)
	return at != nil && level[at[0]:at[1]] == "select" && !twinOdd.MatchString(level[:at[0]])
}

func twinStrip(query string) (bare string, sure bool) {
	var out strings.Builder
	for query != "" {
		c, rest := query[0], query[1:]
		switch {
		case c == 0, strings.HasPrefix(query, "/*!"), strings.HasPrefix(query, "/*M!"):
			return "", false
		case strings.HasPrefix(query, "/*"):
			_, after, found := strings.Cut(query[2:], "*/")
			if !found {
				return "", false
			}
			out.WriteString(" ")
			query = after
		case c == '#', strings.HasPrefix(query, "--") && (len(query) == 2 || query[2] <= ' ' || query[2] == 0x7f):
			end := strings.IndexAny(query, "\n\x00")
			if end < 0 {
				end = len(query)
			}
			out.WriteString(" ")
			query = query[end:]
		case strings.HasPrefix(query, "--") && query[2] >= 0x80:
			return "", false
		case c == '\'', c == '"', c == '`':
			content, after, found := twinQuoted(rest, c)
			if !found {
				return "", false
			}
			if !twinFunction.MatchString(strings.ToLower(content)) {
				content = ""
			}
			out.WriteString("\x01" + content + "\x01")
			query = after
		case c >= 0x80:
			out.WriteString("\x02")
			query = rest
		default:
			out.WriteByte(c)
			query = rest
		}
	}
	return out.String(), true
}

// twinQuoted finds the end with backslashes as escapes and without; both must be the same.
func twinQuoted(text string, quote byte) (content, after string, found bool) {
	with, without := twinEnd(text, quote, quote != '`'), twinEnd(text, quote, false)
	if with < 0 || with != without {
		return "", "", false
	}
	return text[:with], text[with+1:], true
}

func twinEnd(text string, quote byte, escapes bool) int {
	for i := 0; i < len(text); i++ {
		switch {
		case escapes && text[i] == '\\':
			i++
		case text[i] == quote && i+1 < len(text) && text[i+1] == quote:
			i++
		case text[i] == quote:
			return i
		}
	}
	return -1
}

// pieces are what random statements are made of: much of it fits nowhere, on purpose.
var pieces = strings.Split("SELECT|select|WITH|with|a|AS|(|)|(|)| | | |,|;|:|=|:=|FOR|for|UPDATE|share|LOCK|in|INTO|into|VALUE|value|"+
	"NEXT|GET_LOCK|get_lock|`get_lock`|\"Row_Count\"|row_count|nextval|setval|returning|insert|delete|"+
	"replace|merge|t1|x_|$|1|12.5|1e5|1e|0x|0xF|.|"+
	"-|--|-- |#|\n|/*|*/|/*!|/*M!|/|*|"+
	"'|'|\"|`|\\|\\'|''|'a'|'\\\\'|?|@x|{|\x00|\xa0|ü|\x01|\x7f|e+5|0b1|\v", "|")

func randomStatement(random *rand.Rand) string {
	begins := []string{"", "SELECT ", "SELECT a FROM t ", "WITH a AS (SELECT 1) ", "WITH a AS (SELECT 1) SELECT ", "("}
	var query strings.Builder
	query.WriteString(begins[random.IntN(len(begins))])
	for range random.IntN(12) {
		query.WriteString(pieces[random.IntN(len(pieces))])
		if random.IntN(3) == 0 {
			query.WriteByte(' ')
		}
	}
	return query.String()
}

func TestIsReadAgainstTwin(t *testing.T) {
	t.Parallel()
	for _, query := range append(plainReads, notPlainReads...) {
		if isRead(query) != twinIsRead(query) {
			t.Errorf("isRead says %v, the twin %v: %q", isRead(query), twinIsRead(query), query)
		}
	}
	seed := rand.Uint64()
	random, reads := rand.New(rand.NewPCG(seed, 0)), 0
	for range 20_000 {
		query := randomStatement(random)
		got, want := isRead(query), twinIsRead(query)
		if got != want {
			t.Fatalf("seed %d: isRead says %v, the twin %v: %q", seed, got, want, query)
		}
		if got {
			reads++
		}
	}
	if reads < 2_000 {
		t.Errorf("seed %d: only %d of 20,000 statements are reads: the check would be half empty", seed, reads)
	}
}
