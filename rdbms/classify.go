package rdbms

// isRead reports whether a statement is surely a plain read, which any replica may answer: SELECT, or WITH whose main
// statement is SELECT, that takes no lock, stores nothing and does not depend on the session. Whatever is not surely
// one counts as a write and goes to the primary, which answers reads as well.
//
// What the text does not show is not seen: a stored function that writes. The text is read as ASCII; bytes ≥ 0x80 pass,
// and outside of quotes count as blanks, since in latin1 one is (measured). (Where \ or ` can be the second byte of
// a character, as in GBK, nothing is sure; Go's driver does not escape such text either.)
func isRead(query string) bool {
	lexer, depth := sqlLexer{text: query}, 0
	t := lexer.next()
	for t.isMark(query, '(') {
		t, depth = lexer.next(), depth+1
	}
	switch {
	case t.kind != sqlWord:
		return false
	case isWord(query[t.start:t.end], "select"):
		return readsOnly(&lexer)
	case isWord(query[t.start:t.end], "with"):
		main := sqlLexer{text: query, at: lexer.at}
		return mainIsSelect(&main, depth) && readsOnly(&lexer)
	}
	return false
}

func (t sqlToken) isMark(text string, c byte) bool { return t.kind == sqlMark && text[t.start] == c }

// isWord compares without regard to case; lower is in lower case.
func isWord(word, lower string) bool {
	if len(word) != len(lower) {
		return false
	}
	for i := range len(word) {
		c := word[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// mainIsSelect finds the statement behind WITH's tables. They stand in parentheses, so its first word is the first
// keyword at the depth of WITH besides RECURSIVE and AS; a main statement in parentheses is not looked for. A table that
// changes data, which other databases know, is no read either.
func mainIsSelect(l *sqlLexer, level int) bool {
	found := false
	for depth := level; ; {
		t := l.next()
		switch t.kind {
		case sqlEnd, sqlUnclear:
			return found
		case sqlMark:
			switch l.text[t.start] {
			case '(':
				depth++
			case ')':
				depth--
			}
		case sqlName, sqlString:
		case sqlNumber, sqlHigh: // the word beside it may be part of a table's name
			if !found && depth == level {
				return false
			}
		case sqlWord:
			word := l.text[t.start:t.end]
			if changesData(word) || !found && depth == level && isWord(word, "replace") {
				return false
			}
			found = found || depth == level && isWord(word, "select")
		}
	}
}

func changesData(word string) bool {
	return isWord(word, "insert") || isWord(word, "update") || isWord(word, "delete") || isWord(word, "merge")
}

// readsOnly looks at what follows the first word.
func readsOnly(l *sqlLexer) bool {
	before := wordHarmless // what the word just before asks of the token that follows
	for {
		if before == wordHarmless {
			l.at += harmlessLen(l.text[l.at:])
		}
		t := l.next()
		switch t.kind {
		case sqlHigh:
			continue
		case sqlEnd:
			return true
		case sqlUnclear:
			return false
		case sqlWord:
			word := l.text[t.start:t.end]
			class := classOf(word)
			if class == wordWrites || before.writesBefore(word) {
				return false
			}
			before = class
			continue
		case sqlString, sqlName: // `GET_LOCK`(…) calls it too (measured)
			if before = wordHarmless; classOf(l.text[t.start+1:t.end-1]) == wordCalled {
				before = wordCalled
			}
			continue
		case sqlMark:
			switch c := l.text[t.start]; {
			case c == '(' && before == wordCalled,
				c == ':' && l.at < len(l.text) && l.text[l.at] == '=',
				c == ';' && !l.nothingFollows():
				return false
			}
		}
		before = wordHarmless
	}
}

// harmlessLen returns the length of the words and marks at the beginning of s that need no look. It is the part of
// readsOnly that must be fast: most of most statements is skipped here.
func harmlessLen(s string) int {
	for at := 0; at < len(s); {
		start := at
		switch class := sqlClasses[s[at]]; {
		case class == sqlLetter:
			for at++; at < len(s) && sqlClasses[s[at]] <= sqlDigit; at++ {
			}
			if resemblesListed(s[start:at]) {
				return start
			}
		case class == sqlDigit:
			at += sqlNumberLen(s[at:])
		case class <= sqlPlain:
			at++
		default:
			return start
		}
	}
	return len(s)
}

// nothingFollows: a second statement may do anything.
func (l *sqlLexer) nothingFollows() bool {
	t := l.next()
	for t.isMark(l.text, ';') {
		t = l.next()
	}
	return t.kind == sqlEnd
}

// wordClass is what a word means for a statement that begins with SELECT.
type wordClass uint8

const (
	wordHarmless wordClass = iota
	wordWrites             // no plain read, wherever it stands
	wordCalled             // a function: before "("
	wordFor                // before UPDATE or SHARE
	wordLock               // before IN
	wordValue              // before FOR: NEXT VALUE FOR, PREVIOUS VALUE FOR
)

func (c wordClass) writesBefore(word string) bool {
	switch c {
	case wordFor:
		return isWord(word, "update") || isWord(word, "share")
	case wordLock:
		return isWord(word, "in")
	case wordValue:
		return isWord(word, "for")
	}
	return false
}

// listedWords: NEXTVAL and CURRVAL need no parentheses under sql_mode ORACLE (sequence.NEXTVAL; measured).
var listedWords = map[wordClass][]string{
	wordWrites: {"into", "returning", "procedure", "nextval", "currval"},
	wordFor:    {"for"},
	wordLock:   {"lock"},
	wordValue:  {"value"},
	wordCalled: {
		"get_lock", "release_lock", "release_all_locks", "is_free_lock", "is_used_lock",
		"last_insert_id", "found_rows", "row_count", "lastval", "setval",
		"master_gtid_wait", "master_pos_wait", "source_pos_wait",
		"wait_for_executed_gtid_set", "wait_until_sql_thread_after_gtids",
	},
}

// wordsByLength holds the listed words for quick comparison.
var wordsByLength = func() (table [longestListed + 1]struct {
	initials uint32 // bit 1 = a
	words    []string
	classes  []wordClass
}) {
	for class, words := range listedWords {
		for _, word := range words {
			row := &table[len(word)]
			row.initials |= 1 << (word[0] & 31)
			row.words, row.classes = append(row.words, word), append(row.classes, class)
		}
	}
	return table
}()

const longestListed = len("wait_until_sql_thread_after_gtids")

// resemblesListed: a listed word has this length and first letter, which few other words have.
func resemblesListed(word string) bool {
	return len(word) <= longestListed && wordsByLength[len(word)].initials&(1<<(word[0]&31)) != 0
}

func classOf(word string) wordClass {
	if len(word) > longestListed {
		return wordHarmless
	}
	row := &wordsByLength[len(word)]
	for i, listed := range row.words {
		if isWord(word, listed) {
			return row.classes[i]
		}
	}
	return wordHarmless
}
