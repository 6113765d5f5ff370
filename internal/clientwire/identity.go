package clientwire

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/primebft/prime/internal/wire"
)

// Certificate wraps an Ed25519 key in a self-signed certificate, as TLS wants it. Only its key means anything: who looks at
// the certificate compares the key with the one that it expects, and ignores names and dates.
func Certificate(key crypto.Signer) (tls.Certificate, error) {
	if _, ok := key.Public().(ed25519.PublicKey); !ok {
		return tls.Certificate{}, fmt.Errorf("key is %T: an Ed25519 key is needed", key.Public())
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "prime"},
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // RFC 5280: no well-defined end
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate of the key: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

var errNotEd25519 = errors.New("the peer's certificate does not have an Ed25519 key")

// checkEd25519 turns other keys away before TLS verifies a signature by them, which may be dear.
func checkEd25519(raw [][]byte, _ [][]*x509.Certificate) error {
	if len(raw) != 1 {
		return fmt.Errorf("the peer sent %d certificates: one is needed", len(raw))
	}
	cert, err := x509.ParseCertificate(raw[0])
	if err != nil {
		return err
	}
	if _, ok := cert.PublicKey.(ed25519.PublicKey); !ok {
		return errNotEd25519
	}
	return nil
}

// ServerTLS is the replica's side: TLS 1.3 with a client certificate, whose key is proved by the handshake. Tickets are off,
// so that every connection proves its key.
func ServerTLS(cert tls.Certificate) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{cert},
		ClientAuth:             tls.RequireAnyClientCert,
		VerifyPeerCertificate:  checkEd25519,
		SessionTicketsDisabled: true,
		NextProtos:             []string{ALPN},
	}
}

// ClientTLS is the client's side: it accepts a server that has exactly this key, and no authority's word.
func ClientTLS(cert tls.Certificate, server ed25519.PublicKey) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{cert},
		InsecureSkipVerify:     true, // replaced by the comparison of keys below
		VerifyPeerCertificate:  checkEd25519,
		SessionTicketsDisabled: true,
		NextProtos:             []string{ALPN},
		VerifyConnection: func(cs tls.ConnectionState) error {
			if key, err := PeerKey(cs); err != nil {
				return err
			} else if !bytes.Equal(key[:], server) {
				return fmt.Errorf("the server has key %x: %x is expected", key[:], []byte(server))
			}
			return nil
		},
	}
}

// PeerKey is the Ed25519 key that the other side proved to have.
func PeerKey(cs tls.ConnectionState) (id wire.ClientID, err error) {
	if len(cs.PeerCertificates) == 0 {
		return id, errors.New("the peer sent no certificate")
	}
	key, ok := cs.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
	if !ok || len(key) != len(id) {
		return id, errNotEd25519
	}
	return wire.ClientID(key), nil
}
