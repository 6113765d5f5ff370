package sign

import (
	"crypto/ed25519"
	"fmt"
	"testing"

	"github.com/primebft/prime/internal/wire"
)

// splitter signs with a component of order 8 in R: a signature that some verifiers accept and others refuse.
type splitter struct {
	Ed25519
	tb testing.TB
}

func (s splitter) Sign(key ed25519.PrivateKey, message []byte) wire.Signature {
	public := key.Public().(ed25519.PublicKey)
	sig := twistedSign(key, public, message, orderEight)
	if !cofactored(public, message, &sig) || cofactorless(public, message, &sig) {
		s.tb.Fatal("the signature does not split the two rules")
	}
	return sig
}

func TestCurveOfTheTests(t *testing.T) {
	t.Parallel()
	key, message := testKey(1), []byte("message")
	public := key.Public().(ed25519.PublicKey)
	want := Ed25519{}.Sign(key, message)
	if got := twistedSign(key, public, message, neutral()); got != want {
		t.Errorf("without torsion: %x, want %x", got, want)
	}
	if four := orderEight.plus(orderEight); four.plus(four).isNeutral() || !four.plus(four).plus(four.plus(four)).isNeutral() {
		t.Error("the point is not of order 8")
	}
	if !cofactorless(public, message, &want) || !cofactored(public, message, &want) {
		t.Error("an honest signature is refused")
	}
}

// A signature that splits cofactored from cofactorless verifiers is refused on every path, by every verifier, every time.
func TestSplittingSignatureIsRefusedOnEveryPath(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 0, Ed25519{}, func(m *Membership) { m.ClientAuth = true })
	evil := newCluster(t, 1, 0, splitter{tb: t}, func(m *Membership) { m.ClientAuth = true })

	rows := c.rows(1)
	rows[2] = evil.summary(3, 1)
	certificate := c.certificate(1, 1, 2, 4)
	certificate.Commits[1] = evil.one(2, c.commit(certificate.PrePrepare))
	proposed := c.certificate(1, 1, 2, 4)
	proposed.PrePrepare = evil.one(1, proposed.PrePrepare.Msg)
	update := evil.update(testKey(70), 1)

	for name, tt := range map[string]struct {
		e    *wire.Envelope
		want error
	}{
		"alone":              {evil.one(2, c.status(1)), BadSignature},
		"first of a batch":   {evil.sign(2, c.statuses(3)...)[0], BadSignature},
		"last of a batch":    {evil.sign(2, c.statuses(3)...)[2], BadSignature},
		"summary":            {evil.summary(3, 1), BadSignature},
		"row of a matrix":    {c.one(2, &wire.SummaryMatrix{View: 1, Rows: rows}), BadMember},
		"row of a proposal":  {c.one(1, &wire.PrePrepare{View: 1, Ordinal: 1, Base: c.vector(0), Rows: rows}), BadMember},
		"commit":             {c.one(4, certificate), BadMember},
		"certified proposal": {c.one(4, proposed), BadMember},
		"evidence":           {c.one(4, &wire.Evidence{First: c.one(3, c.request(1)), Second: evil.one(3, c.request(2))}), BadMember},
		"client's update":    {c.one(4, &wire.PreorderRequest{Seq: 1, Updates: []wire.Update{update}}), BadUpdate},
	} {
		warm := c.verifier()
		for i := range 3 {
			for which, v := range map[string]*Verifier{"warm": warm, "fresh": c.verifier()} {
				if got := v.Verify(tt.e); got != tt.want {
					t.Errorf("%s, %s verifier, time %d: %v, want %v", name, which, i+1, got, tt.want)
				}
			}
		}
	}
	if got := c.verifier().VerifyUpdate(2, &update); got != BadUpdate {
		t.Errorf("update at the gateway: %v, want %v", got, BadUpdate)
	}
	p := c.pool(t, 2, 1<<20)
	for _, e := range evil.sign(2, c.statuses(5)...) {
		p.Offer(2, wire.Bounded, e.Raw)
	}
	until(t, "all refused by the pool", func() bool { return p.Stats()[1].Refused[BadSignature] == 5 })
}

