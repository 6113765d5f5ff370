package image

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/primebft/prime/internal/core"
	"github.com/primebft/prime/internal/group"
	"github.com/primebft/prime/internal/wire"
)

// TestLayoutOfTheCore: there is an image of everything that a core has. Who adds a field of a kind that is not supported finds its
// name here.
func TestLayoutOfTheCore(t *testing.T) {
	t.Parallel()
	if _, err := Of[core.Replica](core.Behaviour); err != nil {
		t.Fatal(err)
	}
}

// everything is a value of all that is supported.
type everything struct {
	flag     bool
	number   int64
	small    [3]uint16
	text     string
	empty    []byte
	none     []byte
	list     []inner
	same     []inner // as list
	by       map[[4]byte]*inner
	self     *everything
	first    *inner
	second   *inner // as first
	signed   *wire.Envelope
	again    *wire.Envelope
	unproven *wire.Envelope
	nested   [2][]*wire.Envelope
	chain    *link
	padding  struct {
		a uint8
		b uint64
	}
}

type inner struct {
	name string
	n    int32
}

type link struct {
	next *link
	n    int
}

func signed(view uint64) *wire.Envelope {
	e := wire.NewEnvelope(wire.Header{Sender: 2, Epoch: 1, Incarnation: 1}, &wire.NewLeader{View: view})
	e.Finish(wire.Proof{Count: 1})
	return e
}

var limits = wire.Limits{N: group.MustNew(1, 0).N(), UpdateBytes: 100, RequestBytes: 100, RequestUpdates: 10}

func full() *everything {
	request := wire.NewEnvelope(wire.Header{Sender: 2, Epoch: 1, Incarnation: 1}, &wire.PreorderRequest{Seq: 3,
		Updates: []wire.Update{{Client: wire.ClientID{1}, Seq: 1, Payload: []byte("p")}}})
	request.Finish(wire.Proof{Count: 1})
	v := &everything{flag: true, number: -5, small: [3]uint16{1, 2, 3}, text: "text", empty: []byte{}, signed: signed(7)}
	v.list = []inner{{"a", 1}, {"b", 2}}
	v.same, v.self, v.again = v.list, v, v.signed
	v.first = &inner{"shared", 3}
	v.second = v.first
	v.by = map[[4]byte]*inner{{2}: v.first, {1}: {"other", 4}, {3}: nil}
	v.unproven = wire.WithoutProof(request)
	v.nested[1] = []*wire.Envelope{nil, signed(8), v.signed}
	v.padding.a, v.padding.b = 1, 2
	for i := range 100_000 { // too deep for a recursion
		v.chain = &link{v.chain, i}
	}
	return v
}

func of[T any](t *testing.T, behaviour uint32) *Layout[T] {
	t.Helper()
	l, err := Of[T](behaviour)
	if err != nil {
		t.Fatal(err)
	}
	l.Check = true
	return l
}

// TestRoundTrip: what is read is what was taken, and shares what that shared.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	l, v := of[everything](t, 1), full()
	i, err := l.Take(v)
	if err != nil {
		t.Fatal(err)
	}
	b := i.Append(nil)
	if len(b) > i.Size() {
		t.Errorf("%d bytes, announced as %d", len(b), i.Size())
	}
	r, err := l.Read(b, limits)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(r, v) {
		t.Errorf("it is %+v", r)
	}
	if r.self != r || r.first != r.second || r.by[[4]byte{2}] != r.first || r.signed != r.again || r.nested[1][2] != r.signed ||
		&r.list[1] != &r.same[1] {
		t.Error("what was shared is not")
	}
	if r.empty == nil || r.none != nil {
		t.Error("nothing and empty are mixed up")
	}
	v.number, v.list[0].name = 6, "later"
	if !bytes.Equal(i.Append(nil), b) {
		t.Error("an image changes with what it was taken of")
	}
}

// TestRefused: types of which there is no image are refused by the name of the field, and so is memory that is shared in other ways.
func TestRefused(t *testing.T) {
	t.Parallel()
	type odd struct{ deep *struct{ fn func() } }
	for name, err := range map[string]error{
		"deep.*.fn": second(Of[odd](1)), "any": second(Of[struct{ any any }](1)), "f": second(Of[struct{ f float64 }](1)),
		"m": second(Of[struct{ m map[string]int }](1)), "e": second(Of[struct{ e wire.Envelope }](1)), "c": second(Of[struct{ c chan int }](1)),
		"z": second(Of[struct{ z []struct{} }](1)), "p": second(Of[struct{ p *struct{} }](1)),
	} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	type sharing struct {
		a, b []int
		p    *int
		m, k map[int32]int
		e    *wire.Envelope
	}
	l := of[sharing](t, 1)
	base := []int{1, 2, 3}
	m := map[int32]int{1: 2}
	for _, v := range []*sharing{
		{a: base, b: base[:2]}, {a: base, b: base[1:]}, {a: base, p: &base[1]}, {m: m, k: m},
		{e: wire.NewEnvelope(wire.Header{Sender: 1}, &wire.NewLeader{View: 1})},
	} {
		if _, err := l.Take(v); err == nil {
			t.Errorf("an image of %+v", v)
		}
	}
}

func second[T any](_ *Layout[T], err error) error { return err }

// TestOtherPrograms: images of other types, and of a program that behaves otherwise, are refused by name.
func TestOtherPrograms(t *testing.T) {
	t.Parallel()
	type before struct{ a, b uint32 }
	type after struct{ a, c uint32 }
	i, err := of[before](t, 1).Take(&before{1, 2})
	if err != nil {
		t.Fatal(err)
	}
	b := i.Append(nil)
	if _, err := of[before](t, 1).Read(b, limits); err != nil {
		t.Error(err)
	}
	if _, err := of[after](t, 1).Read(b, limits); !errors.Is(err, ErrLayout) {
		t.Errorf("another field: %v", err)
	}
	if _, err := of[before](t, 2).Read(b, limits); !errors.Is(err, ErrLayout) {
		t.Errorf("another behaviour: %v", err)
	}
}

// FuzzRead: any bytes give a value or an error, and what gives a value is the image of it.
func FuzzRead(f *testing.F) {
	l, err := Of[everything](1)
	if err != nil {
		f.Fatal(err)
	}
	v := full()
	v.chain = v.chain.next.next
	for v.chain.n > 10 {
		v.chain = v.chain.next
	}
	i, err := l.Take(v)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(i.Append(nil)[32:])
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := l.Read(append(l.fingerprint[:], b...), limits)
		if err != nil {
			return
		}
		if i, err := l.Take(r); err != nil {
			t.Logf("no image of it: %v", err)
		} else if _, err := l.Read(i.Append(nil), limits); err != nil {
			t.Errorf("read once, and not again: %v", err)
		}
	})
}
