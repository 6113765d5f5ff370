package blocks

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/primebft/prime/internal/wire"
)

// Sizes of blocks, bytes.
const (
	Size    = 256 << 10 // of those that this version makes; see docs/adr/0018-state-transfer.md for why
	MinSize = 512
	MaxSize = 4 << 20
)

// MaxBlocks is how many blocks a checkpoint may have: 1 TiB of the usual size.
const MaxBlocks = 1 << 22

// ManifestSize is the length of a manifest's encoding, bytes.
const ManifestSize = 1 + 8 + 4 + 8 + 8 + len(wire.Digest{})

// manifestVersion is the first byte of a manifest.
const manifestVersion = 1

// ErrManifest is bytes that are no manifest.
var ErrManifest = errors.New("blocks: not a manifest")

// Manifest says what a checkpoint consists of.
type Manifest struct {
	Ordinal    uint64      // after whose execution it was made
	BlockSize  uint32      // bytes of every block but the last, which may be shorter
	HeadBytes  uint64      // of the engine's part, without what fills it up to whole blocks
	TotalBytes uint64      // of all blocks; at least 1
	Root       wire.Digest // of the tree over all blocks
}

// Check reports whether a manifest can be one.
func (m *Manifest) Check() error {
	size := uint64(m.BlockSize)
	switch {
	case size < MinSize || size > MaxSize:
		return fmt.Errorf("%w: blocks of %d bytes: from %d to %d are possible", ErrManifest, size, MinSize, MaxSize)
	case m.TotalBytes == 0 || (m.TotalBytes-1)/size >= MaxBlocks:
		return fmt.Errorf("%w: %d bytes in blocks of %d: from 1 to %d blocks are possible", ErrManifest, m.TotalBytes, size, MaxBlocks)
	case m.HeadBytes > m.TotalBytes || uint64(m.HeadBlocks())*size > m.TotalBytes:
		return fmt.Errorf("%w: a head of %d bytes in %d bytes", ErrManifest, m.HeadBytes, m.TotalBytes)
	}
	return nil
}

// Count is how many blocks there are.
func (m *Manifest) Count() int {
	return int((m.TotalBytes + uint64(m.BlockSize) - 1) / uint64(m.BlockSize))
}

// HeadBlocks is how many of them the head takes.
func (m *Manifest) HeadBlocks() int {
	return int((m.HeadBytes + uint64(m.BlockSize) - 1) / uint64(m.BlockSize))
}

// Extent is where block i, 0..Count()-1, begins in the stream, and how long it is.
func (m *Manifest) Extent(i int) (offset int64, size int) {
	offset = int64(i) * int64(m.BlockSize)
	return offset, int(min(int64(m.BlockSize), int64(m.TotalBytes)-offset))
}

// Digest is the digest of the checkpoint: it fixes every byte of it.
func (m *Manifest) Digest() wire.Digest {
	b := make([]byte, 0, 32+ManifestSize)
	b = append(b, "prime-checkpoint-v1\x00"...)
	return sha256.Sum256(m.Append(b))
}

// Append appends the only encoding of the manifest: version, then the fields in order, numbers little-endian.
func (m *Manifest) Append(b []byte) []byte {
	b = append(b, manifestVersion)
	b = binary.LittleEndian.AppendUint64(b, m.Ordinal)
	b = binary.LittleEndian.AppendUint32(b, m.BlockSize)
	b = binary.LittleEndian.AppendUint64(b, m.HeadBytes)
	b = binary.LittleEndian.AppendUint64(b, m.TotalBytes)
	return append(b, m.Root[:]...)
}

// Decode reads a manifest, which must be all of b. Any bytes give one that passes Check, or ErrManifest.
func Decode(b []byte) (m Manifest, err error) {
	if len(b) != ManifestSize || b[0] != manifestVersion {
		return m, ErrManifest
	}
	m = Manifest{
		Ordinal:    binary.LittleEndian.Uint64(b[1:]),
		BlockSize:  binary.LittleEndian.Uint32(b[9:]),
		HeadBytes:  binary.LittleEndian.Uint64(b[13:]),
		TotalBytes: binary.LittleEndian.Uint64(b[21:]),
		Root:       wire.Digest(b[29:]),
	}
	if err := m.Check(); err != nil {
		return Manifest{}, err
	}
	return m, nil
}
