package parts

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// multiply and divide are the field GF(2^8) with the polynomial 0x11d, in the most obvious way.
func multiply(a, b byte) (product byte) {
	for ; b > 0; b >>= 1 {
		if b&1 == 1 {
			product ^= a
		}
		overflow := a&0x80 != 0
		if a <<= 1; overflow {
			a ^= 0x1d
		}
	}
	return product
}

func divide(a, b byte) byte {
	for c := range 256 {
		if multiply(byte(c), b) == a {
			return byte(c)
		}
	}
	panic("division by zero")
}

// twin is the code by its definition: byte column by byte column, the data parts are the values at 0, 1, … of a polynomial of
// degree f, and part i is its value at i.
func twin(content []byte, n, enough int) [][]byte {
	size := (len(content) + enough - 1) / enough
	padded := append(bytes.Clone(content), make([]byte, enough*size-len(content))...)
	all := make([][]byte, n)
	for i := range all {
		all[i] = make([]byte, size)
		for at := range size {
			for j := range enough { // Lagrange
				term := padded[j*size+at]
				for m := range enough {
					if m != j {
						term = multiply(term, divide(byte(i)^byte(m), byte(j)^byte(m)))
					}
				}
				all[i][at] ^= term
			}
		}
	}
	return all
}

// TestCodeIsTheOneOfTheWireFormat: all implementations must cut the same parts, whatever their library does inside.
func TestCodeIsTheOneOfTheWireFormat(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 1))
	for _, g := range []group.Group{group.MustNew(0, 1), group.MustNew(1, 0), group.MustNew(1, 1), group.MustNew(2, 0), group.MustNew(3, 1)} {
		for _, length := range []int{1, 2, 3, 7, 11, 12, 13, 40} {
			content := random(rng, length)
			got, want := newCode(t, g).shards(content), twin(content, g.N(), g.OneCorrect())
			for i := range want {
				if !bytes.Equal(got[i], want[i]) {
					t.Fatalf("%s, %d bytes: part %d is %x, by definition %x", g, length, i, got[i], want[i])
				}
			}
		}
	}
}

