package core_test

import (
	"slices"
	"strconv"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/primebft/prime/internal/core/effect"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/heavy"
	"github.com/primebft/prime/internal/parts"
	"github.com/primebft/prime/internal/wire"
)

// newWorker does the jobs of a replica in a world without signatures.
func newWorker(t testing.TB, self group.ID, g group.Group) *heavy.Worker {
	t.Helper()
	limits := wire.Limits{N: g.N(), UpdateBytes: 1000, RequestBytes: 1000, RequestUpdates: 10, Enough: g.OneCorrect()}
	w, err := heavy.New(self, g, limits, func(*wire.Envelope) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// part rI of=rJ seq=N text=T to=… [wrong=part|index|digest]: replica I sends its part of the request of J with one update of that
// text, or what pretends to be.
func (s *script) part(t *testing.T, d *datadriven.TestData) {
	from, origin, to, seq, text, wrong := group.ID(0), group.ID(0), group.Set(0), uint64(1), "", ""
	one := func(name string) (id group.ID) {
		for id = range parseSet(t, []string{name}).All() {
		}
		return id
	}
	for _, a := range d.CmdArgs {
		switch a.Key {
		case "of":
			origin = one(a.Vals[0])
		case "seq":
			seq, _ = strconv.ParseUint(a.Vals[0], 10, 64)
		case "text":
			text = a.Vals[0]
		case "to":
			to = parseSet(t, a.Vals)
		case "wrong":
			wrong = a.Vals[0]
		default:
			from = one(a.Key)
		}
	}
	code, err := parts.New(s.group)
	if err != nil {
		t.Fatal(err)
	}
	request := wire.NewEnvelope(wire.Header{Sender: origin, Epoch: 1, Incarnation: 1},
		&wire.PreorderRequest{Seq: seq, Updates: []wire.Update{update(text)}})
	request.Finish(wire.Proof{Count: 1})
	m := code.Cut(request, from)
	switch wrong {
	case "part":
		m.Bytes = slices.Clone(m.Bytes)
		m.Bytes[0] ^= 1
	case "index": // its successor's
		m.Bytes = code.Cut(request, from%group.ID(s.group.N())+1).Bytes
	case "digest":
		m.Digest[0] ^= 1
	}
	m.Root = wire.PartRoot(from.Index(), m.Length, m.Bytes, m.Path)
	s.send(from, effect.Send{To: to, Class: wire.Recon, Msg: &wire.Parts{List: []wire.Part{*m}}})
}
