// Command runtests is what ./test at the top of the repository runs: it installs what is missing, starts the
// real servers, checks and tests every module, and says how long each part took.
//
//	./test [-short | -long] [PACKAGE...]
//
// Without arguments: format, vet, lint, and go test -race of every module, with servers. -short needs no
// servers: tests that do are skipped, with the variable they miss. -long adds the 10,000 seeds, a minute of
// every fuzz test, and the mutants. Package patterns (./rdbms/...) confine vet and tests to them, and the
// checks of the whole tree are left out.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// options are what the command line asks for.
type options struct {
	short, long bool
	packages    []string // as given; empty = all modules
}

func main() {
	o, err := parse(os.Args[1:])
	if err != nil {
		os.Exit(2) // flag has said why
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	start := time.Now()
	err = newRunner(os.Stdout, o).run(ctx)
	fmt.Printf("%-24s %6.1fs\n", "in all", time.Since(start).Seconds())
	if err != nil {
		fmt.Printf("FAILED: %v\n", err) // last, where the eye is
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("test", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: ./test [-short | -long] [PACKAGE...]")
		flags.PrintDefaults()
	}
	flags.BoolVar(&o.short, "short", false, "no servers: tests that need one are skipped")
	flags.BoolVar(&o.long, "long", false, "also 10,000 seeds, a minute of every fuzz test, and the mutants")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.short && o.long {
		err := fmt.Errorf("-short and -long exclude each other")
		fmt.Fprintln(flags.Output(), err)
		return o, err
	}
	o.packages = flags.Args()
	return o, nil
}