func newCode(t testing.TB, g group.Group) *Code {
	t.Helper()
	c, err := New(g)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func random(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// request is a PO-REQUEST of r2 with a payload of so many bytes.
func request(rng *rand.Rand, payload int) *wire.Envelope {
	m := &wire.PreorderRequest{Seq: 7, Updates: []wire.Update{{Seq: 1, Payload: random(rng, payload)}}}
	e := wire.NewEnvelope(wire.Header{Sender: 2, Epoch: 1, Incarnation: 3}, m)
	e.Finish(wire.Proof{Count: 1})
	return e
}

// cut is everybody's RECON of a request.
func cut(c *Code, e *wire.Envelope) (all []*wire.Envelope) {
	for id := range c.group.All().All() {
		all = append(all, say(id, c.Cut(e, id)))
	}
	return all
}

func say(id group.ID, m *wire.Part) *wire.Envelope {
	e := wire.NewEnvelope(wire.Header{Sender: id, Epoch: 1, Incarnation: 1}, &wire.Parts{List: []wire.Part{*m}})
	e.Finish(wire.Proof{Count: 1})
	return e
}

// part is the only one of a RECON.
func part(e *wire.Envelope) *wire.Part { return &e.Msg.(*wire.Parts).List[0] }

// TestAnyEnoughPartsJoin tries every choice of f+1 parts, and that what is decoded from the bytes has the root that the cutter
// says.
func TestAnyEnoughPartsJoin(t *testing.T) {
	t.Parallel()
	for _, g := range []group.Group{group.MustNew(1, 0), group.MustNew(0, 2), group.MustNew(1, 1), group.MustNew(2, 0), group.MustNew(2, 1)} {
		rng, c := rand.New(rand.NewPCG(2, 2)), newCode(t, g)
		l := wire.Limits{N: g.N(), UpdateBytes: 5000, RequestBytes: 5000, RequestUpdates: 1, Enough: g.OneCorrect()}
		for _, payload := range []int{0, 1, 2, 3, 100, 4099} {
			e := request(rng, payload)
			all := cut(c, e)
			for i := range all {
				d, err := l.Decode(all[i].Raw)
				if err != nil {
					t.Fatal(err)
				}
				if m := part(d); m.Root != c.Root(e.Content) || !m.Names(e) {
					t.Fatalf("%s: the part of r%d has root %s, the request %s", g, i+1, m.Root, c.Root(e.Content))
				}
				all[i] = d
			}
			for set := range group.Set(1) << g.N() {
				if set.Len() != g.OneCorrect() {
					continue
				}
				var some []*wire.Envelope
				for id := range set.All() {
					some = append(some, all[id.Index()])
				}
				if got := c.Join(part(some[0]).ID, some); !bytes.Equal(got, e.Content) {
					t.Fatalf("%s: the parts of %s give %d bytes, not the request of %d", g, set, len(got), len(e.Content))
				}
				if got := c.Join(part(some[0]).ID, some[1:]); got != nil {
					t.Fatalf("%s: the parts of %s less one give something", g, set)
				}
			}
		}
	}
}

// TestNothingButTheContentOfTheRootJoins: whatever is done to parts, what comes together has the root that they have.
func TestNothingButTheContentOfTheRootJoins(t *testing.T) {
	t.Parallel()
	g := group.MustNew(2, 0)
	rng, c := rand.New(rand.NewPCG(3, 3)), newCode(t, g)
	joined := 0
	for range 2000 {
		e := request(rng, rng.IntN(60))
		all := cut(c, e)
		rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		some := all[:g.OneCorrect()]
		for range rng.IntN(3) {
			k := rng.IntN(len(some))
			m := *part(some[k])
			m.Bytes = bytes.Clone(m.Bytes)
			switch rng.IntN(5) {
			case 0:
				m.Bytes[rng.IntN(len(m.Bytes))] ^= byte(rng.IntN(255))
			case 1:
				m.Length += uint32(rng.IntN(3)) - 1
			case 2:
				m.Bytes = m.Bytes[:len(m.Bytes)-rng.IntN(2)]
			case 3: // another's part
				m.Bytes = bytes.Clone(part(all[rng.IntN(len(all))]).Bytes)
			}
			if rng.IntN(2) == 0 { // what a receiver computes; otherwise the lie that no receiver would believe
				m.Root = wire.PartRoot(some[k].Sender.Index(), m.Length, m.Bytes, m.Path)
			}
			some[k] = say(some[k].Sender, &m)
		}
		if got := c.Join(part(some[0]).ID, some); got != nil {
			joined++
			if root := part(some[0]).Root; c.Root(got) != root {
				t.Fatalf("%x has root %s, its parts have %s", got, c.Root(got), root)
			}
		}
	}
	if joined < 200 || joined > 1900 {
		t.Errorf("%d of 2000 joined: the changes test nothing", joined)
	}
}

// A faulty replica can make a tree over parts that are not those of one content: then nothing joins, from any f+1 of them.
func TestInconsistentTreeGivesNothing(t *testing.T) {
	t.Parallel()
	g := group.MustNew(1, 0)
	rng, c := rand.New(rand.NewPCG(4, 4)), newCode(t, g)
	e := request(rng, 50)
	all := c.shards(e.Content)
	all[3] = random(rng, len(all[3]))
	var lies []*wire.Envelope
	for id := range g.All().All() {
		m := c.Cut(e, id)
		m.Bytes = all[id.Index()]
		m.Root, m.Path = wire.PartTree(all, m.Length, id.Index())
		lies = append(lies, say(id, m))
	}
	for i := range lies {
		for j := range lies {
			if i != j && c.Join(part(lies[i]).ID, []*wire.Envelope{lies[i], lies[j]}) != nil {
				t.Errorf("the parts of r%d and r%d give something", i+1, j+1)
			}
		}
	}
}

func BenchmarkParts(b *testing.B) {
	for _, fk := range [][2]int{{1, 0}, {2, 0}, {4, 2}} {
		g := group.MustNew(fk[0], fk[1])
		c := newCode(b, g)
		for _, payload := range []int{512, 16 << 10, 256 << 10} {
			e := request(rand.New(rand.NewPCG(5, 5)), payload)
			all := cut(c, e)
			b.Run(fmt.Sprintf("cut/n=%d/%d", g.N(), payload), func(b *testing.B) {
				b.SetBytes(int64(payload))
				for b.Loop() {
					c.Cut(e, 1)
				}
			})
			b.Run(fmt.Sprintf("join/n=%d/%d", g.N(), payload), func(b *testing.B) {
				b.SetBytes(int64(payload))
				for b.Loop() {
					if c.Join(part(all[0]).ID, all[g.N()-g.OneCorrect():]) == nil {
						b.Fatal("nothing")
					}
				}
			})
		}
	}
}
