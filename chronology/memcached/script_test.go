package memcached

import (
	"bufio"
	"context"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/multidc/multidc/internal/mcclient"
)

// patience is for what must happen on however busy a machine.
const patience = 20 * time.Second

// server is one on the other end of a pipe, which answers each command as a test says.
type server struct {
	answer  func(command string) string // "" = not at all
	mu      sync.Mutex
	heard   []string
	running sync.WaitGroup
}

// script returns a store on such a server, with a patient timeout.
func script(t *testing.T, answer func(command string) string) (*Store, *server) {
	t.Helper()
	o := client(nil)
	o.Timeout, o.MultiTimeout = patience, patience
	return scriptWith(t, o, answer)
}

func scriptWith(t *testing.T, o *mcclient.Options, answer func(command string) string) (*Store, *server) {
	t.Helper()
	s := &server{answer: answer}
	o.Dial = s.dial
	store, err := open([]string{"10.0.0.1:11211"}, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = store.Close()
		s.running.Wait()
	})
	return store, s
}

func (s *server) dial(context.Context, string, string) (net.Conn, error) {
	here, there := net.Pipe()
	s.running.Go(func() { s.serve(there) })
	return here, nil
}

func (s *server) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSpace(line)
		if words := strings.Fields(line); words[0] != "gets" {
			size, err := strconv.Atoi(words[4])
			if err != nil {
				return
			}
			data := make([]byte, size+2)
			if _, err := io.ReadFull(in, data); err != nil {
				return
			}
			line += " " + string(data[:size])
		}
		s.mu.Lock()
		s.heard = append(s.heard, line)
		s.mu.Unlock()
		if _, err := io.WriteString(conn, s.answer(line)); err != nil {
			return
		}
	}
}

// commands are what came, without their keys.
func (s *server) commands() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]string, len(s.heard))
	for i, line := range s.heard {
		out[i] = strings.Replace(line, " key", "", 1)
	}
	return out
}

// reads answers gets with a value and its version, and writes with the rest in turn; the last one goes on.
func reads(value string, writes ...string) func(string) string {
	return func(command string) string {
		if strings.HasPrefix(command, "gets ") {
			if value == "" {
				return "END\r\n"
			}
			return "VALUE key 0 " + strconv.Itoa(len(value)) + " 77\r\n" + value + "\r\nEND\r\n"
		}
		answer := writes[0]
		if len(writes) > 1 {
			writes = writes[1:]
		}
		return answer
	}
}
