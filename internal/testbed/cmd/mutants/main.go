// Command mutants proves that the tests of a guarantee can fail: it breaks the code on purpose, one small
// change at a time, and demands that the named test notices.
//
//	go run ./internal/testbed/cmd/mutants [FOLDER...]
//
// A mutant is a file testdata/mutants/NAME.txt beside the code it breaks, in txtar form:
//
//	Why this matters, in a sentence or two.
//	file: holdoff.go
//	test: TestDeleteHoldsOff
//	-- old --
//		return maxCommit + maxLag + skew
//	-- new --
//		return maxCommit
//
// The text under old must stand in the file exactly once; new takes its place in an overlay of the go command,
// so nothing on disk changes. The test, run alone, must pass without the mutant and fail with it. A mutant that
// does not compile, a text that is not found and a test that does not run are errors, not kills.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"
)

func main() {
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: mutants [FOLDER...]   runs the mutants below the folders, by default below this one")
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

// run tries every mutant below the folders and says how each ended.
func run(ctx context.Context, out io.Writer, folders []string) error {
	if len(folders) == 0 {
		folders = []string{"."}
	}
	mutants, err := find(folders)
	if err != nil {
		return err
	}
	if len(mutants) == 0 {
		return fmt.Errorf("no testdata/mutants/*.txt below %q", folders)
	}
	var survived, broken int
	trial := newTrial()
	for _, m := range mutants {
		start := time.Now()
		verdict, err := trial.judge(ctx, m)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		switch {
		case err != nil:
			broken++
			verdict = fmt.Sprintf("ERROR: %v", err)
		case verdict == survives:
			survived++
			verdict += ": " + m.test + " passes although " + m.why
		}
		fmt.Fprintf(out, "%-60s %5.1fs  %s\n", m.name(), time.Since(start).Seconds(), verdict)
	}
	fmt.Fprintf(out, "%d mutants: %d killed, %d survived, %d in error\n", len(mutants), len(mutants)-survived-broken, survived, broken)
	if survived+broken > 0 {
		return errors.New("a guarantee is not guarded by its test")
	}
	return nil
}
