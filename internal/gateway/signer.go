package gateway

import (
	"crypto"
	"crypto/rand"
	"sync"

	"github.com/primebft/prime/internal/clientwire"
	"github.com/primebft/prime/internal/reply"
)

// signer makes one signature for many replies: what gathers while one batch is being signed is the next batch. Its queue
// needs no bound of its own, because every reply in it is charged to the outbox that it goes to.
type signer struct {
	mu      sync.Mutex
	work    sync.Cond
	pending []unsigned
	closed  bool
}

// unsigned is a reply on its way to a session, in whose outbox size bytes are reserved.
type unsigned struct {
	to   *session
	r    reply.Reply
	size int
}

func (s *signer) init() { s.work.L = &s.mu }

func (s *signer) add(to *session, r reply.Reply, size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = append(s.pending, unsigned{to, r, size})
	s.work.Signal()
}

func (s *signer) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.work.Signal()
}

// next waits for replies and swaps them for an empty slice; none when the gateway closes and everything is signed.
func (s *signer) next(empty []unsigned) []unsigned {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.pending) == 0 && !s.closed {
		s.work.Wait()
	}
	all := s.pending
	s.pending = empty[:0]
	return all
}

// batch is the memory of one batch, used again for the next.
type batch struct {
	tree      clientwire.Tree
	arena     []byte
	ends      []int
	contents  [][]byte
	statement []byte
	proof     clientwire.Proof
}

// signReplies is the signer's goroutine.
func (g *Gateway) signReplies() {
	var b batch
	var all []unsigned
	for {
		if all = g.signer.next(all); len(all) == 0 {
			return
		}
		for rest := all; len(rest) > 0; {
			n, size := 0, 0
			for n < min(len(rest), clientwire.MaxBatch) && size < clientwire.MaxResult {
				size += rest[n].size
				n++
			}
			g.signBatch(&b, rest[:n])
			rest = rest[n:]
		}
		clear(all)
	}
}

func (g *Gateway) signBatch(b *batch, replies []unsigned) {
	b.arena, b.ends, b.contents = b.arena[:0], b.ends[:0], b.contents[:0]
	for i := range replies {
		p := answer(&replies[i].r)
		b.arena = clientwire.AppendContent(b.arena, &p)
		b.ends = append(b.ends, len(b.arena))
	}
	from := 0
	for _, end := range b.ends {
		b.contents = append(b.contents, b.arena[from:end])
		from = end
	}
	b.tree.Build(b.contents)
	b.statement = clientwire.AppendStatement(b.statement[:0], g.cfg.Cluster, g.cfg.Replica, uint16(len(replies)), b.tree.Root())
	sig, err := g.cfg.Key.Sign(rand.Reader, b.statement, crypto.Hash(0))
	if err != nil || len(sig) != len(b.proof.Sig) {
		g.log.warn("cannot sign replies", "error", err)
		for i := range replies {
			replies[i].to.out.fulfil(replies[i].size, func(buf []byte) []byte { return buf })
		}
		return
	}
	g.stats.signatures.Add(1)
	copy(b.proof.Sig[:], sig)
	for i := range replies {
		b.tree.Prove(i, &b.proof)
		p := answer(&replies[i].r)
		p.Signed, p.Proof = true, b.proof
		replies[i].to.out.fulfil(replies[i].size, func(buf []byte) []byte { return clientwire.AppendReply(buf, &p) })
	}
}
