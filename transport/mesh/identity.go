package mesh

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/primebft/prime/internal/wire"
)

// alpn names the version of the replica protocol inside TLS, so that versions are settled before anything else is said.
var alpn = fmt.Sprintf("prime/%d", wire.Version)

// errForeignKey refuses a peer that proves to hold a key, but not the right one.
type errForeignKey struct{ got, want ed25519.PublicKey }

func (e errForeignKey) Error() string {
	if e.want == nil {
		return fmt.Sprintf("it has key %s, which is no replica's", short(e.got))
	}
	return fmt.Sprintf("it has key %s, the configuration says %s", short(e.got), short(e.want))
}

// short is the first eight bytes of a key or digest in hex, for people.
func short(b []byte) string { return hex.EncodeToString(b[:min(8, len(b))]) }

// certificate wraps the replica's key so that TLS can carry it. Nothing in it is believed but the key, so it has no names
// and never expires: a replica whose clock is wrong still connects.
func certificate(key ed25519.PrivateKey) (tls.Certificate, error) {
	template := x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("transport: making the certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// baseConfig is what both ends of a connection have in common.
func baseConfig(cert tls.Certificate) *tls.Config {
	return &tls.Config{
		Certificates:                []tls.Certificate{cert},
		MinVersion:                  tls.VersionTLS13,
		SessionTicketsDisabled:      true,
		DynamicRecordSizingDisabled: true,
	}
}

// dialConfig accepts exactly one key. Verification by certificate authorities is off because there are none.
func dialConfig(cert tls.Certificate, want ed25519.PublicKey, knock string) *tls.Config {
	c := baseConfig(cert)
	c.NextProtos = []string{alpn, knock}
	c.InsecureSkipVerify = true // the key itself is compared
	c.VerifyPeerCertificate = func(raw [][]byte, _ [][]*x509.Certificate) error {
		got, err := keyOf(raw)
		if err == nil && !bytes.Equal(got, want) {
			err = errForeignKey{got, want}
		}
		return err
	}
	c.VerifyConnection = checkVersion
	return c
}

// acceptConfig accepts the keys that known reports. The handshake proves that the peer holds its key.
func acceptConfig(cert tls.Certificate, known func(ed25519.PublicKey) bool) *tls.Config {
	c := baseConfig(cert)
	c.NextProtos = []string{alpn}
	c.ClientAuth = tls.RequireAnyClientCert
	c.VerifyPeerCertificate = func(raw [][]byte, _ [][]*x509.Certificate) error {
		got, err := keyOf(raw)
		if err == nil && !known(got) {
			err = errForeignKey{got: got}
		}
		return err
	}
	c.VerifyConnection = checkVersion
	return c
}

// checkVersion refuses a peer that does not take part in choosing a version.
func checkVersion(s tls.ConnectionState) error {
	if s.NegotiatedProtocol != alpn {
		return fmt.Errorf("it does not say that it speaks %s", alpn)
	}
	return nil
}

// keyOf is the public key in a peer's certificate chain, which has to be a single certificate.
func keyOf(raw [][]byte) (ed25519.PublicKey, error) {
	if len(raw) != 1 {
		return nil, errors.New("it sent a chain of certificates instead of one")
	}
	cert, err := x509.ParseCertificate(raw[0])
	if err != nil {
		return nil, fmt.Errorf("its certificate: %w", err)
	}
	key, ok := cert.PublicKey.(ed25519.PublicKey)
	if !ok {
		return nil, errors.New("its key is not an Ed25519 key")
	}
	return key, nil
}
