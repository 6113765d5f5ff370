package transfer

import (
	"encoding/binary"
	"errors"

	"github.com/primebft/prime/internal/blocks"
	"github.com/primebft/prime/internal/wire"
)

// Version of the frames.
const Version = 1

// kind is what a frame is.
type kind uint8

// The kinds of frames. The first three have the same layout.
const (
	manifestAsk kind = 1
	leavesAsk   kind = 2
	blockAsk    kind = 3
	manifestIs  kind = 4
	leavesAre   kind = 5
	blockIs     kind = 6
	notHeld     kind = 7 // the sender does not have what was asked for
)

// Layout, numbers little-endian. Every frame: version (u8), kind (u8), session (u64). An ask: digest of the checkpoint, bytes of
// answers in this session that have arrived (u64), three counts (u16), and so many numbers (u32) that are wanted, wanted as spares,
// and no longer wanted. MANIFEST: a manifest. LEAVES: chunk (u32), nodes in its path (u8), path, leaves. BLOCK: number (u32), bytes.
const (
	headerSize = 1 + 1 + 8
	askSize    = headerSize + 32 + 8 + 3*2
	blockSize  = headerSize + 4
	leavesSize = headerSize + 4 + 1
	digestSize = len(wire.Digest{})
)

// maxNumbers is how many numbers an ask may have of each sort.
const maxNumbers = 256

// MaxFrame is the largest frame for blocks of so many bytes.
func MaxFrame(block int) int {
	return max(blockSize+block, leavesSize+(blocks.MaxPath+blocks.ChunkLeaves)*digestSize, askSize+3*4*maxNumbers)
}

// errFrame is a frame that no correct replica sends.
var errFrame = errors.New("transfer: a frame that no correct replica sends")

// frame is a decoded frame. What it has of bytes is a part of what was decoded.
type frame struct {
	kind     kind
	session  uint64
	digest   wire.Digest // asks
	received uint64
	wants    []uint32
	spares   []uint32
	drops    []uint32
	manifest blocks.Manifest // MANIFEST
	number   uint32          // LEAVES, BLOCK
	path     []wire.Digest
	leaves   []wire.Digest
	block    []byte
}

func (k kind) asks() bool { return k >= manifestAsk && k <= blockAsk }

// begin appends what every frame begins with.
func begin(b []byte, k kind, session uint64) []byte {
	return binary.LittleEndian.AppendUint64(append(b, Version, byte(k)), session)
}

// append appends the frame's only encoding.
func (f *frame) append(b []byte) []byte {
	b = begin(b, f.kind, f.session)
	switch {
	case f.kind.asks():
		b = append(b, f.digest[:]...)
		b = binary.LittleEndian.AppendUint64(b, f.received)
		lists := [...][]uint32{f.wants, f.spares, f.drops}
		for _, list := range lists {
			b = binary.LittleEndian.AppendUint16(b, uint16(len(list)))
		}
		for _, list := range lists {
			for _, i := range list {
				b = binary.LittleEndian.AppendUint32(b, i)
			}
		}
	case f.kind == manifestIs:
		b = f.manifest.Append(b)
	case f.kind == leavesAre:
		b = append(binary.LittleEndian.AppendUint32(b, f.number), byte(len(f.path)))
		for i := range f.path {
			b = append(b, f.path[i][:]...)
		}
		for i := range f.leaves {
			b = append(b, f.leaves[i][:]...)
		}
	case f.kind == blockIs:
		b = append(binary.LittleEndian.AppendUint32(b, f.number), f.block...)
	}
	return b
}

// decode reads a frame. Any bytes give one, or errFrame.
func decode(b []byte) (f frame, err error) {
	if len(b) < headerSize || b[0] != Version {
		return f, errFrame
	}
	f.kind, f.session = kind(b[1]), binary.LittleEndian.Uint64(b[2:])
	b = b[headerSize:]
	ok := false
	switch {
	case f.kind.asks():
		ok = f.decodeAsk(b)
	case f.kind == manifestIs:
		f.manifest, err = blocks.Decode(b)
		ok = err == nil
	case f.kind == leavesAre:
		ok = f.decodeLeaves(b)
	case f.kind == blockIs:
		if ok = len(b) > 4 && len(b)-4 <= blocks.MaxSize; ok {
			f.number, f.block = binary.LittleEndian.Uint32(b), b[4:]
		}
	case f.kind == notHeld:
		ok = len(b) == 0
	}
	if !ok {
		return frame{}, errFrame
	}
	return f, nil
}

func (f *frame) decodeAsk(b []byte) bool {
	if len(b) < askSize-headerSize {
		return false
	}
	f.digest = wire.Digest(b)
	f.received = binary.LittleEndian.Uint64(b[digestSize:])
	b = b[digestSize+8:]
	var counts [3]int
	for i := range counts {
		if counts[i] = int(binary.LittleEndian.Uint16(b[2*i:])); counts[i] > maxNumbers {
			return false
		}
	}
	if b = b[6:]; len(b) != 4*(counts[0]+counts[1]+counts[2]) {
		return false
	}
	for i, list := range [...]*[]uint32{&f.wants, &f.spares, &f.drops} {
		for range counts[i] {
			*list = append(*list, binary.LittleEndian.Uint32(b))
			b = b[4:]
		}
	}
	return true
}

func (f *frame) decodeLeaves(b []byte) bool {
	if len(b) < 5 {
		return false
	}
	f.number = binary.LittleEndian.Uint32(b)
	nodes := int(b[4])
	b = b[5:]
	leaves := len(b)/digestSize - nodes
	if len(b)%digestSize != 0 || nodes > blocks.MaxPath || leaves < 1 || leaves > blocks.ChunkLeaves {
		return false
	}
	all := make([]wire.Digest, nodes+leaves)
	for i := range all {
		copy(all[i][:], b[i*digestSize:])
	}
	f.path, f.leaves = all[:nodes], all[nodes:]
	return true
}

// Content is what an answer has, for tools that look at frames from outside.
type Content uint8

// What answers have.
const (
	Nothing Content = iota // it is no answer, or says that there is none
	Manifest
	Leaves
	Block
)

// Describe says what a frame has.
func Describe(bytes []byte) Content {
	if len(bytes) < headerSize || bytes[0] != Version {
		return Nothing
	}
	switch kind(bytes[1]) {
	case manifestIs:
		return Manifest
	case leavesAre:
		return Leaves
	case blockIs:
		return Block
	}
	return Nothing
}
