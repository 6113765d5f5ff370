// Package parts cuts a request into n parts, one for each replica, of which any f+1 give it back (TDSC 2011 section 5.3). The
// code is Reed and Solomon's: the first f+1 parts are the content itself, the rest is computed from them, so everybody who
// holds the same content cuts the same parts. Such a code mends what is missing and cannot tell what is wrong: that is what the
// hash tree over the parts is for, see wire.Part.
//
// All of it is pure and heavy; the protocol core has it done outside.
package parts

import (
	"fmt"
	"math"

	"github.com/klauspost/reedsolomon"

	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// Code cuts and joins for one group. It may be used by many goroutines at once.
type Code struct {
	group   group.Group
	encoder reedsolomon.Encoder
}

// New returns the code of a group. An error means that the library has no code for so many replicas.
func New(g group.Group) (*Code, error) {
	enough := g.OneCorrect()
	encoder, err := reedsolomon.New(enough, g.N()-enough, reedsolomon.WithMaxGoroutines(1))
	if err != nil {
		return nil, fmt.Errorf("parts for %s: %w", g, err)
	}
	return &Code{group: g, encoder: encoder}, nil
}

// shards cuts content, which has at least one byte, into its n parts. The last of the f+1 is filled up with zeros.
func (c *Code) shards(content []byte) [][]byte {
	n, enough := c.group.N(), c.group.OneCorrect()
	size := (len(content) + enough - 1) / enough
	memory := make([]byte, n*size)
	copy(memory, content)
	all := make([][]byte, n)
	for i := range all {
		all[i] = memory[i*size : (i+1)*size : (i+1)*size]
	}
	if err := c.encoder.Encode(all); err != nil {
		panic("parts: " + err.Error()) // the parts are as many and as long as the encoder was made for
	}
	return all
}

// Cut is the part of a request that self sends.
func (c *Code) Cut(request *wire.Envelope, self group.ID) *wire.Part {
	all := c.shards(request.Content)
	m := &wire.Part{
		ID: wire.PreorderID{Origin: request.Sender, Position: wire.Position{
			Incarnation: request.Incarnation, Seq: request.Msg.(*wire.PreorderRequest).Seq}},
		Digest: request.Digest, Length: uint32(len(request.Content)), Origin: request.Proof, Bytes: all[self.Index()],
	}
	m.Root, m.Path = wire.PartTree(all, m.Length, self.Index())
	return m
}

// Root is the root of the tree over the parts of content.
func (c *Code) Root(content []byte) wire.Digest {
	if len(content) == 0 || len(content) > math.MaxUint32 {
		return wire.Digest{}
	}
	root, _ := wire.PartTree(c.shards(content), uint32(len(content)), 0)
	return root
}

// Join is the content of the request whose parts these RECONs have: f+1, of distinct senders, with one root. It is nil if there is no such
// content: then more than f of the senders lie. What it returns has that root and no other, whoever sent the parts.
func (c *Code) Join(id wire.PreorderID, recons []*wire.Envelope) []byte {
	enough := c.group.OneCorrect()
	if len(recons) < enough {
		return nil
	}
	first, all := recons[0].Msg.(*wire.Parts).Find(id), make([][]byte, c.group.N())
	for _, e := range recons {
		m := e.Msg.(*wire.Parts).Find(id)
		if m == nil || m.Root != first.Root || m.Length != first.Length || len(m.Bytes) != len(first.Bytes) || !c.group.Has(e.Sender) {
			return nil
		}
		all[e.Sender.Index()] = m.Bytes
	}
	if len(first.Bytes)*enough < int(first.Length) || c.encoder.ReconstructData(all) != nil {
		return nil
	}
	content := make([]byte, 0, enough*len(first.Bytes))
	for _, part := range all[:enough] {
		content = append(content, part...)
	}
	content = content[:first.Length:first.Length]
	if c.Root(content) != first.Root {
		return nil
	}
	return content
}
