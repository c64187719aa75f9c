package rdbms

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql/driver"
	"errors"
	"io"
	"io/fs"
	"net"
	"slices"

	"github.com/go-sql-driver/mysql"
)

// The numbers of the servers' errors.
const (
	errTooManyConnections  = 1040
	errBadHandshake        = 1043
	errNoRightToDatabase   = 1044
	errNoDatabase          = 1049 // MySQL 8; others say errNoTable
	errShutdown            = 1053
	errSyntax              = 1064
	errNoRightToTable      = 1142
	errNoRightToColumn     = 1143
	errNoTable             = 1146
	errUnknownVariable     = 1193
	errNoRight             = 1227
	errOptionPrevents      = 1290
	errReadOnlyTransaction = 1792
	errReadOnlyMode        = 1836
)

// errorNumber is that of an error which a server answered, else 0.
func errorNumber(err error) uint16 {
	var answered *mysql.MySQLError
	if errors.As(err, &answered) {
		return answered.Number
	}
	return 0
}

// Classify implements Engine, by number alone. So 1290 means read-only even where another option than read_only prevents
// the statement (secure_file_priv, skip_grant_tables): only the text would tell, and that is in the server's language. And
// 1792 comes from a write in a READ ONLY transaction on a writable server too. Either costs a look at the server, and new
// connections.
func (*builtin) Classify(err error) Fault {
	switch errorNumber(err) {
	case errTooManyConnections, errBadHandshake, errShutdown:
		return FaultServer
	case errOptionPrevents, errReadOnlyTransaction, errReadOnlyMode:
		return FaultReadOnly
	}
	return FaultStatement
}

// connectionErrors of database/sql and of the driver say that a connection could not be made, or is no more.
var connectionErrors = []error{
	driver.ErrBadConn, io.EOF, io.ErrUnexpectedEOF,
	mysql.ErrInvalidConn, mysql.ErrMalformPkt, mysql.ErrPktSync, mysql.ErrPktSyncMul,
	mysql.ErrNoTLS, mysql.ErrOldProtocol, mysql.ErrUnknownPlugin,
	mysql.ErrCleartextPassword, mysql.ErrNativePassword, mysql.ErrOldPassword,
}

// isTransport reports whether err tells of a connection, and not of a statement. The end of the caller's context never
// does; but a dial that ran into the caller's deadline looks like one that ran into the timeout for connecting, so ask
// the context first.
func isTransport(err error) bool {
	var file *fs.PathError // of LOAD DATA LOCAL INFILE: its cause passes for an error of net
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.As(err, &file):
		return false
	case errors.Is(err, context.DeadlineExceeded):
		return hasType[*net.OpError](err)
	}
	return slices.ContainsFunc(connectionErrors, func(e error) bool { return errors.Is(err, e) }) ||
		hasType[net.Error](err) || isTLS(err)
}

func isTLS(err error) bool {
	return hasType[*tls.CertificateVerificationError](err) || hasType[tls.RecordHeaderError](err) || hasType[tls.AlertError](err) ||
		hasType[x509.UnknownAuthorityError](err) || hasType[x509.HostnameError](err) || hasType[x509.CertificateInvalidError](err) ||
		hasType[x509.SystemRootsError](err)
}

// has reports whether err is a T, or wraps one.
func hasType[T error](err error) bool {
	var t T
	return errors.As(err, &t)
}
