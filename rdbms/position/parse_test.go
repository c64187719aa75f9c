package position

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestGolden(t *testing.T) {
	text, err := os.ReadFile("testdata/golden.txt")
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for line := range strings.Lines(string(text)) {
		lines++
		read, want, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if !ok {
			t.Fatalf("no tab in %q", line)
		}
		p := must(t, Parse, read)
		if p.String() != want {
			t.Errorf("%q is written as %q, want %q", read, p, want)
		}
		if again := must(t, Parse, want); !again.Equal(p) {
			t.Errorf("%q is read back as %q", want, again)
		}
	}
	if lines < 20 {
		t.Errorf("the golden file has %d lines only", lines)
	}
}

// Cases 69 and 70.
func TestServerTexts(t *testing.T) {
	for _, tc := range []struct {
		parse      func(string) (Position, error)
		text, want string
	}{
		{ParseMariaDB, "", ""},
		{ParseMariaDB, " ", ""},
		{ParseMariaDB, ",", ""},
		{ParseMariaDB, " 0-1-10 ,\n 1 - 2 - 33,", "m1:0-1-10,1-2-33"},
		{ParseMariaDB, "0-1-9,0-2-10", "m1:0-2-10"},
		{ParseMySQL, "", ""},
		{ParseMySQL, "\n", ""},
		{ParseMySQL, " , ", ""},
		{ParseMySQL, strings.ToUpper(u) + ":1-5", "g1:" + u + ":1-5"},
		{ParseMySQL, v + ":1,\n" + u + ":1-5", "g1:" + v + ":1," + u + ":1-5"},
		{ParseMySQL, u + " : 1 - 5 : 7", "g1:" + u + ":1-5:7"},
		{ParseMySQL, u + ":app:1-9", "g1:" + u + ":app:1-9"},
		{ParseMySQL, u + ":1-5:APP_2:1-9:x:3", "g1:" + u + ":1-5:app_2:1-9:x:3"},
		{ParseMySQL, u + ":1-5:4-9:11", "g1:" + u + ":1-9:11"},
	} {
		if p := must(t, tc.parse, tc.text); p.String() != tc.want || p.IsZero() != (tc.want == "") {
			t.Errorf("%q is %q (zero: %t), want %q", tc.text, p, p.IsZero(), tc.want)
		}
	}
}

// Case 70, and whatever else is no position.
func TestRefused(t *testing.T) {
	for _, text := range []string{
		"1-2", "1-2-3-4", "a-1-1", "-1-1-1", "1--1", "+1-1-1", "1_0-1-1", "0x1-1-1", "1-1-1;2-2-2", "１-1-1",
		"4294967296-1-1", "1-4294967296-1", "1-1-18446744073709551616", "1 0-1-1", u + ":1",
	} {
		refused(t, ParseMariaDB, text)
		refused(t, Parse, "m1:"+text)
	}
	for _, text := range []string{
		u, u + ":", u + ":0", u + ":0-5", u + ":5-3", u + ":18446744073709551616", u + ":1-18446744073709551616", u + ":-5",
		u + ":5-", u + ":1-2-3", u + ":1 2", u + ":app", u + ":1:app", u + ":a:b:1", u + ":1::2", u + ":é:1", u + ":\u212a:1",
		u + ":" + strings.Repeat("a", 33) + ":1", u[1:] + ":1", "x" + u[1:] + ":1", strings.ReplaceAll(u, "-", "") + ":1", "0-1-10",
	} {
		refused(t, ParseMySQL, text)
		refused(t, Parse, "g1:"+text)
	}
	for _, text := range []string{" ", "m2:0-1-1", "M1:0-1-1", "0-1-1", u + ":1", "m1", " m1:0-1-1", "x" + strings.Repeat("y", 2000)} {
		refused(t, Parse, text)
	}
}

func refused(t *testing.T, parse func(string) (Position, error), text string) {
	t.Helper()
	p, err := parse(text)
	if err == nil || !p.IsZero() {
		t.Errorf("%q is taken for %q, error %v", text, p, err)
		return
	}
	if !strings.HasPrefix(err.Error(), "position: ") || len(err.Error()) > 500 {
		t.Errorf("%q gives an error of %d bytes: %v", text, len(err.Error()), err)
	}
}

func TestBounds(t *testing.T) {
	domains := func(from, n int) string {
		var list []string
		for d := range n {
			list = append(list, fmt.Sprintf("%d-1-1", from+d))
		}
		return strings.Join(list, ",")
	}
	most := mariadb(t, domains(0, 32))
	refused(t, ParseMariaDB, domains(0, 33))
	if p, err := Merge(most, mariadb(t, "99-1-1")); err == nil || !p.IsZero() {
		t.Errorf("a merge of 33 domains gives %v, %v", p, err)
	}
	if got := merged(t, most, mariadb(t, "7-1-2")).Only("7"); got.String() != "m1:7-1-2" {
		t.Errorf("the merge of what fits is %v", got)
	}

	// As many gaps as just fit behind the prefix.
	var set strings.Builder
	set.WriteString(u)
	for n := 1001; set.Len()+5 <= MaxText; n += 2 {
		fmt.Fprintf(&set, ":%d", n)
	}
	fits := mysql(t, set.String())
	if text := fits.String(); len(text) > MaxText+3 || len(text) < MaxText-3 {
		t.Fatalf("the text has %d bytes", len(text))
	}
	must(t, Parse, fits.String())
	refused(t, ParseMySQL, set.String()+":9:11:13")
	refused(t, Parse, fits.String()+strings.Repeat(" ", 10))
	refused(t, ParseMySQL, strings.Repeat(" ", maxServerText+1))
	refused(t, ParseMariaDB, strings.Repeat(" ", maxServerText+1))
	if _, err := Merge(fits, mysql(t, v+":1")); err == nil {
		t.Error("a merge over 4 KiB has no error")
	}
}
