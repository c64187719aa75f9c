package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// seedsOfALongRun is how many seeds the simulations play in -long; without, 200.
const seedsOfALongRun = "10000"

// test runs go test on the packages, inside the test bed, and reports a line per package as it ends.
func (r *runner) test(ctx context.Context) error {
	timeout := "20m"
	if r.long {
		timeout = "70m"
	}
	// Never from the cache: what a server did last time says nothing of today.
	args := []string{"go", "test", "-race", "-count=1", "-json", "-timeout", timeout}
	if r.short {
		args = append(args, "-short")
	}
	args = r.withServers(append(args, r.patterns()...)...)
	cmd := command(ctx, ".", args[0], args[1:]...)
	cmd.Env = r.testEnv()
	cmd.Stderr = os.Stderr
	events, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	report := newReport(r.out)
	readErr, waitErr := report.read(events), cmd.Wait()
	if err := report.close(); err != nil {
		return err // it says more than the exit code does
	}
	return errors.Join(readErr, waitErr)
}

func (r *runner) testEnv() []string {
	env := os.Environ()
	if r.servers {
		env = append(env, "MULTIDC_TEST_REQUIRE=1") // a skip must never look like a pass
	}
	if r.long {
		env = append(env, "MULTIDC_TEST_SEEDS="+seedsOfALongRun)
	}
	return env
}

// event is one line of go test -json.
type event struct {
	Action     string  `json:"Action"`
	Package    string  `json:"Package"`
	Test       string  `json:"Test"` // empty: the package's own
	Output     string  `json:"Output"`
	ImportPath string  `json:"ImportPath"` // of what was built, in place of Package
	Elapsed    float64 `json:"Elapsed"`    // seconds
}

// report turns the events of go test into a line per package, and keeps what failures and skips said.
type report struct {
	out                     io.Writer
	passed, failed, skipped int
	output                  map[string]*strings.Builder // of tests and packages that have not passed
	passedOf                map[string]int
	red                     []string // names of what failed
	failures, skips         []string // what they said
}

func newReport(out io.Writer) *report {
	return &report{out: out, output: map[string]*strings.Builder{}, passedOf: map[string]int{}}
}

func (p *report) read(r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			// Not the go command's: what a program below it wrote to the same pipe.
			fmt.Fprintln(p.out, lines.Text())
			continue
		}
		p.take(e)
	}
	if err := lines.Err(); err != nil {
		_, _ = io.Copy(io.Discard, r) // or the writer would block for ever
		return err
	}
	return nil
}

func (p *report) take(e event) {
	name := e.Package + " " + e.Test
	switch e.Action {
	case "output":
		p.said(name, e.Output)
	case "build-output":
		p.said(e.ImportPath, e.Output)
	case "build-fail":
		p.failedWith(e.ImportPath, p.drop(e.ImportPath))
	case "pass", "fail", "skip":
		if e.Test == "" {
			p.packageEnded(e, p.drop(name))
		} else {
			p.testEnded(e, p.drop(name))
		}
	}
}

func (p *report) testEnded(e event, output string) {
	switch e.Action {
	case "pass":
		p.passed++
		p.passedOf[e.Package]++
	case "fail":
		p.failed++
		p.failedWith(shortName(e.Package)+"."+e.Test, output)
	case "skip":
		p.skipped++
		p.skips = append(p.skips, shortName(e.Package)+"."+e.Test+": "+reason(output))
	}
}

func (p *report) packageEnded(e event, output string) {
	switch e.Action {
	case "pass":
		took := time.Duration(e.Elapsed * float64(time.Second)).Round(100 * time.Millisecond)
		fmt.Fprintf(p.out, "ok    %-40s %7s  %d passed\n", shortName(e.Package), took, p.passedOf[e.Package])
	case "fail":
		fmt.Fprintf(p.out, "FAIL  %s\n", shortName(e.Package))
		p.failedWith(shortName(e.Package), output) // a panic or a race outside of a test stands only here
	}
}

func (p *report) failedWith(name, output string) {
	p.red = append(p.red, name)
	p.failures = append(p.failures, output)
}

// close prints the skips, then what failed, then the count; its error names what failed.
func (p *report) close() error {
	for _, s := range p.skips {
		fmt.Fprintln(p.out, "skip ", s)
	}
	for _, f := range p.failures {
		if f != "" {
			fmt.Fprintln(p.out, indent(strings.TrimSpace(f)))
		}
	}
	fmt.Fprintf(p.out, "%d passed, %d failed, %d skipped\n", p.passed, p.failed, p.skipped)
	if len(p.red) > 0 {
		return fmt.Errorf("failed: %s", strings.Join(p.red, ", "))
	}
	if p.passed == 0 {
		return errors.New("no test ran")
	}
	return nil
}

func (p *report) said(name, text string) {
	b := p.output[name]
	if b == nil {
		b = &strings.Builder{}
		p.output[name] = b
	}
	b.WriteString(text)
}

// drop forgets what a test said, and returns it.
func (p *report) drop(name string) string {
	b := p.output[name]
	delete(p.output, name)
	if b == nil {
		return ""
	}
	return b.String()
}

func shortName(pkg string) string {
	return strings.TrimPrefix(strings.TrimPrefix(pkg, "github.com/multidc/multidc"), "/")
}

// reason is what a skipped test said, without the frame that go test puts around it.
func reason(output string) string {
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			return line
		}
	}
	return "no reason given"
}
