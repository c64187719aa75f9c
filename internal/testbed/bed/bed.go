// Package bed is a test bed: real servers for two datacenters on loopback, in a directory and a block of ports of
// its own, with the links between the DCs.
//
// It knows no kind of server: those are in package servers. It knows what all have in common: addresses, processes,
// links, variables, certificates, and that everything ends with the bed.
package bed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/multidc/multidc/internal/testbed/guard"
	"github.com/multidc/multidc/internal/testbed/lease"
	"github.com/multidc/multidc/internal/testbed/proc"
)

// Bed is a running test bed.
type Bed struct {
	Dir    string
	Certs  Certs
	Leases lease.Table
	Shared *Set

	kinds    []Kind            // all there are
	images   map[string]string // by kind: those that come from containers
	up       []Kind            // those of the shared set
	listener net.Listener
	ports    *ports
	guard    *guard.Guard
	onReady  func(Status, time.Duration)
	began    time.Time

	mu        sync.Mutex
	closed    bool
	private   map[string]*Set
	lastID    int
	templates map[string]*sync.Mutex
}

// Open makes a bed without servers. onReady is told of each shared server that answers, and how long after Open.
// Kinds that lack a program come from containers, if there is a Docker engine; with containers all do that can.
// The caller must Close the bed, and serve its control on Listener.
func Open(ctx context.Context, kinds []Kind, containers bool, onReady func(Status, time.Duration)) (b *Bed, err error) {
	images, err := chooseImages(ctx, kinds, containers)
	if err != nil {
		return nil, err
	}
	listener, ports, err := claim()
	if err != nil {
		return nil, err
	}
	b = &Bed{
		kinds: kinds, images: images, listener: listener, ports: ports, onReady: onReady, began: time.Now(),
		private: map[string]*Set{}, templates: map[string]*sync.Mutex{},
	}
	if err := b.makeDir(); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	if b.guard, err = guard.Start(b.Dir); err != nil {
		return nil, errors.Join(err, os.RemoveAll(b.Dir), listener.Close())
	}
	if b.Certs, err = makeCerts(b.Dir); err == nil {
		b.Shared, err = b.newSet("")
	}
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	b.Shared.Export("CA", b.Certs.CA)
	b.Shared.Export("CONTROL", listener.Addr().String())
	return b, nil
}

// makeDir makes the bed's directory: absolute, and passable, because servers run under accounts of their own.
func (b *Bed) makeDir() error {
	dir, err := os.MkdirTemp("", fmt.Sprintf("multidc-testbed-%d-", b.ports.base))
	if err != nil {
		return fmt.Errorf("make the bed's directory: %w", err)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return fmt.Errorf("make the bed's directory: %w", err)
	}
	b.Dir = dir
	return os.Chmod(dir, 0o711) //nolint:gosec // other accounts must pass
}

// Listener is the listener of the bed's control.
func (b *Bed) Listener() net.Listener { return b.listener }

// Kinds returns all kinds, also those that are not up: a private instance may be of any.
func (b *Bed) Kinds() []Kind { return b.kinds }

// Up returns the kinds of the shared set.
func (b *Bed) Up() []Kind { return b.up }

// Start starts shared servers, in parallel as far as their kinds allow. An error leaves the bed to be closed.
func (b *Bed) Start(ctx context.Context, kinds []Kind) error {
	if err := b.missing(kinds...); err != nil {
		return err
	}
	if err := enoughMemory(kinds); err != nil {
		return err
	}
	b.up = kinds
	return startAll(ctx, b.Shared, kinds)
}

