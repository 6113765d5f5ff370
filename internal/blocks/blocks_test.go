package blocks

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/primebft/prime/internal/wire"
)

// twin is the tree of RFC 6962, section 2.1, as it is written there.
func twin(leaves []wire.Digest) wire.Digest {
	if len(leaves) == 1 {
		return leaves[0]
	}
	k := 1
	for 2*k < len(leaves) {
		k *= 2
	}
	left, right := twin(leaves[:k]), twin(leaves[k:])
	return sha256.Sum256(slices.Concat([]byte{1}, left[:], right[:]))
}

func someLeaves(n int) []wire.Digest {
	leaves := make([]wire.Digest, n)
	for i := range leaves {
		leaves[i] = Leaf([]byte{byte(i), byte(i >> 8), byte(i >> 16)})
	}
	return leaves
}

// TestRoot compares the tree with its definition, and the paths of chunks with the tree.
func TestRoot(t *testing.T) {
	t.Parallel()
	if block := []byte("block"); Leaf(block) != sha256.Sum256([]byte("\x00block")) {
		t.Error("a leaf is not the hash of a zero and the block")
	}
	counts := []int{ChunkLeaves - 1, ChunkLeaves, ChunkLeaves + 1, 2 * ChunkLeaves, 5*ChunkLeaves + 77, 7*ChunkLeaves + 1}
	for n := 1; n < 70; n++ {
		counts = append(counts, n)
	}
	for _, n := range counts {
		leaves := someLeaves(n)
		before := slices.Clone(leaves)
		want := twin(leaves)
		paths := NewPaths(leaves)
		if Root(leaves) != want || paths.Root() != want {
			t.Fatalf("%d leaves: the root is not that of RFC 6962", n)
		}
		if !slices.Equal(leaves, before) {
			t.Fatalf("%d leaves: they were overwritten", n)
		}
		m := Manifest{Ordinal: 1, BlockSize: MinSize, TotalBytes: uint64(n) * MinSize, Root: want}
		for c := range Chunks(n) {
			from, to := Chunk(c, n)
			path := paths.Of(c)
			if len(path) > MaxPath || !m.CheckChunk(c, leaves[from:to], path) {
				t.Fatalf("%d leaves: chunk %d does not pass with its path", n, c)
			}
		}
	}
}

// TestCheckChunkRefuses: no other leaf, path or place passes.
func TestCheckChunkRefuses(t *testing.T) {
	t.Parallel()
	const n = 3*ChunkLeaves + 5
	leaves := someLeaves(n)
	paths := NewPaths(leaves)
	m := Manifest{Ordinal: 1, BlockSize: MinSize, TotalBytes: n * MinSize, Root: paths.Root()}
	for c := range Chunks(n) {
		from, to := Chunk(c, n)
		path := paths.Of(c)
		for _, other := range []int{-1, c + 1, c + 4, 1 << 40} {
			if m.CheckChunk(other, leaves[from:to], path) {
				t.Errorf("chunk %d passes as %d", c, other)
			}
		}
		wrong := slices.Clone(leaves[from:to])
		wrong[len(wrong)/2][3] ^= 1
		if m.CheckChunk(c, wrong, path) || m.CheckChunk(c, leaves[from:to-1], path) || m.CheckChunk(c, nil, path) {
			t.Errorf("chunk %d passes with wrong leaves", c)
		}
		if m.CheckChunk(c, up(slices.Clone(leaves[from:to])), path) {
			t.Errorf("chunk %d passes with the nodes above its leaves", c)
		}
		if m.CheckChunk(c, leaves[from:to], path[1:]) || m.CheckChunk(c, leaves[from:to], append(slices.Clone(path), path[0])) ||
			m.CheckChunk(c, leaves[from:to], nil) {
			t.Errorf("chunk %d passes with a path of another length", c)
		}
		for i := range path {
			bent := slices.Clone(path)
			bent[i][0] ^= 1
			if m.CheckChunk(c, leaves[from:to], bent) {
				t.Errorf("chunk %d passes with another node in its path", c)
			}
		}
	}
}

