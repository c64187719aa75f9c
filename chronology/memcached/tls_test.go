package memcached

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http/httptest"
	"testing"

	"github.com/multidc/multidc/internal/mcclient"
)

func TestTLS(t *testing.T) {
	https := httptest.NewTLSServer(nil)
	https.Close()
	known := x509.NewCertPool()
	known.AddCert(https.Certificate())
	for what, roots := range map[string]*x509.CertPool{"known": known, "unknown": x509.NewCertPool()} {
		o := client(&Options{TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}})
		o.Timeout, o.ConnectTimeout, o.MultiTimeout = patience, patience, patience
		server := &server{answer: reads("old", "STORED\r\n")}
		o.Dial = func(context.Context, string, string) (net.Conn, error) {
			here, there := net.Pipe()
			server.running.Go(func() {
				server.serve(tls.Server(there, &tls.Config{Certificates: https.TLS.Certificates, MinVersion: tls.VersionTLS12}))
			})
			return here, nil
		}
		store, err := open([]string{"127.0.0.1:11211"}, o) // the certificate's name
		if err != nil {
			t.Fatal(err)
		}
		err = store.Update(t.Context(), "key", 1, appendX)
		if authority := (x509.UnknownAuthorityError{}); what == "known" && err != nil ||
			what == "unknown" && (!errors.As(err, &authority) || !errors.Is(err, mcclient.ErrUnavailable)) {
			t.Errorf("a CA that is %s: got %v", what, err)
		}
		_ = store.Close()
		server.running.Wait()
	}
}