// With a component of order 8 in the public key a signature is good for cofactored verifiers always, and by our rule only if
// the component vanishes in kA. What matters is that it is one rule: every signature gets the answer of the textbook.
func TestKeyWithTorsionFollowsOneRule(t *testing.T) {
	t.Parallel()
	key := testKey(80)
	public := decodePoint(key.Public().(ed25519.PublicKey)).plus(orderEight).encode()
	c := newCluster(t, 1, 0, Ed25519{}, func(m *Membership) { m.ClientAuth = true })
	good, bad := 0, 0
	for seq := uint64(1); good == 0 || bad < 10; seq++ {
		u := wire.Update{Client: wire.ClientID(public), Seq: seq}
		statement := wire.UpdateStatement(c.keyring.Cluster(), &u)
		u.Sig = twistedSign(key, public, statement, neutral())
		if !cofactored(public, statement, &u.Sig) {
			t.Fatal("the signature does not split the two rules")
		}
		want := error(BadUpdate)
		if cofactorless(public, statement, &u.Sig) {
			want = nil
			good++
		} else {
			bad++
		}
		v := c.verifier()
		for range 3 {
			if got := v.VerifyUpdate(1, &u); got != want {
				t.Fatalf("update %d: %v, want %v", seq, got, want)
			}
		}
	}
}

// alter is a copy of b, altered.
func alter(b []byte, f func([]byte)) []byte {
	b = append([]byte(nil), b...)
	f(b)
	return b
}

// Nobody but the signer can make a second encoding of a message in its batch.
func TestMessagesAreNotMalleable(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 0, Ed25519{}, nil)
	for _, size := range []int{0, 1, 3, 8} {
		batch := c.sign(2, c.statuses(size)...)
		if size == 0 {
			batch = append(batch, c.summary(2, 1))
		}
		warm := c.verifier()
		for _, e := range batch {
			if err := warm.Verify(e); err != nil {
				t.Fatal(err)
			}
		}
		refused := func(what string, raw []byte) {
			t.Helper()
			e, err := c.limits.Decode(raw)
			if err == nil && warm.Verify(e) == nil {
				t.Errorf("batch of %d: %s is accepted", size, what)
			}
		}
		for n := len(batch) - 1; n >= 0; n -= 3 {
			e := batch[n]
			for i := range e.Raw {
				refused(fmt.Sprintf("message %d with byte %d altered", n, i), alter(e.Raw, func(b []byte) { b[i] ^= 1 << (i % 8) }))
			}
			refused("trailing byte", append(e.Raw[:len(e.Raw):len(e.Raw)], 0))
			refused("S plus the order of the group", alter(e.Raw, addOrderToS))
			for count := 1; count <= 12; count++ {
				for index := range count {
					p := reshaped(e.Proof, count, index)
					if count == len(batch) && index == n {
						continue
					}
					other := *e
					other.Finish(p)
					refused(fmt.Sprintf("message %d as %d of %d", n, index, count), other.Raw)
				}
			}
		}
	}
}

// reshaped is p for another place, with the path cut or prolonged so that its length is right.
func reshaped(p wire.Proof, count, index int) wire.Proof {
	path := make([]wire.Digest, pathLen(uint8(count)))
	for i := range path {
		path[i] = hashPad()
	}
	copy(path, p.Path)
	return wire.Proof{Count: uint8(count), Index: uint8(index), Path: path, Sig: p.Sig}
}

// addOrderToS makes the other encoding of the same S, if there is room for it.
func addOrderToS(raw []byte) {
	s := raw[len(raw)-32:]
	copy(s, bytes32(little(s).Add(little(s), groupOrder)))
}
