package mcclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// certificates returns the TLS configuration of a server on 127.0.0.1, and roots by which it is known.
func certificates(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	https := httptest.NewTLSServer(nil)
	defer https.Close()
	roots := x509.NewCertPool()
	roots.AddCert(https.Certificate())
	return &tls.Config{Certificates: https.TLS.Certificates, MinVersion: tls.VersionTLS12}, roots
}

func encrypted(roots *x509.CertPool) Options {
	o := slow()
	o.TLS = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return o
}

func TestTLS(t *testing.T) {
	secure, roots := certificates(t)
	o := encrypted(roots)
	p := one(t, o, serve(t, secure, echo))
	if item, err := p.Get(t.Context(), "key"); err != nil || string(item.Value) != "key" {
		t.Errorf("got %v, %v", item, err)
	}
	if o.TLS.ServerName != "" {
		t.Error("the caller's TLS configuration was changed")
	}
}

// The stale connections of a pool end with a TLS alert or without: either is found out.
func TestTLSStaleConnection(t *testing.T) {
	secure, roots := certificates(t)
	s := serve(t, secure, empty)
	p := one(t, encrypted(roots), s)
	for range 3 {
		if err := p.Set(t.Context(), &Item{Key: "key"}); err != nil {
			t.Fatal(err)
		}
		s.drop()
	}
}

// Case Nr, wrong CA: the error says so, and nothing was sent.
func TestTLSRefused(t *testing.T) {
	secure, roots := certificates(t)
	unknown := x509.UnknownAuthorityError{}
	wrong := encrypted(x509.NewCertPool())
	p := one(t, wrong, serve(t, secure, empty))
	err := p.Set(t.Context(), &Item{Key: "key"})
	if !errors.As(err, &unknown) || !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "RootCAs") {
		t.Errorf("a wrong CA: got %v, want ErrUnavailable, the cause, and what to check", err)
	}

	name := x509.HostnameError{}
	other := encrypted(roots)
	other.TLS.ServerName = "memcached.invalid"
	if _, err := one(t, other, serve(t, secure, empty)).Get(t.Context(), "key"); !errors.As(err, &name) {
		t.Errorf("another server's certificate: got %v", err)
	}

	plain := func(c *session) {
		c.say("ERROR\r\n")
		c.hang()
	}
	record := tls.RecordHeaderError{}
	if _, err := one(t, encrypted(roots), serve(t, nil, plain)).Get(t.Context(), "key"); !errors.As(err, &record) {
		t.Errorf("a server without TLS: got %v", err)
	}
}

// ConnectTimeout holds for the handshake too.
func TestTLSHandshakeHangs(t *testing.T) {
	_, roots := certificates(t)
	o := encrypted(roots)
	o.ConnectTimeout = 20 * time.Millisecond
	p := one(t, o, serve(t, nil, func(c *session) { c.hang() }))
	if err := p.Set(t.Context(), &Item{Key: "key"}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
}

// A short Timeout of requests leaves the time to connect.
func TestConnectTimeoutIsItsOwn(t *testing.T) {
	o := Options{Timeout: time.Nanosecond, ConnectTimeout: patience}
	o.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
		if end, ok := ctx.Deadline(); !ok || ctx.Err() != nil || time.Until(end) > patience {
			t.Errorf("dialed with the deadline %v, %v, want one in %v", end, ctx.Err(), patience)
		}
		return nil, errors.New("enough seen")
	}
	p := open(t, o, map[string]string{"mc1": "10.0.0.1:11211"})
	if err := p.Set(t.Context(), &Item{Key: "key"}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
}
