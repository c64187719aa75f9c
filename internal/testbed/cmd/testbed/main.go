// Command testbed runs real servers for two datacenters on this machine.
//
//	testbed install                 installs what is missing, on Debian
//	testbed up                      starts the servers and keeps them until Ctrl-C
//	testbed run -- COMMAND…         starts them for one command, with their addresses in its environment
//
// Each takes --only memcached,mariadb,… to start or install less, and --kafka 4.1 another Kafka than 3.9. Servers
// that are not installed come from containers, if a Docker engine answers; with --containers memcached, mariadb, kafka
// and cassandra do in any case, by official images or those of MULTIDC_IMAGE_MEMCACHED and so on. up takes --env FILE, the file that it writes for a
// shell to source. Nothing is left when it ends, however it ends.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/multidc/multidc/internal/testbed/bed"
	"github.com/multidc/multidc/internal/testbed/guard"
	"github.com/multidc/multidc/internal/testbed/install"
	"github.com/multidc/multidc/internal/testbed/servers"
)

// commandError is the bad end of the command that run ran. Other programs may fail too, and that is something else.
type commandError struct{ *exec.ExitError }

// usageError is a command line that makes no sense.
type usageError struct{ error }

func main() {
	guard.Main() // does not return if this process is a bed's guard
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := execute(ctx, os.Args[1:])
	stop()
	os.Exit(exitCode(err))
}

// exitCode reports an error, and returns the code of the command that was run, 2 for a bad command line, else 1.
func exitCode(err error) int {
	var ended commandError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &ended):
		if err.Error() != ended.Error() { // something of ours went wrong besides
			fmt.Fprintln(os.Stderr, "testbed:", err)
		}
		if status, ok := ended.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return 128 + int(status.Signal())
		}
		return ended.ExitCode()
	}
	fmt.Fprintln(os.Stderr, "testbed:", err)
	if errors.As(err, &usageError{}) {
		return 2
	}
	return 1
}

const usage = `usage: testbed install [--only KINDS]
       testbed up      [--only KINDS] [--kafka VERSION] [--containers] [--env FILE]
       testbed run     [--only KINDS] [--kafka VERSION] [--containers] -- COMMAND [ARGUMENT...]
KINDS, comma separated: memcached, mariadb, heartbeat, kafka, cassandra, swift; without --only all of them
`

func execute(ctx context.Context, args []string) error {
	verb := ""
	if len(args) > 0 {
		verb, args = args[0], args[1:]
	}
	flags := flag.NewFlagSet("testbed "+verb, flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(flags.Output(), usage) }
	only := flags.String("only", "", "")
	env := flags.String("env", "", "")
	kafka := flags.String("kafka", "", "")
	containers := flags.Bool("containers", false, "")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return usageError{err}
	}
	all, err := servers.All(*kafka)
	if err != nil {
		return usageError{err}
	}
	kinds, err := bed.Select(all, *only)
	if err != nil {
		return usageError{err}
	}
	plan := plan{all: all, start: kinds, containers: *containers}
	switch rest := flags.Args(); {
	case verb == "run" && len(rest) > 0:
		return run(ctx, plan, rest)
	case verb != "run" && len(rest) > 0:
		return usageError{fmt.Errorf("%s takes no argument %q", verb, rest[0])}
	case verb == "up":
		return up(ctx, plan, *env)
	case verb == "install":
		return install.Missing(ctx, os.Stderr, kinds)
	default:
		flags.Usage()
		return usageError{errors.New("say install, up, or run with a command behind --")}
	}
}