// TestBuilder writes streams in pieces of any size: the blocks are the stream, and the manifest describes them.
func TestBuilder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.SampledFrom([]int{MinSize, MinSize + 1, 4096}).Draw(t, "size")
		head := rapid.SliceOfN(rapid.Byte(), 0, 3*size).Draw(t, "head")
		app := rapid.SliceOfN(rapid.Byte(), 0, 4*size).Draw(t, "app")
		var stream []byte
		var leaves []wire.Digest
		b := NewBuilder(7, size, func(block []byte) error {
			stream = append(stream, block...)
			leaves = append(leaves, Leaf(block))
			return nil
		})
		write := func(p []byte) {
			for len(p) > 0 {
				k := rapid.IntRange(1, len(p)).Draw(t, "piece")
				if n, err := b.Write(p[:k]); n != k || err != nil {
					t.Fatalf("wrote %d of %d bytes: %v", n, k, err)
				}
				p = p[k:]
			}
		}
		write(head)
		if err := b.EndHead(); err != nil {
			t.Fatal(err)
		}
		write(app)
		m, got, err := b.Finish()
		if len(head)+len(app) == 0 {
			if err == nil {
				t.Fatal("nothing is a checkpoint")
			}
			return
		}
		if err != nil || m.Check() != nil {
			t.Fatalf("%v, %v", err, m.Check())
		}
		padded := (len(head) + size - 1) / size * size
		want := append(append(slices.Clone(head), make([]byte, padded-len(head))...), app...)
		if !bytes.Equal(stream, want) || !slices.Equal(leaves, got) || m.Root != Root(leaves) || m.Count() != len(leaves) ||
			m.HeadBytes != uint64(len(head)) || m.TotalBytes != uint64(len(want)) || m.HeadBlocks()*size != padded || m.Ordinal != 7 {
			t.Fatalf("manifest %+v does not describe %d blocks", m, len(leaves))
		}
		for i := range leaves {
			offset, n := m.Extent(i)
			if Leaf(stream[offset:offset+int64(n)]) != leaves[i] {
				t.Fatalf("block %d is not at its place", i)
			}
		}
	})
}

// TestBuilderStops: what the disk refuses ends the stream.
func TestBuilderStops(t *testing.T) {
	t.Parallel()
	calls := 0
	full := fmt.Errorf("full")
	b := NewBuilder(1, MinSize, func([]byte) error {
		calls++
		return full
	})
	if _, err := b.Write(make([]byte, 5*MinSize)); err != full {
		t.Errorf("got %v", err)
	}
	if _, err := b.Write(make([]byte, 5*MinSize)); err != full {
		t.Errorf("got %v", err)
	}
	if _, _, err := b.Finish(); err != full || calls != 1 {
		t.Errorf("got %v after %d calls", err, calls)
	}
}

// TestManifest: one encoding, one digest, and nothing impossible passes.
func TestManifest(t *testing.T) {
	t.Parallel()
	m := Manifest{Ordinal: 5, BlockSize: Size, HeadBytes: 10, TotalBytes: Size + 3, Root: Leaf(nil)}
	got, err := Decode(m.Append(nil))
	if err != nil || got != m {
		t.Fatalf("%+v, %v", got, err)
	}
	changes := []func(*Manifest){
		func(m *Manifest) { m.Ordinal++ }, func(m *Manifest) { m.BlockSize++ }, func(m *Manifest) { m.HeadBytes++ },
		func(m *Manifest) { m.TotalBytes++ }, func(m *Manifest) { m.Root[0]++ },
	}
	for i, change := range changes {
		other := m
		change(&other)
		if other.Digest() == m.Digest() {
			t.Errorf("change %d does not change the digest", i)
		}
	}
	bad := []func(*Manifest){
		func(m *Manifest) { m.BlockSize = MinSize - 1 }, func(m *Manifest) { m.BlockSize = MaxSize + 1 }, func(m *Manifest) { m.BlockSize = 0 },
		func(m *Manifest) { m.TotalBytes = 0 }, func(m *Manifest) { m.TotalBytes = Size*MaxBlocks + 1 },
		func(m *Manifest) { m.TotalBytes = 1<<64 - 1 }, func(m *Manifest) { m.HeadBytes = m.TotalBytes + 1 },
		func(m *Manifest) { m.HeadBytes = Size + 1 }, func(m *Manifest) { m.HeadBytes = 1<<64 - 1 },
	}
	for i, change := range bad {
		other := m
		change(&other)
		if _, err := Decode(other.Append(nil)); err == nil {
			t.Errorf("impossible manifest %d passes", i)
		}
	}
}

// FuzzManifest: decoding is total, and what it accepts has one encoding.
func FuzzManifest(f *testing.F) {
	m := Manifest{Ordinal: 5, BlockSize: Size, HeadBytes: 10, TotalBytes: Size + 3}
	f.Add(m.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			return
		}
		if !bytes.Equal(m.Append(nil), b) || m.Count() < 1 || m.Count() > MaxBlocks || m.HeadBlocks() > m.Count() {
			t.Fatalf("%+v", m)
		}
		offset, size := m.Extent(m.Count() - 1)
		if size < 1 || size > int(m.BlockSize) || uint64(offset)+uint64(size) != m.TotalBytes {
			t.Fatalf("the last block of %+v is at %d and has %d bytes", m, offset, size)
		}
	})
}

// BenchmarkBuilder is how fast a stream is cut and hashed, for blocks of several sizes.
func BenchmarkBuilder(b *testing.B) {
	piece := make([]byte, 1<<20)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range piece {
		piece[i] = byte(rng.Uint32())
	}
	for _, size := range []int{64 << 10, 256 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			builder := NewBuilder(1, size, func([]byte) error { return nil })
			b.SetBytes(int64(len(piece)))
			for b.Loop() {
				builder.leaves = builder.leaves[:0]
				if _, err := builder.Write(piece); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
