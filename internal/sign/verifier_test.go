package sign

import (
	"crypto/ed25519"
	"sync/atomic"
	"testing"

	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// counting counts the verifications of a scheme.
type counting struct {
	Ed25519
	verified atomic.Int64
}

func (c *counting) Verify(key ed25519.PublicKey, message []byte, sig *wire.Signature) bool {
	c.verified.Add(1)
	return c.Ed25519.Verify(key, message, sig)
}

func TestBatchesOfEverySizeVerify(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 0, Ed25519{}, nil)
	for size := 1; size <= wire.MaxBatch; size++ {
		v := c.verifier()
		for i, e := range c.sign(2, c.statuses(size)...) {
			if int(e.Proof.Count) != size || int(e.Proof.Index) != i {
				t.Fatalf("message %d of %d has place %d of %d", i, size, e.Proof.Index, e.Proof.Count)
			}
			if err := v.Verify(e); err != nil {
				t.Fatalf("message %d of %d: %v", i, size, err)
			}
		}
	}
}

func TestOneSignatureCoversABatchAndSummariesAreAlone(t *testing.T) {
	t.Parallel()
	scheme := new(counting)
	c := newCluster(t, 1, 0, scheme, nil)
	ms := c.statuses(100)
	ms = append(ms[:40:40], append([]wire.Message{&wire.Summary{Number: 1, Vector: c.vector(1)}}, ms[40:]...)...)
	v, counts := c.verifier(), map[uint8]int{}
	for _, e := range c.sign(3, ms...) {
		counts[e.Proof.Count]++
		if err := v.Verify(e); err != nil {
			t.Fatal(err)
		}
	}
	if counts[64] != 64 || counts[36] != 36 || counts[1] != 1 {
		t.Errorf("batch sizes %v: want 64, 36 and the summary alone", counts)
	}
	if got := scheme.verified.Load(); got != 3 {
		t.Errorf("%d verifications: want one per batch, 3", got)
	}
}

// verdict is a message and what Verify has to say of it.
type verdict struct {
	e    *wire.Envelope
	want error
}

// checkVerdicts verifies each message twice, the second time through the caches.
func (c *cluster) checkVerdicts(t *testing.T, all map[string]verdict) {
	t.Helper()
	for name, tt := range all {
		v := c.verifier()
		for range 2 {
			if got := v.Verify(tt.e); got != tt.want {
				t.Errorf("%s: %v, want %v", name, got, tt.want)
			}
		}
	}
}

// sealed is a signed message that is not decoded, for those that the codec itself refuses.
func (c *cluster) sealed(from group.ID, m wire.Message) *wire.Envelope {
	e := c.draft(from, m)
	c.signers[from.Index()].Sign([]*wire.Envelope{e})
	return e
}

// stolen is e with the signature of another message.
func stolen(e, from *wire.Envelope) *wire.Envelope {
	other := *e
	other.Finish(wire.Proof{Count: 1, Sig: from.Proof.Sig})
	return &other
}

func TestHeadersAndMatrices(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 0, Ed25519{}, nil)
	header := func(alter func(*wire.Header)) *wire.Envelope {
		h := c.keyring.Header(2)
		alter(&h)
		e := wire.NewEnvelope(h, c.status(1))
		c.signers[1].Sign([]*wire.Envelope{e})
		return e
	}
	rows := func(alter func(wire.Rows)) wire.Rows {
		r := c.rows(1)
		alter(r)
		return r
	}
	forged := rows(func(r wire.Rows) { r[2] = stolen(r[2], r[3]) })
	swapped := rows(func(r wire.Rows) { r[0], r[1] = r[1], r[0] })
	strange := rows(func(r wire.Rows) { r[3] = c.one(4, c.status(1)) })
	batched := c.draft(2, &wire.Summary{Number: 1, Vector: c.vector(1)})
	c.signers[1].batch = []*wire.Envelope{batched, c.draft(2, c.status(1))}
	c.signers[1].seal()
	matrix := func(r wire.Rows) *wire.Envelope { return c.sealed(2, &wire.SummaryMatrix{View: 1, Rows: r}) }
	c.checkVerdicts(t, map[string]verdict{
		"fine":                 {header(func(*wire.Header) {}), nil},
		"epoch":                {header(func(h *wire.Header) { h.Epoch++ }), WrongEpoch},
		"incarnation":          {header(func(h *wire.Header) { h.Incarnation++ }), WrongIncarnation},
		"another's name":       {header(func(h *wire.Header) { *h = c.keyring.Header(3) }), BadSignature},
		"nobody":               {header(func(h *wire.Header) { h.Sender = 0 }), UnknownSender},
		"not a member":         {header(func(h *wire.Header) { h.Sender = 5 }), UnknownSender},
		"matrix":               {matrix(c.rows(1)), nil},
		"matrix, empty rows":   {matrix(make(wire.Rows, 4)), nil},
		"matrix, forged row":   {matrix(forged), BadMember},
		"matrix, swapped rows": {matrix(swapped), Malformed},
		"matrix, other kind":   {matrix(strange), Malformed},
		"matrix, short":        {matrix(c.rows(1)[:3]), Malformed},
		"summary in a batch":   {batched, Malformed},
		"proposal":             {c.sealed(1, c.proposal(1)), nil},
		"proposal, not leader": {c.sealed(2, c.proposal(1)), WrongLeader},
	})
}

