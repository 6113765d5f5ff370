// Package clientwire is what a client and a replica's client port say to each other: frames, and the proof that makes a batch
// of replies one signature. docs/client-protocol.md has every layout.
//
// A frame is a length (u32, of what follows), a kind (u8) and a body; integers are little-endian. Decoders are total: any
// bytes give a frame or an error, never a panic, and no length is believed before it is checked. Every accepted encoding is
// the only one of its frame.
package clientwire

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// Version of the client protocol. Hello and Welcome carry it; a replica that cannot speak the client's says so in a Reject.
const Version = 1

// ALPN is the protocol name that both sides may offer in TLS. It is for people who look at traffic; nothing depends on it.
const ALPN = "prime-client"

// Kind is the type of a frame. The numbers are part of the format and are never reused.
type Kind uint8

// The kinds of frames: from a client Hello, Submit and Ping; the others from a replica.
const (
	KindHello   Kind = 1
	KindWelcome Kind = 2
	KindReject  Kind = 3
	KindSubmit  Kind = 4
	KindReply   Kind = 5
	KindRefused Kind = 6
	KindPing    Kind = 7
	KindPong    Kind = 8
)

// Sizes of frames, in bytes.
const (
	HeaderSize   = 4 + 1 // length and kind
	helloSize    = 2 + 32 + 4 + 1
	welcomeSize  = 2 + 32 + 4 + 4 + 1 + 4 + 4
	submitSize   = 8 + 1
	refusedSize  = 8 + 1
	pingSize     = 8
	contentSize  = 4 + 8 + 4 + 32 + 8 + 4
	MaxText      = 512                                             // text of a Reject
	MaxPayload   = 1 << 20                                         // payload of any update, whatever the cluster's limit
	MaxResult    = 1 << 20                                         // result of any update that travels to a client
	MaxHello     = HeaderSize + helloSize                          // what a replica reads before it knows the client
	MaxSubmit    = HeaderSize + submitSize + 64 + MaxPayload       // largest frame from a client
	MaxReply     = HeaderSize + contentSize + MaxResult + maxProof // largest frame from a replica
	maxProof     = 2 + 2 + MaxPath*32 + 64                         // of a signed reply
	submitSigned = 1                                               // flag of Submit: a signature follows
	helloSigned  = 1                                               // flag of Hello: replies are to be signed
	rejectSize   = 1 + 2 + 2                                       // of a Reject without its text
)

// Reasons that a frame is malformed, next to those of wire.
const (
	badLength  = wire.Malformed("frame length")
	badFlags   = wire.Malformed("unknown flags")
	badSize    = wire.Malformed("size out of range")
	badText    = wire.Malformed("text")
	badWhy     = wire.Malformed("unknown reason")
	badReplica = wire.Malformed("replica")
	badProof   = wire.Malformed("batch proof")
	badCode    = wire.Malformed("unknown reject code")
)

// Auth is who vouches for updates in this cluster.
type Auth uint8

// The two ways to authenticate updates.
const (
	AuthReplica Auth = 1 // the replica that introduces an update; Submit carries no signature
	AuthClient  Auth = 2 // the client; every Submit carries its signature
)

// Why is why an update was refused: effect.Why and what only the client port knows.
type Why uint8

// Reasons to refuse an update. The first four are those of the protocol core.
const (
	Duplicate    = Why(effect.Duplicate)  // executed before, and its result is no longer held here
	Expired      = Why(effect.Expired)    // the session is not remembered, or the number is out of its window
	Overloaded   = Why(effect.Overloaded) // this replica takes no more at present
	Oversized    = Why(effect.Oversized)  // larger than the cluster allows
	Closing      = Why(5)                 // this replica is stopping
	BadSignature = Why(6)                 // the client's signature is missing, unwanted or wrong
	ResultLost   = Why(7)                 // executed, but its result is larger than MaxResult
	lastWhy      = ResultLost
)

// String is the reason for people.
func (w Why) String() string {
	names := [...]string{"", "duplicate", "session expired", "overloaded", "oversized", "closing", "bad signature",
		"result too large"}
	if w == 0 || int(w) >= len(names) {
		return "unknown reason"
	}
	return names[w]
}

// Code is why a connection was rejected.
type Code uint8

// Reasons to reject a connection.
const (
	WrongVersion Code = 1 // the replica does not speak this version; Reject.Version is the one that it speaks
	WrongCluster Code = 2 // the replica belongs to another cluster
	WrongEpoch   Code = 3 // the replica has another configuration of the cluster
	NotAdmitted  Code = 4 // the client's key is not one of the cluster's clients
	TooMany      Code = 5 // no connection is free
	Stopping     Code = 6 // the replica is stopping
	BadFrame     Code = 7 // the client sent something that is not a frame
	Superseded   Code = 8 // the client opened more connections than it may; the oldest gave way

	lastCode = Superseded
)

// Hello is the client's first frame.
type Hello struct {
	Version uint16
	Cluster [32]byte
	Epoch   uint32 // configuration that the client knows; 0 if it does not care
	Signed  bool   // replies are to be signed; otherwise the client counts connections
}

