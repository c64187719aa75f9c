// Package guard clears up after a test bed that cannot do so itself: one that was killed, or that panicked.
//
// It is a second process, started before anything else, in a session of its own. A pipe leads from the test bed to
// it. When the pipe ends, which the kernel sees to however the test bed ends, the guard kills what is left of the
// bed and removes its files. An orderly end takes the same way, so the way is well trodden.
//
// What is left of a bed it knows twice: by the process groups that the bed told it of, and on Linux by the variable
// Marker in the environment of every process, which finds grandchildren in groups of their own too.
package guard

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Marker is the variable that every process of a bed has in its environment. Its value is the bed's directory.
const Marker = "MULTIDC_TESTBED_DIR"

// Argument is the first argument by which a program is told to be a guard; the bed's directory is the second. See
// Main.
const Argument = "guard-of"

// Guard is the test bed's end of the pipe.
type Guard struct {
	cmd *exec.Cmd

	mu   sync.Mutex
	pipe io.WriteCloser
}

// Start starts this program's file anew, as guard of a bed's directory.
func Start(dir string) (*Guard, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("start the guard: %w", err)
	}
	cmd := exec.Command(program, Argument, dir)
	cmd.Dir = "/"
	// Not marked itself, by this bed or by one around it: each bed's guard outlives its bed.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, Marker+"=") })
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start the guard: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the guard: %w", err)
	}
	return &Guard{cmd: cmd, pipe: pipe}, nil
}

// Started tells the guard of a process group, Ended that it is gone, File of a file outside of the bed's directory
// that goes with it, if its first line still names the directory.
func (g *Guard) Started(group int) { g.tell("+%d", group) }

// Ended tells the guard that a process group is gone: its number may soon be somebody else's.
func (g *Guard) Ended(group int) { g.tell("-%d", group) }

// File tells the guard of a file outside of the bed's directory that goes with the bed, provided that its first line
// still names that directory.
func (g *Guard) File(path string) { g.tell("f%s", path) }

func (g *Guard) tell(format string, args ...any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	// A guard that is gone cannot be told anything; Close reports it.
	_, _ = fmt.Fprintf(g.pipe, format+"\n", args...)
}

// Close lets the guard do its work, and waits until it has.
func (g *Guard) Close() error {
	g.mu.Lock()
	_ = g.pipe.Close()
	g.mu.Unlock()
	if err := g.cmd.Wait(); err != nil {
		return fmt.Errorf("the guard could not clear up: %w", err)
	}
	return nil
}

// Main does nothing unless this process was started as a guard. A program that starts beds calls it first in main.
func Main() {
	if len(os.Args) == 3 && os.Args[1] == Argument {
		if err := serve(os.Stdin, os.Args[2]); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
}

func serve(orders io.Reader, dir string) error {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	left := listen(orders)
	for group := range left.groups {
		_ = syscall.Kill(-group, syscall.SIGKILL)
	}
	sweep(dir)
	for _, file := range left.files {
		if Owns(dir, file) {
			_ = os.Remove(file)
		}
	}
	return remove(dir)
}

type leftovers struct {
	groups map[int]bool
	files  []string
}

// listen takes orders until the pipe ends.
func listen(orders io.Reader) leftovers {
	left := leftovers{groups: map[int]bool{}}
	lines := bufio.NewScanner(orders)
	for lines.Scan() {
		line := lines.Text()
		if file, ok := strings.CutPrefix(line, "f"); ok {
			left.files = append(left.files, file)
			continue
		}
		// Started's numbers are positive, Ended's negative.
		switch group, err := strconv.Atoi(line); {
		case err != nil:
		case group > 1:
			left.groups[group] = true
		case group < -1:
			delete(left.groups, -group)
		}
	}
	return left
}

// Owns reports whether a file's first line names a bed's directory.
func Owns(dir, file string) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	line, _ := bufio.NewReader(io.LimitReader(f, 8192)).ReadString('\n')
	return strings.Contains(line, filepath.Base(dir))
}

// remove removes the directory. A process that has been killed may still be at its last write, so a second and a
// third try are in order.
func remove(dir string) error {
	err := os.RemoveAll(dir)
	for try := 0; err != nil && try < 50; try++ {
		time.Sleep(20 * time.Millisecond)
		err = os.RemoveAll(dir)
	}
	return err
}
