package effect

import (
	"bytes"
	"slices"
	"testing"

	"github.com/primebft/prime/internal/wire"
)

func sampleState() *State {
	s := &State{Ordinal: 7, Time: -9, Vector: wire.Vector{{}, {Incarnation: 1, Seq: 5}, {Incarnation: 2, Seq: 1 << 40}, {}},
		Transfers: []int64{0, 4, -3, 1 << 50}, Sessions: []byte("sessions")}
	for i := range s.Chain {
		s.Chain[i] = byte(i + 1)
	}
	return s
}

func TestStateRoundTrips(t *testing.T) {
	t.Parallel()
	s := sampleState()
	b := s.Append(nil)
	got, err := ParseState(b, 4)
	if err != nil {
		t.Fatal(err)
	}
	if got.Ordinal != s.Ordinal || got.Time != s.Time || !slices.Equal(got.Vector, s.Vector) || got.Chain != s.Chain ||
		!slices.Equal(got.Transfers, s.Transfers) || !bytes.Equal(got.Sessions, s.Sessions) {
		t.Errorf("got %+v, want %+v", got, s)
	}
	s.Transfers = nil
	zeros := *s
	zeros.Transfers = make([]int64, 4)
	if !bytes.Equal(s.Append(nil), zeros.Append(nil)) {
		t.Error("no transfer points are not as many zeros")
	}
	for _, bad := range [][]byte{nil, b[:1], b[:80], append([]byte{2}, b[1:]...)} {
		if _, err := ParseState(bad, 4); err == nil {
			t.Errorf("%x is accepted", bad)
		}
	}
	if _, err := ParseState(b, 5); err == nil {
		t.Error("a state of another group is accepted")
	}
}

// FuzzParseState: any bytes give an error, or a state whose encoding they are.
func FuzzParseState(f *testing.F) {
	f.Add(sampleState().Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseState(b, 4)
		if err == nil && !bytes.Equal(s.Append(nil), b) {
			t.Fatalf("parsed %x, which is written %x", b, s.Append(nil))
		}
	})
}
