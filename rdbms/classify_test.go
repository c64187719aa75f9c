package rdbms

import (
	"slices"
	"strings"
	"testing"
)

var plainReads = []string{
	"SELECT 1",
	"select page_id from page where page_title = ?",
	"SeLeCt\n*\tFROM t",
	"((SELECT 1) UNION (SELECT 2))",
	" \v\f\r\n/* a */ -- b\n# c\n--\t\n( /**/ SELECT 1)",
	"SELECT 1;",
	"SELECT 1 ; ;\n-- done",
	"SELECT 1 /* no FOR UPDATE */ -- INTO\n# LOCK IN SHARE MODE",
	"SELECT 1 --",
	"SELECT 5--3 FROM t",
	"SELECT a-b, a/b, a -- c\n, d FROM t",
	"SELECT 'FOR UPDATE', \"INTO\", `into` FROM `procedure`",
	"SELECT 'it''s; /* INTO', \"\"\"INTO\", ```INTO` FROM t",
	`SELECT 'a\nb', 'c\\', "d\'INTO" FROM t`,
	"SELECT 'ü; INTO', ü FROM straße WHERE größe > 1",
	"SELECT into_x, xinto, for_update, into$, $into, _into, into1, lock_in, getlock(1) FROM t",
	"SELECT for_x, x_for update_x FROM t",
	"SELECT get_lock, row_count, found_rows, last_insert_id FROM stats", // columns
	"SELECT get_lock /* ( */ , (1)",
	"SELECT `get_lock`, (1), `lock` IN (1)",
	"SELECT a.lock, b.value, c.update, d.share FROM t",
	"SELECT SUBSTRING(a FROM 1 FOR 2) FROM t USE INDEX FOR JOIN (i)",
	"SELECT * FROM t FOR SYSTEM_TIME AS OF '2026-05-01'",
	"SELECT SLEEP(1), BENCHMARK(1, 2), @x, @@read_only, @x = 1",
	"SELECT replace(a, 'b', 'c'), insert(a, 1, 1, 'b'), value, values(a), current_user() FROM t",
	"SELECT /*+ MAX_EXECUTION_TIME(100) */ 1",
	"SELECT 1e5, 0x1F, 0b1, .5, 1.5e-3 FROM t",
	"WITH a AS (SELECT 1) SELECT * FROM a",
	"WITH RECURSIVE a (n, m) AS (SELECT 1, 2 UNION ALL SELECT n + 1, REPLACE(m, 'x', 'y') FROM a), " +
		"`b` AS (SELECT 1) SELECT REPLACE(1, 2, 3) FROM a, b",
	"(WITH a AS (SELECT 1) SELECT * FROM a)",
}

