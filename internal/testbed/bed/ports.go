package bed

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"

	"github.com/multidc/multidc/internal/testbed/proc"
)

// A bed's ports are a block below the range from which systems take ports for outgoing connections (32768 on
// Linux): the port of a stopped server must not be taken by somebody's connection before it is started again. Beds
// keep out of each other's way by holding the first port of their block, on which their control listens.
const (
	firstPort = 10000
	blockSize = 500
	lastPort  = 32000
)

const loopback = "127.0.0.1"

// ports hands out the ports of one block.
type ports struct {
	mu    sync.Mutex
	base  int
	next  int
	taken map[int]bool
}

// claim takes the first block that no other bed has. The listener, on the block's first port, is what holds it.
func claim() (net.Listener, *ports, error) {
	for base := firstPort; base+blockSize <= lastPort; base += blockSize {
		if listener, err := net.Listen("tcp", address(base)); err == nil {
			return listener, &ports{base: base, next: base + 1, taken: map[int]bool{}}, nil
		}
	}
	return nil, nil, fmt.Errorf("every port %d + n·%d below %d is taken: are there that many test beds?", firstPort, blockSize, lastPort)
}

// take returns a port that nobody listens on and nobody was given. A port given back comes again as late as may be.
func (p *ports) take() (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range blockSize - 1 {
		port := p.next
		if p.next++; p.next == p.base+blockSize {
			p.next = p.base + 1
		}
		if !p.taken[port] && free(port) {
			p.taken[port] = true
			return port, nil
		}
	}
	return 0, errors.New("no free port is left in this bed's block: end some private instances")
}

func (p *ports) giveBack(given []int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, port := range given {
		delete(p.taken, port)
	}
}

func free(port int) bool {
	return proc.WhileNothingForks(func() error {
		listener, err := net.Listen("tcp", address(port))
		if err != nil {
			return err
		}
		return listener.Close()
	}) == nil
}

func address(port int) string { return net.JoinHostPort(loopback, strconv.Itoa(port)) }