// Welcome answers a Hello.
type Welcome struct {
	Version     uint16
	Cluster     [32]byte
	Epoch       uint32
	Replica     group.ID
	Sizes       [2]uint8 // f and k
	Auth        Auth
	Window      uint32 // sequence numbers that a session remembers
	UpdateBytes uint32 // largest payload
}

// Reject ends a connection and says why.
type Reject struct {
	Code    Code
	Version uint16 // that the replica speaks
	Text    string // for people, at most MaxText bytes
}

// Submit is one update of the connection's client.
type Submit struct {
	Seq     uint64
	Signed  bool
	Sig     wire.Signature // if Signed
	Payload []byte
}

// Reply is the result of one update, and perhaps the proof that the replica signed it.
type Reply struct {
	Epoch   uint32
	Ordinal uint64
	Index   uint32
	Client  wire.ClientID
	Seq     uint64
	Result  []byte
	Signed  bool
	Proof   Proof // if Signed
}

// Refused says that an update got no result.
type Refused struct {
	Seq uint64
	Why Why
}

// begin appends a header whose length finish sets.
func begin(b []byte, k Kind) []byte { return append(b, 0, 0, 0, 0, byte(k)) }

// finish sets the length of the frame that began at from.
func finish(b []byte, from int) []byte {
	binary.LittleEndian.PutUint32(b[from:], uint32(len(b)-from-4))
	return b
}

func bit(v bool) byte {
	if v {
		return 1
	}
	return 0
}

// ParseHeader reads the first HeaderSize bytes of a frame: its kind, and how many bytes of body follow, at most limit less
// the header.
func ParseHeader(h []byte, limit int) (Kind, int, error) {
	r := wire.NewReader(h)
	n, k := r.U32(), Kind(r.U8())
	if r.Err() != nil {
		return 0, 0, r.Err()
	}
	if n < 1 || int64(n) > int64(limit)-4 {
		return k, 0, badLength
	}
	return k, int(n) - 1, nil
}

// AppendHello appends a whole frame to b, as all Append functions of this package do.
func AppendHello(b []byte, h Hello) []byte {
	from := len(b)
	b = binary.LittleEndian.AppendUint16(begin(b, KindHello), h.Version)
	b = append(b, h.Cluster[:]...)
	b = binary.LittleEndian.AppendUint32(b, h.Epoch)
	return finish(append(b, bit(h.Signed)*helloSigned), from)
}

// ParseHello reads the body of a Hello. The version comes first, so that it can be told from a body of another version,
// whose rest is not looked at.
func ParseHello(body []byte) (h Hello, err error) {
	r := wire.NewReader(body)
	h.Version = r.U16()
	if r.Err() == nil && h.Version != Version {
		return h, nil
	}
	h.Cluster = r.Digest()
	h.Epoch = r.U32()
	flags := r.U8()
	r.Check(flags&^helloSigned == 0, badFlags)
	h.Signed = flags&helloSigned != 0
	return h, r.Done()
}

// AppendWelcome appends a Welcome.
func AppendWelcome(b []byte, w Welcome) []byte {
	from := len(b)
	b = binary.LittleEndian.AppendUint16(begin(b, KindWelcome), w.Version)
	b = append(b, w.Cluster[:]...)
	b = binary.LittleEndian.AppendUint32(b, w.Epoch)
	b = append(b, byte(w.Replica), w.Sizes[0], w.Sizes[1], byte(w.Auth))
	b = binary.LittleEndian.AppendUint32(b, w.Window)
	return finish(binary.LittleEndian.AppendUint32(b, w.UpdateBytes), from)
}

// ParseWelcome reads the body of a Welcome.
func ParseWelcome(body []byte) (w Welcome, err error) {
	r := wire.NewReader(body)
	w.Version = r.U16()
	w.Cluster = r.Digest()
	w.Epoch = r.U32()
	w.Replica = group.ID(r.U8())
	w.Sizes = [2]uint8{r.U8(), r.U8()}
	w.Auth = Auth(r.U8())
	w.Window, w.UpdateBytes = r.U32(), r.U32()
	r.Check(w.Replica >= 1 && w.Replica <= group.MaxReplicas, badReplica)
	r.Check(w.Auth == AuthReplica || w.Auth == AuthClient, badFlags)
	r.Check(w.Window >= 1 && w.UpdateBytes <= MaxPayload, badSize)
	return w, r.Done()
}

// AppendReject appends a Reject; a text that is too long is cut.
func AppendReject(b []byte, j Reject) []byte {
	from, text := len(b), j.Text
	if len(text) > MaxText {
		text = text[:MaxText]
	}
	for !utf8.ValidString(text) {
		text = text[:len(text)-1]
	}
	b = append(begin(b, KindReject), byte(j.Code))
	b = binary.LittleEndian.AppendUint16(b, j.Version)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(text)))
	return finish(append(b, text...), from)
}