var notPlainReads = []string{
	"", " ", "-- SELECT 1", "/* SELECT 1", "(", "1", "'SELECT'", "`SELECT` 1", "?", "\x00", "ü",
	"INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (1) RETURNING id", "REPLACE INTO t SELECT 1",
	"UPDATE t SET a = 1", "DELETE FROM t",
	"CALL p()", "SET @x = 1", "SHOW TABLES", "EXPLAIN SELECT 1", "DO SLEEP(1)", "TABLE t", "VALUES ROW(1)",
	"HANDLER t OPEN", "BEGIN",
	"LOCK TABLES t READ", "SELECTED", "SELECT_ 1", "XSELECT 1", "LOAD DATA INFILE 'f' INTO TABLE t",
	"CREATE TABLE t (a int)", "KILL 1",

	"SELECT * FROM t FOR UPDATE", "SELECT * FROM t for/**/update", "SELECT * FROM t FOR -- x\n UPDATE NOWAIT",
	"(SELECT * FROM t FOR UPDATE)",
	"SELECT * FROM t FOR SHARE", "SELECT * FROM t FOR SHARE OF t SKIP LOCKED", "SELECT * FROM t LOCK IN SHARE MODE",
	"SELECT * FROM t LOCK\nIN\nSHARE\nMODE",
	"SELECT a INTO @x FROM t", "SELECT a FROM t INTO OUTFILE 'f'", "SELECT a FROM t INTO DUMPFILE 'f'",
	"SELECT a FROM t\ninto\n@x", "SELECT a INTO@x",
	"SELECT @x := 1", "SELECT @x:=@x+1 FROM t", "SELECT 1; DELETE FROM t", "SELECT 1;;x", "SELECT 1; SELECT 2",
	"SELECT 1; (", "SELECT 1; 'x'",
	"SELECT * FROM t PROCEDURE ANALYSE()", "SELECT 1 RETURNING 2",
	"SELECT GET_LOCK('a', 1)", "SELECT get_lock ('a', 1)", "SELECT GET_LOCK/* */ -- x\n('a', 1)",
	"SELECT `get_lock`('a', 1)", "SELECT `GET_LOCK` ('a', 1)",
	`SELECT "get_lock"('a', 1)`, "SELECT RELEASE_LOCK('a')", "SELECT RELEASE_ALL_LOCKS()", "SELECT IS_FREE_LOCK('a')",
	"SELECT IS_USED_LOCK('a')",
	"SELECT LAST_INSERT_ID()", "SELECT LAST_INSERT_ID(5)", "SELECT FOUND_ROWS()", "SELECT ROW_COUNT()",
	"SELECT NEXTVAL(s)", "SELECT LASTVAL(s)",
	"SELECT SETVAL(s, 5)", "SELECT NEXT VALUE FOR s", "SELECT next/**/value/**/for s", "SELECT PREVIOUS VALUE FOR s",
	"SELECT s.nextval", "SELECT s.currval",
	"SELECT MASTER_GTID_WAIT('0-1-1', 1)", "SELECT MASTER_POS_WAIT('f', 1)", "SELECT SOURCE_POS_WAIT('f', 1)",
	"SELECT WAIT_FOR_EXECUTED_GTID_SET('u:1')", "SELECT WAIT_UNTIL_SQL_THREAD_AFTER_GTIDS('u:1')",
	"SELECT {fn GET_LOCK('a', 1)}", "SELECT (SELECT GET_LOCK('a', 1))", "SELECT * FROM (SELECT * FROM t FOR UPDATE) x",

	// Executed comments; such that end somewhere else than they seem to; none at all.
	"/*! SELECT 1 */", "SELECT 1 /*!40001 SQL_NO_CACHE */", "SELECT 1 /*M! FOR UPDATE */", "SELECT 1 /*!*/",
	"/*!50000 DELETE */ SELECT 1",
	"SELECT 1 /*/ FOR UPDATE", "SELECT 1 /* /* */ FOR UPDATE", "SELECT 1 /* FOR UPDATE", "SELECT 1 --FOR UPDATE",
	"SELECT 1 --\u00a0x", "SELECT 1 -- \x00 FOR UPDATE",

	// Quotes that do not end, or end elsewhere in another sql_mode.
	"SELECT 'a", `SELECT "a`, "SELECT `a", `SELECT 'a\`, `SELECT 'a''`,
	`SELECT '\' FOR UPDATE -- '`, `SELECT "\" FOR UPDATE -- "`, `SELECT '\\\' FOR UPDATE -- '`, `SELECT 'it\'s'`,
	"SELECT `\\` FOR UPDATE -- `", // no escape in a name

	// Numbers end where a word begins; a no-break space is a blank in latin1.
	"SELECT 1FOR UPDATE", "SELECT 1.FOR UPDATE", "SELECT 1e5FOR UPDATE", "SELECT 1e5INTO @x", "SELECT 1E+5INTO @x",
	"SELECT .5INTO @x", "SELECT 1.5e-5INTO @x",
	"SELECT 'a'INTO @x", "SELECT `a`INTO @x", "SELECT x'41'FOR UPDATE", "SELECT 1 FOR\xa0UPDATE", "SELECT 1\xa0INTO @x",
	"SELECT get_lock\xa0('a', 1)",

	"WITH a AS (SELECT 1) DELETE FROM t", "WITH a AS (SELECT 1) UPDATE t SET b = 1",
	"WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a",
	"WITH a AS (SELECT 1) REPLACE t SELECT * FROM a", "WITH a AS (SELECT 1)", "WITH a AS (SELECT 1) TABLE a",
	"WITH a AS (SELECT 1) VALUES ROW(1)",
	"WITH a AS (SELECT 1) SELECT * FROM a FOR UPDATE", "WITH a AS (SELECT GET_LOCK('a', 1)) SELECT * FROM a",
	"WITH a AS (DELETE FROM t) SELECT 1",
	"WITH a AS (SELECT 1) SELECT 1; DELETE FROM t", "WITH `a", "WITH", "WITH 1select AS (SELECT 1) CALL p()",
	"WITH \xffselect AS (SELECT 1) CALL p()",
	"(WITH a AS (SELECT 1)) SELECT 1", "WITH a AS (SELECT 1) (SELECT 1)", // the last is one, but seldom
}

