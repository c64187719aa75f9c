package mcclient

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is for what must happen on however busy a machine.
const patience = 20 * time.Second

// scripted is a memcached on loopback that behaves as a test says.
type scripted struct {
	listener net.Listener
	play     func(*session)

	mu       sync.Mutex
	conns    []net.Conn
	commands []string
	running  sync.WaitGroup
}

// session is one connection to it.
type session struct {
	*scripted
	net.Conn
	number int // from 0
	in     *bufio.Reader
}

// serve starts one. play is called for each connection, which is closed when it returns.
func serve(t *testing.T, secure *tls.Config, play func(*session)) *scripted {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &scripted{listener: listener, play: play}
	s.running.Go(func() { s.accept(secure) })
	t.Cleanup(func() {
		s.stop()
		s.running.Wait()
	})
	return s
}

func (s *scripted) accept(secure *tls.Config) {
	for {
		raw, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		c := &session{scripted: s, Conn: raw, number: len(s.conns)}
		s.conns = append(s.conns, raw)
		s.mu.Unlock()
		if secure != nil {
			c.Conn = tls.Server(raw, secure)
		}
		c.in = bufio.NewReader(c.Conn)
		s.running.Go(func() {
			defer c.Close()
			s.play(c)
		})
	}
}

func (s *scripted) addr() string { return s.listener.Addr().String() }

// drop closes its connections, as when it is started anew.
func (s *scripted) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		_ = c.Close()
	}
}

func (s *scripted) stop() {
	_ = s.listener.Close()
	s.drop()
}

func (s *scripted) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// heard are the commands that came, on whatever connection.
func (s *scripted) heard() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.commands)
}

// next reads a command, and leaves out its data. ok is false when there is none any more.
func (c *session) next() (command string, ok bool) {
	line, err := c.in.ReadString('\n')
	if err != nil {
		return "", false
	}
	line = strings.TrimSuffix(line, "\r\n")
	if words := strings.Fields(line); len(words) >= 5 && words[0] != "gets" {
		size, err := strconv.Atoi(words[4])
		if err != nil {
			return "", false
		}
		if _, err := io.CopyN(io.Discard, c.in, int64(size)+2); err != nil {
			return "", false
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.commands = append(c.commands, line)
	return line, true
}

func (c *session) say(text string) { _, _ = io.WriteString(c, text) }

// hang answers nothing more, until the connection is closed.
func (c *session) hang() { _, _ = io.Copy(io.Discard, c.in) }

// value is an answer of one item.
func value(key, text string) string {
	return "VALUE " + key + " 7 " + strconv.Itoa(len(text)) + " 42\r\n" + text + "\r\n"
}

// empty has nothing, and stores nothing.
func empty(c *session) {
	for {
		switch command, ok := c.next(); {
		case !ok:
			return
		case strings.HasPrefix(command, "gets "):
			c.say("END\r\n")
		default:
			c.say("STORED\r\n")
		}
	}
}

// always gives the same answer.
func always(answer string) func(*session) {
	return func(c *session) {
		for _, ok := c.next(); ok; _, ok = c.next() {
			c.say(answer)
		}
	}
}

// hanging answers nothing.
func hanging(c *session) {
	if _, ok := c.next(); ok {
		c.hang()
	}
}

// slow are timeouts that a busy machine does not reach.
func slow() Options {
	return Options{Timeout: patience, ConnectTimeout: patience, MultiTimeout: patience}
}

func open(t *testing.T, o Options, servers map[string]string) *Pool {
	t.Helper()
	p, err := New(servers, &o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// one is the pool of a single server.
func one(t *testing.T, o Options, s *scripted) *Pool {
	t.Helper()
	return open(t, o, map[string]string{"mc1": s.addr()})
}

// soon waits until something is so.
func soon(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !so(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// nowhere is an address where nobody listens.
func nowhere(t *testing.T) string {
	t.Helper()
	s := serve(t, nil, empty)
	s.stop()
	return s.addr()
}
