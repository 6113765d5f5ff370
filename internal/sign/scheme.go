package sign

import (
	"crypto/ed25519"
	"fmt"

	"github.com/primebft/prime/internal/wire"
)

// Scheme is a signature scheme with one exact verification rule: whoever verifies the same bytes comes to the same answer,
// whatever the key holder has done. Schemes are used by many goroutines at once and retain none of their arguments.
type Scheme interface {
	// Rule names the verification rule, as in the cluster's configuration.
	Rule() string
	// Sign signs message with key.
	Sign(key ed25519.PrivateKey, message []byte) wire.Signature
	// Verify reports whether sig is key's signature over message. Any bytes are allowed.
	Verify(key ed25519.PublicKey, message []byte, sig *wire.Signature) bool
}

// Ed25519 is the scheme of the standard library: cofactorless, S below the order of the group, R compared byte by byte. A
// signature whose R has a component of small order is refused.
type Ed25519 struct{}

// Rule implements Scheme.
func (Ed25519) Rule() string { return "ed25519-go-std" }

// Sign implements Scheme.
func (Ed25519) Sign(key ed25519.PrivateKey, message []byte) (sig wire.Signature) {
	copy(sig[:], ed25519.Sign(key, message))
	return sig
}

// Verify implements Scheme.
func (Ed25519) Verify(key ed25519.PublicKey, message []byte, sig *wire.Signature) bool {
	return len(key) == ed25519.PublicKeySize && ed25519.Verify(key, message, sig[:])
}

// ForRule returns the scheme that the cluster's configuration names (config.Cluster.Verification).
func ForRule(rule string) (Scheme, error) {
	if s := (Ed25519{}); rule == s.Rule() {
		return s, nil
	}
	return nil, fmt.Errorf("verification = %q is unknown to this version: every replica must use %q", rule, Ed25519{}.Rule())
}
