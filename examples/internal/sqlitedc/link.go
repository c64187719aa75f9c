package sqlitedc

import (
	"fmt"
	"sync"
	"time"
)

// ErrUnavailable says that the link to the other DC is cut, or was cut since the connection was opened.
// Nothing of the statement or transaction that got it has taken effect. It is a net.Error, so that a package that does
// not know this one can tell a broken connection.
var ErrUnavailable error = unavailableError{}

type unavailableError struct{}

func (unavailableError) Error() string   { return "sqlitedc: the link between the datacenters is cut" }
func (unavailableError) Timeout() bool   { return false }
func (unavailableError) Temporary() bool { return true }

// link is the only way between the two DCs.
type link struct {
	mu         sync.RWMutex // held for reading while something crosses, so that cut waits for it
	down       bool
	generation uint64 // rises with every cut: what was opened before is dead
	lag        time.Duration
}

func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.down {
		l.down = true
		l.generation++
	}
}

func (l *link) heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = false
}

func (l *link) setLag(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lag = max(d, 0)
}

func (l *link) state() (down bool, lag time.Duration) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.down, l.lag
}

// open returns a path across the link. A nil link is no link: caller and database are in one DC.
func (l *link) open(from, to string) (path, error) {
	if l == nil {
		return path{}, nil
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	p := path{link: l, generation: l.generation, from: from, to: to}
	return p, p.broken()
}

// path is what one connection uses of the link.
type path struct {
	link       *link
	generation uint64
	from, to   string
}

// check fails if the link is cut, or was cut since the path was opened.
func (p path) check() error {
	done, err := p.cross()
	done()
	return err
}

// cross is check for a step that must not happen after a cut: until done is called the link stays as it is.
func (p path) cross() (done func(), err error) {
	if p.link == nil {
		return func() {}, nil
	}
	p.link.mu.RLock()
	if err := p.broken(); err != nil {
		p.link.mu.RUnlock()
		return func() {}, err
	}
	return p.link.mu.RUnlock, nil
}

func (p path) broken() error {
	if p.link.down || p.link.generation != p.generation {
		return fmt.Errorf("%w (from %s to %s)", ErrUnavailable, p.from, p.to)
	}
	return nil
}
