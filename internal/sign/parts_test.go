package sign

import (
	"bytes"
	"testing"

	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/parts"
	"github.com/primebft/prime/internal/wire"
)

// TestWrongPartsAreEvidenceForAnybody: a RECON and the request that it names convict exactly if the request, cut, has another root.
// A good part convicts nobody, whoever shows it.
func TestWrongPartsAreEvidenceForAnybody(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 0, Ed25519{}, nil)
	code, err := parts.New(c.keyring.Group())
	if err != nil {
		t.Fatal(err)
	}
	request, another := c.one(3, c.request(1)), c.one(3, c.request(2))
	lie := func(alter func(*wire.Part)) *wire.Envelope {
		m := code.Cut(request, 1)
		m.Bytes = bytes.Clone(m.Bytes)
		alter(m)
		return c.one(1, &wire.Parts{List: []wire.Part{*m, *code.Cut(another, 1)}})
	}
	good := lie(func(*wire.Part) {})
	wrong := lie(func(m *wire.Part) { m.Bytes[3] ^= 1 })
	evidence := func(a, b *wire.Envelope) *wire.Envelope { return c.sealed(4, &wire.Evidence{First: a, Second: b}) }
	c.checkVerdicts(t, map[string]verdict{
		"a part":                {good, nil},
		"a wrong part":          {wrong, nil}, // who cannot know better takes it
		"wrong bytes":           {evidence(wrong, request), nil},
		"wrong path":            {evidence(lie(func(m *wire.Part) { m.Path[0][0] ^= 1 }), request), nil},
		"another's part":        {evidence(lie(func(m *wire.Part) { m.Bytes = code.Cut(request, 2).Bytes }), request), nil},
		"a good part":           {evidence(good, request), BadMember},
		"a forged part":         {evidence(stolen(wrong, good), request), BadMember},
		"a forged request":      {evidence(wrong, stolen(request, another)), BadMember},
		"the good part of two":  {evidence(wrong, another), BadMember},
		"a request of no part":  {evidence(wrong, c.one(3, c.request(3))), Malformed},
		"no request":            {evidence(wrong, good), Malformed},
		"a request and a part":  {evidence(request, wrong), Malformed},
		"another origin's name": {evidence(lie(func(m *wire.Part) { m.ID.Origin = 2 }), request), Malformed},
	})
}

// A RECON says what its signer has: nobody may bring another's.
func TestPartsAreNotPassedOn(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 0, Ed25519{}, nil)
	code, err := parts.New(c.keyring.Group())
	if err != nil {
		t.Fatal(err)
	}
	e := c.one(1, &wire.Parts{List: []wire.Part{*code.Cut(c.one(3, c.request(1)), 1)}})
	for from, want := range map[group.ID]bool{1: true, 2: false, 3: false} {
		if mayBring(from, e) != want {
			t.Errorf("%s may bring the part of r1: %v", from, !want)
		}
	}
}
