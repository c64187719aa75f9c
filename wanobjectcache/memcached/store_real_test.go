package memcached

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/multidc/multidc/internal/testservers"
	"github.com/multidc/multidc/wanobjectcache"
	"github.com/multidc/multidc/wanobjectcache/storetest"
)

func TestStore(t *testing.T) {
	addrs := testservers.Vars(t, "MEMCACHED_A")
	storetest.TestStore(t, storetest.Harness{
		New: func(tb testing.TB) wanobjectcache.Store { return open(tb, patient(), addrs...) },
		Caps: storetest.Caps{CoarseClock: true, MaxValue: defaultMaxValue, Shared: true, Break: func(tb testing.TB) (wanobjectcache.Store, func(), func()) {
			servers := testservers.Memcached(tb)
			lost := servers.Server("memcached-a-1")
			return open(tb, patient(), servers.Vars("MEMCACHED_A")...), lost.Stop, lost.Start
		}},
	})
}

// Case Nr, the store's side. The server that is lost here answers nothing more.
func TestStoreBehindTLS(t *testing.T) {
	proxy := newTLSProxies(t)
	addrs := proxy.to(t, testservers.Vars(t, "MEMCACHED_A")...)
	o := patient()
	o.TLS = &tls.Config{RootCAs: proxy.roots, MinVersion: tls.VersionTLS12}
	storetest.TestStore(t, storetest.Harness{
		New: func(tb testing.TB) wanobjectcache.Store { return open(tb, o, addrs...) },
		Caps: storetest.Caps{CoarseClock: true, MaxValue: defaultMaxValue, Shared: true, Break: func(tb testing.TB) (wanobjectcache.Store, func(), func()) {
			servers := testservers.Memcached(tb)
			hasty := o
			hasty.Timeout = 500 * time.Millisecond
			lost := servers.Server("memcached-a-1")
			return open(tb, hasty, proxy.to(tb, servers.Vars("MEMCACHED_A")...)...), lost.Pause, lost.Resume
		}},
	})

	o.TLS = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	unknown := x509.UnknownAuthorityError{}
	err := open(t, o, addrs...).Set(t.Context(), prefix(t), wanobjectcache.StoreItem{}, time.Minute)
	if !errors.As(err, &unknown) || !errors.Is(err, wanobjectcache.ErrUnavailable) {
		t.Errorf("a wrong CA: got %v, want ErrUnavailable and the cause", err)
	}
}

// tlsProxies end TLS in front of plaintext servers.
type tlsProxies struct {
	config *tls.Config
	roots  *x509.CertPool
}

func newTLSProxies(t *testing.T) *tlsProxies {
	t.Helper()
	https := httptest.NewTLSServer(nil)
	defer https.Close()
	p := &tlsProxies{&tls.Config{Certificates: https.TLS.Certificates, MinVersion: tls.VersionTLS12}, x509.NewCertPool()}
	p.roots.AddCert(https.Certificate())
	return p
}

// to returns the addresses of proxies to these servers. They end with the test.
func (p *tlsProxies) to(tb testing.TB, servers ...string) []string {
	tb.Helper()
	addrs := make([]string, len(servers))
	for i, server := range servers {
		listener, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			tb.Fatal(err)
		}
		addrs[i] = listener.Addr().String()
		var running sync.WaitGroup
		running.Go(func() { p.accept(tb, listener, server, &running) })
		tb.Cleanup(func() {
			_ = listener.Close()
			running.Wait() // the store was closed before: cleanups run backwards
		})
	}
	return addrs
}

func (p *tlsProxies) accept(tb testing.TB, listener net.Listener, server string, running *sync.WaitGroup) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		running.Go(func() {
			defer client.Close()
			behind, err := new(net.Dialer).DialContext(tb.Context(), "tcp", server)
			if err != nil {
				return
			}
			defer behind.Close()
			secure := tls.Server(client, p.config)
			go func() {
				_, _ = io.Copy(behind, secure)
				_ = behind.Close()
			}()
			_, _ = io.Copy(secure, behind)
		})
	}
}