// startAll starts each kind as soon as those it comes after are up. The first failure ends all.
func startAll(ctx context.Context, set *Set, kinds []Kind) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	up := map[string]chan struct{}{}
	for _, kind := range kinds {
		up[kind.Name] = make(chan struct{})
	}
	var all sync.WaitGroup
	for _, kind := range kinds {
		all.Go(func() {
			for _, first := range kind.After {
				select {
				case <-up[first]:
				case <-ctx.Done():
					return
				}
			}
			if err := kind.Start(ctx, set, nil); err != nil {
				cancel(err) // only the first counts: the others follow from it
				return
			}
			close(up[kind.Name])
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// Private starts a private instance. The caller ends it with EndPrivate.
func (b *Bed) Private(ctx context.Context, kindName string, options []byte) (*Set, error) {
	kind, err := Find(b.kinds, kindName)
	if err != nil {
		return nil, err
	}
	if !kind.Private {
		return nil, fmt.Errorf("%w: there are no private instances of %s", ErrOptions, kindName)
	}
	if err := b.missing(kind); err != nil {
		return nil, err
	}
	set, err := b.newPrivate()
	if err != nil {
		return nil, err
	}
	if err := kind.Start(ctx, set, options); err != nil {
		return nil, errors.Join(err, b.EndPrivate(set))
	}
	return set, nil
}

func (b *Bed) newPrivate() (*Set, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, errors.New("the bed is being ended")
	}
	b.lastID++
	set, err := b.newSet("p" + strconv.Itoa(b.lastID))
	if err != nil {
		return nil, err
	}
	b.private[set.ID] = set
	return set, nil
}

func (b *Bed) newSet(id string) (*Set, error) {
	set := &Set{ID: id, Dir: filepath.Join(b.Dir, "shared"), Bed: b, vars: map[string]string{}}
	if id != "" {
		set.Dir = filepath.Join(b.Dir, id)
	}
	if err := os.Mkdir(set.Dir, 0o755); err != nil { //nolint:gosec // other accounts must pass
		return nil, fmt.Errorf("make the directory of the servers: %w", err)
	}
	return set, nil
}

// EndPrivate ends a private instance and returns when nothing is left of it.
func (b *Bed) EndPrivate(set *Set) error {
	err := set.close()
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.private, set.ID)
	return err
}

// Sets returns the shared set and the private ones.
func (b *Bed) Sets() []*Set {
	b.mu.Lock()
	defer b.mu.Unlock()
	sets := []*Set{b.Shared}
	for _, set := range b.private {
		sets = append(sets, set)
	}
	slices.SortFunc(sets, func(x, y *Set) int { return compare(x.ID, y.ID) })
	return sets
}

// Template returns a directory that is made once per bed and then copied from, by whichever set needs it first. A
// build that fails is tried anew by the next who asks.
func (b *Bed) Template(name string, build func(dir string) error) (string, error) {
	b.mu.Lock()
	lock := b.templates[name]
	if lock == nil {
		lock = &sync.Mutex{}
		b.templates[name] = lock
	}
	b.mu.Unlock()
	lock.Lock()
	defer lock.Unlock()
	dir := filepath.Join(b.Dir, "template-"+name)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := build(dir); err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return dir, nil
}

// Run starts a child process that ends with the bed at the latest.
func (b *Bed) Run(c proc.Command) (*proc.Process, error) {
	if c.Env == nil {
		c.Env = os.Environ()
	}
	c.Env = append(slices.DeleteFunc(slices.Clone(c.Env), isMark), guard.Marker+"="+b.Dir)
	process, err := proc.Start(c)
	if err != nil {
		return nil, err
	}
	b.guard.Started(process.PID())
	go func() {
		<-process.Exited()
		b.guard.Ended(process.PID())
	}()
	return process, nil
}

func isMark(v string) bool { return strings.HasPrefix(v, guard.Marker+"=") }

func (b *Bed) report(s Status) { b.onReady(s, time.Since(b.began)) }

// Close ends everything, and returns when no process and no file is left. Private instances must have been ended
// before, by whoever started them.
func (b *Bed) Close() error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	var errs []error
	if b.Shared != nil {
		errs = append(errs, b.Shared.close())
	}
	// The guard takes the rest: grandchildren, and the directory.
	errs = append(errs, b.guard.Close())
	// Last, because it holds the block of ports.
	_ = b.listener.Close()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("end the test bed: %w", err)
	}
	return nil
}

func compare(x, y string) int { return strings.Compare(x, y) }
