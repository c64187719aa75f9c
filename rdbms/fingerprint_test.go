package rdbms

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestFingerprint(t *testing.T) {
	long := "SELECT " + strings.Repeat("column, ", 40)
	for query, want := range map[string]string{
		"": "",
		"UPDATE t SET a = 'it', b=\"x\", c = -1.5e3 WHERE d IN (1,22, 0x1F)": "UPDATE t SET a = ?, b=?, c = -? WHERE d IN (?,?, ?)",
		"  SELECT\n\t1 ,  a  ;\n":                   "SELECT ? , a ;",
		"/* app: Joe */ SELECT a/**/FROM t -- 0815": "SELECT a FROM t",
		"SELECT 'a''b', x'4142', _utf8mb4'c', N'd'": "SELECT ?, x?, _utf8mb4?, N?",
		"SELECT t1.a2, `we ird 3`, größe FROM db4":  "SELECT t1.a2, `we ird 3`, größe FROM db4",
		"SELECT ? FROM t WHERE a = :name AND b=@v":  "SELECT ? FROM t WHERE a = :name AND b=@v",
		`INSERT INTO t VALUES ('a\\', 'secret')`:    "INSERT INTO t VALUES (?, ?)",
		`SELECT 'C:\' OR a = 'secret'`:              "SELECT…", // under NO_BACKSLASH_ESCAPES; else secret would be no string
		`SELECT a, 'secret`:                         "SELECT a,…",
		"SELECT a /*!40000 'b */ secret' */":        "SELECT a…",
		"SELECT a /* secret":                        "SELECT a…",
		"SELECT `a\nb\x1b`, \xff FROM t":            "SELECT `a?b?`, ? FROM t",
		long:                                        long[:len("SELECT ")+8*24-len(", ")] + "…",
		"SELECT `" + strings.Repeat("x", 300) + "`": "SELECT…",
		strings.Repeat(" /* */ ", 1000) + "SELECT":  "SELECT",
	} {
		if got := fingerprint(query); got != want {
			t.Errorf("%q\n got %q\nwant %q", query, got, want)
		}
	}
}

// Values of every form, whatever stands around them, do not show.
func TestFingerprintShowsNoValue(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	values := []string{
		"'s3cret'", `"s3cret"`, "'it''s3cret'", `'\\s3cret'`, "'-- s3cret'", "'/* s3cret */'",
		"94711", "0x94711", "-94711.5", "1.94711e94711", "/* s3cret */", "-- s3cret\n", "# s3cret\n",
	}
	words := []string{"SELECT", "a", "`b`", ",", "(", ")", "=", "+", "/", ".", ";", "IN", "ü", "t1"}
	for range 20_000 {
		var parts []string
		for range random.IntN(15) {
			parts = append(parts, words[random.IntN(len(words))], values[random.IntN(len(values))])
		}
		query := strings.Join(parts, " ")
		if got := fingerprint(query); strings.Contains(got, "s3cret") || strings.Contains(got, "94711") {
			t.Fatalf("seed %d: %q gives %q", seed, query, got)
		}
	}
}

func BenchmarkFingerprint(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		fingerprint(select200)
	}
}