func TestIsRead(t *testing.T) {
	for _, query := range plainReads {
		if !isRead(query) {
			t.Errorf("taken for a write: %q", query)
		}
	}
	for _, query := range notPlainReads {
		if isRead(query) {
			t.Errorf("taken for a read: %q", query)
		}
	}
}

// Every listed word and phrase makes a write of every read, wherever it stands between two tokens.
func TestListedWordsWriteAnywhere(t *testing.T) {
	phrases := []string{"FOR UPDATE", "for/**/share", "LOCK -- \nIN", "VALUE FOR", ":=", "; x", "/*!x*/", "/*M! */"}
	for _, word := range listedWords[wordWrites] {
		phrases = append(phrases, word, strings.ToUpper(word))
	}
	for _, word := range listedWords[wordCalled] {
		phrases = append(phrases, word+"(", strings.ToUpper(word)+" #\n (", "`"+word+"`(")
	}
	for _, query := range plainReads {
		for _, at := range tokenEnds(query) {
			for _, phrase := range phrases {
				if with := query[:at] + " " + phrase + " " + query[at:]; isRead(with) {
					t.Fatalf("taken for a read: %q", with)
				}
			}
		}
	}
}

// Blanks and comments between tokens change nothing.
func TestBlanksAndCommentsChangeNothing(t *testing.T) {
	for _, query := range plainReads {
		for _, at := range tokenEnds(query) {
			for _, blank := range []string{" ", "\n\t", "/* FOR UPDATE */", "-- INTO '\n", "#`\n"} {
				if with := query[:at] + blank + query[at:]; !isRead(with) {
					t.Fatalf("taken for a write: %q", with)
				}
			}
		}
	}
}

// tokenEnds returns where in a text a token ends; not between two signs, which a blank makes a comment.
func tokenEnds(query string) (ends []int) {
	for l := (sqlLexer{text: query}); ; {
		t := l.next()
		if t.kind == sqlEnd {
			return slices.Compact(ends)
		}
		if !strings.HasSuffix(query[:t.end], "-") {
			ends = append(ends, t.end)
		}
	}
}

func TestIsReadAllocatesNothing(t *testing.T) {
	for _, query := range slices.Concat(plainReads, notPlainReads, []string{select200}) {
		if n := testing.AllocsPerRun(10, func() { isRead(query) }); n != 0 {
			t.Errorf("%v allocations: %q", n, query)
		}
	}
}

const select200 = "SELECT page_id, page_namespace, page_title, page_len, rev_timestamp FROM page JOIN revision ON " +
	"rev_id = page_latest WHERE page_namespace = ? AND page_title IN (?, ?) AND rev_deleted = 0 ORDER BY rev_id"

func BenchmarkIsRead(b *testing.B) {
	b.SetBytes(int64(len(select200)))
	b.ReportAllocs()
	for b.Loop() {
		if !isRead(select200) {
			b.Fatal("taken for a write")
		}
	}
}
