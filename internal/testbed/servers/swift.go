package servers

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"

	"golang.org/x/sync/errgroup"

	"github.com/multidc/multidc/internal/testbed/bed"
)

// swiftone.py serves one whole cluster from one process, in mode sync: requests signed by the realm's key may set
// their own X-Timestamp.
//
//go:embed swiftone.py
var swiftone []byte

// What swiftone.py has configured.
const (
	swiftUser  = "test:tester"
	swiftKey   = "testing"
	swiftRealm = "realm=r&realmkey=k&mode=signed"
)

// debianPython is the one that Debian's python modules are installed for, whatever else stands in PATH.
const debianPython = "/usr/bin/python3"

func swiftKind() bed.Kind {
	return bed.Kind{
		Name:     "swift",
		Programs: []bed.Program{{Name: "/usr/lib/python3/dist-packages/swift/__init__.py", Package: "python3-swift"}},
		Private:  true,
		MemoryMB: 2 * 80,
		Start:    startSwift,
	}
}

func startSwift(ctx context.Context, set *bed.Set, options json.RawMessage) error {
	if err := decode(options, &struct{}{}); err != nil {
		return err
	}
	script := set.Path("swiftone.py")
	if err := os.WriteFile(script, swiftone, 0o600); err != nil {
		return err
	}
	all, ctx := errgroup.WithContext(ctx)
	for _, dc := range bed.DCs {
		name, from := "swift-"+dc, others(dc)[0]
		addr, err := set.Addr()
		if err != nil {
			return err
		}
		link, err := set.Link(name, dc, from, addr)
		if err != nil {
			return err
		}
		exportAddrs(set, "SWIFT_", dc, []string{swiftURL(addr)}, map[string][]string{from: {swiftURL(link)}})
		all.Go(func() error { return set.Start(ctx, swiftSpec(set, script, name, dc, addr)) })
	}
	return all.Wait()
}

// swiftURL is the form that filebackend's Swift store takes: user and key, where to get a token, and the realm.
func swiftURL(addr string) string {
	return "http://" + url.QueryEscape(swiftUser) + ":" + swiftKey + "@" + addr + "/auth/v1.0?" + swiftRealm
}

func swiftSpec(set *bed.Set, script, name, dc, addr string) bed.Spec {
	return bed.Spec{
		Name: name, DC: dc, Addr: addr,
		Start: func() (bed.Process, error) {
			host, port, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			return set.Run(bed.Command{
				Kind: "swift", Program: debianPython, Args: []string{script, set.Path(name), host, port, "sync"}, Log: set.Path(name + ".log"),
			})
		},
		Ready: func(ctx context.Context) error { return askSwift(ctx, addr) },
	}
}

// askSwift gets a token and makes a container, which takes the proxy, an account and a container server.
func askSwift(ctx context.Context, addr string) error {
	auth, err := swiftDo(ctx, http.MethodGet, "http://"+addr+"/auth/v1.0", http.Header{
		"X-Auth-User": {swiftUser}, "X-Auth-Key": {swiftKey},
	})
	if err != nil {
		return err
	}
	_, err = swiftDo(ctx, http.MethodPut, auth.Get("X-Storage-Url")+"/testbed-ready", http.Header{"X-Auth-Token": auth["X-Auth-Token"]})
	return err
}

func swiftDo(ctx context.Context, method, address string, header http.Header) (http.Header, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return nil, err
	}
	request.Header = header
	transport := &http.Transport{DisableKeepAlives: true}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode/100 != 2 {
		return nil, fmt.Errorf("%s %s: %s", method, address, answer.Status)
	}
	return answer.Header, nil
}
