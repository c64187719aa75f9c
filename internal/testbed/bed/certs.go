package bed

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// certLife is far longer than any bed lives.
const certLife = 30 * 24 * time.Hour

// Certs are the files of a bed's own certificate authority and of the certificate that its servers share, made out
// to localhost and 127.0.0.1.
type Certs struct {
	CA, Cert, Key string
}

type signer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func makeCerts(dir string) (Certs, error) {
	files := Certs{CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "server.pem"), Key: filepath.Join(dir, "server-key.pem")}
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "multidc test bed CA"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certLife),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	server := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certLife),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.ParseIP(loopback)},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	root, err := issue(ca, nil, files.CA)
	if err != nil {
		return Certs{}, fmt.Errorf("make the CA: %w", err)
	}
	leaf, err := issue(server, root, files.Cert)
	if err != nil {
		return Certs{}, fmt.Errorf("make the servers' certificate: %w", err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(leaf.key)
	if err != nil {
		return Certs{}, fmt.Errorf("make the servers' certificate: %w", err)
	}
	// Readable to all who reach the bed's directory: servers run under several accounts, and the key guards nothing
	// but tests.
	return files, writePEM(files.Key, "PRIVATE KEY", key)
}

// issue signs a certificate by its parent, or by itself without one, and writes it.
func issue(cert *x509.Certificate, parent *signer, file string) (*signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	made := &signer{cert: cert, key: key}
	if parent == nil {
		parent = made
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, parent.cert, &key.PublicKey, parent.key)
	if err != nil {
		return nil, err
	}
	return made, writePEM(file, "CERTIFICATE", der)
}

func writePEM(file, kind string, der []byte) error {
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o644) //nolint:gosec // servers under other accounts read it
}
