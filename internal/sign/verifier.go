package sign

import (
	"crypto/sha256"
	"math"
	"sync"

	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/parts"
	"github.com/primebft/prime/internal/wire"
)

// Verifier checks messages against a Keyring. It is used by many goroutines at once. All its memory is bounded, and what
// one signer can make it remember never displaces what it remembers of another.
type Verifier struct {
	keyring   *Keyring
	scheme    Scheme
	quorum    int
	code      *parts.Code // nil: the group has none
	signers   []signer    // by group.ID.Index
	updates   updates
	proofs    known     // threshold signatures
	inspector sync.Pool // of *inspection
}

// signer is what is remembered of one signer.
type signer struct {
	roots     roots
	summaries summaries
	shares    known // of threshold signatures
}

// NewVerifier returns a verifier that remembers about cache verified summaries, an equal part for each signer.
func NewVerifier(k *Keyring, s Scheme, cache int) *Verifier {
	n := k.m.Group.N()
	v := &Verifier{keyring: k, scheme: s, quorum: k.m.Group.Quorum(), signers: make([]signer, n)}
	v.code, _ = parts.New(k.m.Group)
	for i := range v.signers {
		w := &v.signers[i]
		w.roots.done.L = &w.roots.mu
		w.summaries.slots = make([]summarySlot, max(1, cache/n))
	}
	v.inspector.New = func() any { return v.newInspection() }
	return v
}

// Verify checks a message as Limits.Decode returned it: the header against the keyring, the proof, and everything embedded.
// The error is a Reason.
func (v *Verifier) Verify(e *wire.Envelope) error {
	i := v.inspector.Get().(*inspection)
	why := i.message(e)
	v.inspector.Put(i)
	return why.err()
}

// VerifyUpdate checks an update that introducer is about to introduce: that its client is admitted and, if clients sign
// updates, that it did. The answer is remembered, so that the update is not verified again when it comes back in a request.
// The error is a Reason.
func (v *Verifier) VerifyUpdate(introducer group.ID, u *wire.Update) error {
	i := v.inspector.Get().(*inspection)
	why := i.update(introducer, u)
	v.inspector.Put(i)
	return why.err()
}

// Remember notes that e, which this replica itself has signed, is good, so that it costs nothing when a peer embeds it or
// passes it on. It must never be called with what others have sent.
func (v *Verifier) Remember(e *wire.Envelope) {
	if !v.keyring.m.Group.Has(e.Sender) {
		return
	}
	s := &v.signers[e.Sender.Index()]
	if m, ok := e.Msg.(*wire.Summary); ok {
		s.summaries.add(m.Number, e)
	} else if root, ok := rootOf(&e.Digest, &e.Proof); ok {
		s.roots.remember(&batch{root: root, count: e.Proof.Count, sig: e.Proof.Sig})
	}
}

// inspection is the scratch memory of one goroutine that checks messages.
type inspection struct {
	v         *Verifier
	batch     batch
	statement []byte
	cost      int // signatures verified so far
}

func (v *Verifier) newInspection() *inspection {
	return &inspection{v: v, statement: make([]byte, 0, max(statementSize, wire.UpdateStatementSize+len(wire.Signature{})))}
}

// message checks a whole message.
func (i *inspection) message(e *wire.Envelope) Reason {
	why := i.proofs(e)
	for at := 0; why == 0 && at != whole; {
		at, why = i.parts(e, at, math.MaxInt)
	}
	return why
}

// proofs checks what replicas have signed in e, but for what parts checks. Its own proof comes first: only who signed a message can make its
// embedded ones cost us.
func (i *inspection) proofs(e *wire.Envelope) Reason {
	if why := i.envelope(e); why != 0 {
		return why
	}
	switch m := e.Msg.(type) {
	case *wire.SummaryMatrix:
		return i.rows(m.Rows)
	case *wire.PrePrepare:
		return i.prePrepare(e.Sender, m)
	case *wire.Certificate:
		return i.certificate(m)
	case *wire.Evidence:
		return i.evidence(m)
	}
	return i.viewProofs(e)
}

