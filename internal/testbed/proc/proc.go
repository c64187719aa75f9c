// Package proc runs child processes that end with this one.
//
// Each child leads a process group of its own, so that a signal reaches its children too, and writes to a file, so
// that what it said can be read after its death. On Linux the kernel kills it when this process ends, however this
// process ends (the parent-death signal). Other systems have no such thing: there package guard alone clears up.
package proc

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// Command says what to run.
type Command struct {
	Path string   // the program's file
	Args []string // without the program's name
	Dir  string   // working directory; "" = /
	Env  []string // whole environment; nil = this process's
	// User is the account that root starts the program as, "" = root itself. It is ignored when this process is
	// not root. It is not left to the program to change its user: a process that does so loses its parent-death
	// signal.
	User string
	// Log is the file that takes what the program prints, appended. With "" the program has this process's
	// standard streams.
	Log string
}

// Process is a running or ended child. Its methods are safe for concurrent use.
type Process struct {
	pid  int
	path string
	log  string
	done chan struct{} // closed when the child has been reaped
	err  error         // of Wait, valid after done

	mu     sync.Mutex // held while signalling, so that nobody signals a reaped child's number
	reaped bool
}

// Start starts the child. The error names the program.
func Start(c Command) (*Process, error) {
	cmd, closeLog, err := prepare(c)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Path, err)
	}
	defer closeLog()
	if err := fork(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Path, err)
	}
	p := &Process{pid: cmd.Process.Pid, path: c.Path, log: c.Log, done: make(chan struct{})}
	go p.reap(cmd)
	return p, nil
}

func prepare(c Command) (*exec.Cmd, func(), error) {
	cmd := exec.Command(c.Path, c.Args...)
	cmd.Dir, cmd.Env = c.Dir, c.Env
	if cmd.Dir == "" {
		cmd.Dir = "/"
	}
	cmd.SysProcAttr = attributes()
	if c.User != "" && os.Geteuid() == 0 {
		account, err := Lookup(c.User)
		if err != nil {
			return nil, nil, err
		}
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(account.UID), Gid: uint32(account.GID)}
	}
	if c.Log == "" {
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		return cmd, func() {}, nil
	}
	log, err := os.OpenFile(c.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644) //nolint:gosec // people read logs
	if err != nil {
		return nil, nil, err
	}
	cmd.Stdout, cmd.Stderr = log, log
	return cmd, func() { _ = log.Close() }, nil
}

// forker runs functions on one thread that lives as long as this process: the kernel sends the parent-death signal
// when the *thread* that forked ends, and Go ends threads at will.
var forker = sync.OnceValue(func() chan<- func() {
	calls := make(chan func())
	go serveForks(calls)
	return calls
})

func serveForks(calls <-chan func()) {
	runtime.LockOSThread()
	for call := range calls {
		call()
	}
}

func fork(cmd *exec.Cmd) error {
	started := make(chan error)
	forker() <- func() { started <- cmd.Start() }
	return <-started
}

// WhileNothingForks does something while no child is between its fork and its exec. There a child has a copy of every
// open file: a port whose listener is closed in that moment stays taken until the child has become its program.
func WhileNothingForks(do func() error) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return do()
}

func (p *Process) reap(cmd *exec.Cmd) {
	// Where the system can, the zombie is kept until the lock is held: so long its number is nobody else's.
	finish := awaitEnd(cmd)
	p.mu.Lock()
	defer p.mu.Unlock()
	// What its leader leaves in the group has lost its purpose.
	_ = syscall.Kill(-p.pid, syscall.SIGKILL)
	p.err = finish()
	p.reaped = true
	close(p.done)
}

// PID is the number of the child, and of its process group.
func (p *Process) PID() int { return p.pid }

// Exited is closed when the child has ended and been reaped.
func (p *Process) Exited() <-chan struct{} { return p.done }

// Err waits for the end and returns nil if the child ended with status 0, else an *exec.ExitError.
func (p *Process) Err() error {
	<-p.done
	return p.err
}

// Signal sends a signal to the child's whole group. A child that has ended is os.ErrProcessDone.
func (p *Process) Signal(s syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return os.ErrProcessDone
	}
	return syscall.Kill(-p.pid, s)
}

// Kill ends the group with SIGKILL, which no program can catch, and waits until the child is reaped.
func (p *Process) Kill() {
	_ = p.Signal(syscall.SIGKILL)
	<-p.done
}

// Pause stops the group with SIGSTOP and returns when the child no longer runs.
func (p *Process) Pause() error {
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	return p.awaitStopped()
}

// Resume lets a paused group run on.
func (p *Process) Resume() error { return p.Signal(syscall.SIGCONT) }

func (p *Process) awaitStopped() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !stopped(p.pid) {
		select {
		case <-p.done:
			return os.ErrProcessDone
		case <-ctx.Done():
			return fmt.Errorf("process %d still runs 5 s after SIGSTOP", p.pid)
		case <-tick.C:
		}
	}
	return nil
}

// Tail returns the end of the child's log, "" if it has none.
func (p *Process) Tail() string { return Tail(p.log) }

const (
	tailBytes = 4096
	tailLines = 30 // mariadb-install-db says why, and then at length where to ask
)

// Tail returns the last lines of a file, "" if there is none.
func Tail(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > tailBytes {
		_, _ = f.Seek(-tailBytes, io.SeekEnd)
	}
	text, _ := io.ReadAll(io.LimitReader(f, tailBytes))
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-tailLines):], []byte("\n")))
}

// Quote indents a log's end, so that an error can carry it.
func Quote(tail string) string {
	if tail == "" {
		return " (it printed nothing)"
	}
	return "; it said last:\n    " + string(bytes.ReplaceAll([]byte(tail), []byte("\n"), []byte("\n    ")))
}
