package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// planted is a package with one test, and mutants of every fate.
var planted = map[string]string{
	"go.mod": "module planted\n\ngo 1.25.0\n",
	"add.go": "package planted\n\nfunc add(a, b int) int {\n\treturn a + b\n}\n",
	"add_test.go": `package planted

import "testing"

func TestAdd(t *testing.T) {
	if add(2, 3) != 5 {
		t.Error("2 + 3")
	}
}

func TestWeak(t *testing.T) { add(0, 0) }

func TestRed(t *testing.T) { t.Error("always") }

func TestSkipped(t *testing.T) { t.Skip("no server") }
`,
}

const change = "-- old --\n\treturn a + b\n-- new --\n\treturn a - b\n"

func TestEveryFate(t *testing.T) {
	for _, tc := range []struct {
		name, mutant, want string
		red                bool
	}{
		{"killed", "Sums.\nfile: add.go\ntest: TestAdd\n" + change, "killed", false},
		{"survives", "Sums matter.\nfile: add.go\ntest: TestWeak\n" + change, "SURVIVES: TestWeak passes although Sums matter.", true},
		{"does not compile", "Sums.\nfile: add.go\ntest: TestAdd\n-- old --\n\treturn a + b\n-- new --\n\treturn c\n", "does not compile", true},
		{"old text gone", "Sums.\nfile: add.go\ntest: TestAdd\n-- old --\nreturn a * b\n-- new --\nx\n", "stands in add.go 0 times", true},
		{"no such test", "Sums.\nfile: add.go\ntest: TestGone\n" + change, "there is no test TestGone", true},
		{"red without it", "Sums.\nfile: add.go\ntest: TestRed\n" + change, "TestRed fails without the mutant", true},
		{"skipped", "Sums.\nfile: add.go\ntest: TestSkipped\n" + change, "TestSkipped was skipped", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Setenv("GOWORK", "off")
			out, err := runPlanted(t, tc.mutant)
			if (err != nil) != tc.red || !strings.Contains(out, tc.want) {
				t.Errorf("err %v, output:\n%s\nwant %q", err, out, tc.want)
			}
		})
	}
}

func runPlanted(t *testing.T, mutant string) (string, error) {
	t.Helper()
	folder := t.TempDir()
	if err := os.MkdirAll(filepath.Join(folder, "testdata", "mutants"), 0o700); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"testdata/mutants/one.txt": mutant}
	for name, text := range planted {
		files[name] = text
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	err := run(t.Context(), &out, []string{folder})
	return out.String(), err
}

func TestParseRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"no reason":          {"file: a.go\ntest: T\n" + change, "why it matters"},
		"no test":            {"Why.\nfile: a.go\n" + change, "needs the lines"},
		"another folder":     {"Why.\nfile: ../a.go\ntest: T\n" + change, "outside its package"},
		"nothing changed":    {"Why.\nfile: a.go\ntest: T\n-- old --\nx\n-- new --\nx\n", "changes nothing"},
		"an unknown section": {"Why.\nfile: a.go\ntest: T\n-- odl --\nx\n", `section "odl"`},
	} {
		if _, err := parse([]byte(tc.text)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}

func TestNoMutantsIsAnError(t *testing.T) {
	if err := run(t.Context(), &strings.Builder{}, []string{t.TempDir()}); err == nil {
		t.Error("a run that tried nothing was reported as good")
	}
}