// whole is what parts returns when nothing is left to check.
const whole = -1

// partsAtOnce is how many updates, or messages inside one, are checked before others get their turn, if each costs nothing
// because it is known.
const partsAtOnce = 256

// parts checks what can be too much of e to be checked at once, updates and the certificates of a REPORT, from part at on. It
// stops after about limit signatures, or partsAtOnce, and returns where to go on.
func (i *inspection) parts(e *wire.Envelope, at, limit int) (int, Reason) {
	if m, ok := e.Msg.(*wire.Report); ok {
		return i.reported(m, at, limit)
	}
	introducer, first, second := updatesIn(e)
	for until := at + partsAtOnce; at < len(first)+len(second); at++ {
		if i.cost >= limit || at >= until {
			return at, 0
		}
		rest, n := first, at
		if at >= len(first) {
			rest, n = second, at-len(first)
		}
		if why := i.introduced(introducer, &rest[n]); why != 0 {
			return at, why
		}
	}
	return whole, 0
}

// updatesIn is all updates in e, in two parts, and the replica that introduced them.
func updatesIn(e *wire.Envelope) (introducer group.ID, first, second []wire.Update) {
	switch m := e.Msg.(type) {
	case *wire.PreorderRequest:
		return e.Sender, m.Updates, nil
	case *wire.Evidence:
		introducer = m.Second.Sender // of both, unless first is a RECON
		if r, ok := m.First.Msg.(*wire.PreorderRequest); ok {
			first = r.Updates
		}
		if r, ok := m.Second.Msg.(*wire.PreorderRequest); ok {
			second = r.Updates
		}
		return introducer, first, second
	}
	return 0, nil, nil
}

// envelope checks header and proof.
func (i *inspection) envelope(e *wire.Envelope) Reason {
	k := i.v.keyring
	if !k.m.Group.Has(e.Sender) {
		return UnknownSender
	}
	if e.Epoch != k.m.Epoch {
		return WrongEpoch
	}
	if e.Incarnation != k.m.Incarnations[e.Sender.Index()] {
		return WrongIncarnation
	}
	s := &i.v.signers[e.Sender.Index()]
	if m, ok := e.Msg.(*wire.Summary); ok {
		return i.summary(s, m.Number, e)
	}
	root, ok := rootOf(&e.Digest, &e.Proof)
	if !ok || (e.Kind.Alone() && e.Proof.Count != 1) {
		return Malformed
	}
	i.batch = batch{root: root, count: e.Proof.Count, sig: e.Proof.Sig}
	what := s.roots.enter(&i.batch)
	if what == claimKnown {
		return 0
	}
	good := i.signature(e.Sender)
	if what == claimVerify {
		s.roots.settle(&i.batch, good)
	}
	if !good {
		return BadSignature
	}
	return 0
}

// summary checks the proof of a summary, which must be signed alone: it could not be embedded otherwise.
func (i *inspection) summary(s *signer, number uint64, e *wire.Envelope) Reason {
	if e.Proof.Count != 1 || e.Proof.Index != 0 || len(e.Proof.Path) != 0 {
		return Malformed
	}
	if s.summaries.has(number, e) {
		return 0
	}
	root := hashLeaf(0, &e.Digest)
	i.batch = batch{root: root, count: 1, sig: e.Proof.Sig}
	if !i.signature(e.Sender) {
		return BadSignature
	}
	s.summaries.add(number, e)
	return 0
}

// signature verifies i.batch as signed by sender, a member of the group.
func (i *inspection) signature(sender group.ID) bool {
	i.cost++
	k := i.v.keyring
	i.statement = k.appendStatement(i.statement[:0], sender, i.batch.count, &i.batch.root)
	return i.v.scheme.Verify(k.m.Replicas[sender.Index()], i.statement, &i.batch.sig)
}

