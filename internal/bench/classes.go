package bench

import "github.com/primebft/prime/internal/wire"

// classBytes are bytes by traffic class.
type classBytes [wire.Classes]uint64

func (b *classBytes) add(more [wire.Classes]uint64) {
	for i := range b {
		b[i] += more[i]
	}
}

// since is what came to b after it was before.
func (b classBytes) since(before classBytes) classBytes {
	for i := range b {
		b[i] = since(b[i], before[i])
	}
	return b
}

// total is that of all classes.
func (b classBytes) total() (sum uint64) {
	for _, bytes := range b {
		sum += bytes
	}
	return sum
}
