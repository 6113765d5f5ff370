package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/primebft/prime/internal/blocks"
	"github.com/primebft/prime/internal/wire"
)

// Format is the version of the files that this package writes and reads.
const Format = 1

// Layout of a file, numbers little-endian: a page with magic, format (u32), owner (32 bytes), manifest, and CRC-32C (u32) of all
// that, then zeros; the blocks; the leaves.
const (
	magic      = "primeckp"
	pageSize   = 4096
	headerSize = len(magic) + 4 + 32 + blocks.ManifestSize + 4
	leafSize   = len(wire.Digest{})
)

// Errors of files.
var (
	// ErrVersion is a file of another version of Prime.
	ErrVersion = errors.New("snapshot: written in another format")
	// ErrForeign is a file of another replica.
	ErrForeign = errors.New("snapshot: belongs to another replica")
	// ErrDamaged is a file that is not as it was written.
	ErrDamaged = errors.New("snapshot: damaged")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is the first page of a file.
func header(owner [32]byte, m *blocks.Manifest) []byte {
	b := append(make([]byte, 0, pageSize), magic...)
	b = binary.LittleEndian.AppendUint32(b, Format)
	b = append(b, owner[:]...)
	b = m.Append(b)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return b[:pageSize]
}

// parseHeader reads the first page of a file. Any bytes give a manifest or an error; the format is known before anything else is
// believed.
func parseHeader(b []byte, owner [32]byte) (m blocks.Manifest, err error) {
	if len(b) < headerSize || string(b[:len(magic)]) != magic {
		return m, fmt.Errorf("%w: it does not begin as a checkpoint does", ErrDamaged)
	}
	if format := binary.LittleEndian.Uint32(b[len(magic):]); format != Format && format != 0 {
		return m, fmt.Errorf("%w: it has format %d and this program reads format %d; start the replica with the version of Prime that "+
			"wrote it", ErrVersion, format, Format)
	}
	if crc32.Checksum(b[:headerSize-4], castagnoli) != binary.LittleEndian.Uint32(b[headerSize-4:]) {
		return m, fmt.Errorf("%w: its first page is not as it was written", ErrDamaged)
	}
	from := len(magic) + 4
	if [32]byte(b[from:]) != owner {
		return m, fmt.Errorf("%w: it was written by %x and this is %x; every replica of every cluster needs a folder of its own",
			ErrForeign, b[from:from+8], owner[:8])
	}
	if m, err = blocks.Decode(b[from+32 : from+32+blocks.ManifestSize]); err != nil {
		return m, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return m, nil
}

// fileSize is the length of a complete file.
func fileSize(m *blocks.Manifest) int64 {
	return pageSize + int64(m.TotalBytes) + int64(m.Count())*int64(leafSize)
}

// writeLeaves writes the leaves to the end of a file.
func writeLeaves(f File, m *blocks.Manifest, leaves []wire.Digest) error {
	b := make([]byte, 0, min(len(leaves), blocks.ChunkLeaves)*leafSize)
	at := pageSize + int64(m.TotalBytes)
	for i := range leaves {
		b = append(b, leaves[i][:]...)
		if len(b) == cap(b) || i == len(leaves)-1 {
			if _, err := f.WriteAt(b, at); err != nil {
				return err
			}
			at += int64(len(b))
			b = b[:0]
		}
	}
	return nil
}

// load reads what a file says of itself: its manifest and its leaves, which the root of the manifest proves. ErrDamaged, ErrVersion
// or ErrForeign, or an error of the disk.
func load(f File, owner [32]byte) (m blocks.Manifest, leaves []wire.Digest, err error) {
	size, err := f.Size()
	if err != nil {
		return m, nil, err
	}
	page := make([]byte, pageSize)
	if size < pageSize {
		page = page[:size]
	}
	if _, err := f.ReadAt(page, 0); err != nil && size > 0 {
		return m, nil, err
	}
	if m, err = parseHeader(page, owner); err != nil {
		return m, nil, err
	}
	if size != fileSize(&m) {
		return m, nil, fmt.Errorf("%w: it has %d bytes and should have %d", ErrDamaged, size, fileSize(&m))
	}
	b := make([]byte, m.Count()*leafSize)
	if _, err := f.ReadAt(b, pageSize+int64(m.TotalBytes)); err != nil {
		return m, nil, err
	}
	leaves = make([]wire.Digest, m.Count())
	for i := range leaves {
		copy(leaves[i][:], b[i*leafSize:])
	}
	if blocks.Root(leaves) != m.Root {
		return m, nil, fmt.Errorf("%w: its leaves are not as they were written", ErrDamaged)
	}
	return m, leaves, nil
}