// ParseReject reads the body of a Reject.
func ParseReject(body []byte) (j Reject, err error) {
	r := wire.NewReader(body)
	j.Code, j.Version = Code(r.U8()), r.U16()
	n := int(r.U16())
	r.Check(j.Code >= WrongVersion && j.Code <= lastCode, badCode)
	r.Check(n <= MaxText, badText)
	j.Text = string(r.Bytes(n))
	r.Check(utf8.ValidString(j.Text), badText)
	return j, r.Done()
}

// AppendSubmit appends a Submit.
func AppendSubmit(b []byte, s *Submit) []byte {
	from := len(b)
	b = binary.LittleEndian.AppendUint64(begin(b, KindSubmit), s.Seq)
	b = append(b, bit(s.Signed)*submitSigned)
	if s.Signed {
		b = append(b, s.Sig[:]...)
	}
	return finish(append(b, s.Payload...), from)
}

// SubmitPrefix reads what comes before the payload of a Submit and says how many bytes that is. It needs the first
// min(body, MaxSubmitPrefix) bytes, so that a reader need not hold a payload that it will not accept.
func SubmitPrefix(b []byte) (s Submit, size int, err error) {
	r := wire.NewReader(b)
	s.Seq = r.U64()
	flags := r.U8()
	r.Check(flags&^submitSigned == 0, badFlags)
	if s.Signed = flags&submitSigned != 0; s.Signed {
		copy(s.Sig[:], r.Bytes(len(s.Sig)))
	}
	return s, len(b) - r.Len(), r.Err()
}

// MaxSubmitPrefix is the longest prefix of a Submit.
const MaxSubmitPrefix = submitSize + 64

// ParseSubmit reads the body of a Submit. The payload aliases body.
func ParseSubmit(body []byte) (Submit, error) {
	s, n, err := SubmitPrefix(body)
	if err == nil && len(body)-n > MaxPayload {
		err = badSize
	}
	if err != nil {
		return Submit{}, err
	}
	if len(body) > n {
		s.Payload = body[n:len(body):len(body)]
	}
	return s, nil
}

// AppendContent appends what a replica vouches for: everything of a Reply but its proof.
func AppendContent(b []byte, p *Reply) []byte {
	b = binary.LittleEndian.AppendUint32(b, p.Epoch)
	b = binary.LittleEndian.AppendUint64(b, p.Ordinal)
	b = binary.LittleEndian.AppendUint32(b, p.Index)
	b = append(b, p.Client[:]...)
	b = binary.LittleEndian.AppendUint64(b, p.Seq)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(p.Result)))
	return append(b, p.Result...)
}

// AppendReply appends a Reply; Result is at most MaxResult bytes.
func AppendReply(b []byte, p *Reply) []byte {
	from := len(b)
	b = AppendContent(begin(b, KindReply), p)
	if p.Signed {
		b = appendProof(b, &p.Proof)
	}
	return finish(b, from)
}

// ReplySize is the length of the frame of a Reply with a result of this length.
func ReplySize(result int, signed bool) int {
	n := HeaderSize + contentSize + result
	if signed {
		n += maxProof
	}
	return n
}

// ParseReply reads the body of a Reply. Result aliases body; content is the part of body that the proof is about.
func ParseReply(body []byte) (p Reply, content []byte, err error) {
	r := wire.NewReader(body)
	p.Epoch, p.Ordinal, p.Index = r.U32(), r.U64(), r.U32()
	p.Client = wire.ClientID(r.Digest())
	p.Seq = r.U64()
	n := r.U32()
	r.Check(n <= MaxResult, badSize)
	if r.Err() == nil {
		p.Result = r.Bytes(int(n))
	}
	content = body[:len(body)-r.Len()]
	if p.Signed = r.Len() > 0; p.Signed {
		readProof(&r, &p.Proof)
	}
	if err = r.Done(); err != nil {
		return Reply{}, nil, err
	}
	return p, content, nil
}

// AppendRefused appends a Refused.
func AppendRefused(b []byte, f Refused) []byte {
	from := len(b)
	b = binary.LittleEndian.AppendUint64(begin(b, KindRefused), f.Seq)
	return finish(append(b, byte(f.Why)), from)
}

// ParseRefused reads the body of a Refused.
func ParseRefused(body []byte) (f Refused, err error) {
	r := wire.NewReader(body)
	f.Seq, f.Why = r.U64(), Why(r.U8())
	r.Check(f.Why >= Duplicate && f.Why <= lastWhy, badWhy)
	return f, r.Done()
}

// AppendPing appends a Ping, or with KindPong a Pong, which repeats the number of the Ping that it answers.
func AppendPing(b []byte, k Kind, number uint64) []byte {
	from := len(b)
	return finish(binary.LittleEndian.AppendUint64(begin(b, k), number), from)
}

// ParsePing reads the body of a Ping or Pong.
func ParsePing(body []byte) (number uint64, err error) {
	r := wire.NewReader(body)
	number = r.U64()
	return number, r.Done()
}
