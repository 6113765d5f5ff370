package window

import (
	"testing"

	"pgregory.net/rapid"
)

// TestRingAgainstMap compares the ring with its dumb twin, a map.
func TestRingAgainstMap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var ring Ring[int]
		twin, base := map[uint64]int{}, uint64(0)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			if rapid.IntRange(0, 9).Draw(t, "op") == 0 {
				base += rapid.Uint64Range(0, 60).Draw(t, "advance")
				ring.Advance(base)
				for seq := range twin {
					if seq <= base {
						delete(twin, seq)
					}
				}
				continue
			}
			seq := base + rapid.Uint64Range(0, 100).Draw(t, "ahead")
			slot := ring.Make(seq)
			if (slot == nil) != (seq <= base) {
				t.Fatalf("Make(%d) with base %d: nil is %v", seq, base, slot == nil)
			}
			if slot != nil {
				*slot = int(seq) + 1
				twin[seq] = int(seq) + 1
			}
		}
		for seq := range base + 300 {
			got := 0
			if slot := ring.At(seq); slot != nil {
				got = *slot
			}
			if got != twin[seq] {
				t.Fatalf("slot %d holds %d, want %d (base %d)", seq, got, twin[seq], base)
			}
		}
	})
}

// TestRingIsBoundedByDistance shows that advancing far does not take memory.
func TestRingIsBoundedByDistance(t *testing.T) {
	t.Parallel()
	var ring Ring[int]
	for seq := uint64(1); seq < 1_000_000; seq++ {
		*ring.Make(seq) = 1
		if seq > 50 {
			ring.Advance(seq - 50)
		}
	}
	ring.Advance(1 << 60)
	if ring.Len() > 64 || ring.At(1<<60) != nil || ring.Base() != 1<<60 {
		t.Fatalf("capacity %d, base %d", ring.Len(), ring.Base())
	}
}
