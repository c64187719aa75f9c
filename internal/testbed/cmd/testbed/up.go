package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/multidc/multidc/internal/testbed/bed"
	"github.com/multidc/multidc/internal/testbed/control"
	"github.com/multidc/multidc/internal/testbed/proc"
)

// plan is what a bed can have, and what of it is started.
type plan struct {
	all, start []bed.Kind
	containers bool // everything that can comes from containers
}

// up keeps the servers until ctx ends.
func up(ctx context.Context, p plan, envFile string) error {
	return with(ctx, p, func(ctx context.Context, b *bed.Bed) error {
		file, err := b.WriteEnv(envFile)
		if err != nil {
			return err
		}
		table(b)
		fmt.Fprintf(os.Stderr, "\ncontrol  http://%s/v1/servers\nuse      . %s\nend      Ctrl-C\n", b.Listener().Addr(), file)
		<-ctx.Done()
		return nil
	})
}

// run keeps the servers for one command. Its error is the command's, if that ended badly.
func run(ctx context.Context, p plan, command []string) error {
	path, ok := proc.Find(command[0])
	if !ok {
		return fmt.Errorf("there is no command %s", command[0])
	}
	return with(ctx, p, func(ctx context.Context, b *bed.Bed) error {
		dir, err := os.Getwd()
		if err != nil {
			return err
		}
		process, err := b.Run(proc.Command{
			Path: path, Args: command[1:], Dir: dir, Env: b.Shared.Environ(os.Environ()),
		})
		if err != nil {
			return err
		}
		err = wait(ctx, process)
		if ended := (*exec.ExitError)(nil); errors.As(err, &ended) {
			return commandError{ended}
		}
		return err
	})
}

// patience is how long a command may take to end after it was asked to.
const patience = 10 * time.Second

// wait waits for the command. When ctx ends it is asked to end too, and killed if it does not.
func wait(ctx context.Context, process *proc.Process) error {
	select {
	case <-process.Exited():
		return process.Err()
	case <-ctx.Done():
	}
	_ = process.Signal(syscall.SIGTERM) // one that has ended meanwhile needs none
	select {
	case <-process.Exited():
	case <-time.After(patience):
		process.Kill()
	}
	return process.Err()
}

// with makes a bed, serves its control, and ends both when do returns or the control fails.
func with(outer context.Context, p plan, do func(context.Context, *bed.Bed) error) (err error) {
	began := time.Now()
	b, err := bed.Open(outer, p.all, p.containers, progress())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	ctx, cancel := context.WithCancelCause(outer)
	var serving sync.WaitGroup
	defer serving.Wait()
	defer cancel(nil)
	serving.Go(func() {
		if err := control.Serve(ctx, b); err != nil {
			cancel(err)
		}
	})
	if err := b.Start(ctx, p.start); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%d servers ready in %.1f s\n", len(b.Shared.Servers()), time.Since(began).Seconds())
	return errors.Join(do(ctx, b), controlFailed(ctx, outer))
}

// controlFailed is why the control ended, if it did so before anybody wanted the end.
func controlFailed(ctx, outer context.Context) error {
	if outer.Err() == nil {
		return context.Cause(ctx)
	}
	return nil
}

// progress prints a line for each server that answers.
func progress() func(bed.Status, time.Duration) {
	var mu sync.Mutex
	return func(s bed.Status, after time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(os.Stderr, "%5.1fs  %s answers\n", after.Seconds(), s.Name)
	}
}

func table(b *bed.Bed) {
	links := map[string][]string{}
	for _, l := range b.Shared.Links() {
		server, _, _ := strings.Cut(l.ID, "-via-")
		links[server] = append(links[server], l.Addr()+" via "+l.FromDC)
	}
	w := tabwriter.NewWriter(os.Stderr, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "\nSERVER\tDC\tADDRESS\tFROM THE OTHER DC\tREADY AFTER")
	for _, s := range b.Shared.Servers() {
		status := s.Status()
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%.2f s\n", status.Name, status.DC, status.Addr, strings.Join(links[status.Name], ", "), float64(status.ReadyMS)/1000)
	}
	_ = w.Flush()
}
