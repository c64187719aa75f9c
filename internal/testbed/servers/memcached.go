package servers

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/multidc/multidc/internal/testbed/bed"
)

// memcachedPerDC is two, so that tests meet a pool and not just a server.
const memcachedPerDC = 2

func memcachedKind() bed.Kind {
	return bed.Kind{
		Name:     "memcached",
		Programs: []bed.Program{{Name: "memcached", Package: "memcached"}},
		Image:    "memcached:1.6",
		Private:  true,
		Start:    startMemcached,
	}
}

func startMemcached(ctx context.Context, set *bed.Set, options json.RawMessage) error {
	if err := decode(options, &struct{}{}); err != nil {
		return err
	}
	all, ctx := errgroup.WithContext(ctx)
	for _, dc := range bed.DCs {
		var addrs []string
		via := map[string][]string{}
		for n := range memcachedPerDC {
			name := fmt.Sprintf("memcached-%s-%d", dc, n+1)
			addr, err := set.Addr()
			if err != nil {
				return err
			}
			addrs = append(addrs, addr)
			all.Go(func() error { return set.Start(ctx, memcachedSpec(set, name, dc, addr)) })
			for _, from := range others(dc) {
				link, err := set.Link(name, dc, from, addr)
				if err != nil {
					return err
				}
				via[from] = append(via[from], link)
			}
		}
		exportAddrs(set, "MEMCACHED_", dc, addrs, via)
	}
	return all.Wait()
}

// exportAddrs exports a DC's addresses, and those by which other DCs reach it.
func exportAddrs(set *bed.Set, name, dc string, addrs []string, via map[string][]string) {
	name += strings.ToUpper(dc)
	set.Export(name, strings.Join(addrs, ","))
	for from, links := range via {
		set.Export(name+"_VIA_"+strings.ToUpper(from), strings.Join(links, ","))
	}
}

func memcachedSpec(set *bed.Set, name, dc, addr string) bed.Spec {
	start := func() (bed.Process, error) {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		return set.Run(bed.Command{
			Kind: "memcached", Program: "memcached", Args: []string{"-l", host, "-p", port, "-U", "0", "-m", "64"},
			User: "memcache", Log: set.Path(name + ".log"),
		})
	}
	return bed.Spec{
		Name: name, DC: dc, Addr: addr, Start: start,
		Ready: func(ctx context.Context) error { return askMemcached(ctx, addr) },
	}
}

func askMemcached(ctx context.Context, addr string) error {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(time.Second)
	}
	if err := c.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := fmt.Fprint(c, "version\r\n"); err != nil {
		return err
	}
	answer, err := bufio.NewReader(c).ReadString('\n')
	if err == nil && !strings.HasPrefix(answer, "VERSION ") {
		err = fmt.Errorf("memcached answers version with %q", answer)
	}
	return err
}