func TestCertificatesEvidenceAndRequests(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 0, Ed25519{}, nil)
	repeated := c.certificate(1, 1, 2)
	repeated.Commits = append(repeated.Commits, repeated.Commits[1])
	other := c.certificate(1, 1, 2, 3)
	other.Commits = c.certificate(2, 1, 2, 3).Commits
	forged := c.certificate(3, 1, 2, 3)
	forged.Commits[2] = stolen(forged.Commits[2], forged.Commits[1])
	first, second := c.one(3, c.request(1)), c.one(3, c.request(2))
	foreign, withSig := c.update(c.keys[3], 1), c.update(testKey(99), 1)
	withSig.Sig[0] = 1
	request := func(from group.ID, u wire.Update) *wire.Envelope {
		return c.sealed(from, &wire.PreorderRequest{Seq: 1, Updates: []wire.Update{u}})
	}
	evidence := func(a, b *wire.Envelope) *wire.Envelope { return c.sealed(4, &wire.Evidence{First: a, Second: b}) }
	c.checkVerdicts(t, map[string]verdict{
		"certificate":           {c.sealed(4, c.certificate(1, 1, 2, 3)), nil},
		"certificate of all":    {c.sealed(4, c.certificate(1, 1, 2, 3, 4)), nil},
		"too few commits":       {c.sealed(4, c.certificate(1, 1, 2)), NoQuorum},
		"repeated signer":       {c.sealed(4, repeated), Malformed},
		"other's commits":       {c.sealed(4, other), Malformed},
		"forged commit":         {c.sealed(4, forged), BadMember},
		"evidence":              {evidence(first, second), nil},
		"evidence, same twice":  {evidence(first, first), Malformed},
		"evidence, two signers": {evidence(first, c.one(2, c.request(2))), Malformed},
		"evidence, forged":      {evidence(first, stolen(second, first)), BadMember},
		"evidence, forged 1st":  {evidence(stolen(second, first), first), BadMember},
		"evidence, bad update":  {evidence(first, request(3, foreign)), UnknownClient},
		"other replica's key":   {request(2, foreign), UnknownClient},
		"own key":               {request(4, foreign), nil},
		"signature not wanted":  {request(2, withSig), BadUpdate},
	})
}

func TestClientUpdates(t *testing.T) {
	t.Parallel()
	listed, stranger := testKey(50), testKey(51)
	scheme := new(counting)
	c := newCluster(t, 1, 0, scheme, func(m *Membership) {
		m.ClientAuth, m.AnyClient, m.Clients = true, false, []wire.ClientID{clientID(listed)}
	})
	alter := func(u wire.Update, f func(*wire.Update)) wire.Update { f(&u); return u }
	good := c.update(listed, 1)
	elsewhere := good
	SignUpdate(scheme, listed, [32]byte{9}, &elsewhere)
	for name, tt := range map[string]struct {
		by   group.ID
		u    wire.Update
		want error
	}{
		"listed":           {2, good, nil},
		"stranger":         {2, c.update(stranger, 1), UnknownClient},
		"replica itself":   {2, c.update(c.keys[1], 1), nil},
		"another replica":  {2, c.update(c.keys[2], 1), UnknownClient},
		"sequence altered": {2, alter(good, func(u *wire.Update) { u.Seq++ }), BadUpdate},
		"payload altered":  {2, alter(good, func(u *wire.Update) { u.Payload = []byte("close") }), BadUpdate},
		"client altered":   {2, alter(good, func(u *wire.Update) { u.Client = clientID(c.keys[1]) }), BadUpdate},
		"no signature":     {2, alter(good, func(u *wire.Update) { u.Sig = wire.Signature{} }), BadUpdate},
		"other cluster":    {2, elsewhere, BadUpdate},
	} {
		v := c.verifier()
		for range 2 {
			if got := v.VerifyUpdate(tt.by, &tt.u); got != tt.want {
				t.Errorf("%s: %v, want %v", name, got, tt.want)
			}
		}
		if tt.want != nil {
			continue
		}
		other := alter(tt.u, func(u *wire.Update) { u.Sig[5] ^= 1 })
		if got := v.VerifyUpdate(tt.by, &other); got != BadUpdate {
			t.Errorf("%s, known, with another signature: %v", name, got)
		}
		before := scheme.verified.Load()
		if err := v.Verify(c.one(tt.by, &wire.PreorderRequest{Seq: 1, Updates: []wire.Update{tt.u}})); err != nil {
			t.Errorf("%s in a request: %v", name, err)
		}
		if got := scheme.verified.Load() - before; got != 1 {
			t.Errorf("%s in a request: %d verifications, want 1, of the request", name, got)
		}
	}
}

