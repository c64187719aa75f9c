package main

import (
	"fmt"
	"slices"
	"strings"

	positions "github.com/multidc/multidc/chronology/memcached"
	"github.com/multidc/multidc/wanobjectcache/memcached"
)

// pools are the memcached servers of each DC, as one of them reaches them: its own for everything, the other's only to purge.
type pools map[string]*memcached.Store

// openPools connects to nothing yet. It also returns the addresses that lead across the link.
func (t testBed) openPools(dc string) (p pools, links []string, err error) {
	p = pools{}
	for _, b := range bedCaches {
		addrs, servers := strings.Split(t.vars[b.from(dc)], ","), map[string]string{}
		for i, addr := range addrs {
			servers[fmt.Sprintf("%s-%d", b.name, i+1)] = addr // the names, which both DCs must agree on, share out the keys
		}
		var options memcached.Options
		if b.dc != dc {
			links = append(links, addrs...)
			options = memcached.Options{
				// The test bed's memcached speaks no TLS, and its link never leaves the machine. Where one does, set TLS, or
				// encrypt the link below.
				AllowPlaintext: true,
				Timeout:        patient, // longer than the way there and back on a slow link
				ConnectTimeout: patient,
			}
		}
		if p[b.dc], err = memcached.New(servers, &options); err != nil {
			return nil, nil, fmt.Errorf("%s%s: %w", envPrefix, b.from(dc), err)
		}
	}
	return p, links, nil
}

// openPositions is where a DC remembers its clients' edits: on the same servers, and never on the other DC's.
func (t testBed) openPositions(dc string) (*positions.Store, error) {
	at := slices.IndexFunc(bedCaches, func(b bedServer) bool { return b.dc == dc })
	variable := bedCaches[at].from(dc)
	store, err := positions.New(strings.Split(t.vars[variable], ","), nil)
	if err != nil {
		return nil, fmt.Errorf("%s%s: %w", envPrefix, variable, err)
	}
	return store, nil
}

func (p pools) close() {
	for _, pool := range p {
		pool.Close()
	}
}
