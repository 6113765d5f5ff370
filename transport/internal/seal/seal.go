// Package seal turns the bodies of datagrams into packets that only the two ends of a link can make and read, and that count
// once: AES-128-GCM with a counter for a nonce, one key for each lane and direction, all derived from a secret that a TLS
// connection exports (RFC 8446 section 7.5), so that there is no second handshake.
//
// A packet is a header of 9 bytes in the clear, which the tag covers, the sealed body, and the tag of 16:
//
//	0   from the highest bit on: version, 2, three bits; class less one, two; lane of the class, one: 1 for what yields to the rest
//	    of it; key phase, two
//	1   session, little-endian: whose keys these are
//	5   the low 32 bits of the counter, little-endian; counters begin at 1
//
// The rest of the counter is what brings it nearest to the highest that was opened; the nonce has all of it. After 2^32 packets or an hour a sender moves on to the next key, which is derived from the last one and cannot be turned back
// into it; the key phase says so. Whoever opens keeps the last key for ten seconds.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"

	"github.com/primebft/prime/internal/clock"
	"github.com/primebft/prime/internal/datagram"
	"github.com/primebft/prime/internal/wire"
)

// Sizes, bytes.
const (
	HeaderSize = 9
	TagSize    = 16
	Overhead   = HeaderSize + TagSize
	SecretSize = 32
)

const version = 2

// phaseMask is what a packet says of its key phase.
const phaseMask = 3

// replayWindow is how far behind the highest counter a packet may be, in packets.
const replayWindow = 4096

// When a key is done, and how long the one before is still accepted.
const (
	phasePackets = 1 << 32
	phaseTime    = time.Hour
	overlap      = 10 * time.Second
)

// Why a packet is not opened.
var (
	ErrMalformed = errors.New("seal: not a packet of this protocol")
	ErrReplayed  = errors.New("seal: a packet that was opened before, or is too old to tell")
	ErrForged    = errors.New("seal: a packet that its sender did not make")
)

// Lane is what has keys of its own: a class, or the part of it that yields to the rest.
type Lane struct {
	Class  wire.Class
	Yields bool
}

// Header is what a packet says in the clear.
type Header struct {
	Lane
	Session uint32
}

// mark is the byte of a packet that says whether its lane yields.
func (l Lane) mark() byte {
	if l.Yields {
		return 1
	}
	return 0
}

// Parse reads a header.
func Parse(packet []byte) (Header, error) {
	if len(packet) <= Overhead || packet[0]>>5 != version {
		return Header{}, ErrMalformed
	}
	lane := Lane{Class: wire.Class(packet[0]>>3&3) + wire.Timely, Yields: packet[0]>>2&1 == 1}
	return Header{lane, binary.LittleEndian.Uint32(packet[1:])}, nil
}

// keys are those of one direction in one phase.
type keys struct {
	secret []byte
	aead   cipher.AEAD
	salt   [12]byte
	iv     [12]byte // of the packet in hand
}

// expand derives what a name stands for.
func expand(secret []byte, name string, size int) []byte {
	b, err := hkdf.Expand(sha256.New, secret, "prime datagram v2 "+name, size)
	if err != nil {
		panic(err) // the sizes are right
	}
	return b
}

