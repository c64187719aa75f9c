package bed

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/multidc/multidc/internal/testbed/proc"
)

// startLimit is how long a server may take until it answers.
const startLimit = 90 * time.Second

// States of a server.
const (
	Starting = "starting"
	Running  = "running"
	Paused   = "paused"
	Stopped  = "stopped"
	Died     = "died" // ended by itself
)

// ErrState is the error of a verb that a server's state does not allow.
var ErrState = errors.New("not in this state")

// ErrOptions is the error of options that a kind does not know or take.
var ErrOptions = errors.New("bad options")

// Process is a running program: a child process, or a container.
type Process interface {
	Kill() // ends it at once, and waits until it has ended
	Pause() error
	Resume() error
	Exited() <-chan struct{}
	Err() error   // waits for the end; nil if it ended well
	Tail() string // the end of what it printed
}

// Spec says how one server is run.
type Spec struct {
	Name string // within its set, for example "mariadb-a"
	DC   string
	Addr string // host:port, "" for what does not listen
	// Start starts it, on what a former run left behind.
	Start func() (Process, error)
	// Ready tries once whether it answers.
	Ready func(ctx context.Context) error
}

// Server is one server of a bed. Its verbs wait for each other.
type Server struct {
	Spec
	ID string // the name with its set's, for example "p1.mariadb-a": unique in the bed

	verb   sync.Mutex // held by a verb from its beginning to its end
	closed bool       // no start any more; guarded by verb

	mu      sync.Mutex
	state   string
	process Process
	took    time.Duration // the last start's time to ready
	tail    string        // of a process that died
}

// Status is a server at one moment.
type Status struct {
	Name    string `json:"name"`
	DC      string `json:"dc"`
	Addr    string `json:"addr,omitempty"`
	State   string `json:"state"`
	ReadyMS int64  `json:"ready_ms"`      // how long the last start took until it answered
	Log     string `json:"log,omitempty"` // of one that died: the end of its log
}

// Status returns the server's state.
func (s *Server) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Status{Name: s.ID, DC: s.DC, Addr: s.Addr, State: s.state, ReadyMS: s.took.Milliseconds(), Log: s.tail}
}

// Start starts a server that is stopped or has died, on its old address and data, and returns when it answers. On a
// running one it does nothing.
func (s *Server) Start(ctx context.Context) error {
	s.verb.Lock()
	defer s.verb.Unlock()
	switch state := s.Status().State; {
	case s.closed:
		return fmt.Errorf("start %s: its bed is being ended: %w", s.ID, ErrState)
	case state == Running:
		return nil
	case state == Paused:
		return fmt.Errorf("start %s: it is paused: resume it: %w", s.ID, ErrState)
	}
	return s.start(ctx)
}

func (s *Server) start(ctx context.Context) error {
	began := time.Now()
	process, err := s.Spec.Start()
	if err != nil {
		return fmt.Errorf("start %s: %w", s.ID, err)
	}
	s.set(func() { s.state, s.process, s.tail = Starting, process, "" })
	go s.watch(process)
	if err := s.await(ctx, process); err != nil {
		s.kill()
		return fmt.Errorf("start %s: %w%s", s.ID, err, proc.Quote(process.Tail()))
	}
	s.set(func() {
		if s.state == Starting {
			s.state, s.took = Running, time.Since(began)
		}
	})
	return nil
}

// await returns when the server answers.
func (s *Server) await(ctx context.Context, process Process) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	return poll(ctx, process.Exited(), s.Ready)
}

// poll tries until it works, sparingly more and more seldom.
func poll(ctx context.Context, exited <-chan struct{}, try func(context.Context) error) error {
	const longest = 50 * time.Millisecond
	for wait := time.Millisecond; ; wait = min(2*wait, longest) {
		err := tryOnce(ctx, try)
		if err == nil {
			return nil
		}
		select {
		case <-exited:
			return errors.New("it ended by itself")
		case <-ctx.Done():
			return fmt.Errorf("it did not answer in time (%w): %w", ctx.Err(), err)
		case <-time.After(wait):
		}
	}
}

func tryOnce(ctx context.Context, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return try(ctx)
}

// watch notes that a process died, unless somebody ended it on purpose.
func (s *Server) watch(process Process) {
	<-process.Exited()
	s.set(func() {
		if s.process == process && s.state != Stopped {
			s.state, s.tail = Died, process.Tail()
		}
	})
}

// Stop ends the server with SIGKILL: it has no time for last words. One that has ended already is then stopped too.
func (s *Server) Stop() {
	s.verb.Lock()
	defer s.verb.Unlock()
	s.kill()
}

func (s *Server) kill() {
	var process Process
	s.set(func() { s.state, process = Stopped, s.process })
	if process != nil {
		process.Kill()
	}
}

// Pause freezes a running server: connects to it succeed, it answers nothing. On a paused one it does nothing.
func (s *Server) Pause() error { return s.change("pause", Running, Paused, Process.Pause) }

// Resume lets a paused server go on. On a running one it does nothing.
func (s *Server) Resume() error { return s.change("resume", Paused, Running, Process.Resume) }

func (s *Server) change(verb, from, to string, how func(Process) error) error {
	s.verb.Lock()
	defer s.verb.Unlock()
	switch state := s.Status().State; state {
	case to:
		return nil
	case from:
	default:
		return fmt.Errorf("%s %s: it is %s, not %s: %w", verb, s.ID, state, from, ErrState)
	}
	if err := how(s.process); err != nil {
		return fmt.Errorf("%s %s: %w", verb, s.ID, err)
	}
	s.set(func() {
		if s.state == from {
			s.state = to
		}
	})
	return nil
}

// close stops the server for good.
func (s *Server) close() {
	s.verb.Lock()
	defer s.verb.Unlock()
	s.closed = true
	s.kill()
}

func (s *Server) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}
