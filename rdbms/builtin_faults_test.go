package rdbms

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// Cases 21 and 59.
func TestBuiltinClassify(t *testing.T) {
	b := newBuiltin("", false)
	for number, want := range map[uint16]Fault{
		1040: FaultServer, 1043: FaultServer, 1053: FaultServer,
		1290: FaultReadOnly, 1792: FaultReadOnly, 1836: FaultReadOnly,
		// Deadlock, lock wait, snapshot, duplicate key, syntax, no table, no right, interrupted, killed, the account's limits.
		1213: FaultStatement, 1205: FaultStatement, 1020: FaultStatement, 1062: FaultStatement, 1064: FaultStatement,
		1146: FaultStatement, 1142: FaultStatement, 1317: FaultStatement, 1927: FaultStatement, 1203: FaultStatement,
		1226: FaultStatement,
	} {
		if got := b.Classify(fmt.Errorf("saving: %w", scriptedError(number))); got != want {
			t.Errorf("%d is %d, want %d", number, got, want)
		}
	}
	// The text decides nothing.
	for _, err := range []error{
		nil, errors.New("Error 1290 (HY000): running with the --read-only option"), sql.ErrNoRows, context.Canceled,
		&mysql.MySQLError{Number: 1062, Message: "Too many connections"},
	} {
		if got := b.Classify(err); got != FaultStatement {
			t.Errorf("%v is %d", err, got)
		}
	}
}

func TestIsTransport(t *testing.T) {
	dial := func(cause error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: cause} }
	for _, err := range []error{
		driver.ErrBadConn, io.EOF, io.ErrUnexpectedEOF, mysql.ErrInvalidConn, mysql.ErrMalformPkt, mysql.ErrPktSync,
		mysql.ErrNoTLS, mysql.ErrUnknownPlugin, mysql.ErrOldProtocol,
		dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), dial(os.ErrDeadlineExceeded), &net.DNSError{Err: "no such host"},
		net.ErrClosed, syscall.ECONNRESET, os.ErrDeadlineExceeded,
		tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, tls.AlertError(42),
		&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, x509.UnknownAuthorityError{},
		x509.HostnameError{Certificate: &x509.Certificate{}, Host: "db1"}, x509.CertificateInvalidError{}, x509.SystemRootsError{},
	} {
		if !isTransport(err) || !isTransport(fmt.Errorf("reading: %w", err)) {
			t.Errorf("%T %v is taken for the statement's", err, err)
		}
	}
	for _, err := range []error{
		nil, context.Canceled, context.DeadlineExceeded, fmt.Errorf("reading: %w", context.DeadlineExceeded), dial(context.Canceled),
		sql.ErrNoRows, sql.ErrTxDone, scriptedError(1213), scriptedError(1040), errors.New("EOF"), errors.New("invalid connection"),
		mysql.ErrPktTooLarge,
		&fs.PathError{Op: "open", Path: "/tmp/rows.csv", Err: syscall.ENOENT},
	} {
		if isTransport(err) {
			t.Errorf("%T %v is taken for the connection's", err, err)
		}
	}
}

// The errors as the net package itself makes them.
func TestIsTransportOfADial(t *testing.T) {
	nobody, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := nobody.Addr().String()
	nobody.Close()
	connect := func(ctx context.Context) error {
		connector, err := mysql.NewConnector(&mysql.Config{Net: "tcp", Addr: address, Timeout: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		_, err = connector.Connect(ctx)
		return err
	}
	if err := connect(t.Context()); !isTransport(err) {
		t.Errorf("refused: %v is taken for the statement's", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := connect(ctx); err == nil || isTransport(err) {
		t.Errorf("cancelled by the caller: %v is taken for the connection's", err)
	}
	// The timeout for connecting, which the driver makes a deadline of.
	ctx, cancel = context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	_, err = new(net.Dialer).DialContext(ctx, "tcp", address)
	if !errors.Is(err, context.DeadlineExceeded) || !isTransport(err) {
		t.Errorf("too slow: %v is taken for the statement's", err)
	}
}