func newKeys(secret []byte) keys {
	block, err := aes.NewCipher(expand(secret, "key", 16))
	if err != nil {
		panic(err) // the size is right
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return keys{secret: secret, aead: aead, salt: [12]byte(expand(secret, "salt", 12))}
}

// next are the keys of the following phase.
func (k *keys) next() keys { return newKeys(expand(k.secret, "next", SecretSize)) }

func (k *keys) nonce(counter uint64) []byte {
	k.iv = k.salt
	for i := range 8 {
		k.iv[4+i] ^= byte(counter >> (8 * i))
	}
	return k.iv[:]
}

// direction derives the secret of one direction of a lane, and the number of its session.
func direction(exported []byte, l Lane, from, to int) (secret []byte, session uint32) {
	secret = expand(exported, string([]byte{byte(l.Class), l.mark(), byte(from), byte(to)}), SecretSize)
	return secret, binary.LittleEndian.Uint32(expand(secret, "session", 4))
}

// New returns the two halves of a link of self with peer: both ends get matching ones from the same exported secret.
func New(now clock.Instant, exported []byte, l Lane, self, peer int) (*Sealer, *Opener) {
	out, session := direction(exported, l, self, peer)
	s := &Sealer{keys: newKeys(out), lane: l, session: session, since: now}
	in, session := direction(exported, l, peer, self)
	o := &Opener{current: newKeys(in), session: session}
	o.following = o.current.next()
	return s, o
}

// Sealer makes packets. It is not safe for concurrent use.
type Sealer struct {
	keys    keys
	lane    Lane
	session uint32
	phase   byte
	counter uint64
	first   uint64        // counter with which this phase began
	since   clock.Instant // when it began
}

// Seal appends the packet of a body to dst. Body and dst must not overlap.
func (s *Sealer) Seal(now clock.Instant, dst, body []byte) []byte {
	if s.counter-s.first >= phasePackets || now.Sub(s.since) >= phaseTime {
		s.keys = s.keys.next()
		s.phase++
		s.first, s.since = s.counter, now
	}
	s.counter++
	start := len(dst)
	dst = append(dst, version<<5|byte(s.lane.Class-wire.Timely)<<3|s.lane.mark()<<2|s.phase&phaseMask)
	dst = binary.LittleEndian.AppendUint32(dst, s.session)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(s.counter))
	return s.keys.aead.Seal(dst, s.keys.nonce(s.counter), body, dst[start:])
}

// Opener opens packets. It is not safe for concurrent use.
type Opener struct {
	session   uint32
	phase     byte
	current   keys
	following keys
	last      keys          // of the phase before
	until     clock.Instant // when last is no longer accepted
	highest   uint64
	seen      [replayWindow / 64]uint64 // by counter
}

// Session is the number in the packets that this opens.
func (o *Opener) Session() uint32 { return o.session }

// Open appends the body of a packet, whose header Parse has accepted, to dst, which must not overlap it. Nothing is remembered
// of a packet that is not genuine.
func (o *Opener) Open(now clock.Instant, dst, packet []byte) ([]byte, error) {
	counter := datagram.Nearest(o.highest+1, binary.LittleEndian.Uint32(packet[5:]))
	if counter == 0 || o.replayed(counter) {
		return dst, ErrReplayed
	}
	var k *keys
	switch phase := packet[0] & phaseMask; {
	case phase == o.phase&phaseMask:
		k = &o.current
	case phase == (o.phase+1)&phaseMask:
		k = &o.following
	case phase == (o.phase-1)&phaseMask && now < o.until:
		k = &o.last
	default:
		return dst, ErrForged
	}
	body, err := k.aead.Open(dst, k.nonce(counter), packet[HeaderSize:], packet[:HeaderSize])
	if err != nil {
		return dst, ErrForged
	}
	o.remember(counter)
	if k == &o.following {
		o.last, o.until = o.current, now.Add(overlap)
		o.current, o.phase = o.following, o.phase+1
		o.following = o.current.next()
	}
	return body, nil
}

// replayed reports whether a counter may have been opened before.
func (o *Opener) replayed(counter uint64) bool {
	if counter > o.highest {
		return false
	}
	if o.highest-counter >= replayWindow {
		return true
	}
	return o.seen[counter/64%uint64(len(o.seen))]&(1<<(counter%64)) != 0
}

// remember notes that a counter has been opened.
func (o *Opener) remember(counter uint64) {
	size := uint64(len(o.seen))
	if counter > o.highest {
		if counter-o.highest >= replayWindow {
			clear(o.seen[:])
		} else {
			for n := o.highest + 1; n <= counter; n++ {
				o.seen[n/64%size] &^= 1 << (n % 64)
			}
		}
		o.highest = counter
	}
	o.seen[counter/64%size] |= 1 << (counter % 64)
}
