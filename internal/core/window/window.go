// Package window holds slots by sequence number, in a ring: the memory it takes is bounded by the distance from the oldest
// slot that is still needed to the newest that was accepted, and both ends are the owner's decision.
package window

// Ring has one slot for every sequence number in (Base, Base+capacity]. The zero Ring is ready to use: Base is 0. Slots that
// were never written are zero values.
type Ring[T any] struct {
	base  uint64
	slots []T // length is zero or a power of two; the slot of seq is slots[seq & (len-1)]
}

// Base is the last sequence number that is gone.
func (r *Ring[T]) Base() uint64 { return r.base }

// At is the slot of seq, nil if it is gone or was never made. The pointer is valid until the next Make or Advance.
func (r *Ring[T]) At(seq uint64) *T {
	if seq <= r.base || seq-r.base > uint64(len(r.slots)) {
		return nil
	}
	return &r.slots[seq&uint64(len(r.slots)-1)]
}

// Make is the slot of seq, after growing the ring if it must; nil if seq is gone. The caller has checked that seq is not too
// far ahead.
func (r *Ring[T]) Make(seq uint64) *T {
	if seq <= r.base {
		return nil
	}
	if need := seq - r.base; need > uint64(len(r.slots)) {
		r.grow(need)
	}
	return r.At(seq)
}

func (r *Ring[T]) grow(need uint64) {
	size := max(8, uint64(len(r.slots)))
	for size < need {
		size *= 2
	}
	slots := make([]T, size)
	for i := range uint64(len(r.slots)) {
		seq := r.base + 1 + i
		slots[seq&(size-1)] = r.slots[seq&uint64(len(r.slots)-1)]
	}
	r.slots = slots
}

// Advance forgets every slot up to and including base. It never goes back.
func (r *Ring[T]) Advance(base uint64) {
	if base <= r.base {
		return
	}
	var zero T
	for gone := min(base-r.base, uint64(len(r.slots))); gone > 0; gone-- {
		r.slots[(r.base+gone)&uint64(len(r.slots)-1)] = zero
	}
	r.base = base
}

// Len is the capacity, for limits and tests.
func (r *Ring[T]) Len() int { return len(r.slots) }