// introduced checks an update of a request: a transfer point is its introducer's own, and signed with the request.
func (i *inspection) introduced(introducer group.ID, u *wire.Update) Reason {
	if u.TransferPoint() { // in its one form, or the request would not have been decoded
		return 0
	}
	return i.update(introducer, u)
}

// update checks that introducer may introduce u of a client, and u's signature if there has to be one.
func (i *inspection) update(introducer group.ID, u *wire.Update) Reason {
	k := i.v.keyring
	if !k.Admits(&u.Client, introducer) {
		return UnknownClient
	}
	if !k.m.ClientAuth {
		if u.Sig != (wire.Signature{}) {
			return BadUpdate
		}
		return 0
	}
	i.statement = wire.AppendUpdateStatement(i.statement[:0], k.m.Cluster, u)
	key := wire.Digest(sha256.Sum256(append(i.statement, u.Sig[:]...)))
	if i.v.updates.has(&key) {
		return 0
	}
	i.cost++
	if !i.v.scheme.Verify(u.Client[:], i.statement, &u.Sig) {
		return BadUpdate
	}
	i.v.updates.add(&key)
	return 0
}

// rows checks that row r is empty or a summary of replica r.
func (i *inspection) rows(rows wire.Rows) Reason {
	if len(rows) != i.v.keyring.m.Group.N() {
		return Malformed
	}
	for r, e := range rows {
		if e == nil {
			continue
		}
		if e.Sender != group.FromIndex(r) || e.Kind != wire.KindSummary {
			return Malformed
		}
		if i.envelope(e) != 0 {
			return BadMember
		}
	}
	return 0
}

// prePrepare checks that its sender leads the view, and the rows.
func (i *inspection) prePrepare(sender group.ID, m *wire.PrePrepare) Reason {
	if i.v.keyring.m.Group.Leader(m.View) != sender {
		return WrongLeader
	}
	return i.rows(m.Rows)
}

// certificate checks that a quorum of distinct replicas has committed to the proposal.
func (i *inspection) certificate(m *wire.Certificate) Reason {
	proposal, ok := m.PrePrepare.Msg.(*wire.PrePrepare)
	if !ok {
		return Malformed
	}
	want := wire.Vote{View: proposal.View, Ordinal: proposal.Ordinal, Proposal: m.PrePrepare.Digest,
		Incarnations: proposal.Incarnations}
	var signers group.Set
	for _, e := range m.Commits {
		c, ok := e.Msg.(*wire.Commit)
		if !ok || c.Vote != want || signers.Has(e.Sender) {
			return Malformed
		}
		signers = signers.With(e.Sender)
	}
	if signers.Len() < i.v.quorum {
		return NoQuorum
	}
	if i.proofs(m.PrePrepare) != 0 {
		return BadMember
	}
	for _, e := range m.Commits {
		if i.envelope(e) != 0 {
			return BadMember
		}
	}
	return 0
}

// evidence checks that one replica has signed both messages. Whether they convict it is for the core to say. Of a RECON and a
// request it checks all: cutting the request is too much for the core.
func (i *inspection) evidence(m *wire.Evidence) Reason {
	a, b := m.First, m.Second
	if parts, ok := a.Msg.(*wire.Parts); ok {
		part := parts.Of(b)
		switch {
		case part == nil:
			return Malformed
		case i.envelope(a) != 0 || i.proofs(b) != 0:
			return BadMember
		case i.v.code == nil || i.v.code.Root(b.Content) == part.Root:
			return BadMember
		}
		return 0
	}
	if a.Sender != b.Sender || a.Kind != b.Kind || a.Digest == b.Digest || !convicts(a.Kind) {
		return Malformed
	}
	if i.proofs(a) != 0 || i.proofs(b) != 0 {
		return BadMember
	}
	return 0
}

// convicts reports whether two messages of kind k can be evidence. None of these kinds holds evidence in turn, which bounds
// the depth of the check.
func convicts(k wire.Kind) bool {
	return k == wire.KindPreorderRequest || k == wire.KindSummary || k == wire.KindPrePrepare || k == wire.KindReplay ||
		k == wire.KindCheckpoint
}
