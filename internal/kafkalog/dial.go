package kafkalog

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"net"
)

// Dialer connects to a broker, as kafka-go's Transport.Dial and Dialer.DialFunc do.
type Dialer func(ctx context.Context, network, address string) (net.Conn, error)

// Dial makes connections for a client of kafka-go that break when what answers does not speak Kafka: kafka-go would make
// room for as much as the first bytes say if they were a length, gigabytes. config nil = plaintext. TLS is done here, so leave
// kafka-go's own field for it empty: only above it can be seen what is said.
func Dial(config *tls.Config) Dialer {
	return speaking(config, (&net.Dialer{Timeout: dialLimit}).DialContext)
}

func speaking(config *tls.Config, dial Dialer) Dialer {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err == nil && config != nil {
			c, err = encrypted(ctx, c, address, config)
		}
		if err != nil {
			return nil, err
		}
		return &framed{Conn: c, address: address}, nil
	}
}

func encrypted(ctx context.Context, c net.Conn, address string, config *tls.Config) (net.Conn, error) {
	if config.ServerName == "" {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			_ = c.Close()
			return nil, err
		}
		config = config.Clone()
		config.ServerName = host
	}
	over := tls.Client(c, config)
	if err := over.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("TLS with %s: %w", address, err)
	}
	return over, nil
}

// maxAnswer is more than a broker sends: it takes no larger request (socket.request.max.bytes), so it has no larger batch.
// As a length, the first letters of other protocols are more, and so is the alert of a server that wants TLS.
const maxAnswer = 100 << 20

// framed is a connection whose answers are each a length of four bytes, and so many bytes.
type framed struct {
	net.Conn

	address string
	head    []byte // of the next answer, as far as it was read
	left    int    // of the answer that is being read
}

func (c *framed) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if good, wrong := c.check(b[:n]); wrong != nil {
		_ = c.Close()
		return good, wrong
	}
	return n, err
}

// check returns how much of b comes before a length that cannot be.
func (c *framed) check(b []byte) (good int, err error) {
	for good < len(b) {
		if c.left > 0 {
			part := min(c.left, len(b)-good)
			good, c.left = good+part, c.left-part
			continue
		}
		if c.head = append(c.head, b[good]); len(c.head) == 4 {
			size := binary.BigEndian.Uint32(c.head)
			if size > maxAnswer {
				return good, c.stranger()
			}
			c.head, c.left = c.head[:0], int(size)
		}
		good++
	}
	return good, nil
}

func (c *framed) stranger() error {
	const alert, major = 0x15, 0x03 // a record of TLS begins with these
	if c.head[0] == alert && c.head[1] == major {
		return fmt.Errorf("what answers at %s does not speak Kafka in plaintext: it wants TLS", c.address)
	}
	return fmt.Errorf("what answers at %s does not speak Kafka: it says %q", c.address, c.head)
}

// dialUntil makes connections that end with life, whatever waits for them: kafka-go's group does not follow a context.
func dialUntil(life context.Context) Dialer {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(life, cancel)()
		c, err := (&net.Dialer{Timeout: dialLimit}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &conn{Conn: c, forget: context.AfterFunc(life, func() { _ = c.Close() })}, nil
	}
}

type conn struct {
	net.Conn

	forget func() bool
}

func (c *conn) Close() error {
	c.forget()
	return c.Conn.Close()
}
