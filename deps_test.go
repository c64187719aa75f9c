package multidc_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/multidc/multidc"

// mayImport lists for every package of this module what its non-test code may import beyond the standard
// library: our own packages by their folder, others by module. A package that is not listed fails the test, so
// that whoever adds one, or an import, decides it here.
var mayImport = map[string][]string{
	".":                               {},
	"chronology":                      {"internal/dcname", "internal/headerhook", "internal/stickydc"},
	"chronology/dcroute":              {"internal/backoff", "internal/dcname", "internal/headerhook", "internal/stickydc"},
	"chronology/memcached":            {"chronology", "internal/mcclient"},
	"chronology/storetest":            {"chronology"},
	"internal/backoff":                {},
	"internal/breaker":                {"internal/backoff"},
	"internal/dcname":                 {},
	"internal/freshness":              {},
	"internal/headerhook":             {},
	"internal/mcclient":               {"github.com/bradfitz/gomemcache"},
	"internal/kafkalog":               {"internal/backoff", "github.com/segmentio/kafka-go"},
	"internal/sim":                    {"internal/dcname"},
	"internal/stickydc":               {},
	"internal/testservers":            {},
	"rdbms":                           {"internal/breaker", "internal/dcname", "internal/freshness", "rdbms/heartbeat", "rdbms/position", "github.com/go-sql-driver/mysql"},
	"rdbms/heartbeat":                 {},
	"rdbms/position":                  {},
	"rdbms/rdbmstest":                 {"rdbms", "rdbms/heartbeat", "rdbms/switchover", "github.com/go-sql-driver/mysql"},
	"rdbms/switchover":                {"internal/backoff", "internal/dcname"},
	"wanobjectcache":                  {"internal/dcname", "internal/freshness", "wanobjectcache/internal/wirekey"},
	"wanobjectcache/internal/wirekey": {},
	"wanobjectcache/memcached":        {"internal/mcclient", "wanobjectcache"},
	"wanobjectcache/purgelog":         {"internal/backoff", "internal/dcname", "internal/kafkalog", "wanobjectcache", "wanobjectcache/internal/wirekey", "github.com/segmentio/kafka-go"},
	"wanobjectcache/storetest":        {"wanobjectcache"},
}

// trees are the packages that users pick from; none imports another, not in tests either.
var trees = []string{"chronology", "filebackend", "jobqueue", "mainstash", "rdbms", "sessionstore", "wanobjectcache"}

// testHelpers are for tests alone, as are the public conformance suites, whose names end in "test".
var testHelpers = []string{"internal/sim", "internal/testservers"}

func TestDependencies(t *testing.T) {
	for _, violation := range violations(goList(t, "")) {
		t.Error(violation)
	}
}

// A check that cannot fail is none: each kind of violation, planted into the build by an overlay, is found.
func TestDependenciesFindsPlantedViolations(t *testing.T) {
	for _, tc := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"a sibling", map[string]string{
			"rdbms/planted.go":      `package rdbms; import _ "github.com/multidc/multidc/chronology"`,
			"chronology/planted.go": `package chronology`,
		}, `rdbms imports its sibling chronology`},
		{"a sibling, in a test", map[string]string{
			"rdbms/planted_test.go": `package rdbms_test; import _ "github.com/multidc/multidc/chronology"`,
			"rdbms/planted.go":      `package rdbms`,
			"chronology/planted.go": `package chronology`,
		}, `rdbms imports its sibling chronology`},
		{"a test helper", map[string]string{
			"internal/dcname/planted.go": `package dcname; import _ "github.com/multidc/multidc/internal/testservers"`,
		}, `internal/dcname reaches the test helper internal/testservers`},
		{"a public suite", map[string]string{
			"junk/planted.go": `package junk; import _ "github.com/multidc/multidc/rdbms/rdbmstest"`,
		}, `junk reaches the test helper rdbms/rdbmstest`},
		{"an import that the table does not list", map[string]string{
			"internal/dcname/planted.go": `package dcname; import _ "github.com/multidc/multidc/internal/backoff"`,
		}, `internal/dcname may not import internal/backoff`},
		{"a package that the table does not list", map[string]string{
			"junk/planted.go": `package junk`,
		}, `junk is not in the table`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := violations(goList(t, overlay(t, tc.files)))
			if !slices.ContainsFunc(got, func(v string) bool { return strings.Contains(v, tc.want) }) {
				t.Errorf("got %q, want one with %q", got, tc.want)
			}
		})
	}
}

