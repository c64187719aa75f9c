package kafkalog

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"math/rand"
	"net"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/segmentio/kafka-go"
)

// says is a connection on which this is said.
type says struct {
	net.Conn
	io.Reader
}

func (s says) Read(b []byte) (int, error) { return s.Reader.Read(b) }
func (s says) Close() error               { return nil }

func TestAnswersPassInAnyPieces(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	var stream []byte
	for range 200 {
		size := random.Intn(40) // 0: a token of SASL may be empty
		stream = binary.BigEndian.AppendUint32(stream, uint32(size))
		for range size {
			stream = append(stream, byte(random.Intn(256)))
		}
	}
	stream = binary.BigEndian.AppendUint32(stream, maxAnswer)
	for name, in := range map[string]io.Reader{
		"at once": bytes.NewReader(stream), "byte by byte": iotest.OneByteReader(bytes.NewReader(stream)),
		"in halves": iotest.HalfReader(bytes.NewReader(stream)), "with the end": iotest.DataErrReader(bytes.NewReader(stream)),
	} {
		if got, err := io.ReadAll(&framed{Conn: says{Reader: in}}); err != nil || !bytes.Equal(got, stream) {
			t.Errorf("%s: %d bytes, %v, want %d", name, len(got), err, len(stream))
		}
	}
}

func TestStrangersAreKnown(t *testing.T) {
	answer := "\x00\x00\x00\x05hello"
	for said, want := range map[string]string{
		"HTTP/1.1 400 Bad Request\r\n":   `it says "HTTP"`,
		"SSH-2.0-OpenSSH_9.2\r\n":        `it says "SSH-"`,
		"220 mail ESMTP\r\n":             `it says "220 "`,
		"-ERR unknown command\r\n":       `it says "-ERR"`,
		"ERROR\r\n":                      `it says "ERRO"`,
		"\x5b\x00\x00\x00\x0a11.4.2":     `it says "[\x00\x00\x00"`, // MariaDB
		"\xff\xff\xff\xff":               `it says "\xff\xff\xff\xff"`,
		"\x06\x40\x00\x01":               `it says "\x06@\x00\x01"`, // one more than the limit
		"\x15\x03\x01\x00\x02\x02\x16":   "it wants TLS",
		answer + answer + "HTTP/1.1 400": `it says "HTTP"`,
	} {
		for _, in := range []io.Reader{strings.NewReader(said), iotest.OneByteReader(strings.NewReader(said))} {
			got, err := io.ReadAll(&framed{Conn: says{Reader: in}, address: "h:1"})
			if err == nil || !strings.Contains(err.Error(), "what answers at h:1 does not speak Kafka") || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v, want %s", said, err, want)
			}
			if good := strings.Count(said, answer) * len(answer); string(got) != said[:good+3] {
				t.Errorf("%q: %q was read", said, got)
			}
		}
	}
}

// A server of another protocol costs no memory, with TLS or without, and the error names it.
func TestServerOfAnotherProtocol(t *testing.T) {
	cert := httptest.NewTLSServer(nil) // for its certificate
	defer cert.Close()
	roots := x509.NewCertPool()
	roots.AddCert(cert.Certificate())
	for name, of := range map[string]struct{ server, client *tls.Config }{
		"plaintext": {},
		"TLS":       {&tls.Config{Certificates: cert.TLS.Certificates}, &tls.Config{RootCAs: roots}},
	} {
		t.Run(name, func(t *testing.T) {
			addr := speaksHTTP(t, of.server)
			transport := &kafka.Transport{Dial: Dial(of.client)}
			defer transport.CloseIdleConnections()
			client := kafka.Client{Addr: kafka.TCP(addr), Transport: transport}
			before := allocated()
			_, err := client.Metadata(within(t, callLimit), &kafka.MetadataRequest{Topics: []string{"t"}})
			if err == nil || !strings.Contains(err.Error(), "what answers at "+addr+" does not speak Kafka") {
				t.Errorf("Metadata: %v", err)
			}
			f, err := New(Options{Brokers: []string{addr}, Topic: "t", Group: "g", TLS: of.client})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- f.Run(ctx, func(context.Context, *Partition) {}) }()
			eventually(t, "an error that says so", func() bool {
				err := f.lastError()
				return err != nil && strings.Contains(err.Error(), "what answers at "+addr+" does not speak Kafka")
			})
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("Run: %v", err)
			}
			if n := allocated() - before; n > 64<<20 {
				t.Errorf("%d MiB were allocated", n>>20)
			}
		})
	}
}

// speaksHTTP answers whatever is sent to it as a server of HTTP does.
func speaksHTTP(t *testing.T, config *tls.Config) (addr string) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	addr = l.Addr().String()
	if config != nil {
		l = tls.NewListener(l, config)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = c.Read(make([]byte, 1024))
				_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\r\n400 Bad Request")
				_, _ = io.Copy(io.Discard, c)
			}()
		}
	}()
	return addr
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
