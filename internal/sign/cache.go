package sign

import (
	"sync"

	"github.com/primebft/prime/internal/wire"
)

// batch is a signed batch: all that its signature depends on but the signer.
type batch struct {
	root  wire.Digest
	count uint8
	sig   wire.Signature
}

// rootsPerSigner is how many verified batches are remembered per signer. The messages of a batch arrive close together, by
// as many peers as pass some of them on.
const rootsPerSigner = 128

// roots remembers the batches of one signer that were verified, one per slot, chosen by root. While one goroutine verifies a
// batch, others that meet it wait for the result: it is there sooner than they could have their own.
type roots struct {
	mu    sync.Mutex
	done  sync.Cond
	slots [rootsPerSigner]rootSlot
}

type rootSlot struct {
	batch
	state rootState
}

type rootState uint8

const (
	rootEmpty rootState = iota
	rootPending
	rootKnown
)

// claim is what a goroutine that meets a batch has to do.
type claim uint8

const (
	claimKnown  claim = iota // nothing: the batch is good
	claimVerify              // verify, and settle
	claimAlone               // verify: the slot is taken by another batch that is being verified
)

func (r *roots) slot(b *batch) *rootSlot { return &r.slots[b.root[0]%rootsPerSigner] }

// enter finds out what to do about b.
func (r *roots) enter(b *batch) claim {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.slot(b)
	for s.state == rootPending && s.batch == *b {
		r.done.Wait()
	}
	switch {
	case s.state == rootKnown && s.batch == *b:
		return claimKnown
	case s.state == rootPending:
		return claimAlone
	}
	s.batch, s.state = *b, rootPending
	return claimVerify
}

// settle ends a claimVerify.
func (r *roots) settle(b *batch, good bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.slot(b)
	s.state = rootEmpty
	if good {
		s.state = rootKnown
	}
	r.done.Broadcast()
}

// remember notes that b is good.
func (r *roots) remember(b *batch) {
	if r.enter(b) == claimVerify {
		r.settle(b, true)
	}
}

// summaries remembers verified summaries of one signer, one per slot, chosen by number. A newer one displaces an older one
// and never the other way round, so nobody can flush the cache by showing old summaries again.
type summaries struct {
	mu    sync.Mutex
	slots []summarySlot
}

type summarySlot struct {
	number uint64
	digest wire.Digest
	sig    wire.Signature
}

// has reports whether this summary, with this very signature, has been verified.
func (s *summaries) has(number uint64, e *wire.Envelope) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	slot := &s.slots[number%uint64(len(s.slots))]
	return slot.number == number && slot.digest == e.Digest && slot.sig == e.Proof.Sig
}

// add notes that e has been verified. Numbers start at 1: an empty slot is the oldest.
func (s *summaries) add(number uint64, e *wire.Envelope) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slot := &s.slots[number%uint64(len(s.slots))]; number >= slot.number {
		*slot = summarySlot{number: number, digest: e.Digest, sig: e.Proof.Sig}
	}
}

const (
	updateStripes    = 16  // locks
	updatesPerStripe = 512 // updates remembered under each
)

// updates remembers verified updates, by the hash of statement and signature, one per slot.
type updates [updateStripes]struct {
	mu    sync.Mutex
	slots [updatesPerStripe]wire.Digest
}

func (u *updates) has(key *wire.Digest) bool {
	s := &u[key[0]%updateStripes]
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.slots[updateSlot(key)] == *key
}

func (u *updates) add(key *wire.Digest) {
	s := &u[key[0]%updateStripes]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slots[updateSlot(key)] = *key
}

func updateSlot(key *wire.Digest) int { return (int(key[1])<<8 | int(key[2])) % updatesPerStripe }
