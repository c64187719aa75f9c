package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// asksFor are the words by which a test file asks for a kind of shared server: the names of its variables, or a lease.
var asksFor = map[string]*regexp.Regexp{
	"memcached": regexp.MustCompile(`"(MULTIDC_TEST_)?MEMCACHED_`),
	"mariadb":   regexp.MustCompile(`"(MULTIDC_TEST_)?MARIADB_`),
	"heartbeat": regexp.MustCompile(`"(MULTIDC_TEST_)?MARIADB_`), // whoever reads a replica may ask how old it is
	"kafka":     regexp.MustCompile(`"((MULTIDC_TEST_)?KAFKA_|kafka")`),
	"cassandra": regexp.MustCompile(`"((MULTIDC_TEST_)?CASSANDRA_|cassandra")`),
	"swift":     regexp.MustCompile(`"(MULTIDC_TEST_)?SWIFT_`),
}

// testservers is what a package's tests import if they use servers.
const testservers = "github.com/multidc/multidc/internal/testservers"

// lookForKinds reads the test files, so that only those servers are started that somebody uses.
func (r *runner) lookForKinds(ctx context.Context) error {
	args := append([]string{"list", "-json=ImportPath,Dir,TestGoFiles,XTestGoFiles,TestImports,XTestImports"}, r.patterns()...)
	out, err := exec.CommandContext(ctx, "go", args...).Output()
	if err != nil {
		return withOutput(err, stderr(err))
	}
	asked := map[string]bool{}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p testPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		if err := p.ask(asked); err != nil {
			return err
		}
	}
	for kind := range asked {
		r.kinds = append(r.kinds, kind)
	}
	slices.Sort(r.kinds)
	return nil
}

// stderr is what a command said that failed.
func stderr(err error) []byte {
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
		return failed.Stderr
	}
	return nil
}

// testPackage is what go list tells of a package's tests.
type testPackage struct {
	ImportPath   string   `json:"ImportPath"`
	Dir          string   `json:"Dir"`
	TestGoFiles  []string `json:"TestGoFiles"`
	XTestGoFiles []string `json:"XTestGoFiles"`
	TestImports  []string `json:"TestImports"`
	XTestImports []string `json:"XTestImports"`
}

func (p testPackage) ask(asked map[string]bool) error {
	uses := p.ImportPath == testservers || slices.Contains(p.TestImports, testservers) || slices.Contains(p.XTestImports, testservers)
	if !uses {
		return nil
	}
	for _, name := range slices.Concat(p.TestGoFiles, p.XTestGoFiles) {
		text, err := os.ReadFile(filepath.Join(p.Dir, name))
		if err != nil {
			return err
		}
		for kind, words := range asksFor {
			if words.Match(text) {
				asked[kind] = true
			}
		}
	}
	return nil
}
