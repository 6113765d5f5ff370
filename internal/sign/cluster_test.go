package sign

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// cluster is a group with keys, and one signer per replica.
type cluster struct {
	tb      testing.TB
	keyring *Keyring
	scheme  Scheme
	keys    []ed25519.PrivateKey
	signers []*Signer
	limits  wire.Limits
}

func testKey(seed uint64) ed25519.PrivateKey {
	b := sha256.Sum256(binary.LittleEndian.AppendUint64([]byte("test key"), seed))
	return ed25519.NewKeyFromSeed(b[:])
}

func clientID(key ed25519.PrivateKey) wire.ClientID {
	return wire.ClientID(key.Public().(ed25519.PublicKey))
}

// newCluster makes a cluster of f and k whose membership may be altered before use.
func newCluster(tb testing.TB, f, k int, s Scheme, alter func(*Membership)) *cluster {
	tb.Helper()
	g := group.MustNew(f, k)
	m := Membership{Cluster: [32]byte{1}, Config: [32]byte{2}, Group: g, Epoch: 7, AnyClient: true}
	c := &cluster{tb: tb, scheme: s}
	for i := range g.N() {
		key := testKey(uint64(i))
		c.keys = append(c.keys, key)
		m.Replicas = append(m.Replicas, key.Public().(ed25519.PublicKey))
		m.Incarnations = append(m.Incarnations, uint32(i+1))
	}
	if alter != nil {
		alter(&m)
	}
	var err error
	if c.keyring, err = NewKeyring(m); err != nil {
		tb.Fatal(err)
	}
	for i, key := range c.keys {
		w, err := NewSigner(c.keyring, s, group.FromIndex(i), key)
		if err != nil {
			tb.Fatal(err)
		}
		c.signers = append(c.signers, w)
	}
	c.limits = wire.Limits{N: g.N(), UpdateBytes: 4096, RequestBytes: 1 << 16, RequestUpdates: 64, AckParts: 64, Wants: 64,
		Window: 64, Recalls: 8, SignedUpdates: m.ClientAuth, Enough: g.OneCorrect()}
	return c
}

func (c *cluster) verifier() *Verifier { return NewVerifier(c.keyring, c.scheme, 64*c.n()) }
func (c *cluster) n() int              { return c.keyring.Group().N() }

// draft is an unsigned message of a replica.
func (c *cluster) draft(from group.ID, m wire.Message) *wire.Envelope {
	return wire.NewEnvelope(c.keyring.Header(from), m)
}

// sign signs messages of one replica, as one batch, and returns them as a peer decodes them.
func (c *cluster) sign(from group.ID, ms ...wire.Message) []*wire.Envelope {
	c.tb.Helper()
	var batch []*wire.Envelope
	for _, m := range ms {
		batch = append(batch, c.draft(from, m))
	}
	c.signers[from.Index()].Sign(batch)
	for i := range batch {
		batch[i] = c.decode(batch[i].Raw)
	}
	return batch
}

func (c *cluster) one(from group.ID, m wire.Message) *wire.Envelope {
	c.tb.Helper()
	return c.sign(from, m)[0]
}

func (c *cluster) decode(raw []byte) *wire.Envelope {
	c.tb.Helper()
	e, err := c.limits.Decode(raw)
	if err != nil {
		c.tb.Fatal(err)
	}
	return e
}

func (c *cluster) vector(seq uint64) wire.Vector {
	v := make(wire.Vector, c.n())
	for i := range v {
		v[i] = wire.Position{Incarnation: uint32(i + 1), Seq: seq}
	}
	return v
}

func (c *cluster) summary(from group.ID, number uint64) *wire.Envelope {
	c.tb.Helper()
	return c.one(from, &wire.Summary{Number: number, Time: int64(number), Vector: c.vector(number)})
}

func (c *cluster) rows(number uint64) wire.Rows {
	rows := make(wire.Rows, c.n())
	for i := range rows {
		rows[i] = c.summary(group.FromIndex(i), number)
	}
	return rows
}

func (c *cluster) proposal(ordinal uint64) *wire.PrePrepare {
	return &wire.PrePrepare{View: 1, Ordinal: ordinal, Base: c.vector(0), Rows: c.rows(ordinal)}
}

func (c *cluster) commit(p *wire.Envelope) *wire.Commit {
	m := p.Msg.(*wire.PrePrepare)
	return &wire.Commit{Vote: wire.Vote{View: m.View, Ordinal: m.Ordinal, Proposal: p.Digest, Incarnations: m.Incarnations}}
}

// certificate is a commit certificate by the given replicas.
func (c *cluster) certificate(ordinal uint64, by ...group.ID) *wire.Certificate {
	p := c.one(1, c.proposal(ordinal))
	m := &wire.Certificate{PrePrepare: p}
	for _, id := range by {
		m.Commits = append(m.Commits, c.one(id, c.commit(p)))
	}
	return m
}

func (c *cluster) status(executed uint64) *wire.Status {
	return &wire.Status{View: 1, Executed: executed, Preorders: c.vector(0), Held: c.vector(0)}
}

func (c *cluster) statuses(n int) (ms []wire.Message) {
	for i := range n {
		ms = append(ms, c.status(uint64(i)))
	}
	return ms
}

func (c *cluster) update(client ed25519.PrivateKey, seq uint64) wire.Update {
	u := wire.Update{Client: clientID(client), Seq: seq, Payload: []byte("open breaker 7")}
	if c.keyring.ClientAuth() {
		SignUpdate(c.scheme, client, c.keyring.Cluster(), &u)
	}
	return u
}

func (c *cluster) request(seq uint64) *wire.PreorderRequest {
	return &wire.PreorderRequest{Seq: seq, Updates: []wire.Update{c.update(testKey(1000), seq)}}
}
