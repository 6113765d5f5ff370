package group

import (
	"iter"
	"math/bits"
	"strings"
)

// Set is a set of replicas. The zero Set is empty. Because a replica is in a Set once or not at all, counting a Set can
// never count a repeated signer.
type Set uint64

// SetOf returns the set of the given replicas.
func SetOf(ids ...ID) Set {
	var s Set
	for _, id := range ids {
		s = s.With(id)
	}
	return s
}

func bit(id ID) Set {
	if id == 0 || id > MaxReplicas {
		return 0
	}
	return 1 << (id - 1)
}

// With is s and id.
func (s Set) With(id ID) Set { return s | bit(id) }

// Without is s less id.
func (s Set) Without(id ID) Set { return s &^ bit(id) }

// Has reports whether id is in s; false for 0.
func (s Set) Has(id ID) bool { return s&bit(id) != 0 }

// Len is how many replicas are in s.
func (s Set) Len() int { return bits.OnesCount64(uint64(s)) }

// Union is everybody in s or t; Minus everybody in s but not in t; Intersect everybody in both.
func (s Set) Union(t Set) Set { return s | t }

// Minus is everybody in s but not in t.
func (s Set) Minus(t Set) Set { return s &^ t }

// Intersect is everybody in both s and t.
func (s Set) Intersect(t Set) Set { return s & t }

// All yields the members in ascending order.
func (s Set) All() iter.Seq[ID] {
	return func(yield func(ID) bool) {
		for rest := uint64(s); rest != 0; rest &= rest - 1 {
			if !yield(ID(bits.TrailingZeros64(rest) + 1)) {
				return
			}
		}
	}
}

// String is the form people see: r1,r3.
func (s Set) String() string {
	var b strings.Builder
	for id := range s.All() {
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(id.String())
	}
	return b.String()
}
