package session

import (
	"math/bits"

	"github.com/primebft/prime/internal/wire"
)

// Parse reads the table that AppendState wrote at a replica with the same limits: at most most sessions that remember window numbers
// each. Any bytes give a table or an error, a wire.Malformed; what is accepted is the only encoding of its table, and one that
// executing updates can lead to. Nothing aliases b.
func Parse(b []byte, most, window int) (*Table, error) {
	t := New(most, window)
	r := wire.NewReader(b)
	t.floor = r.U64()
	each := len(wire.ClientID{}) + 8 + 8 + window/8
	r.Check(r.Len()%each == 0 && r.Len()/each <= most, "number of sessions")
	for r.Len() > 0 {
		var client wire.ClientID
		copy(client[:], r.Bytes(len(client)))
		if r.Check(t.find(client) == 0, "session twice"); r.Len() == 0 {
			break // that failed
		}
		p := t.add(client)
		s, executed := t.at(p), t.executedBy(p)
		s.floor, s.high = r.U64(), r.U64()
		for i := range executed {
			executed[i] = r.U64()
		}
		r.Check(s.floor <= t.floor, "floor of a session")
		r.Check(s.plausible(executed), "numbers of a session")
	}
	if err := r.Done(); err != nil {
		return nil, err
	}
	return t, nil
}

// plausible reports whether the highest number is marked as executed, and none that never can be: they start at 1.
func (s *session) plausible(executed []uint64) bool {
	window := uint64(len(executed)) * 64
	if s.high == 0 || executed[s.high%window/64]&(1<<(s.high%64)) == 0 {
		return false
	}
	lowest := uint64(1)
	if s.high >= window {
		lowest = s.high - window + 1
	}
	marked := 0
	for seq := lowest; ; seq++ { // seq may be the highest number there is
		if executed[seq%window/64]&(1<<(seq%64)) != 0 {
			marked++
		}
		if seq >= s.high {
			break
		}
	}
	for _, word := range executed {
		marked -= bits.OnesCount64(word)
	}
	return marked == 0
}
