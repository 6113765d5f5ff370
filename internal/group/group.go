// Package group knows the sizes of a Prime group: how many replicas there are, which of them may fail, and every
// quorum and rank that follows. No other package does arithmetic on n, f and k.
//
// Source: TDSC 2011 section 3 for k = 0; SRDS 2014 section III for k > 0.
package group

import (
	"fmt"
	"strconv"
)

// MaxReplicas is the largest group that a Set can hold.
const MaxReplicas = 64

// ID names a replica: 1..n, as in the paper, in configuration files, in text (r3) and on the wire. 0 is nobody.
type ID uint8

// String is the form people see: r3.
func (id ID) String() string { return "r" + strconv.Itoa(int(id)) }

// Index is the position of this replica in arrays that have one entry per replica.
func (id ID) Index() int { return int(id) - 1 }

// FromIndex is the inverse of ID.Index.
func FromIndex(i int) ID { return ID(i + 1) }

// Group is the sizes of a group: n = 3f + 2k + 1 replicas, of which f may be compromised while k more are crashed, cut
// off or recovering. It is a small immutable value; the zero Group is invalid.
type Group struct {
	f, k uint8
	made bool // by New: tells the group of one replica (f = 0, k = 0) from the zero Group
}

// New returns the group for f compromised and k unavailable replicas.
func New(f, k int) (Group, error) {
	if f < 0 || k < 0 {
		return Group{}, fmt.Errorf("f = %d, k = %d: neither may be negative", f, k)
	}
	if n := 3*f + 2*k + 1; n > MaxReplicas || f > MaxReplicas || k > MaxReplicas {
		return Group{}, fmt.Errorf("f = %d, k = %d gives n = %d replicas: the most is %d", f, k, n, MaxReplicas)
	}
	return Group{f: uint8(f), k: uint8(k), made: true}, nil
}

// MustNew is New for sizes known to be good, as in tests.
func MustNew(f, k int) Group {
	g, err := New(f, k)
	if err != nil {
		panic(err)
	}
	return g
}

// ForSize returns the group of n replicas with the largest f for which n-1-3f is even and not negative.
func ForSize(n int) (Group, error) {
	for f := (n - 1) / 3; f >= 0 && n >= 1; f-- {
		if (n-1-3*f)%2 == 0 {
			return New(f, (n-1-3*f)/2)
		}
	}
	return Group{}, fmt.Errorf("%d replicas: there is no f and k with n = 3f+2k+1", n)
}

// N is the number of replicas, 3f+2k+1.
func (g Group) N() int { return 3*int(g.f) + 2*int(g.k) + 1 }

// F is how many replicas may be compromised.
func (g Group) F() int { return int(g.f) }

// K is how many further replicas may be unavailable at the same time.
func (g Group) K() int { return int(g.k) }

// Quorum is Q = 2f+k+1: preorder certificates, eligibility, commit certificates. Two quorums share at least f+1
// replicas, one of them correct; Q correct and connected replicas always exist.
func (g Group) Quorum() int { return 2*int(g.f) + int(g.k) + 1 }

// Prepares is Q-1: the PREPAREs that, next to the leader's PRE-PREPARE, make a prepare certificate.
func (g Group) Prepares() int { return g.Quorum() - 1 }

// OneCorrect is f+1: any so many replicas contain a correct one. Equal client replies; parts that decode a request.
func (g Group) OneCorrect() int { return int(g.f) + 1 }

// Rank is W = f+k+1 = n-Q+1: the rank in the order statistics of suspect-leader.
func (g Group) Rank() int { return int(g.f) + int(g.k) + 1 }

// Leader is the replica that leads a view: view 1 is led by r1, view 2 by r2, and so on round the group.
func (g Group) Leader(view uint64) ID {
	if view == 0 {
		return 0
	}
	return ID((view-1)%uint64(g.N())) + 1
}

// Has reports whether id names a replica of this group.
func (g Group) Has(id ID) bool { return id >= 1 && int(id) <= g.N() }

// All is the set of all replicas.
func (g Group) All() Set { return Set(^uint64(0) >> (MaxReplicas - g.N())) }

// Others is everybody but id.
func (g Group) Others(id ID) Set { return g.All().Without(id) }

// String is the form people see: n=6 (f=1, k=1).
func (g Group) String() string { return fmt.Sprintf("n=%d (f=%d, k=%d)", g.N(), g.f, g.k) }