func TestCachesSaveVerifications(t *testing.T) {
	t.Parallel()
	scheme := new(counting)
	c := newCluster(t, 1, 0, scheme, nil)
	v := c.verifier()
	cost := func(e *wire.Envelope) int64 {
		t.Helper()
		before := scheme.verified.Load()
		if err := v.Verify(e); err != nil {
			t.Fatal(err)
		}
		return scheme.verified.Load() - before
	}
	rows := c.rows(5)
	p := c.one(1, &wire.PrePrepare{View: 1, Ordinal: 1, Base: c.vector(0), Rows: rows})
	if got := cost(p); got != 5 {
		t.Errorf("first proposal: %d verifications, want 1 and 4 rows", got)
	}
	if got := cost(p); got != 0 {
		t.Errorf("the same from another peer: %d verifications, want 0", got)
	}
	if got := cost(c.one(3, &wire.SummaryMatrix{View: 1, Rows: rows})); got != 1 {
		t.Errorf("matrix of known rows: %d verifications, want 1", got)
	}
	// A summary that is as old as to share a slot does not displace a newer one.
	old, recent := c.summary(2, 6), c.summary(2, 6+64)
	cost(recent)
	cost(old)
	if got := cost(recent); got != 0 {
		t.Errorf("newer summary after an old one was shown again: %d verifications, want 0", got)
	}
	own, request := c.summary(4, 9), c.one(4, c.request(1))
	v.Remember(own)
	v.Remember(request)
	if got := cost(own) + cost(request); got != 0 {
		t.Errorf("own messages: %d verifications, want 0", got)
	}
}

func TestKeyringRefuses(t *testing.T) {
	t.Parallel()
	public := func(i uint64) ed25519.PublicKey { return testKey(i).Public().(ed25519.PublicKey) }
	fine := Membership{Group: group.MustNew(1, 0), Incarnations: make([]uint32, 4),
		Replicas: []ed25519.PublicKey{public(0), public(1), public(2), public(3)}}
	if _, err := NewKeyring(fine); err != nil {
		t.Fatal(err)
	}
	for name, alter := range map[string]func(*Membership){
		"no group":           func(m *Membership) { m.Group = group.Group{} },
		"too few keys":       func(m *Membership) { m.Replicas = m.Replicas[:3] },
		"incarnations":       func(m *Membership) { m.Incarnations = nil },
		"short key":          func(m *Membership) { m.Replicas[1] = m.Replicas[1][:31] },
		"the same key twice": func(m *Membership) { m.Replicas[1] = m.Replicas[3] },
	} {
		m := fine
		m.Replicas = append([]ed25519.PublicKey(nil), fine.Replicas...)
		alter(&m)
		if _, err := NewKeyring(m); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	k, _ := NewKeyring(fine)
	for name, try := range map[string]struct {
		self group.ID
		key  ed25519.PrivateKey
	}{"another's key": {1, testKey(1)}, "no member": {5, testKey(1)}, "no key": {1, nil}} {
		if _, err := NewSigner(k, Ed25519{}, try.self, try.key); err == nil {
			t.Errorf("signer with %s: accepted", name)
		}
	}
	if _, err := ForRule("zip-215"); err == nil {
		t.Error("unknown rule accepted")
	}
	if s, err := ForRule("ed25519-go-std"); err != nil || s.Rule() != "ed25519-go-std" {
		t.Errorf("known rule: %v, %v", s, err)
	}
}
