package mesh

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// A knock tells a listening replica, before it spends anything on a handshake, that a connection probably comes from a peer.
// Strangers may share a peer's address (all replicas of a local cluster have the same) and can open connections as fast as
// they like; if peers had to compete with them for handshakes, they could be kept out. The knock is a MAC, under a secret
// that only the two replicas can compute, over who calls whom from which address and port. It travels in the ClientHello as
// one more protocol name and proves nothing on its own: TLS does. An eavesdropper who repeats it from the same address and
// port gains the right to fail at the same handshake as the peer, within the peer's own limit. A connection without a valid
// knock is served as well, as long as there are few of those.

// knockPrefix begins the protocol name that carries a knock.
const knockPrefix = "prime-knock/"

// secret is what two replicas share and nobody else knows.
type secret [32]byte

// pairSecret derives the secret between the owner of key and the owner of peer: X25519 on the two Ed25519 keys (one curve in
// two forms, RFC 7748 section 4.1), hashed with the cluster's id and a label so that it means nothing anywhere else.
func pairSecret(key ed25519.PrivateKey, peer ed25519.PublicKey, cluster [32]byte) (secret, error) {
	expanded := sha512.Sum512(key.Seed())
	private, err := ecdh.X25519().NewPrivateKey(expanded[:32])
	if err != nil {
		return secret{}, err
	}
	public, err := ecdh.X25519().NewPublicKey(montgomery(peer))
	if err != nil {
		return secret{}, err
	}
	shared, err := private.ECDH(public)
	if err != nil {
		return secret{}, err
	}
	mac := hmac.New(sha256.New, shared)
	mac.Write([]byte("prime link knock v1"))
	mac.Write(cluster[:])
	return secret(mac.Sum(nil)), nil
}

// montgomery maps an Ed25519 public key to its X25519 form, u = (1+y)/(1-y) modulo 2^255-19.
func montgomery(key ed25519.PublicKey) []byte {
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	y := new(big.Int).SetBytes(reversed(key))
	y.SetBit(y, 255, 0) // the sign of x
	one := big.NewInt(1)
	below := new(big.Int).Mod(new(big.Int).Sub(one, y), p)
	u := new(big.Int)
	if below.Sign() != 0 { // the neutral element has no inverse; u = 0 is refused by X25519
		u.Mul(new(big.Int).Add(one, y), new(big.Int).ModInverse(below, p)).Mod(u, p)
	}
	return reversed(u.FillBytes(make([]byte, 32)))
}

func reversed(b []byte) []byte {
	r := make([]byte, len(b))
	for i := range b {
		r[len(b)-1-i] = b[i]
	}
	return r
}

// knock is the protocol name with which from calls to from the given address and port.
func (s secret) knock(from, to int, caller netip.AddrPort) string {
	mac := hmac.New(sha256.New, s[:])
	fmt.Fprintf(mac, "%d %d %s", from, to, caller)
	return knockPrefix + strconv.Itoa(from) + "/" + hex.EncodeToString(mac.Sum(nil)[:16])
}

// knocker is the id that a protocol name claims to be a knock of; 0 if it is none.
func knocker(protocol string) int {
	rest, ok := strings.CutPrefix(protocol, knockPrefix)
	if !ok {
		return 0
	}
	id, _, _ := strings.Cut(rest, "/")
	from, err := strconv.ParseUint(id, 10, 8)
	if err != nil {
		return 0
	}
	return int(from)
}

// addrPort is a TCP address in the one form that both ends see.
func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}