// goPackage is what go list tells of a package.
type goPackage struct {
	ImportPath                string
	Imports, Deps             []string
	TestImports, XTestImports []string
	Error                     *struct{ Err string }
}

func (p goPackage) folder() string { return folder(p.ImportPath) }

// folder is where one of our packages lies; "" for other people's.
func folder(importPath string) string {
	if importPath == module {
		return "."
	}
	if rest, ours := strings.CutPrefix(importPath, module+"/"); ours {
		return rest
	}
	return ""
}

// violations is the whole rule book, pure: packages in, sentences out.
func violations(packages []goPackage) []string {
	var out []string
	for _, p := range packages {
		if p.folder() == "" {
			continue
		}
		out = append(out, siblings(p)...)
		out = append(out, helpers(p)...)
		out = append(out, unlisted(p)...)
	}
	return out
}

func siblings(p goPackage) (out []string) {
	tree, _, _ := strings.Cut(p.folder(), "/")
	if !slices.Contains(trees, tree) {
		return nil
	}
	for _, imported := range slices.Concat(p.Deps, p.TestImports, p.XTestImports) {
		other, _, _ := strings.Cut(folder(imported), "/")
		if other != tree && slices.Contains(trees, other) {
			out = append(out, fmt.Sprintf("%s imports its sibling %s: let it declare a small interface instead (DESIGN rule 1)", p.folder(), folder(imported)))
		}
	}
	return out
}

func helpers(p goPackage) (out []string) {
	if isTestHelper(p.folder()) {
		return nil
	}
	for _, imported := range p.Deps {
		if isTestHelper(folder(imported)) {
			out = append(out, fmt.Sprintf("%s reaches the test helper %s from non-test code", p.folder(), folder(imported)))
		}
	}
	return out
}

func isTestHelper(folder string) bool {
	return slices.Contains(testHelpers, folder) || strings.HasSuffix(path.Base(folder), "test")
}

func unlisted(p goPackage) (out []string) {
	allowed, listed := mayImport[p.folder()]
	if !listed {
		return []string{p.folder() + " is not in the table: add it to mayImport with what it may import"}
	}
	for _, imported := range p.Imports {
		if !isStandard(imported) && !slices.ContainsFunc(allowed, func(a string) bool { return covers(a, imported) }) {
			out = append(out, fmt.Sprintf("%s may not import %s: give the table in deps_test.go a reason to list it, or do without", p.folder(), shown(imported)))
		}
	}
	return out
}

// isStandard: only other people's import paths begin with a host name.
func isStandard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}

// covers: ours are listed folder by folder, of another module all packages are.
func covers(allowed, imported string) bool {
	if f := folder(imported); f != "" {
		return f == allowed
	}
	return imported == allowed || strings.HasPrefix(imported, allowed+"/")
}

func shown(importPath string) string {
	if f := folder(importPath); f != "" {
		return f
	}
	return importPath
}

// goList loads every package of this module, with the files of an overlay if one is named.
func goList(t *testing.T, overlay string) []goPackage {
	t.Helper()
	args := []string{"list", "-e", "-json=ImportPath,Imports,Deps,TestImports,XTestImports,Error"}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.CommandContext(t.Context(), "go", append(args, "./...")...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var packages []goPackage
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("go list's answer: %v", err)
		}
		if p.Error != nil {
			t.Fatalf("go list: %s: %s", p.ImportPath, p.Error.Err)
		}
		packages = append(packages, p)
	}
	if len(packages) < 2 {
		t.Fatalf("go list found %d packages: the check would be empty", len(packages))
	}
	return packages
}

// overlay writes files aside and returns the description by which the go command sees them in this module.
func overlay(t *testing.T, files map[string]string) string {
	t.Helper()
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	replace, aside := map[string]string{}, t.TempDir()
	for name, text := range files {
		file := filepath.Join(aside, strings.ReplaceAll(name, "/", "_"))
		replace[filepath.Join(root, name)] = file
		write(t, file, []byte(text))
	}
	description, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(aside, "overlay.json"), description)
	return filepath.Join(aside, "overlay.json")
}

func write(t *testing.T, file string, text []byte) {
	t.Helper()
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
