package bed

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/multidc/multidc/internal/testbed/link"
)

// Prefix begins the name of every variable that a bed exports.
const Prefix = "MULTIDC_TEST_"

// Set is servers that belong together: the bed's shared ones, or those of one private instance. A kind's Start fills
// it.
type Set struct {
	ID  string // "" for the shared set, else "p1" and so on
	Dir string // for the servers' files; an empty directory of the set's own
	Bed *Bed

	mu      sync.Mutex
	closed  bool
	ports   []int
	servers []*Server
	links   []*Link
	vars    map[string]string
}

// Link is a link of a bed: the way by which one DC reaches a server in another.
type Link struct {
	*link.Link
	ID     string // "mariadb-a-via-b", with the set's name in front in a private instance: "p1.mariadb-a-via-b"
	DC     string // where the server is
	FromDC string // who reaches it so
	Set    string
}

// Kind is the kind of the server that the link leads to: what its name begins with.
func (l *Link) Kind() string {
	name := strings.TrimPrefix(l.ID, l.Set+".")
	kind, _, _ := strings.Cut(name, "-")
	return kind
}

// Addr takes a free port and returns the address to listen on. It is the set's until the set is closed.
func (s *Set) Addr() (string, error) {
	port, err := s.Bed.ports.take()
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ports = append(s.ports, port)
	return address(port), nil
}

// Start starts a server, and returns when it answers.
func (s *Set) Start(ctx context.Context, spec Spec) error {
	server := &Server{Spec: spec, ID: s.full(spec.Name), state: Stopped}
	if err := s.add(server); err != nil {
		return err
	}
	if err := server.Start(ctx); err != nil {
		return err
	}
	if s.ID == "" {
		s.Bed.report(server.Status())
	}
	return nil
}

func (s *Set) add(server *Server) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("the bed is being ended")
	}
	s.servers = append(s.servers, server)
	return nil
}

// Run starts a program of a server.
func (s *Set) Run(c Command) (Process, error) { return s.Bed.start(c) }

// Link opens the link by which fromDC reaches a server, and returns its address.
func (s *Set) Link(server, dc, fromDC, upstream string) (string, error) {
	addr, err := s.Addr()
	if err != nil {
		return "", err
	}
	return addr, s.LinkAt(server, dc, fromDC, addr, upstream)
}

// LinkAt opens a link at an address that the server's kind chose.
func (s *Set) LinkAt(server, dc, fromDC, addr, upstream string) error {
	opened, err := link.Listen(addr, upstream)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.links = append(s.links, &Link{Link: opened, ID: s.full(server + "-via-" + fromDC), DC: dc, FromDC: fromDC, Set: s.ID})
	return nil
}

// Export sets the variable MULTIDC_TEST_<name>.
func (s *Set) Export(name, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.vars[Prefix+name] = value
}

// Vars returns the set's variables.
func (s *Set) Vars() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.vars)
}

// Servers returns the set's servers, in order of their names.
func (s *Set) Servers() []*Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(slices.Values(s.servers), func(x, y *Server) int { return compare(x.Name, y.Name) })
}

// Links returns the set's links, in order of their names.
func (s *Set) Links() []*Link {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(slices.Values(s.links), func(x, y *Link) int { return compare(x.ID, y.ID) })
}

// Path returns the name of a file in the set's directory.
func (s *Set) Path(name string) string { return filepath.Join(s.Dir, name) }

func (s *Set) full(name string) string {
	if s.ID == "" {
		return name
	}
	return s.ID + "." + name
}

// close ends everything and removes the set's files.
func (s *Set) close() error {
	s.mu.Lock()
	s.closed = true
	servers, links := slices.Clone(s.servers), slices.Clone(s.links)
	s.mu.Unlock()
	var ending sync.WaitGroup
	for _, server := range servers {
		ending.Go(server.close)
	}
	for _, l := range links {
		ending.Go(l.Close)
	}
	ending.Wait()
	s.Bed.ports.giveBack(s.ports)
	if err := os.RemoveAll(s.Dir); err != nil {
		return fmt.Errorf("remove the files of %s: %w", s.Dir, err)
	}
	return nil
}
