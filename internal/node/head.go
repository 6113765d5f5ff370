package node

import (
	"encoding/binary"
	"errors"

	"github.com/primebft/prime/internal/core/effect"
)

// headVersion is the version of the form of a checkpoint's head.
const headVersion = 1

// errHead says that bytes are not the head of a checkpoint.
var errHead = errors.New("not the head of a checkpoint of this version")

// appendHead appends the engine's part of a checkpoint, which all correct replicas have alike: version (u8), whether the application's
// snapshot follows (u8), records delivered (u64), records of the ordinal itself (u32), digest of the stream, and the core's state. Numbers
// are little-endian.
func appendHead(b []byte, d *due, snapshot bool) []byte {
	b = append(b, headVersion, 0)
	if snapshot {
		b[len(b)-1] = 1
	}
	b = binary.LittleEndian.AppendUint64(b, d.Delivered)
	b = binary.LittleEndian.AppendUint32(b, d.Records)
	b = append(b, d.Digest[:]...)
	return d.State.Append(b)
}

// parseHead reads what appendHead wrote, of a group of n. Any bytes give a head or an error.
func parseHead(b []byte, n int) (d *due, snapshot bool, err error) {
	const fixed = 2 + 8 + 4 + 32
	if len(b) < fixed || b[0] != headVersion || b[1] > 1 {
		return nil, false, errHead
	}
	d = &due{Delivered: binary.LittleEndian.Uint64(b[2:]), Records: binary.LittleEndian.Uint32(b[10:])}
	copy(d.Digest[:], b[14:])
	if d.State, err = effect.ParseState(b[fixed:], n); err != nil {
		return nil, false, errors.Join(errHead, err)
	}
	if d.Records < 1 || d.Delivered < d.State.Ordinal {
		return nil, false, errHead
	}
	return d, b[1] == 1, nil
}
