package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// modules are the folders with a go.mod of their own, all of which go.work joins.
var modules = []string{".", "examples", "internal/testbed", "internal/peers"}

// tools is where built tools are kept between runs; git ignores it.
const tools = ".cache/bin"

type runner struct {
	out io.Writer
	options
	servers bool     // the servers that tests ask for are installed
	kinds   []string // those that the packages under test ask for
}

func newRunner(out io.Writer, o options) *runner { return &runner{out: out, options: o} }

// run takes the steps in order and stops at the first that fails.
func (r *runner) run(ctx context.Context) error {
	if err := os.MkdirAll(tools, 0o755); err != nil { //nolint:gosec // tools are for everybody on the machine
		return err
	}
	steps := []struct {
		name string
		when bool
		do   func(context.Context) error
	}{
		{"look who needs what", true, r.lookForKinds}, // first: a wrong pattern shows here
		{"build the test bed", !r.short, r.buildTestbed},
		{"install servers", !r.short, r.installServers},
		{"format", r.everything(), r.checkFormat},
		{"vet", true, r.vet},
		{"vet the root alone", r.everything(), r.vetRootAlone},
		{"install the linter", r.everything() && !r.short, installLinter},
		{"lint", r.everything() && !r.short, r.lint},
		{"tests", true, r.test},
		{"fuzz", r.long, r.fuzz},
		{"mutants", r.long, r.mutants},
		{"Kafka " + otherKafka, r.long && r.everything(), r.testOtherKafka},
		{"containers", r.long && r.everything(), r.testContainers},
	}
	for _, step := range steps {
		if !step.when {
			continue
		}
		start := time.Now()
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		r.took(step.name, start)
	}
	return nil
}

func (r *runner) took(what string, start time.Time) {
	fmt.Fprintf(r.out, "%-24s %6.1fs\n", what, time.Since(start).Seconds())
}

func (r *runner) everything() bool { return len(r.packages) == 0 }

// patterns are the package patterns to test, of all modules unless some were named.
func (r *runner) patterns() []string {
	if !r.everything() {
		return r.packages
	}
	var all []string
	for _, m := range modules {
		all = append(all, "./"+filepath.ToSlash(filepath.Join(m, "...")))
	}
	return all
}

func (r *runner) buildTestbed(ctx context.Context) error {
	return quiet(ctx, ".", "go", "build", "-o", tools+"/testbed", "./internal/testbed/cmd/testbed")
}

// installServers demands success where it can be had. Elsewhere the run goes on without servers, and says so
// now and, by every skipped test, at the end.
func (r *runner) installServers(ctx context.Context) error {
	err := quiet(ctx, ".", tools+"/testbed", "install")
	r.servers = err == nil
	if err == nil || hasApt() {
		return err
	}
	fmt.Fprintf(r.out, "NO SERVERS: tests that need one will not run, because\n%s\n", indent(err.Error()))
	return nil
}

func hasApt() bool {
	_, err := exec.LookPath("apt-get")
	return err == nil
}

func (r *runner) checkFormat(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "gofmt", "-l", ".").CombinedOutput()
	if err == nil && len(out) > 0 {
		err = errors.New("run gofmt -w on")
	}
	return withOutput(err, out)
}

func (r *runner) vet(ctx context.Context) error {
	return quiet(ctx, ".", "go", append([]string{"vet"}, r.patterns()...)...)
}

// vetRootAlone sees the library as its users get it: without the workspace, on its own go.mod.
func (r *runner) vetRootAlone(ctx context.Context) error {
	cmd := command(ctx, ".", "go", "vet", "./...")
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.CombinedOutput()
	return withOutput(err, out)
}

func (r *runner) lint(ctx context.Context) error {
	linter, err := filepath.Abs(linterPath)
	if err != nil {
		return err
	}
	for _, m := range modules {
		if err := quiet(ctx, m, linter, "run", "./..."); err != nil {
			return fmt.Errorf("module %s: %w", m, err)
		}
	}
	return nil
}

func (r *runner) mutants(ctx context.Context) error {
	args := r.withServers("go", "run", "./internal/testbed/cmd/mutants")
	if !r.everything() {
		args = append(args, folders(r.packages)...)
	}
	cmd := command(ctx, ".", args[0], args[1:]...)
	cmd.Stdout = r.out
	cmd.Stderr = os.Stderr
	return cmd.Run()
}

// folders are the folders of package patterns.
func folders(patterns []string) []string {
	var out []string
	for _, p := range patterns {
		out = append(out, strings.TrimSuffix(p, "/..."))
	}
	return out
}

// withServers makes a command run inside a test bed of what the packages ask for.
func (r *runner) withServers(command ...string) []string {
	if !r.servers || len(r.kinds) == 0 {
		return command
	}
	return append([]string{tools + "/testbed", "run", "--only", strings.Join(r.kinds, ","), "--"}, command...)
}

// command is a child that is asked to end, and given time to clean up, when ctx ends.
func command(ctx context.Context, folder, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = folder
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	return cmd
}

// quiet runs a command whose output matters only when it fails.
func quiet(ctx context.Context, folder, name string, args ...string) error {
	out, err := command(ctx, folder, name, args...).CombinedOutput()
	return withOutput(err, out)
}

func withOutput(err error, out []byte) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w\n%s", err, indent(strings.TrimSpace(string(out))))
}

func indent(s string) string { return "    " + strings.ReplaceAll(s, "\n", "\n    ") }
