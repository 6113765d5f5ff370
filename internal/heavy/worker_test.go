package heavy

import (
	"errors"
	"testing"

	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// TestRequestsWithoutProof: a request whose parts bring no good proof of its origin comes together all the same, without one; with one good proof
// it has that. Parts of something else than their digest says give nothing.
func TestRequestsWithoutProof(t *testing.T) {
	t.Parallel()
	g := group.MustNew(2, 0)
	limits := wire.Limits{N: g.N(), UpdateBytes: 1000, RequestBytes: 1000, RequestUpdates: 10, Enough: g.OneCorrect()}
	verify := func(e *wire.Envelope) error {
		if e.Proof.Sig[0] != 7 {
			return errors.New("forged")
		}
		return nil
	}
	worker := func(id group.ID) *Worker {
		w, err := New(id, g, limits, verify)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	request := wire.NewEnvelope(wire.Header{Sender: 2, Epoch: 1, Incarnation: 1},
		&wire.PreorderRequest{Seq: 3, Updates: []wire.Update{{Client: wire.ClientID{1}, Seq: 1, Payload: []byte("payload")}}})
	request.Finish(wire.Proof{Count: 1, Sig: wire.Signature{7}})
	id := wire.PreorderID{Origin: 2, Position: wire.Position{Incarnation: 1, Seq: 3}}
	without := 0
	recons := func(change func(*wire.Part)) (list []*wire.Envelope) {
		without = 0
		for from := group.ID(1); from <= 3; from++ {
			part := *worker(from).Do(effect.Job{ID: id, Request: request}).Part
			if part.Origin.Count == 0 {
				without++
			}
			change(&part)
			list = append(list, wire.NewEnvelope(wire.Header{Sender: from, Epoch: 1, Incarnation: 1}, &wire.Parts{List: []wire.Part{part}}))
		}
		return list
	}
	join := func(list []*wire.Envelope) *wire.Envelope {
		return worker(7).Do(effect.Job{ID: id, Parts: list}).Joined
	}

	if r := join(recons(func(*wire.Part) {})); r == nil || r.Raw == nil || r.Digest != request.Digest || without != 1 {
		t.Errorf("with the origin's proof from all but %d of 3: %+v", without, r)
	}
	if r := join(recons(func(m *wire.Part) { m.Origin.Sig[0]++ })); r == nil || r.Raw != nil || r.Digest != request.Digest {
		t.Errorf("with bad proofs only: %+v", r)
	}
	if r := join(recons(func(m *wire.Part) { m.Digest[0]++ })); r != nil {
		t.Errorf("with another digest: %+v", r)
	}
}
